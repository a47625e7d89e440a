//! Query values as JSON text, written without a tree in between.

use std::fmt::Write as _;

use swell_model::{Labels, NativeHistogram, SampleValue, TimestampMs};
use swell_promql::QueryValue;

/// Writes the `data` of a query: type and result. `limit` cuts the number of series; tells whether it did.
pub(crate) fn query_data(out: &mut String, value: &QueryValue, limit: Option<usize>) -> bool {
    let limit = limit.unwrap_or(usize::MAX);
    let mut cut = false;
    match value {
        QueryValue::Scalar(point) => {
            out.push_str(r#"{"resultType":"scalar","result":"#);
            float_point(out, point.timestamp, point.value);
        }
        QueryValue::String(at, text) => {
            out.push_str(r#"{"resultType":"string","result":["#);
            timestamp(out, *at);
            out.push(',');
            string(out, text);
            out.push(']');
        }
        QueryValue::Vector(samples) => {
            cut = samples.len() > limit;
            out.push_str(r#"{"resultType":"vector","result":["#);
            for (idx, sample) in samples.iter().take(limit).enumerate() {
                comma(out, idx);
                out.push_str(r#"{"metric":"#);
                labels(out, &sample.labels);
                match &sample.value {
                    SampleValue::Float(value) => {
                        out.push_str(r#","value":"#);
                        float_point(out, sample.timestamp, *value);
                    }
                    SampleValue::Histogram(value) => {
                        out.push_str(r#","histogram":"#);
                        histogram_point(out, sample.timestamp, value);
                    }
                }
                out.push('}');
            }
            out.push(']');
        }
        QueryValue::Matrix(all) => {
            cut = all.len() > limit;
            out.push_str(r#"{"resultType":"matrix","result":["#);
            for (idx, series) in all.iter().take(limit).enumerate() {
                comma(out, idx);
                out.push_str(r#"{"metric":"#);
                labels(out, &series.labels);
                if !series.floats.is_empty() {
                    out.push_str(r#","values":["#);
                    for (idx, point) in series.floats.iter().enumerate() {
                        comma(out, idx);
                        float_point(out, point.timestamp, point.value);
                    }
                    out.push(']');
                }
                if !series.histograms.is_empty() {
                    out.push_str(r#","histograms":["#);
                    for (idx, point) in series.histograms.iter().enumerate() {
                        comma(out, idx);
                        histogram_point(out, point.timestamp, &point.value);
                    }
                    out.push(']');
                }
                out.push('}');
            }
            out.push(']');
        }
    }
    out.push('}');
    cut
}

/// A label set as a JSON object.
pub(crate) fn labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (idx, (name, value)) in labels.iter().enumerate() {
        comma(out, idx);
        string(out, name);
        out.push(':');
        string(out, value);
    }
    out.push('}');
}

pub(crate) fn comma(out: &mut String, idx: usize) {
    if idx > 0 {
        out.push(',');
    }
}

pub(crate) fn string(out: &mut String, text: &str) {
    let is_plain = |byte: &u8| *byte >= b' ' && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::to_string(text).expect("a string is JSON"));
    }
}

/// Seconds, with three decimals where they are not whole.
pub(crate) fn timestamp(out: &mut String, at: TimestampMs) {
    let (seconds, millis) = (at.0 / 1000, (at.0 % 1000).abs());
    if at.0 < 0 && seconds == 0 {
        out.push('-');
    }
    swell_wire::write_whole(out, seconds).expect("writing to a string");
    if millis != 0 {
        write!(out, ".{millis:03}").expect("writing to a string");
    }
}

fn float_point(out: &mut String, at: TimestampMs, value: f64) {
    out.push('[');
    timestamp(out, at);
    out.push_str(",\"");
    swell_wire::write_float(out, value).expect("writing to a string");
    out.push_str("\"]");
}

fn histogram_point(out: &mut String, at: TimestampMs, value: &NativeHistogram) {
    out.push('[');
    timestamp(out, at);
    out.push(',');
    histogram(out, value);
    out.push(']');
}

fn histogram(out: &mut String, value: &NativeHistogram) {
    let number = |out: &mut String, value: f64| {
        out.push('"');
        swell_wire::write_float(out, value).expect("writing to a string");
        out.push('"');
    };
    out.push_str(r#"{"count":"#);
    number(out, value.count);
    out.push_str(r#","sum":"#);
    number(out, value.sum);
    let mut written = 0;
    for bucket in swell_wire::buckets(value) {
        out.push_str(if written == 0 { r#","buckets":["# } else { "," });
        written += 1;
        write!(out, "[{},", bucket.boundaries).expect("writing to a string");
        number(out, bucket.lower);
        out.push(',');
        number(out, bucket.upper);
        out.push(',');
        number(out, bucket.count);
        out.push(']');
    }
    if written > 0 {
        out.push(']');
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use swell_promql::{FloatPoint, MatrixSeries};

    use super::*;

    #[test]
    fn times_have_three_decimals_or_none() {
        for (millis, expected) in [
            (1_435_781_451_781, "1435781451.781"),
            (1_435_781_451_000, "1435781451"),
            (1_010, "1.010"),
            (-500, "-0.500"),
            (-1_500, "-1.500"),
        ] {
            let mut text = String::new();
            timestamp(&mut text, TimestampMs(millis));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn strings_are_escaped_where_they_must_be() {
        for text in ["", "plain/text-1.é€", "a\"b", "a\\b", "a\nb", "\u{0}", "\u{1f}", "\u{7f}"]
        {
            let mut out = String::new();
            string(&mut out, text);
            assert_eq!(out, serde_json::to_string(text).expect("a string is JSON"));
        }
    }

    #[test]
    fn a_matrix_is_written_and_cut_at_the_limit() {
        let series = |value: f64| MatrixSeries {
            labels: Labels::from_pairs([("a", "x\"y")]),
            floats: vec![FloatPoint { timestamp: TimestampMs(1500), value }],
            histograms: Vec::new(),
        };
        let value = QueryValue::Matrix(vec![series(1.0), series(f64::INFINITY)]);
        let mut text = String::new();
        assert!(!query_data(&mut text, &value, None));
        assert_eq!(
            text,
            r#"{"resultType":"matrix","result":[{"metric":{"a":"x\"y"},"values":[[1.500,"1"]]},{"metric":{"a":"x\"y"},"values":[[1.500,"+Inf"]]}]}"#
        );
        assert!(query_data(&mut text, &value, Some(1)));
    }
}
