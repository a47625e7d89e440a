//! Runs conformance cases: bodies with what a scrape must make of them (`conformance/exposition`, fields as in
//! its README).

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use swell_model::{CounterResetHint, NativeHistogram, Span, TimestampMs};

use crate::{
    BodyFault, BodyFormat, Entry, Exemplar, HistogramOptions, HistogramSample, Sample, visit_body,
};

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// Its name.
    pub id: String,
    /// `text`, `openmetrics` or `protobuf`.
    pub format: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// Runs the cases of an index. `body` gives the bytes of a file that a case names. Advisory cases are left out.
///
/// # Errors
/// When the index is no list of cases.
pub fn run_cases(
    index: &str,
    body: impl Fn(&str) -> Result<Vec<u8>, String>,
) -> Result<Vec<CaseOutcome>, String> {
    let cases: Vec<Map<String, Value>> =
        serde_json::from_str(index).map_err(|error| format!("no list of cases: {error}"))?;
    let judged = cases.iter().filter(|case| !flag(case, "advisory"));
    judged
        .map(|case| {
            let id = text(case, "id")?.to_owned();
            let format = text(case, "format")?.to_owned();
            let failure = run_case(case, &body(text(case, "file")?)?).err();
            Ok(CaseOutcome { id, format, failure })
        })
        .collect()
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    object.get(key).and_then(Value::as_str).ok_or_else(|| format!("{key:?} is missing"))
}

fn flag(object: &Map<String, Value>, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// What a body says, as the cases have it.
#[derive(Debug, Default)]
struct Read {
    samples: Vec<Value>,
    metadata: Vec<Value>,
    /// A sample whose labels cannot be stored.
    refused: Option<String>,
}

fn run_case(case: &Map<String, Value>, body: &[u8]) -> Result<(), String> {
    let accept = match text(case, "verdict")? {
        "accept" => true,
        "reject" => false,
        other => return Err(format!("unknown verdict {other:?}")),
    };
    let content_type = text(case, "content_type")?;
    let format = BodyFormat::from_content_type(content_type)
        .ok_or_else(|| format!("{content_type} is not read"))?;
    let read = match read(body, format, &options(case)) {
        Ok(read) if accept => read,
        Ok(_) => return Err("accepted, to be rejected".to_owned()),
        Err(_) if !accept => return Ok(()),
        Err(fault) => return Err(format!("rejected, to be accepted: {fault}")),
    };
    let refusal_wanted = case.get("scrape").and_then(Value::as_str) == Some("fail");
    match read.refused {
        Some(_) if refusal_wanted => return Ok(()),
        None if refusal_wanted => return Err("stored, to be refused".to_owned()),
        Some(why) => return Err(format!("refused, to be stored: {why}")),
        None => {}
    }
    compare("sample", &read.samples, case.get("samples"))?;
    match case.get("metadata") {
        // Cases of this format say nothing about it.
        None if format == BodyFormat::Protobuf => Ok(()),
        metadata => compare("metadata", &read.metadata, metadata),
    }
}

/// Cases of protobuf want native histograms unless they say otherwise.
fn options(case: &Map<String, Value>) -> HistogramOptions {
    let setting = |name: &str| case.get("settings")?.get(name)?.as_bool();
    HistogramOptions {
        native: setting("scrape_native_histograms").unwrap_or(true),
        always_classic: setting("always_scrape_classic_histograms").unwrap_or(false),
        classic_as_custom: setting("convert_classic_histograms_to_nhcb").unwrap_or(false),
    }
}

fn read(body: &[u8], format: BodyFormat, options: &HistogramOptions) -> Result<Read, BodyFault> {
    let mut read = Read::default();
    visit_body(body, format, options, &mut |entry| {
        match entry {
            Entry::Sample(sample) => match sample_value(&sample) {
                Ok(value) => read.samples.push(value),
                Err(why) => read.refused = Some(why),
            },
            Entry::Histogram(sample) => match histogram_value(&sample) {
                Ok(value) => read.samples.push(value),
                Err(why) => read.refused = Some(why),
            },
            Entry::Type { family, word, .. } => {
                read.metadata.push(metadata(&family, "type", word));
            }
            Entry::Help { family, text } => read.metadata.push(metadata(&family, "help", &text)),
            Entry::Unit { family, unit } => read.metadata.push(metadata(&family, "unit", unit)),
        }
        Ok::<(), BodyFault>(())
    })?;
    Ok(read)
}

fn metadata(family: &str, kind: &str, text: &str) -> Value {
    serde_json::json!({"family": family, "kind": kind, "text": text})
}

fn sample_value(sample: &Sample<'_>) -> Result<Value, String> {
    let labels = sample.series.to_labels().map_err(|error| error.to_string())?;
    let labels: BTreeMap<&str, &str> = labels.iter().collect();
    let mut value = serde_json::json!({"labels": labels, "value": sample.value.to_string()});
    set_time(&mut value, sample.timestamp);
    set_start(&mut value, sample.start);
    if let Some(exemplar) = &sample.exemplar {
        value["exemplar"] = exemplar_value(exemplar);
    }
    Ok(value)
}

fn histogram_value(sample: &HistogramSample<'_>) -> Result<Value, String> {
    let labels = sample.series.to_labels().map_err(|error| error.to_string())?;
    let labels: BTreeMap<&str, &str> = labels.iter().collect();
    let mut value = serde_json::json!({"labels": labels, "histogram": figures(&sample.value)});
    set_time(&mut value, sample.timestamp);
    set_start(&mut value, sample.start);
    if let Some(exemplar) = sample.exemplars.first() {
        value["exemplar"] = exemplar_value(exemplar);
    }
    Ok(value)
}

/// What the cases say of a histogram. Whether its counts were floats is not kept.
fn figures(histogram: &NativeHistogram) -> Value {
    let texts = |numbers: &[f64]| -> Vec<String> { numbers.iter().map(f64::to_string).collect() };
    let spans = |spans: &[Span]| -> Vec<Value> {
        spans.iter().map(|span| serde_json::json!([span.offset, span.length])).collect()
    };
    let hint = match histogram.reset_hint {
        CounterResetHint::Unknown => "unknown",
        CounterResetHint::Reset => "reset",
        CounterResetHint::NotReset => "not_reset",
        CounterResetHint::Gauge => "gauge",
    };
    let mut value = serde_json::json!({
        "schema": histogram.schema,
        "count": histogram.count.to_string(),
        "sum": histogram.sum.to_string(),
        "zero_threshold": histogram.zero_threshold.to_string(),
        "zero_count": histogram.zero_count.to_string(),
        "positive_spans": spans(&histogram.positive_spans),
        "positive_buckets": texts(&histogram.positive_buckets),
        "negative_spans": spans(&histogram.negative_spans),
        "negative_buckets": texts(&histogram.negative_buckets),
        "counter_reset_hint": hint,
    });
    if histogram.uses_custom_buckets() {
        value["custom_values"] = texts(&histogram.custom_bounds).into();
    }
    value
}

fn set_start(value: &mut Value, at: Option<TimestampMs>) {
    if let Some(at) = at {
        value["start_timestamp_ms"] = at.0.into();
    }
}

fn exemplar_value(exemplar: &Exemplar<'_>) -> Value {
    let labels: BTreeMap<_, _> = exemplar.pairs().collect();
    let mut value = serde_json::json!({"labels": labels, "value": exemplar.value.to_string()});
    set_time(&mut value, exemplar.timestamp);
    value
}

fn set_time(value: &mut Value, at: Option<TimestampMs>) {
    if let Some(at) = at {
        value["timestamp_ms"] = at.0.into();
    }
}

fn compare(what: &str, read: &[Value], expected: Option<&Value>) -> Result<(), String> {
    let expected = expected.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if read.len() != expected.len() {
        return Err(format!("{} {what} entries, expected {}", read.len(), expected.len()));
    }
    let different = read.iter().zip(expected).enumerate().find(|(_, (one, other))| {
        let (one, other) = (comparable(one, ""), comparable(other, ""));
        one != other
    });
    match different {
        Some((idx, (one, other))) => Err(format!("{what} {idx}: {one}, expected {other}")),
        None => Ok(()),
    }
}

/// Numbers as one spelling, labels without value left out. Bounds and quantiles are compared as numbers too: the
/// cases spell them otherwise (`1000000.0`) than the rule they illustrate and upstream (`1e+06`).
fn comparable(value: &Value, key: &str) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                // Whether a histogram's counts were floats is not kept.
                .filter(|(name, _)| !(key == "histogram" && name.as_str() == "float"))
                .filter(|(_, field)| !(key == "labels" && field.as_str() == Some("")))
                .map(|(name, field)| (name.clone(), comparable(field, name)))
                .collect(),
        ),
        Value::String(text) if matches!(key, "value" | "le" | "quantile") => {
            let number = text.parse::<f64>().map(|number| number.to_string());
            Value::String(number.unwrap_or_else(|_| text.clone()))
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(verdict: &str, more: &str, body: &str) -> Option<String> {
        let index = format!(
            r#"[{{"id":"x","format":"text","content_type":"text/plain","file":"f","verdict":"{verdict}"{more}}}]"#
        );
        let outcomes = run_cases(&index, |_| Ok(body.into())).expect("a list of cases");
        outcomes[0].failure.clone()
    }

    #[test]
    fn a_case_fails_when_it_should() {
        let one = r#","samples":[{"labels":{"__name__":"a","x":""},"value":"1e0"}]"#;
        for (verdict, more, body, passes) in [
            ("accept", one, "a 1\n", true),
            ("accept", one, "a 2\n", false),
            ("accept", one, "b 1\n", false),
            ("accept", one, "a 1 5\n", false),
            ("accept", one, "", false),
            ("accept", one, "a 1\na 1\n", false),
            ("accept", "", "a 1 2 3\n", false),
            ("reject", "", "a 1 2 3\n", true),
            ("reject", "", "a 1\n", false),
            ("accept", r#","scrape":"fail""#, "a{x=\"1\",x=\"2\"} 1\n", true),
            ("accept", r#","scrape":"fail""#, "a 1\n", false),
            ("perhaps", "", "a 1\n", false),
        ] {
            let failure = outcome(verdict, more, body);
            assert_eq!(failure.is_none(), passes, "{verdict} {more} {body:?}: {failure:?}");
        }
        assert!(run_cases("{}", |_| Ok(Vec::new())).is_err());
        let unread = r#"[{"id":"x","format":"text","file":"f"}]"#;
        assert!(run_cases(unread, |_| Err("no such file".to_owned())).is_err());
    }
}
