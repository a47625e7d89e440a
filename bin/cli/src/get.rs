//! `get` and `events`: objects in the server's own columns, or whole.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use swell_client::{Client, RawRequest};

use crate::CliError;
use crate::args::{EventsArgs, Format, GetArgs};
use crate::connect::Connection;
use crate::kinds::{Kind, Kinds, split};
use crate::output::{Output, status_message};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct Row {
    cells: Vec<Value>,
    object: Option<Value>,
}

/// Which objects.
struct Wanted<'a> {
    kind: &'a Kind,
    names: Vec<&'a str>,
    namespace: Option<&'a str>,
    selector: Option<&'a str>,
}

/// Runs `get`.
pub(crate) async fn run(args: &GetArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let connection = Connection::open(&args.kube)?;
    let kinds = Kinds::discover(&connection.client).await?;
    let (words, names) = split(&args.what, &args.names)?;
    let words: Vec<&str> = words.split(',').collect();
    if words.len() > 1 && !names.is_empty() {
        return Err(CliError::Usage("several kinds cannot be combined with names".to_owned()));
    }
    let mut listed = Vec::new();
    for (idx, word) in words.iter().enumerate() {
        let wanted = Wanted {
            kind: kinds.find(word)?,
            names: names.clone(),
            namespace: (!args.all_namespaces).then_some(connection.namespace.as_str()),
            selector: args.selector.as_deref(),
        };
        match args.output {
            Format::Table | Format::Wide => {
                if idx > 0 {
                    out.line("")?;
                }
                table(&connection.client, &wanted, args.output == Format::Wide, out).await?;
            }
            Format::Json | Format::Yaml | Format::Name => {
                listed.extend(objects(&connection.client, &wanted).await?);
            }
        }
    }
    match args.output {
        Format::Table | Format::Wide => Ok(()),
        Format::Name => {
            for object in &listed {
                let kind = object["kind"].as_str().unwrap_or_default().to_ascii_lowercase();
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                out.line(&format!("{kind}/{name}"))?;
            }
            Ok(())
        }
        Format::Json | Format::Yaml => {
            let value = if names.len() == 1 && listed.len() == 1 {
                listed.remove(0)
            } else {
                json!({"apiVersion": "v1", "kind": "List", "items": listed})
            };
            if args.output == Format::Json { out.json(&value) } else { out.yaml(&value) }
        }
    }
}

/// Runs `events`.
pub(crate) async fn events(args: &EventsArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let get = GetArgs {
        what: "events".to_owned(),
        names: Vec::new(),
        all_namespaces: args.all_namespaces,
        selector: None,
        output: args.output,
        kube: args.kube.clone(),
    };
    run(&get, out).await
}

fn paths(wanted: &Wanted<'_>) -> Vec<String> {
    let namespace = wanted.namespace.unwrap_or("default");
    if wanted.names.is_empty() {
        let mut path = wanted.kind.collection(wanted.namespace);
        if let Some(selector) = wanted.selector {
            path.push_str("?labelSelector=");
            path.push_str(&crate::http_api::escape(selector));
        }
        vec![path]
    } else {
        wanted.names.iter().map(|name| wanted.kind.object(namespace, name)).collect()
    }
}

async fn fetch(client: &Client, path: &str, accept: Option<&str>) -> Result<Vec<u8>, CliError> {
    let request = RawRequest { accept: accept.map(str::to_owned), ..RawRequest::get(path) };
    let answer = client.send(request).await.map_err(CliError::api(format!("get {path}")))?;
    if answer.status == StatusCode::OK {
        return Ok(answer.body.to_vec());
    }
    let message = status_message(&answer.body);
    Err(CliError::HttpAnswer { code: answer.status.as_u16(), message })
}

async fn table(
    client: &Client,
    wanted: &Wanted<'_>,
    wide: bool,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let mut head: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    let all_namespaces = wanted.namespace.is_none() && wanted.kind.namespaced;
    for path in paths(wanted) {
        let body = fetch(client, &path, Some(TABLE)).await?;
        let table: Table = serde_json::from_slice(&body)
            .map_err(|error| CliError::Usage(format!("{path} gave no table: {error}")))?;
        let shown: Vec<usize> = (0..table.column_definitions.len())
            .filter(|idx| wide || table.column_definitions[*idx].priority == 0)
            .collect();
        head = shown.iter().map(|idx| table.column_definitions[*idx].name.to_uppercase()).collect();
        for row in &table.rows {
            let mut cells: Vec<String> =
                shown.iter().map(|idx| cell(row.cells.get(*idx))).collect();
            if all_namespaces {
                let namespace = row.object.as_ref().map(|object| &object["metadata"]["namespace"]);
                cells.insert(0, cell(namespace));
            }
            rows.push(cells);
        }
    }
    if all_namespaces {
        head.insert(0, "NAMESPACE".to_owned());
    }
    if rows.is_empty() {
        let place =
            wanted.namespace.map_or_else(String::new, |name| format!(" in namespace {name}"));
        eprintln!("no {}{place}", wanted.kind.plural);
        return Ok(());
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    out.table(&head, &rows)
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

async fn objects(client: &Client, wanted: &Wanted<'_>) -> Result<Vec<Value>, CliError> {
    let mut objects = Vec::new();
    for path in paths(wanted) {
        let body = fetch(client, &path, None).await?;
        let mut value: Value = serde_json::from_slice(&body)
            .map_err(|error| CliError::Usage(format!("{path} gave no JSON: {error}")))?;
        let api_version = value["apiVersion"].clone();
        match value.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) => objects.extend(items.drain(..).map(|mut item| {
                if item["kind"].is_null() {
                    item["kind"] = json!(wanted.kind.kind);
                    item["apiVersion"] = api_version.clone();
                }
                item
            })),
            None => objects.push(value),
        }
    }
    Ok(objects)
}
