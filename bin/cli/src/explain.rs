//! `explain`: the record of a decision, step by step.

use serde_json::Value;

use crate::CliError;
use crate::args::{ExplainArgs, ExplainFormat};
use crate::http_api::get;
use crate::kinds::split;
use crate::output::Output;

/// Runs `explain`.
pub(crate) async fn run(args: &ExplainArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let (word, names) = split(&args.what, &[])?;
    let [name] = names[..] else {
        return Err(CliError::Usage(format!("say which {word} to explain: {word}/NAME")));
    };
    let kind = match word.to_ascii_lowercase().as_str() {
        "hpa" | "horizontalpodautoscaler" | "horizontalpodautoscalers" => "HorizontalPodAutoscaler",
        "deploy" | "deployment" | "deployments" => "Deployment",
        "rs" | "replicaset" | "replicasets" => "ReplicaSet",
        _ => {
            return Err(CliError::Usage(format!(
                "{word:?}: decisions are made for an hpa or a deployment, such as hpa/{name}"
            )));
        }
    };
    let path = format!("/api/swell/v1/explain/{kind}/{}/{name}", args.namespace);
    let mut params = Vec::new();
    if let Some(at) = &args.at {
        params.push(("at", at.as_str()));
    }
    let record = get(&args.http, &path, &params).await?;
    match args.output {
        ExplainFormat::Json => out.json(&record),
        ExplainFormat::Text => {
            for line in text(&record) {
                out.line(&line)?;
            }
            Ok(())
        }
    }
}

/// The record for a person: what, the sentence, the steps in the order in which they were taken.
fn text(record: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let target = &record["target"];
    let mut lines = vec![format!(
        "{} {}/{}   {}   decision {}",
        word(&target["kind"]),
        word(&target["namespace"]),
        word(&target["name"]),
        time(&record["at_ms"]),
        record["id"]
    )];
    let (from, to) = (record["from"].as_i64(), record["replicas"].as_i64().unwrap_or_default());
    lines.push(match from {
        Some(from) if from != to => format!("{from} to {to} replicas"),
        Some(_) => format!("{to} replicas, as before"),
        None => "size unknown, nothing changed".to_owned(),
    });
    lines.push(String::new());
    lines.push(word(&record["sentence"]));
    lines.push(String::new());
    for step in record["steps"].as_array().into_iter().flatten() {
        let (before, after) = (step["before"].as_i64(), step["after"].as_i64());
        let stage = word(&step["stage"]).replace('_', " ");
        let change = match (before, after) {
            (Some(before), Some(after)) if before != after => format!("{:+}", after - before),
            _ => "=".to_owned(),
        };
        let count = after.unwrap_or_default();
        lines.push(
            format!("  {stage:<14}{count:>5}{change:>6}   {}", word(&step["text"]))
                .trim_end()
                .to_owned(),
        );
    }
    for signal in record["signals"].as_array().into_iter().flatten() {
        if let Some(error) = signal["error"].as_str() {
            lines.push(format!("  {} gave no answer: {error}", word(&signal["name"])));
        }
    }
    let repeated = record["repeated"].as_u64().unwrap_or(0);
    if repeated > 0 {
        lines.push(String::new());
        lines.push(format!(
            "Came to the same end {repeated} more times, last {}.",
            time(&record["last_ms"])
        ));
    }
    if from.is_some() {
        lines.extend(next(record));
    }
    lines
}

fn next(record: &Value) -> Vec<String> {
    let replicas = record["replicas"].as_i64().unwrap_or_default();
    let (grow, shrink) = (&record["next"]["grow"], &record["next"]["shrink"]);
    let mut lines = vec![String::new()];
    match grow["to"].as_i64() {
        Some(to) if to > replicas => {
            let when = if grow["not_before_ms"].is_null() {
                "at once".to_owned()
            } else {
                format!("not before {}", time(&grow["not_before_ms"]))
            };
            lines.push(format!("Can grow to {to}, {when}."));
        }
        _ => lines.push("Cannot grow further now.".to_owned()),
    }
    match shrink["to"].as_i64() {
        Some(to) if to < replicas && shrink["disabled"] != Value::Bool(true) => {
            let window = shrink["window_ms"].as_i64().unwrap_or_default() / 1000;
            lines.push(format!("Can shrink to {to}, once fewer are asked for during {window} s."));
        }
        _ => lines.push("Cannot shrink further now.".to_owned()),
    }
    lines
}

fn time(millis: &Value) -> String {
    millis
        .as_i64()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map_or_else(|| "unknown time".to_owned(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_that_could_not_be_read_has_no_size_and_no_outlook() {
        let record = json!({
            "id": 3, "at_ms": 0, "from": null, "replicas": 0,
            "target": {"kind": "Deployment", "namespace": "demo", "name": "web"},
            "sentence": "The target cannot be read.", "steps": [], "signals": [], "repeated": 0,
            "next": {"grow": {"to": 0}, "shrink": {"to": 0, "window_ms": 0, "disabled": false}},
        });
        assert_eq!(
            text(&record)[1..],
            ["size unknown, nothing changed", "", "The target cannot be read.", ""]
        );
    }

    #[test]
    fn the_steps_stand_in_the_order_of_the_record() {
        let record = json!({
            "id": 7, "at_ms": 1_700_000_000_250_i64, "from": 1, "replicas": 4,
            "target": {"kind": "Deployment", "namespace": "demo", "name": "web"},
            "sentence": "CPU was 188 % of request against a target of 50 %.",
            "steps": [
                {"stage": "current", "before": 1, "after": 1, "text": "1 ready"},
                {"stage": "asked", "before": 1, "after": 4, "text": "1 × 188 ÷ 50 = 3.76"},
                {"stage": "final", "before": 4, "after": 4, "text": ""},
            ],
            "signals": [], "repeated": 0,
            "next": {"grow": {"to": 6}, "shrink": {"to": 1, "window_ms": 8000, "disabled": false}},
        });
        assert_eq!(
            text(&record),
            [
                "Deployment demo/web   2023-11-14T22:13:20.250Z   decision 7",
                "1 to 4 replicas",
                "",
                "CPU was 188 % of request against a target of 50 %.",
                "",
                "  current           1     =   1 ready",
                "  asked             4    +3   1 × 188 ÷ 50 = 3.76",
                "  final             4     =",
                "",
                "Can grow to 6, at once.",
                "Can shrink to 1, once fewer are asked for during 8 s.",
            ]
        );
    }
}
