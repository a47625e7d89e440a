//! Native histograms as series lines write them: `{{schema:0 count:4 buckets:[1 2 1]}}`.

use swell_model::{CounterResetHint, NativeHistogram, Span};

use crate::literal::{format_float, parse_number};

/// Reads a literal that begins the text; gives the rest too.
pub(super) fn histogram(text: &str) -> Result<(NativeHistogram, &str), String> {
    let body = text.strip_prefix("{{").ok_or("a histogram begins with {{")?;
    let (body, rest) = body.split_once("}}").ok_or("a histogram ends with }}")?;
    let mut histogram = NativeHistogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut items = body.trim();
    while !items.is_empty() {
        let (key, tail) = items.split_once(':').ok_or_else(|| format!("no value in {items:?}"))?;
        let (value, tail) = if let Some(list) = tail.strip_prefix('[') {
            list.split_once(']').ok_or("a list ends with ]")?
        } else {
            tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len()))
        };
        let number = || parse_number(value).ok_or_else(|| format!("{key}:{value} is no number"));
        let integer = || value.parse::<i32>().map_err(|error| format!("{key}:{value}: {error}"));
        let list = || {
            value
                .split_whitespace()
                .map(|item| parse_number(item).ok_or_else(|| format!("{item} is no number")))
                .collect::<Result<Vec<_>, _>>()
        };
        match key.trim() {
            "schema" => histogram.schema = integer()?,
            "sum" => histogram.sum = number()?,
            "count" => histogram.count = number()?,
            "z_bucket" => histogram.zero_count = number()?,
            "z_bucket_w" => histogram.zero_threshold = number()?,
            "buckets" => histogram.positive_buckets = list()?,
            "n_buckets" => histogram.negative_buckets = list()?,
            "offset" => offset = integer()?,
            "n_offset" => negative_offset = integer()?,
            "custom_values" => histogram.custom_bounds = list()?,
            "counter_reset_hint" => histogram.reset_hint = hint(value)?,
            key => return Err(format!("unknown key {key:?} in a histogram")),
        }
        items = tail.trim_start();
    }
    let spans = |offset: i32, counts: &[f64]| {
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let length = u32::try_from(counts.len()).map_err(|_| "too many buckets".to_owned())?;
        Ok::<_, String>(vec![Span { offset, length }])
    };
    histogram.positive_spans = spans(offset, &histogram.positive_buckets)?;
    histogram.negative_spans = spans(negative_offset, &histogram.negative_buckets)?;
    Ok((histogram, rest))
}

fn hint(text: &str) -> Result<CounterResetHint, String> {
    Ok(match text {
        "unknown" => CounterResetHint::Unknown,
        "reset" => CounterResetHint::Reset,
        "not_reset" => CounterResetHint::NotReset,
        "gauge" => CounterResetHint::Gauge,
        _ => return Err(format!("unknown counter reset hint {text:?}")),
    })
}

/// A histogram as series lines write it. Buckets between two spans are written as empty ones.
#[must_use]
pub fn format_histogram(histogram: &NativeHistogram) -> String {
    let mut parts = Vec::new();
    let mut number = |key: &str, value: f64| {
        if value != 0.0 {
            parts.push(format!("{key}:{}", format_float(value)));
        }
    };
    number("schema", f64::from(histogram.schema));
    number("sum", histogram.sum);
    number("count", histogram.count);
    number("z_bucket", histogram.zero_count);
    number("z_bucket_w", histogram.zero_threshold);
    if !histogram.custom_bounds.is_empty() {
        parts.push(format!("custom_values:[{}]", numbers(&histogram.custom_bounds)));
    }
    let hint = match histogram.reset_hint {
        CounterResetHint::Unknown => None,
        CounterResetHint::Reset => Some("reset"),
        CounterResetHint::NotReset => Some("not_reset"),
        CounterResetHint::Gauge => Some("gauge"),
    };
    parts.extend(hint.map(|hint| format!("counter_reset_hint:{hint}")));
    for (prefix, spans, buckets) in [
        ("", &histogram.positive_spans, &histogram.positive_buckets),
        ("n_", &histogram.negative_spans, &histogram.negative_buckets),
    ] {
        let Some(first) = spans.first() else { continue };
        if first.offset != 0 {
            parts.push(format!("{prefix}offset:{}", first.offset));
        }
        parts.push(format!("{prefix}buckets:[{}]", numbers(&dense(spans, buckets))));
    }
    format!("{{{{{}}}}}", parts.join(" "))
}

/// Widest gap between two spans that is written out.
const GAP_MAX: usize = 1_000;

/// The buckets with those between the spans, which are empty.
fn dense(spans: &[Span], buckets: &[f64]) -> Vec<f64> {
    let mut all = Vec::with_capacity(buckets.len());
    let mut counts = buckets.iter().copied();
    for (position, span) in spans.iter().enumerate() {
        if position > 0 {
            let gap = usize::try_from(span.offset).unwrap_or(0).min(GAP_MAX);
            all.extend(std::iter::repeat_n(0.0, gap));
        }
        all.extend(counts.by_ref().take(span.length as usize));
    }
    all
}

fn numbers(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(|value| format_float(*value)).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_parse_in_any_order() {
        let (histogram, rest) =
            histogram("{{sum:-5 n_buckets:[1 2] n_offset:-1 count:3 schema:-1}}x3")
                .expect("a literal");
        assert_eq!((histogram.schema, histogram.sum, rest), (-1, -5.0, "x3"));
        assert_eq!(histogram.negative_spans, [Span { offset: -1, length: 2 }]);
        for text in ["{}", "{{sum}}", "{{what:1}}", "{{schema:x}}", "{{buckets:[1}}"] {
            assert!(super::histogram(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in [
            "{{}}",
            "{{schema:1 sum:-0.3 count:32.1 z_bucket:7.1 z_bucket_w:0.05 offset:-3 buckets:[5.1 10 7] n_offset:-5 n_buckets:[4.1 5]}}",
            "{{schema:-53 sum:3 count:2 custom_values:[5 10] counter_reset_hint:not_reset buckets:[0 2]}}",
            "{{sum:+Inf count:2 counter_reset_hint:gauge buckets:[2]}}",
        ] {
            let (read, _) = histogram(text).expect("a literal");
            assert_eq!(format_histogram(&read), text);
        }
        let spans = vec![Span { offset: 1, length: 1 }, Span { offset: 2, length: 1 }];
        let gap = NativeHistogram {
            positive_spans: spans,
            positive_buckets: vec![3.0, 4.0],
            ..NativeHistogram::default()
        };
        assert_eq!(format_histogram(&gap), "{{offset:1 buckets:[3 0 0 4]}}");
    }
}
