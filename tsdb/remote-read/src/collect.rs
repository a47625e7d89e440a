//! Series out of answers, within a bound.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use swell_chunk::prometheus::{Encoding, Fault, Samples, decode};
use swell_model::{FloatColumn, HistogramColumn, InvalidHistogram, Labels, SeriesData, TimeRange};
use swell_wire::remote_read::{ChunkedSeries, each_of_chunks, each_of_samples};
use swell_wire::remote_write::{Part, ReadHistogramError, SeriesMessage, WireError};

/// Bytes of names and values of labels that count as one sample.
const LABEL_BYTES: usize = 16;
/// Labels that a series may have.
const LABELS_MAX: usize = 1 << 12;

/// Why an answer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer is no such message")]
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

impl From<InvalidHistogram> for AnswerError {
    fn from(rule: InvalidHistogram) -> Self {
        Self::Histogram(rule.to_string())
    }
}

/// Series as far as they have come.
#[derive(Debug)]
pub(crate) struct Collector {
    series: HashMap<Labels, Samples>,
    samples_max: usize,
    left: usize,
}

impl Collector {
    /// Takes so many samples. Each bucket of a histogram counts as one, and each series, as often as it comes, as one and as
    /// many as its labels take memory for. All is counted before it takes memory.
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
        each_of_samples(message, |series| self.add_series(&series))
    }

    fn add_series(&mut self, series: &SeriesMessage<'_>) -> Result<(), AnswerError> {
        let labels = self.labels_of(series)?;
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for part in series.parts(0) {
            match part? {
                Part::Sample(sample) => {
                    self.take(1)?;
                    floats.push((sample.timestamp_ms, sample.value));
                }
                Part::Histogram(message) => {
                    self.take(1 + message.numbers()?)?;
                    let read = message.read().map_err(|error| match error {
                        ReadHistogramError::Wire(error) => AnswerError::Malformed(error),
                        ReadHistogramError::Invalid(rule) => rule.into(),
                    })?;
                    histograms.push((read.timestamp_ms, Arc::new(read.value)));
                }
                Part::Exemplar(_) | Part::Metadata(_) | Part::LateLabels => {}
            }
        }
        let known = self.series.entry(labels).or_default();
        known.floats.append(&mut floats);
        known.histograms.append(&mut histograms);
        Ok(())
    }

    /// The message of a frame of chunks.
    pub(crate) fn add_frame(&mut self, message: &[u8]) -> Result<(), AnswerError> {
        each_of_chunks(message, |series| self.add_chunks(&series))
    }

    fn add_chunks(&mut self, found: &ChunkedSeries<'_>) -> Result<(), AnswerError> {
        let labels = self.labels_of(&found.series())?;
        let mut samples = Samples::within(self.left);
        let mut histograms = Vec::new();
        found.each_chunk(|chunk| {
            let encoding = u8::try_from(chunk.encoding).ok().and_then(Encoding::of);
            let encoding = encoding.ok_or(AnswerError::Encoding(chunk.encoding))?;
            match decode(encoding, chunk.data, &mut samples) {
                Ok(()) => {}
                Err(_) if samples.is_full() => return Err(AnswerError::TooMany(self.samples_max)),
                Err(fault) => return Err(AnswerError::Chunk(fault)),
            }
            // A staleness marker is decoded to a histogram of nothing, which breaks no rule.
            let counts_agree = encoding == Encoding::Histogram;
            for (at_ms, value) in samples.histograms.drain(..) {
                let checked = Arc::unwrap_or_clone(value).checked(counts_agree)?;
                histograms.push((at_ms, Arc::new(checked)));
            }
            Ok(())
        })?;
        self.left = samples.room();
        let known = self.series.entry(labels).or_default();
        known.floats.append(&mut samples.floats);
        known.histograms.append(&mut histograms);
        Ok(())
    }

    /// The labels of a series, which are counted.
    fn labels_of(&mut self, series: &SeriesMessage<'_>) -> Result<Labels, AnswerError> {
        let (mut count, mut bytes) = (0, 0);
        series.each_label(|name, value| {
            count += 1;
            bytes += name.len() + value.len();
        })?;
        self.take(1 + bytes / LABEL_BYTES)?;
        if count > LABELS_MAX {
            return Err(AnswerError::Labels(format!("{count} of them, at most {LABELS_MAX}")));
        }
        checked_labels(series)
    }

    /// The series with their samples in the range, some labels left out; those that become one by that are one. Series without
    /// samples in it are none, unless labels only were asked for and they came without any.
    pub(crate) fn finish(
        self,
        range: TimeRange,
        left_out: &[String],
        labels_only: bool,
    ) -> Vec<SeriesData> {
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
        let series = all.into_iter().filter_map(|(labels, samples)| {
            let came_empty = samples.floats.is_empty() && samples.histograms.is_empty();
            let (times, values) = rising(samples.floats, is_inside);
            let floats =
                FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
            let (timestamps, values) = rising(samples.histograms, is_inside);
            let histograms = HistogramColumn { timestamps, values, starts: None };
            let has_samples = !floats.timestamps.is_empty() || !histograms.timestamps.is_empty();
            let series = SeriesData { labels, floats, histograms, ..SeriesData::default() };
            (has_samples || (labels_only && came_empty)).then_some(series)
        });
        series.collect()
    }
}

fn checked_labels(series: &SeriesMessage<'_>) -> Result<Labels, AnswerError> {
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
    use swell_model::{NativeHistogram, TimestampMs, is_stale_nan, stale_nan};
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
        let found = filled(1000).expect("room").finish(all(), &[], false);
        assert_eq!(
            shown(&found),
            [r#"m{replica="1"} 0.5@1 1.5@2 h4@4"#, r#"m{replica="2"} 2.5@2 3.5@3 h5@5"#]
        );
        let some = TimeRange { start_incl: TimestampMs(2), end_incl: TimestampMs(3) };
        assert_eq!(
            shown(&filled(1000).expect("room").finish(some, &[], false)),
            [r#"m{replica="1"} 1.5@2"#, r#"m{replica="2"} 2.5@2 3.5@3"#]
        );
        let none = TimeRange { start_incl: TimestampMs(9), end_incl: TimestampMs(9) };
        for labels_only in [false, true] {
            assert!(filled(1000).expect("room").finish(none, &[], labels_only).is_empty());
        }
    }

    #[test]
    fn series_that_differ_by_what_is_left_out_are_one() {
        let found = filled(1000).expect("room").finish(all(), &["replica".to_owned()], false);
        let [one] = &found[..] else { panic!("{found:?}") };
        assert_eq!(one.labels.to_string(), "m");
        assert_eq!(one.floats.timestamps[..], [1, 2, 3]);
        assert_eq!(one.histograms.timestamps, [4, 5]);
    }

    #[test]
    fn more_than_is_taken_is_refused_in_either_form() {
        // Two series of 17 bytes of labels, one of them in two frames; four floats, two histograms of three numbers.
        let needed = 3 * (1 + 17 / LABEL_BYTES) + 4 + 2 * 3;
        assert!(filled(needed).is_ok());
        for samples_max in 0..needed {
            let error = filled(samples_max).expect_err("too many");
            assert_eq!(error, AnswerError::TooMany(samples_max));
        }
    }

    fn put_varint(mut number: usize, out: &mut Vec<u8>) {
        while number >= 0x80 {
            out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
            number >>= 7;
        }
        out.push(u8::try_from(number).expect("seven bits"));
    }

    fn field_of(field: u8, content: &[u8]) -> Vec<u8> {
        let mut message = Vec::new();
        put_varint(usize::from(field) << 3 | 2, &mut message);
        put_varint(content.len(), &mut message);
        message.extend_from_slice(content);
        message
    }

    #[test]
    fn an_answer_that_grows_in_memory_is_refused_as_it_is_read() {
        // What follows is malformed: had it been read to its end, the error would be another.
        let empty = |count| [field_of(1, &[]).repeat(count), vec![0xff]].concat();
        let samples = |series: &[u8]| Collector::new(1000).add_samples(&field_of(1, series));
        let frame = |series: &[u8]| Collector::new(1000).add_frame(series);
        assert!(matches!(samples(&empty(1000)), Err(AnswerError::Malformed(_))));
        assert!(matches!(frame(&empty(1000)), Err(AnswerError::Malformed(_))));
        assert_eq!(samples(&empty(1001)), Err(AnswerError::TooMany(1000)));
        assert_eq!(frame(&empty(1001)), Err(AnswerError::TooMany(1000)));
        // A histogram of many buckets, spans or bounds, which make no good one.
        let cases: [(u8, &[u8]); 4] = [(11, &[]), (8, &[]), (9, &[1, 1]), (16, &[0; 8])];
        for (field, content) in cases {
            let histogram = field_of(field, content).repeat(1000);
            let series = field_of(1, &field_of(4, &histogram));
            assert_eq!(samples(&series), Err(AnswerError::TooMany(1000)), "{field}");
        }
        // Chunks of nothing take nothing.
        let own = encode_labels(&labels("1")).into_vec();
        let chunk = field_of(2, &[vec![3 << 3, 1], field_of(4, &[0, 0])].concat());
        let chunks = [own.clone(), chunk.repeat(5000)].concat();
        assert_eq!(frame(&field_of(1, &chunks)), Ok(()));
        let many = [own, field_of(1, &[]).repeat(LABELS_MAX)].concat();
        let refused = frame(&field_of(1, &many));
        assert!(matches!(refused, Err(AnswerError::Labels(_))), "{refused:?}");
    }

    #[test]
    fn labels_count_by_their_length_in_either_form() {
        let wide = Labels::from_pairs([("name", "x".repeat(1596))]);
        let answer = ReadAnswer { labels: wide.clone(), floats: &[], histograms: Vec::new() };
        let samples = samples_message(&[vec![answer]]);
        let frame = chunked_series(&encode_labels(&wide), &[], 0);
        let needed = 1 + 1600 / LABEL_BYTES;
        for count in 1..4 {
            for room in [count * needed, count * needed - 1] {
                let (mut one, mut other) = (Collector::new(room), Collector::new(room));
                let taken = (0..count).try_for_each(|_| one.add_samples(&samples));
                let frames = (0..count).try_for_each(|_| other.add_frame(&frame));
                let expected =
                    if room == count * needed { Ok(()) } else { Err(AnswerError::TooMany(room)) };
                assert_eq!((taken, frames), (expected.clone(), expected));
            }
        }
    }

    #[test]
    fn histograms_out_of_chunks_keep_the_rules_of_others() {
        let own = encode_labels(&labels("1"));
        let read = |chunks: &[swell_wire::remote_read::Chunk]| {
            let mut collector = Collector::new(1000);
            collector.add_frame(&chunked_series(&own, chunks, 0)).map(|()| collector)
        };
        let of = |value: &NativeHistogram| -> Vec<_> {
            histogram_chunks([(1, value)].into_iter()).collect()
        };
        let falling = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            custom_bounds: vec![2.5, 0.5],
            ..NativeHistogram::default()
        };
        let negative = NativeHistogram { positive_buckets: vec![-1.0], ..histogram(1.0) };
        for (value, part) in [(&falling, "does not rise"), (&negative, "negative count")] {
            match read(&of(value)) {
                Err(AnswerError::Histogram(rule)) => assert!(rule.contains(part), "{rule}"),
                other => panic!("{part}: {other:?}"),
            }
        }
        // One observation, in no bucket: of integers a fault, of floats none.
        let mut chunk = of(&NativeHistogram { count: 1.0, ..NativeHistogram::default() }).remove(0);
        assert!(read(&[chunk.clone()]).is_ok());
        chunk.encoding = 2;
        chunk.data = vec![0, 1, 0, 0, 0b0000_1000, 0b1000_0000, 0, 0, 0, 0, 0, 0, 0, 0];
        match read(&[chunk]) {
            Err(AnswerError::Histogram(rule)) => assert!(rule.contains("count says 1"), "{rule}"),
            other => panic!("{other:?}"),
        }
        let stale = of(&NativeHistogram { sum: stale_nan(), ..histogram(1.0) });
        let found = read(&stale).expect("a marker").finish(all(), &[], false);
        assert!(is_stale_nan(found[0].histograms.values[0].sum));
    }

    #[test]
    fn series_that_came_without_samples_are_kept_where_labels_are_asked_for() {
        let filled = || {
            let mut collector = filled(1000).expect("room");
            let empty = ReadAnswer { labels: labels("3"), floats: &[], histograms: Vec::new() };
            collector.add_samples(&samples_message(&[vec![empty]])).expect("good");
            // Prometheus gives chunks without samples.
            let mut chunk = float_chunks(&[1], &[1.0]).next().expect("a chunk");
            chunk.data = vec![0, 0];
            let own = encode_labels(&labels("4"));
            collector.add_frame(&chunked_series(&own, &[chunk], 0)).expect("good");
            collector
        };
        let some = TimeRange { start_incl: TimestampMs(4), end_incl: TimestampMs(4) };
        assert_eq!(shown(&filled().finish(some, &[], false)), [r#"m{replica="1"} h4@4"#]);
        assert_eq!(
            shown(&filled().finish(some, &[], true)),
            [r#"m{replica="1"} h4@4"#, r#"m{replica="3"} "#, r#"m{replica="4"} "#]
        );
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
