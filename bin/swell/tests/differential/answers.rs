//! When two answers of the Prometheus API say the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How far two values may lie apart, relative to the greater one: summing in another order costs digits.
const TOLERANCE: f64 = 1e-6;

/// So many differences of one answer are told.
const TOLD_MAX: usize = 5;

/// `data` of a good answer, or how it was refused.
#[derive(Debug)]
pub(crate) enum Answer {
    Data(Value),
    Refused { status: u16, kind: String, text: String },
}

/// How much an answer holds: a comparison of nothing with nothing proves little.
pub(crate) fn is_empty(answer: &Answer) -> bool {
    let Answer::Data(data) = answer else { return true };
    let list = if data.is_array() { data } else { &data["result"] };
    list.as_array().is_some_and(Vec::is_empty)
}

/// What differs between two answers to one query; `ordered` when the order of the result counts.
pub(crate) fn differences(reference: &Answer, candidate: &Answer, ordered: bool) -> Vec<String> {
    match (reference, candidate) {
        (Answer::Refused { .. }, Answer::Refused { .. }) => Vec::new(),
        (Answer::Data(_), Answer::Refused { status, kind, text }) => {
            vec![format!("refused with {status} {kind}: {text}")]
        }
        (Answer::Refused { text, .. }, Answer::Data(_)) => {
            vec![format!("answered, where the reference says: {text}")]
        }
        (Answer::Data(reference), Answer::Data(candidate)) => {
            let mut found = of_results(reference, candidate, ordered);
            if found.len() > TOLD_MAX {
                let more = found.len() - TOLD_MAX;
                found.truncate(TOLD_MAX);
                found.push(format!("and {more} more"));
            }
            found
        }
    }
}

fn of_results(reference: &Value, candidate: &Value, ordered: bool) -> Vec<String> {
    let kind = &reference["resultType"];
    if *kind != candidate["resultType"] {
        return vec![format!("type {}, wanted {kind}", candidate["resultType"])];
    }
    let (wanted, given) = (&reference["result"], &candidate["result"]);
    if kind == "scalar" || kind == "string" {
        let same = time_ms(&wanted[0]) == time_ms(&given[0])
            && (wanted[1] == given[1] || kind == "scalar" && is_close(&wanted[1], &given[1]));
        return if same { Vec::new() } else { vec![format!("{given}, wanted {wanted}")] };
    }
    let mut found = Vec::new();
    let (wanted_by, given_by) = (by_labels(wanted), by_labels(given));
    if given_by.len() != given.as_array().map_or(0, Vec::len) {
        found.push("a label set comes twice".to_owned());
    }
    let names: BTreeSet<&String> = wanted_by.keys().chain(given_by.keys()).collect();
    for labels in names {
        match (wanted_by.get(labels), given_by.get(labels)) {
            (Some(_), None) => found.push(format!("lacks {labels}")),
            (None, Some(_)) => found.push(format!("has {labels} too many")),
            (Some(wanted), Some(given)) => found.extend(of_points(labels, wanted, given)),
            (None, None) => {}
        }
    }
    if found.is_empty() && ordered && has_distinct_values(wanted) {
        let order = |result: &Value| -> Vec<String> {
            result
                .as_array()
                .into_iter()
                .flatten()
                .map(|series| series["metric"].to_string())
                .collect()
        };
        if order(wanted) != order(given) {
            found.push("in another order".to_owned());
        }
    }
    found
}

fn of_points(labels: &str, wanted: &Value, given: &Value) -> Option<String> {
    let (wanted, given) = (points(wanted), points(given));
    let times: BTreeSet<i64> = wanted.keys().chain(given.keys()).copied().collect();
    let differing: Vec<i64> = times
        .iter()
        .copied()
        .filter(|at| match (wanted.get(at), given.get(at)) {
            (Some(wanted), Some(given)) => !is_same_point(wanted, given),
            _ => true,
        })
        .collect();
    let first = differing.first()?;
    let told = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
    Some(format!(
        "{labels}: {} of {} points, at {first} ms {}, wanted {}",
        differing.len(),
        times.len(),
        told(given.get(first)),
        told(wanted.get(first)),
    ))
}

/// Series by their labels as sorted text.
fn by_labels(result: &Value) -> BTreeMap<String, Value> {
    let list = result.as_array().into_iter().flatten();
    list.map(|series| {
        let labels: BTreeMap<&String, &Value> =
            series["metric"].as_object().into_iter().flatten().collect();
        (format!("{labels:?}"), series.clone())
    })
    .collect()
}

/// Values and histograms by time.
fn points(series: &Value) -> BTreeMap<i64, Value> {
    let mut points = BTreeMap::new();
    for name in ["values", "histograms"] {
        for point in series[name].as_array().into_iter().flatten() {
            points.insert(time_ms(&point[0]), point[1].clone());
        }
    }
    for name in ["value", "histogram"] {
        if let Some(point) = series.get(name) {
            points.insert(time_ms(&point[0]), point[1].clone());
        }
    }
    points
}

#[expect(clippy::cast_possible_truncation, reason = "times of tests are small")]
fn time_ms(seconds: &Value) -> i64 {
    (seconds.as_f64().unwrap_or(f64::NAN) * 1000.0).round() as i64
}

fn is_same_point(wanted: &Value, given: &Value) -> bool {
    match (wanted, given) {
        (Value::Array(wanted), Value::Array(given)) => {
            wanted.len() == given.len()
                && wanted.iter().zip(given).all(|(wanted, given)| is_same_point(wanted, given))
        }
        (Value::Object(wanted), Value::Object(given)) => {
            wanted.len() == given.len()
                && wanted.iter().all(|(name, wanted)| {
                    given.get(name).is_some_and(|given| is_same_point(wanted, given))
                })
        }
        _ => wanted == given || is_close(wanted, given),
    }
}

fn is_close(wanted: &Value, given: &Value) -> bool {
    let number = |value: &Value| value.as_str().and_then(|text| text.parse::<f64>().ok());
    let (Some(wanted), Some(given)) = (number(wanted), number(given)) else { return false };
    if wanted.is_nan() || given.is_nan() || wanted.is_infinite() || given.is_infinite() {
        return wanted.is_nan() && given.is_nan() || wanted.total_cmp(&given).is_eq();
    }
    (wanted - given).abs() <= TOLERANCE * wanted.abs().max(given.abs())
}

/// Equal values may come in any order.
fn has_distinct_values(result: &Value) -> bool {
    let list = result.as_array().into_iter().flatten();
    let values: Vec<String> = list.map(|series| series["value"][1].to_string()).collect();
    values.iter().collect::<BTreeSet<_>>().len() == values.len()
}

mod tests {
    use super::*;

    fn vector(series: &[(&str, &str)]) -> Answer {
        let result: Vec<Value> = series
            .iter()
            .map(|(name, value)| serde_json::json!({"metric": {"a": name}, "value": [1.5, value]}))
            .collect();
        Answer::Data(serde_json::json!({"resultType": "vector", "result": result}))
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let refused =
            Answer::Refused { status: 400, kind: "bad_data".to_owned(), text: "no".to_owned() };
        let one = vector(&[("x", "1"), ("y", "2")]);
        assert_eq!(differences(&one, &vector(&[("x", "1.0000001"), ("y", "2")]), true), [""; 0]);
        assert_eq!(differences(&refused, &refused, false), [""; 0]);
        for (other, ordered) in [
            (vector(&[("x", "1.1"), ("y", "2")]), false),
            (vector(&[("x", "NaN"), ("y", "2")]), false),
            (vector(&[("x", "1")]), false),
            (vector(&[("x", "1"), ("y", "2"), ("z", "1")]), false),
            (vector(&[("y", "2"), ("x", "1")]), true),
            (
                Answer::Data(serde_json::json!({"resultType": "scalar", "result": [1.5, "1"]})),
                false,
            ),
            (
                Answer::Refused {
                    status: 422,
                    kind: "execution".to_owned(),
                    text: "no".to_owned(),
                },
                false,
            ),
        ] {
            assert_eq!(differences(&one, &other, ordered).len(), 1, "{other:?}");
        }
        assert_eq!(differences(&refused, &one, false).len(), 1);
    }
}
