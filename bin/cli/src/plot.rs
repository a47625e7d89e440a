//! Series as lines of text. A gap stays a gap.

/// One series.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// Its labels.
    pub(crate) name: String,
    /// Time in seconds and value, in the order of time.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Series drawn at most; the rest is counted.
const SERIES_MAX: usize = 12;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const BARS_ASCII: [char; 8] = ['.', ':', '-', '=', '+', '*', '#', '@'];

/// Each series as its name, its range and a row of bars over the common time.
pub(crate) fn plot(mut series: Vec<Series>, width: usize, unicode: bool) -> Vec<String> {
    series.retain(|series| !series.points.is_empty());
    if series.is_empty() {
        return vec!["no samples in this range".to_owned()];
    }
    series.sort_by(|a, b| peak(b).total_cmp(&peak(a)).then_with(|| a.name.cmp(&b.name)));
    let times = || series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
    let (start, end) = (times().fold(f64::MAX, f64::min), times().fold(f64::MIN, f64::max));
    let mut lines = Vec::new();
    for series in series.iter().take(SERIES_MAX) {
        let values = || series.points.iter().map(|point| point.1);
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(f64::MIN, f64::max));
        let last = series.points.last().map_or(f64::NAN, |point| point.1);
        lines.push(format!(
            "{}   now {}   {} to {}",
            series.name,
            short(last),
            short(low),
            short(high)
        ));
        lines.push(row(series, start, end, width, unicode));
    }
    if series.len() > SERIES_MAX {
        lines.push(format!("and {} more series", series.len() - SERIES_MAX));
    }
    lines
}

fn peak(series: &Series) -> f64 {
    series.points.iter().map(|point| point.1).fold(f64::MIN, f64::max)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the row")]
#[expect(clippy::cast_precision_loss, reason = "terminal widths are small")]
fn row(series: &Series, start: f64, end: f64, width: usize, unicode: bool) -> String {
    let mut highest: Vec<Option<f64>> = vec![None; width];
    let span = (end - start).max(f64::MIN_POSITIVE);
    for (time, value) in &series.points {
        let column = (((time - start) / span) * (width - 1) as f64).round() as usize;
        let cell = &mut highest[column.min(width - 1)];
        *cell = Some(cell.map_or(*value, |other: f64| other.max(*value)));
    }
    let top = highest.iter().flatten().copied().fold(0.0, f64::max);
    let bottom = highest.iter().flatten().copied().fold(0.0, f64::min);
    let bars = if unicode { &BARS } else { &BARS_ASCII };
    highest
        .iter()
        .map(|value| match value {
            None => ' ',
            Some(value) if top > bottom => {
                let step = ((value - bottom) / (top - bottom) * 8.0).ceil().clamp(1.0, 8.0);
                bars[step as usize - 1]
            }
            Some(_) => bars[0],
        })
        .collect()
}

/// A number with four significant digits.
fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 12")]
    let decimals = (3.0 - magnitude).clamp(0.0, 12.0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_empty_and_the_highest_comes_first() {
        let low = Series { name: "low".to_owned(), points: vec![(0.0, 1.0), (3.0, 1.0)] };
        let high =
            Series { name: "high".to_owned(), points: vec![(0.0, 4.0), (1.0, 8.0), (3.0, 2.0)] };
        let lines = plot(vec![low, high], 4, true);
        assert_eq!(lines[0], "high   now 2   2 to 8");
        assert_eq!(lines[1], "▄█ ▂");
        assert_eq!(lines[3], "█  █");
    }

    #[test]
    fn numbers_are_short() {
        for (value, expected) in
            [(0.0, "0"), (1234.56, "1235"), (0.012346, "0.01235"), (2.5, "2.5")]
        {
            assert_eq!(short(value), expected);
        }
    }
}
