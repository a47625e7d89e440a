//! A row of bars, one a second. A missing sample is a space, never the lowest bar.

/// Which characters a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// Block elements and shapes.
    Unicode,
    /// Seven bits, for `LANG=C`.
    Ascii,
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const BARS_ASCII: [char; 8] = ['.', ':', '-', '=', '+', '*', '#', '@'];

/// Bars for the last `width` values, scaled from zero to the highest of them.
pub(crate) fn sparkline(history: &[Option<f64>], width: usize, charset: Charset) -> Vec<char> {
    let shown = &history[history.len().saturating_sub(width)..];
    let top = shown.iter().flatten().copied().fold(0.0_f64, f64::max);
    let bars = if charset == Charset::Unicode { &BARS } else { &BARS_ASCII };
    let mut row = vec![' '; width - shown.len()];
    row.extend(shown.iter().map(|value| match value {
        None => ' ',
        Some(_) if top <= 0.0 => bars[0],
        Some(value) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
            let step = ((value / top) * 8.0).ceil().clamp(1.0, 8.0) as usize - 1;
            bars[step]
        }
    }));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(history: &[Option<f64>], width: usize, expected: &str) {
        let row: String = sparkline(history, width, Charset::Unicode).into_iter().collect();
        assert_eq!(row, expected);
    }

    #[test]
    fn bars_scale_to_the_highest_and_gaps_stay_empty() {
        check(&[Some(1.0), Some(4.0), None, Some(8.0)], 4, "▁▄ █");
        check(&[Some(1.0)], 3, "  █");
        check(&[Some(0.0), Some(0.0)], 2, "▁▁");
        check(&[Some(9.0), Some(1.0), Some(2.0)], 2, "▄█");
        let ascii: String =
            sparkline(&[Some(1.0), Some(8.0)], 2, Charset::Ascii).into_iter().collect();
        assert_eq!(ascii, ".@");
    }
}
