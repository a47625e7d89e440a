//! Classic histograms of a text become native ones with the same bounds.
//!
//! The lines of one histogram stand together in a body; they are held until another begins, and then told as one.
//! What does not make a histogram is told as it stands.

use std::borrow::Cow;
use std::sync::Arc;

use swell_model::{CounterResetHint, METRIC_NAME, MetricKind, NativeHistogram, Span, TimestampMs};

use crate::document::BodyFault;
use crate::entry::{Entry, Exemplar, Format, HistogramSample, Sample};
use crate::float;
use crate::parser::Parser;
use crate::series::SeriesText;
use crate::writer::write_series;

/// Label of a bucket's upper bound.
const BOUND: &str = "le";

/// What a line is of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Bucket { bound: f64 },
    Count,
    Sum,
}

/// Lines of one histogram, as far as they have come.
#[derive(Default)]
struct Held<'a> {
    /// The histogram as a series; empty while nothing is held.
    series: String,
    lines: Vec<Sample<'a>>,
    /// Upper bound and number of observations up to it.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    timestamp: Option<TimestampMs>,
    exemplars: Vec<Exemplar<'a>>,
}

/// Goes through the entries of a text, until `visit` fails.
pub(crate) fn visit<E: From<BodyFault>>(
    body: &[u8],
    format: Format,
    keeps_classic: bool,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut held = Held::default();
    // Name of the family that is under way, if it has histograms.
    let mut histograms: Option<Cow<'_, str>> = None;
    let mut series = String::new();
    for entry in Parser::new(body, format) {
        let entry = entry.map_err(BodyFault::from)?;
        if let Entry::Sample(sample) = &entry
            && let Some(family) = &histograms
        {
            series.clear();
            if let Some(part) = part_of(family, sample.series, &mut series) {
                if held.series != series {
                    held.tell(keeps_classic, visit)?;
                    held.series.clone_from(&series);
                }
                held.add(part, *sample);
                continue;
            }
        }
        held.tell(keeps_classic, visit)?;
        if let Entry::Type { family, kind, .. } = &entry {
            histograms = (*kind == MetricKind::Histogram).then(|| family.clone());
        }
        visit(entry)?;
    }
    held.tell(keeps_classic, visit)
}

/// What a sample is of a histogram of the family; writes which histogram it belongs to.
fn part_of(family: &str, sample: SeriesText<'_>, series: &mut String) -> Option<Part> {
    if !sample.raw().contains(family) {
        return None;
    }
    let pairs: Vec<_> = sample.pairs().collect();
    let (_, name) = pairs.iter().find(|(label, _)| label == METRIC_NAME)?;
    let part = match name.strip_prefix(family)? {
        "_bucket" => {
            let (_, bound) = pairs.iter().find(|(label, _)| label == BOUND)?;
            Part::Bucket { bound: float::parse(bound).filter(|bound| !bound.is_nan())? }
        }
        "_count" => Part::Count,
        "_sum" => Part::Sum,
        _ => return None,
    };
    let is_own = |label: &str| label != METRIC_NAME && label != BOUND;
    let own = pairs.iter().filter(|(label, _)| is_own(label));
    write_series(series, family, "", own.map(|(label, value)| (label.as_ref(), value.as_ref())));
    Some(part)
}

impl<'a> Held<'a> {
    fn add(&mut self, part: Part, line: Sample<'a>) {
        match part {
            Part::Bucket { bound } => self.buckets.push((bound, line.value)),
            Part::Count => self.count = Some(line.value),
            Part::Sum => self.sum = line.value,
        }
        self.timestamp = self.timestamp.or(line.timestamp);
        self.exemplars.extend(line.exemplar);
        self.lines.push(line);
    }

    /// Tells what is held and forgets it.
    fn tell<E>(
        &mut self,
        keeps_classic: bool,
        visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.series.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(self);
        let histogram = held.histogram();
        if keeps_classic || histogram.is_none() {
            held.lines.iter().try_for_each(|line| visit(Entry::Sample(*line)))?;
        }
        let Some(value) = histogram else { return Ok(()) };
        visit(Entry::Histogram(HistogramSample {
            series: SeriesText::new(&held.series, None),
            value: Arc::new(value),
            timestamp: held.timestamp,
            start: None,
            exemplars: held.exemplars,
        }))
    }

    /// The histogram that the lines make; none without buckets, and none of counts that contradict each other.
    fn histogram(&self) -> Option<NativeHistogram> {
        let mut buckets = self.buckets.clone();
        buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (last, highest) = *buckets.last()?;
        let count = self.count.unwrap_or(highest);
        if last.is_infinite() {
            buckets.pop();
            if highest.to_bits() != count.to_bits() {
                return None;
            }
        }
        let (mut counts, mut below) = (Vec::with_capacity(buckets.len() + 1), 0.0);
        for (_, cumulative) in &buckets {
            counts.push(cumulative - below);
            below = *cumulative;
        }
        counts.push(count - below);
        let value = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            reset_hint: CounterResetHint::Unknown,
            count,
            sum: self.sum,
            positive_spans: vec![Span { offset: 0, length: u32::try_from(counts.len()).ok()? }],
            positive_buckets: counts,
            custom_bounds: buckets.iter().map(|(bound, _)| *bound).collect(),
            ..NativeHistogram::default()
        };
        // A bound that is given twice, or a count that falls, makes none.
        value.checked(false).ok().map(NativeHistogram::compacted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Entries in short: classic lines by their text and value, histograms with bounds and counts.
    fn shown(body: &str, keeps_classic: bool) -> Vec<String> {
        let mut shown = Vec::new();
        let told = visit::<BodyFault>(body.as_bytes(), Format::Text, keeps_classic, &mut |entry| {
            match entry {
                Entry::Sample(sample) => {
                    shown.push(format!("{} {}", sample.series.raw(), sample.value))
                }
                Entry::Histogram(it) => {
                    let value = &it.value;
                    let counts: Vec<f64> = value.positive().map(|bucket| bucket.count).collect();
                    let labels = it.series.to_labels().expect("no label twice");
                    shown.push(format!(
                        "{labels} {:?} {counts:?} sum {}",
                        value.custom_bounds, value.sum
                    ));
                }
                _ => {}
            }
            Ok(())
        });
        told.expect("a good body");
        shown
    }

    const BODY: &str = "\
# HELP h Times.
# TYPE h histogram
h_bucket{a=\"x\",le=\"0.5\"} 2
h_bucket{a=\"x\",le=\"1\"} 2
h_bucket{a=\"x\",le=\"+Inf\"} 7
h_sum{a=\"x\"} 12.5
h_count{a=\"x\"} 7
h_bucket{le=\"1\",a=\"y\"} 1
h_sum{a=\"y\"} 0.5
h_count{a=\"y\"} 3
# TYPE c counter
c 1
h_count 4
";

    #[test]
    fn lines_of_a_histogram_become_one() {
        let x = r#"h{a="x"} [0.5, 1.0] [2.0, 5.0] sum 12.5"#;
        let y = r#"h{a="y"} [1.0] [1.0, 2.0] sum 0.5"#;
        assert_eq!(shown(BODY, false), [x, y, "c 1", "h_count 4"]);
        let kept = shown(BODY, true);
        assert_eq!(kept.len(), 8 + 4);
        assert_eq!((kept[5].as_str(), kept[9].as_str()), (x, y));
    }

    #[test]
    fn what_is_no_histogram_stays_as_it_is() {
        for lines in [
            "h_count 3\nh_sum 1\n",
            "h_bucket{le=\"1\"} 5\nh_bucket{le=\"2\"} 4\nh_count 5\n",
            "h_bucket{le=\"1\"} 5\nh_bucket{le=\"+Inf\"} 6\nh_count 7\n",
            "h_bucket{le=\"1\"} 5\nh_bucket{le=\"1.0\"} 5\nh_count 5\n",
            "h_bucket{le=\"low\"} 5\n",
            "h_bucket 5\n",
            "h_other 5\n",
        ] {
            let body = format!("# TYPE h histogram\n{lines}");
            assert_eq!(shown(&body, false).join("\n") + "\n", lines, "{lines}");
        }
    }
}
