//! Whether a result is the expected one.

use std::collections::BTreeMap;

use swell_model::{Labels, NativeHistogram, SampleValue, TimestampMs, is_stale_nan};
use swell_promql_syntax::histogram_text;

use super::expect::{Annotated, Expectation, ExpectedSeries};
use crate::annotations::Annotation;
use crate::value::{MatrixSeries, QueryValue, VectorSample};

/// Relative difference that counts as equal.
const EPSILON: f64 = 1e-6;

/// Equal but for rounding; the staleness marker equals only itself.
pub(super) fn floats_equal(a: f64, b: f64) -> bool {
    if is_stale_nan(a) || is_stale_nan(b) {
        return is_stale_nan(a) && is_stale_nan(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (difference, size) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || size < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / size.min(f64::MAX) < EPSILON
}

fn histograms_equal(expected: &NativeHistogram, got: &NativeHistogram, with_hint: bool) -> bool {
    let (expected, got) = (expected.clone().compacted(), got.clone().compacted());
    let all = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| floats_equal(*a, *b))
    };
    let custom = expected.schema == NativeHistogram::CUSTOM_SCHEMA;
    expected.schema == got.schema
        && floats_equal(expected.count, got.count)
        && floats_equal(expected.sum, got.sum)
        && floats_equal(expected.zero_count, got.zero_count)
        && expected.zero_threshold.to_bits() == got.zero_threshold.to_bits()
        && expected.positive_spans == got.positive_spans
        && expected.negative_spans == got.negative_spans
        && all(&expected.positive_buckets, &got.positive_buckets)
        && all(&expected.negative_buckets, &got.negative_buckets)
        && (!custom || expected.custom_bounds == got.custom_bounds)
        && (!with_hint || expected.reset_hint == got.reset_hint)
}

fn shown(value: &SampleValue) -> String {
    match value {
        SampleValue::Float(value) => value.to_string(),
        SampleValue::Histogram(value) => {
            let text = histogram_text(value);
            format!("{text} (schema {}, {:?})", value.schema, value.reset_hint)
        }
    }
}

fn check_value(
    labels: &Labels,
    expected: &SampleValue,
    got: &SampleValue,
    with_hint: bool,
) -> Result<(), String> {
    let same = match (expected, got) {
        (SampleValue::Float(a), SampleValue::Float(b)) => floats_equal(*a, *b),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => histograms_equal(a, b, with_hint),
        _ => false,
    };
    if same {
        return Ok(());
    }
    Err(format!("{labels}: expected {}, got {}", shown(expected), shown(got)))
}

/// Compares a result at an instant.
pub(super) fn check_instant(expected: &Expectation, got: &QueryValue) -> Result<(), String> {
    if let Some(wanted) = expected.scalar {
        let QueryValue::Scalar(point) = got else { return Err("expected a scalar".to_owned()) };
        return check_scalar(wanted, point.value);
    }
    if let Some(wanted) = &expected.text {
        return match got {
            QueryValue::String(_, text) if text == wanted => Ok(()),
            _ => Err(format!("expected string {wanted:?}, got {got:?}")),
        };
    }
    match got {
        QueryValue::Matrix(matrix) => match expected.range_vector {
            Some(times) => check_matrix(expected, matrix, times.start, times.end, times.step.0),
            None => Err("got a range vector where none is expected".to_owned()),
        },
        QueryValue::Vector(vector) if expected.range_vector.is_none() => {
            check_vector(expected, vector)
        }
        _ => Err(format!("expected another type of result, got {got:?}")),
    }
}

pub(super) fn check_scalar(wanted: f64, got: f64) -> Result<(), String> {
    if floats_equal(wanted, got) { Ok(()) } else { Err(format!("expected {wanted}, got {got}")) }
}

/// Compares an instant vector.
pub(super) fn check_vector(expected: &Expectation, got: &[VectorSample]) -> Result<(), String> {
    let mut wanted: BTreeMap<&Labels, (usize, &ExpectedSeries)> = BTreeMap::new();
    for (place, series) in expected.series.iter().enumerate() {
        wanted.insert(&series.series.labels, (place, series));
    }
    let mut seen: Vec<&Labels> = Vec::new();
    for (place, sample) in got.iter().enumerate() {
        let value = &sample.value;
        let Some((wanted_place, series)) = wanted.get(&sample.labels) else {
            return Err(format!("unexpected {} {}", sample.labels, shown(value)));
        };
        if expected.ordered && *wanted_place != place {
            return Err(format!("{} stands at {place} instead of {wanted_place}", sample.labels));
        }
        if seen.contains(&&sample.labels) {
            return Err(format!("{} is there twice", sample.labels));
        }
        seen.push(&sample.labels);
        let Some(Some(first)) = series.series.slots.first() else {
            return Err(format!("{} has no expected value", sample.labels));
        };
        check_value(&sample.labels, first, value, series.with_hint)?;
    }
    match wanted.keys().find(|labels| !seen.contains(labels)) {
        Some(missing) => Err(format!("{missing} is missing")),
        None => Ok(()),
    }
}

/// Compares a matrix whose points stand at the steps from `start` to `end`.
pub(super) fn check_matrix(
    expected: &Expectation,
    got: &[MatrixSeries],
    start: TimestampMs,
    end: TimestampMs,
    step_ms: i64,
) -> Result<(), String> {
    check_sorted(got)?;
    let mut wanted: BTreeMap<&Labels, &ExpectedSeries> = BTreeMap::new();
    for series in &expected.series {
        wanted.insert(&series.series.labels, series);
    }
    for one in got {
        let Some(series) = wanted.remove(&one.labels) else {
            return Err(format!(
                "unexpected series {} with {} points",
                one.labels,
                one.floats.len() + one.histograms.len()
            ));
        };
        let mut points: BTreeMap<i64, SampleValue> = BTreeMap::new();
        for (idx, slot) in series.series.slots.iter().enumerate() {
            let idx = i64::try_from(idx).map_err(|error| error.to_string())?;
            let at = start.0 + idx * step_ms;
            if let Some(value) = slot.as_ref().filter(|_| at <= end.0) {
                points.insert(at, value.clone());
            }
        }
        let floats = one.floats.iter().map(|p| (p.timestamp, SampleValue::Float(p.value)));
        let histograms =
            one.histograms.iter().map(|p| (p.timestamp, SampleValue::Histogram(p.value.clone())));
        for (at, value) in floats.chain(histograms) {
            let Some(wanted) = points.remove(&at.0) else {
                return Err(format!("{}: unexpected {} at {} ms", one.labels, shown(&value), at.0));
            };
            check_value(&one.labels, &wanted, &value, series.with_hint)
                .map_err(|why| format!("at {} ms: {why}", at.0))?;
        }
        if let Some((at, value)) = points.first_key_value() {
            return Err(format!("{}: {} at {at} ms is missing", one.labels, shown(value)));
        }
    }
    // A series of `_` only is one without points.
    match wanted.values().find(|series| series.series.slots.iter().any(Option::is_some)) {
        Some(missing) => Err(format!("series {} is missing", missing.series.labels)),
        None => Ok(()),
    }
}

pub(super) fn check_sorted(matrix: &[MatrixSeries]) -> Result<(), String> {
    match matrix.windows(2).find(|pair| pair[0].labels >= pair[1].labels) {
        Some(pair) => {
            Err(format!("{} stands before {}: not sorted", pair[0].labels, pair[1].labels))
        }
        None => Ok(()),
    }
}

/// Compares the annotations of one class.
pub(super) fn check_annotations(
    class: &str,
    expected: &Annotated,
    got: &[Annotation],
    query: &str,
) -> Result<(), String> {
    let got: Vec<String> = got.iter().map(|annotation| annotation.render(query)).collect();
    if expected.none && !got.is_empty() {
        return Err(format!("unexpected {class}: {got:?}"));
    }
    if expected.some.is_empty() {
        return Ok(());
    }
    if got.is_empty() {
        return Err(format!("expected {class}, got none"));
    }
    if let Some(text) =
        expected.some.iter().find(|text| !got.iter().any(|message| text.accepts(message)))
    {
        return Err(format!("expected {class} {text:?}, got {got:?}"));
    }
    let stray = got.iter().find(|message| !expected.some.iter().any(|text| text.accepts(message)));
    match stray {
        Some(message) => Err(format!("unexpected {class} {message:?}")),
        None => Ok(()),
    }
}
