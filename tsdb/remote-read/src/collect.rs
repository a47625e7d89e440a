//! Series out of answers, within a bound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use swell_chunk::prometheus::{Encoding, Fault, Samples, decode};
use swell_model::{FloatColumn, HistogramColumn, Labels, NativeHistogram, SeriesData, TimeRange};
use swell_wire::remote_read::{read_chunked, read_samples};
use swell_wire::remote_write::{Part, ReadHistogramError, SeriesMessage, WireError};

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer is no such message: {0}")]
    Malformed(#[from] WireError),
    #[error("a series of the answer has labels that are none: {0}")]
    Labels(String),
    #[error("a chunk of the answer is damaged: {0}")]
    Chunk(Fault),
    #[error("a chunk of the answer has the encoding {0}, which is not known")]
    Encoding(u32),
    #[error("a histogram of the answer breaks a rule: {0}")]
    Histogram(String),
    #[error("the answer has more than {0} samples: ask for less at once")]
    TooMany(usize),
}

/// Series as far as they have come.
#[derive(Debug)]
pub(crate) struct Collector {
    series: HashMap<Labels, Samples>,
    samples_max: usize,
    left: usize,
}

impl Collector {
    /// Takes so many samples; each bucket of a histogram counts as one, and each series.
    pub(crate) fn new(samples_max: usize) -> Self {
        Self { series: HashMap::new(), samples_max, left: samples_max }
    }

    fn take(&mut self, count: usize) -> Result<(), AnswerError> {
        let left = self.left.checked_sub(count);
        self.left = left.ok_or(AnswerError::TooMany(self.samples_max))?;
        Ok(())
    }

    /// A whole answer of samples, unpacked.
    pub(crate) fn add_samples(&mut self, message: &[u8]) -> Result<(), AnswerError> {
        for series in read_samples(message)? {
            let labels = labels_of(&series)?;
            self.take(1)?;
            let (mut floats, mut histograms) = (Vec::new(), Vec::new());
            for part in series.parts(0) {
                match part? {
                    Part::Sample(sample) => {
                        self.take(1)?;
                        floats.push((sample.timestamp_ms, sample.value));
                    }
                    Part::Histogram(message) => {
                        let read = message.read().map_err(|error| match error {
                            ReadHistogramError::Wire(error) => AnswerError::Malformed(error),
                            ReadHistogramError::Invalid(rule) => {
                                AnswerError::Histogram(rule.to_string())
                            }
                        })?;
                        self.take(numbers(&read.value))?;
                        histograms.push((read.timestamp_ms, Arc::new(read.value)));
                    }
                    Part::Exemplar(_) | Part::Metadata(_) | Part::LateLabels => {}
                }
            }
            let known = self.series.entry(labels).or_default();
            known.floats.append(&mut floats);
            known.histograms.append(&mut histograms);
        }
        Ok(())
    }

    /// The message of a frame of chunks.
    pub(crate) fn add_frame(&mut self, message: &[u8]) -> Result<(), AnswerError> {
        for found in read_chunked(message)? {
            let labels = labels_of(&found.series)?;
            self.take(1)?;
            let mut samples = Samples::within(self.left);
            for chunk in found.chunks {
                let encoding = u8::try_from(chunk.encoding).ok().and_then(Encoding::of);
                let encoding = encoding.ok_or(AnswerError::Encoding(chunk.encoding))?;
                match decode(encoding, chunk.data, &mut samples) {
                    Ok(()) => {}
                    Err(_) if samples.is_full() => {
                        return Err(AnswerError::TooMany(self.samples_max));
                    }
                    Err(fault) => return Err(AnswerError::Chunk(fault)),
                }
            }
            self.left = samples.room();
            let known = self.series.entry(labels).or_default();
            known.floats.append(&mut samples.floats);
            known.histograms.append(&mut samples.histograms);
        }
        Ok(())
    }

    /// The series with their samples in the range, some labels left out; those that become one by that are one.
    pub(crate) fn finish(self, range: TimeRange, left_out: &[String]) -> Vec<SeriesData> {
        let mut all = self.series;
        if !left_out.is_empty() {
            let mut merged: HashMap<Labels, Samples> = HashMap::with_capacity(all.len());
            for (labels, mut samples) in all {
                let mut builder = labels.to_builder();
                for name in left_out {
                    builder.remove(name);
                }
                let known = merged.entry(builder.build()).or_default();
                known.floats.append(&mut samples.floats);
                known.histograms.append(&mut samples.histograms);
            }
            all = merged;
        }
        let is_inside = |at: i64| range.start_incl.0 <= at && at <= range.end_incl.0;
        let series = all.into_iter().map(|(labels, samples)| {
            let (times, values) = rising(samples.floats, is_inside);
            let floats =
                FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
            let (timestamps, values) = rising(samples.histograms, is_inside);
            let histograms = HistogramColumn { timestamps, values, starts: None };
            SeriesData { labels, floats, histograms, ..SeriesData::default() }
        });
        let has_samples = |it: &SeriesData| {
            !it.floats.timestamps.is_empty() || !it.histograms.timestamps.is_empty()
        };
        series.filter(has_samples).collect()
    }
}

/// Numbers that a histogram takes in memory.
fn numbers(value: &NativeHistogram) -> usize {
    let buckets = value.positive_buckets.len() + value.negative_buckets.len();
    let spans = value.positive_spans.len() + value.negative_spans.len();
    1 + buckets + spans + value.custom_bounds.len()
}

fn labels_of(series: &SeriesMessage<'_>) -> Result<Labels, AnswerError> {
    let mut pairs = Vec::new();
    series.each_label(|name, value| pairs.push((name, value)))?;
    pairs.sort_by_key(|(name, _)| *name);
    if pairs.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(AnswerError::Labels("a label is there twice".to_owned()));
    }
    let text = |bytes| {
        std::str::from_utf8(bytes)
            .map_err(|_| AnswerError::Labels("a label is not UTF-8".to_owned()))
    };
    let mut checked = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        let (name, value) = (text(name)?, text(value)?);
        if name.is_empty() {
            return Err(AnswerError::Labels("a label has no name".to_owned()));
        }
        if !value.is_empty() {
            checked.push((name, value));
        }
    }
    Ok(Labels::from_sorted(checked))
}

/// Samples inside, by rising times; of several at one time the first counts.
fn rising<T>(mut samples: Vec<(i64, T)>, is_inside: impl Fn(i64) -> bool) -> (Vec<i64>, Vec<T>) {
    samples.retain(|(at, _)| is_inside(*at));
    if !samples.is_sorted_by(|one, other| one.0 < other.0) {
        let mut by_time = BTreeMap::new();
        for (at, value) in samples {
            by_time.entry(at).or_insert(value);
        }
        return by_time.into_iter().unzip();
    }
    samples.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;
    use swell_wire::remote_read::{
        ReadAnswer, chunked_series, float_chunks, histogram_chunks, samples_message,
    };
    use swell_wire::remote_write::encode_labels;

    use super::*;

    fn labels(replica: &str) -> Labels {
        Labels::from_pairs([("__name__", "m"), ("replica", replica)])
    }

    fn histogram(count: f64) -> NativeHistogram {
        NativeHistogram {
            count,
            sum: count,
            positive_spans: vec![swell_model::Span { offset: 1, length: 1 }],
            positive_buckets: vec![count],
            ..NativeHistogram::default()
        }
    }

    /// `labels floats histograms` of each series, sorted.
    fn shown(series: &[SeriesData]) -> Vec<String> {
        let mut shown: Vec<String> = series
            .iter()
            .map(|it| {
                let floats = it.floats.timestamps.iter().zip(it.floats.values.iter());
                let floats: Vec<_> = floats.map(|(at, value)| format!("{value}@{at}")).collect();
                let histograms = it.histograms.timestamps.iter().zip(&it.histograms.values);
                let histograms: Vec<_> =
                    histograms.map(|(at, value)| format!("h{}@{at}", value.count)).collect();
                format!("{} {}", it.labels, [floats, histograms].concat().join(" "))
            })
            .collect();
        shown.sort();
        shown
    }

    fn all() -> TimeRange {
        TimeRange::ALL
    }

    fn filled(samples_max: usize) -> Result<Collector, AnswerError> {
        let (four, five) = (histogram(4.0), histogram(5.0));
        let mut collector = Collector::new(samples_max);
        collector.add_samples(&samples_message(&[vec![ReadAnswer {
            labels: labels("1"),
            floats: &[(1, 0.5), (2, 1.5)],
            histograms: vec![(4, &four)],
        }]]))?;
        let one = encode_labels(&labels("2"));
        let floats: Vec<_> = float_chunks(&[2, 3], &[2.5, 3.5]).collect();
        let more: Vec<_> = histogram_chunks([(5, &five)].into_iter()).collect();
        collector.add_frame(&chunked_series(&one, &floats, 0))?;
        collector.add_frame(&chunked_series(&one, &more, 0))?;
        Ok(collector)
    }

    #[test]
    fn samples_and_chunks_become_series() {
        let found = filled(1000).expect("room").finish(all(), &[]);
        assert_eq!(
            shown(&found),
            [r#"m{replica="1"} 0.5@1 1.5@2 h4@4"#, r#"m{replica="2"} 2.5@2 3.5@3 h5@5"#]
        );
        let some = TimeRange { start_incl: TimestampMs(2), end_incl: TimestampMs(3) };
        assert_eq!(
            shown(&filled(1000).expect("room").finish(some, &[])),
            [r#"m{replica="1"} 1.5@2"#, r#"m{replica="2"} 2.5@2 3.5@3"#]
        );
        let none = TimeRange { start_incl: TimestampMs(9), end_incl: TimestampMs(9) };
        assert!(filled(1000).expect("room").finish(none, &[]).is_empty());
    }

    #[test]
    fn series_that_differ_by_what_is_left_out_are_one() {
        let found = filled(1000).expect("room").finish(all(), &["replica".to_owned()]);
        let [one] = &found[..] else { panic!("{found:?}") };
        assert_eq!(one.labels.to_string(), "m");
        assert_eq!(one.floats.timestamps[..], [1, 2, 3]);
        assert_eq!(one.histograms.timestamps, [4, 5]);
    }

    #[test]
    fn more_than_is_taken_is_refused_in_either_form() {
        // Two series, one of them in two frames; four floats, two histograms of three numbers.
        let needed = 3 + 4 + 2 * 3;
        assert!(filled(needed).is_ok());
        for samples_max in 0..needed {
            let error = filled(samples_max).expect_err("too many");
            assert_eq!(error, AnswerError::TooMany(samples_max));
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        let mut collector = Collector::new(1000);
        assert!(matches!(collector.add_samples(&[0x0a, 0xff]), Err(AnswerError::Malformed(_))));
        assert!(matches!(collector.add_frame(&[0x0a, 0xff]), Err(AnswerError::Malformed(_))));
        let own = encode_labels(&labels("1"));
        let mut chunk = float_chunks(&[1, 2], &[1.0, 2.0]).next().expect("a chunk");
        chunk.data.truncate(5);
        let cut = collector.add_frame(&chunked_series(&own, &[chunk.clone()], 0));
        assert!(matches!(cut, Err(AnswerError::Chunk(_))), "{cut:?}");
        chunk.encoding = 9;
        let unknown = collector.add_frame(&chunked_series(&own, &[chunk], 0));
        assert_eq!(unknown, Err(AnswerError::Encoding(9)));
        let twice = [own.clone(), own].concat();
        let refused = collector.add_frame(&chunked_series(&twice, &[], 0));
        assert!(matches!(refused, Err(AnswerError::Labels(_))), "{refused:?}");
    }
}
