//! `describe`: one object as YAML, then its events.

use http::StatusCode;
use serde_json::Value;
use swell_client::RawRequest;

use crate::CliError;
use crate::args::DescribeArgs;
use crate::connect::Connection;
use crate::http_api::escape;
use crate::kinds::{Kinds, split};
use crate::output::{Output, status_message, to_yaml};

/// Runs `describe`.
pub(crate) async fn run(args: &DescribeArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let connection = Connection::open(&args.kube)?;
    let kinds = Kinds::discover(&connection.client).await?;
    let names: Vec<String> = args.name.iter().cloned().collect();
    let (word, names) = split(&args.what, &names)?;
    let kind = kinds.find(word)?;
    let [name] = names[..] else {
        return Err(CliError::Usage(format!("say which {word} to describe: {word}/NAME")));
    };
    let path = kind.object(&connection.namespace, name);
    let what = format!("get {}", kind.shown(name));
    let answer =
        connection.client.send(RawRequest::get(&path)).await.map_err(CliError::api(what))?;
    if answer.status != StatusCode::OK {
        let message = status_message(&answer.body);
        return Err(CliError::HttpAnswer { code: answer.status.as_u16(), message });
    }
    let mut object: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| CliError::Usage(format!("{path} gave no JSON: {error}")))?;
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    out.line(&format!("Name:      {name}"))?;
    if kind.namespaced {
        out.line(&format!("Namespace: {}", connection.namespace))?;
    }
    for section in ["metadata", "spec", "status"] {
        if !object[section].is_null() {
            out.line(&format!("{}:", capital(section)))?;
            for line in to_yaml(&object[section])?.lines() {
                out.line(&format!("  {line}"))?;
            }
        }
    }
    events(&connection, &uid, out).await
}

async fn events(connection: &Connection, uid: &str, out: &mut Output<'_>) -> Result<(), CliError> {
    let selector = escape(&format!("involvedObject.uid={uid}"));
    let path = format!("/api/v1/events?fieldSelector={selector}");
    let answer = connection
        .client
        .send(RawRequest::get(&path))
        .await
        .map_err(CliError::api("list its events"))?;
    let list: Value = serde_json::from_slice(&answer.body)
        .map_err(|error| CliError::Usage(format!("{path} gave no JSON: {error}")))?;
    let mut rows: Vec<Vec<String>> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let count = event["count"].as_i64().unwrap_or(1).to_string();
            vec![
                text(&event["lastTimestamp"]),
                text(&event["type"]),
                text(&event["reason"]),
                count,
                text(&event["message"]),
            ]
        })
        .collect();
    rows.sort();
    if rows.is_empty() {
        return out.line("Events:    none");
    }
    out.line("Events:")?;
    out.table(&["  LAST SEEN", "TYPE", "REASON", "COUNT", "MESSAGE"], &indent(rows))
}

fn indent(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for row in &mut rows {
        row[0].insert_str(0, "  ");
    }
    rows
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
