//! Native histograms as scripts write them: `{{schema:0 count:4 buckets:[1 2 1]}}`.

use swell_model::{CounterResetHint, NativeHistogram, Span};
use swell_promql_syntax::parse_number;

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

/// Whether a literal names a reset hint, so that it is to be compared.
pub(super) fn names_hint(text: &str) -> bool {
    text.contains("counter_reset_hint:")
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
}
