//! Requests of message 1.0 as a sender writes them. The labels of a series are encoded once and used again.

use swell_model::Labels;

use crate::protobuf::{bytes_tag, fixed64_tag, put_bytes, put_varint, varint_tag};

/// Field 1 of the request and of a series, field 2 of a series: all have bytes.
const SERIES: u8 = bytes_tag(1);
const LABEL: u8 = bytes_tag(1);
const SAMPLE: u8 = bytes_tag(2);
/// Fields of a label and a sample.
const NAME: u8 = bytes_tag(1);
const TEXT: u8 = bytes_tag(2);
const VALUE: u8 = fixed64_tag(1);
const TIME: u8 = varint_tag(2);

/// Labels as they begin each message of their series.
#[must_use]
pub fn encode_labels(labels: &Labels) -> Box<[u8]> {
    let (mut out, mut label) = (Vec::new(), Vec::new());
    for (name, value) in labels.iter() {
        label.clear();
        put_bytes(NAME, name.as_bytes(), &mut label);
        put_bytes(TEXT, value.as_bytes(), &mut label);
        put_bytes(LABEL, &label, &mut out);
    }
    out.into()
}

/// Appends a series to a request: its labels by [`encode_labels`], samples as time in milliseconds and value.
pub fn put_series(labels: &[u8], samples: &[(i64, f64)], out: &mut Vec<u8>) {
    let mut encoded = Vec::with_capacity(samples.len() * 20);
    put_samples(samples, &mut encoded);
    out.push(SERIES);
    put_varint((labels.len() + encoded.len()) as u64, out);
    out.extend_from_slice(labels);
    out.extend_from_slice(&encoded);
}

/// Appends samples to a series.
pub(crate) fn put_samples(samples: &[(i64, f64)], encoded: &mut Vec<u8>) {
    let mut sample = Vec::with_capacity(20);
    for (timestamp_ms, value) in samples {
        sample.clear();
        sample.push(VALUE);
        sample.extend_from_slice(&value.to_bits().to_le_bytes());
        sample.push(TIME);
        put_varint(timestamp_ms.cast_unsigned(), &mut sample);
        put_bytes(SAMPLE, &sample, encoded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote_write::{Item, Message, Part, items};

    #[test]
    fn what_is_written_is_read() {
        let written = Labels::from_pairs([("__name__", "m"), ("a", &"x".repeat(300))]);
        let mut request = Vec::new();
        put_series(&encode_labels(&written), &[(1_700_000_000_123, -0.5)], &mut request);
        put_series(&encode_labels(&written), &[(-7, f64::INFINITY), (8, 1.0)], &mut request);
        let mut read = Vec::new();
        for item in items(&request, Message::V1) {
            let Item::Series(series) = item.expect("a good message") else { panic!("no metadata") };
            let mut pairs = Vec::new();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            series.each_label(|name, value| pairs.push((text(name), text(value)))).expect("good");
            assert_eq!(Labels::from_pairs(pairs), written);
            for part in series.parts(series.labels_len().expect("good")) {
                let Part::Sample(sample) = part.expect("good") else { panic!("only samples") };
                read.push((sample.timestamp_ms, sample.value));
            }
        }
        assert_eq!(read, [(1_700_000_000_123, -0.5), (-7, f64::INFINITY), (8, 1.0)]);
    }
}
