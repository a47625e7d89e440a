//! `prometheus.ReadResponse`, and `prometheus.ChunkedReadResponse` with one series.

use swell_model::{Labels, NativeHistogram};

use super::chunks::Chunk;
use crate::protobuf::{bytes_tag, put_bytes, put_varint, varint_tag};
use crate::remote_write::{Counts, encode_labels, put_histogram, put_samples};

/// A series in an answer of samples.
#[derive(Clone, Debug, Default)]
pub struct ReadAnswer<'a> {
    /// Its labels.
    pub labels: Labels,
    /// Floats: time in milliseconds and value.
    pub floats: &'a [(i64, f64)],
    /// Histograms.
    pub histograms: Vec<(i64, &'a NativeHistogram)>,
}

/// Bytes that a series takes at most in [`samples_message`]: of its labels, its floats and its histograms.
#[must_use]
pub fn series_bytes_max<'a>(
    labels: &Labels,
    float_count: usize,
    histograms: impl Iterator<Item = &'a NativeHistogram>,
) -> usize {
    /// A tag of two bytes and a varint.
    const NUMBER: usize = 12;
    /// A message with a value and a time, their tags, and its own tag and length.
    const FLOAT: usize = 2 + 9 + 11;
    let histograms = histograms.map(|it| {
        let floats = it.negative_buckets.len() + it.positive_buckets.len() + it.custom_bounds.len();
        let spans = it.negative_spans.len() + it.positive_spans.len();
        16 * NUMBER + size_of::<f64>() * floats + 3 * NUMBER * spans
    });
    let labels = labels.text_bytes() + 3 * NUMBER * labels.len();
    NUMBER + labels + FLOAT * float_count + histograms.sum::<usize>()
}

/// A whole answer: the series of each query, in its order.
#[must_use]
pub fn samples_message(results: &[Vec<ReadAnswer<'_>>]) -> Vec<u8> {
    let (mut message, mut result, mut series) = (Vec::new(), Vec::new(), Vec::new());
    let mut histogram = Vec::new();
    for answers in results {
        result.clear();
        for answer in answers {
            series.clear();
            series.extend_from_slice(&encode_labels(&answer.labels));
            put_samples(answer.floats, &mut series);
            for (at_ms, value) in &answer.histograms {
                histogram.clear();
                put_histogram((*at_ms, 0), value, Counts::Float, &mut histogram);
                put_bytes(bytes_tag(4), &histogram, &mut series);
            }
            put_bytes(bytes_tag(1), &series, &mut result);
        }
        put_bytes(bytes_tag(1), &result, &mut message);
    }
    message
}

/// A message with one series: its labels by [`encode_labels`], and some of its chunks.
#[must_use]
pub fn chunked_series(labels: &[u8], chunks: &[Chunk], query_idx: usize) -> Vec<u8> {
    let (mut series, mut message) = (labels.to_vec(), Vec::new());
    let mut encoded = Vec::new();
    for chunk in chunks {
        encoded.clear();
        for (field, number) in
            [(1, chunk.first_ms), (2, chunk.last_ms), (3, i64::from(chunk.encoding))]
        {
            encoded.push(varint_tag(field));
            put_varint(number.cast_unsigned(), &mut encoded);
        }
        put_bytes(bytes_tag(4), &chunk.data, &mut encoded);
        put_bytes(bytes_tag(2), &encoded, &mut series);
    }
    put_bytes(bytes_tag(1), &series, &mut message);
    message.push(varint_tag(2));
    put_varint(query_idx as u64, &mut message);
    message
}

#[cfg(test)]
mod tests {
    use swell_model::{CounterResetHint, Span};

    use super::*;
    use crate::remote_write::{Item, Message, Part, items};

    /// A result has its series where a request of remote write has them, so its reader reads both.
    #[test]
    fn what_is_answered_is_read_as_it_would_be_received() {
        let native = NativeHistogram {
            schema: 2,
            reset_hint: CounterResetHint::Gauge,
            zero_threshold: 1e-128,
            zero_count: 1.5,
            count: 8.5,
            sum: -7.25,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            negative_buckets: vec![1.0],
            ..NativeHistogram::default()
        };
        let custom = NativeHistogram {
            schema: NativeHistogram::CUSTOM_SCHEMA,
            count: 3.0,
            sum: 1.5,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            custom_bounds: vec![0.5, 2.5],
            ..NativeHistogram::default()
        };
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "b")]);
        let histograms = vec![(3, &native), (4, &custom)];
        let answer =
            ReadAnswer { labels: labels.clone(), floats: &[(1, 0.5), (2, -1.0)], histograms };
        let bytes_max = series_bytes_max(&labels, 2, [&native, &custom].into_iter());
        let message = samples_message(&[Vec::new(), vec![answer]]);
        assert!((message.len()..4 * message.len()).contains(&bytes_max), "{bytes_max}");
        // No series, then all the rest.
        assert_eq!(message[..2], [bytes_tag(1), 0]);
        let mut rest = crate::protobuf::Cursor::new(&message[3..]);
        let len = usize::try_from(rest.varint().expect("a length")).expect("small");
        let result = rest.bytes();
        assert_eq!(result.len(), len);
        let Some(Ok(Item::Series(series))) = items(result, Message::V1).next() else {
            panic!("a series")
        };
        let mut pairs = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        series.each_label(|name, value| pairs.push((text(name), text(value)))).expect("good");
        assert_eq!(Labels::from_pairs(pairs), labels);
        let (mut floats, mut found) = (Vec::new(), Vec::new());
        for part in series.parts(series.labels_len().expect("good")) {
            match part.expect("good") {
                Part::Sample(sample) => floats.push((sample.timestamp_ms, sample.value)),
                Part::Histogram(histogram) => {
                    let read = histogram.read().expect("a good histogram");
                    found.push((read.timestamp_ms, read.value));
                }
                _ => panic!("neither exemplars nor metadata"),
            }
        }
        assert_eq!(floats, [(1, 0.5), (2, -1.0)]);
        assert_eq!(found, [(3, native), (4, custom)]);
    }
}
