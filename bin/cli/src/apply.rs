//! `apply`: objects of files are created, or changed to what the file says.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use swell_client::{Client, RawRequest};

use crate::CliError;
use crate::args::ApplyArgs;
use crate::connect::Connection;
use crate::kinds::Kinds;
use crate::output::{Output, status_message};

/// One object of a file.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// Which file.
    pub(crate) path: PathBuf,
    /// The object.
    pub(crate) object: Value,
}

impl Manifest {
    fn text<'a>(&'a self, value: &'a Value, field: &str) -> Result<&'a str, CliError> {
        value.as_str().filter(|text| !text.is_empty()).ok_or_else(|| CliError::Yaml {
            path: self.path.clone(),
            message: format!("an object has no {field}"),
        })
    }

    /// Version of the object's API.
    pub(crate) fn api_version(&self) -> Result<&str, CliError> {
        self.text(&self.object["apiVersion"], "apiVersion")
    }

    /// Kind of the object.
    pub(crate) fn kind(&self) -> Result<&str, CliError> {
        self.text(&self.object["kind"], "kind")
    }

    /// Name of the object.
    pub(crate) fn name(&self) -> Result<&str, CliError> {
        self.text(&self.object["metadata"]["name"], "metadata.name")
    }

    /// Namespace of the object, or the one to use when it names none.
    pub(crate) fn namespace<'a>(&'a self, default: &'a str) -> &'a str {
        self.object["metadata"]["namespace"].as_str().unwrap_or(default)
    }
}

/// Runs `apply`.
pub(crate) async fn run(args: &ApplyArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let manifests = read_manifests(&args.files)?;
    let connection = Connection::open(&args.kube)?;
    let kinds = Kinds::discover(&connection.client).await?;
    let mut failed = 0;
    for manifest in &manifests {
        match apply(&connection, &kinds, manifest, args.dry_run).await {
            Ok(line) => out.line(&line)?,
            Err(error) => {
                failed += 1;
                eprintln!("{}: {}", manifest.path.display(), swell_telemetry::chain(&error));
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(CliError::Some { failed, all: manifests.len() }) }
}

async fn apply(
    connection: &Connection,
    kinds: &Kinds,
    manifest: &Manifest,
    dry_run: bool,
) -> Result<String, CliError> {
    let kind = kinds.of_object(manifest.api_version()?, manifest.kind()?)?;
    let name = manifest.name()?;
    let path = kind.object(manifest.namespace(&connection.namespace), name);
    let before = resource_version(&connection.client, &path).await?;
    let mut query = "?fieldManager=swell&force=true&fieldValidation=Strict".to_owned();
    if dry_run {
        query.push_str("&dryRun=All");
    }
    let body = serde_json::to_vec(&manifest.object)
        .map_err(|error| CliError::Usage(format!("encode {name}: {error}")))?;
    let request = RawRequest {
        method: Method::PATCH,
        path: format!("{path}{query}"),
        accept: None,
        body: Some(("application/apply-patch+yaml".to_owned(), Bytes::from(body))),
    };
    let what = format!("apply {}", kind.shown(name));
    let answer = connection.client.send(request).await.map_err(CliError::api(what.clone()))?;
    if !answer.status.is_success() {
        let message = format!("{what}: {}", status_message(&answer.body));
        return Err(CliError::HttpAnswer { code: answer.status.as_u16(), message });
    }
    let after = version_of(&answer.body);
    let verb = match before {
        None => "created",
        Some(before) if Some(&before) == after.as_ref() => "unchanged",
        Some(_) => "configured",
    };
    let note = if dry_run { " (dry run)" } else { "" };
    Ok(format!("{} {verb}{note}", kind.shown(name)))
}

async fn resource_version(client: &Client, path: &str) -> Result<Option<String>, CliError> {
    let answer =
        client.send(RawRequest::get(path)).await.map_err(CliError::api(format!("get {path}")))?;
    Ok(if answer.status == StatusCode::OK { version_of(&answer.body) } else { None })
}

fn version_of(body: &[u8]) -> Option<String> {
    let object: Value = serde_json::from_slice(body).ok()?;
    object["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}

/// Reads the objects of files and folders; of a folder the YAML and JSON files in the order of their names.
pub(crate) fn read_manifests(paths: &[PathBuf]) -> Result<Vec<Manifest>, CliError> {
    let mut manifests = Vec::new();
    for path in paths {
        let failed = |source| CliError::Read { path: path.clone(), source };
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(failed)?;
            manifests.extend(parse(Path::new("standard input"), &text)?);
        } else if path.is_dir() {
            let mut files: Vec<PathBuf> = std::fs::read_dir(path)
                .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
                .map_err(failed)?;
            files.retain(|file| {
                file.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
            });
            files.sort();
            manifests.extend(read_manifests(&files)?);
        } else {
            let text = std::fs::read_to_string(path).map_err(failed)?;
            manifests.extend(parse(path, &text)?);
        }
    }
    Ok(manifests)
}

/// The objects of one text: YAML documents or JSON, lists taken apart.
pub(crate) fn parse(path: &Path, text: &str) -> Result<Vec<Manifest>, CliError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)
        .map_err(|error| CliError::Yaml { path: path.to_owned(), message: error.to_string() })?;
    let mut manifests = Vec::new();
    for mut document in documents {
        if document.is_null() {
            continue;
        }
        match document.get_mut("items").and_then(Value::as_array_mut) {
            Some(items) => manifests
                .extend(items.drain(..).map(|object| Manifest { path: path.to_owned(), object })),
            None => manifests.push(Manifest { path: path.to_owned(), object: document }),
        }
    }
    Ok(manifests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_and_lists_are_taken_apart() {
        let text = "kind: A\n---\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n";
        let kinds: Vec<String> = parse(Path::new("x"), text)
            .expect("valid")
            .iter()
            .map(|manifest| manifest.kind().expect("given").to_owned())
            .collect();
        assert_eq!(kinds, ["A", "B", "C"]);
        let single = parse(Path::new("x"), "kind: A\n").expect("valid");
        assert_eq!(single[0].object, serde_json::json!({"kind": "A"}), "as it was written");
    }

    #[test]
    fn faults_name_the_file_and_the_line() {
        let error = parse(Path::new("web.yaml"), "a: 1\nb: [\n").expect_err("broken");
        let text = error.to_string();
        assert!(text.contains("web.yaml") && text.contains("line"), "{text}");
        let nameless = parse(Path::new("web.yaml"), "kind: Pod\n").expect("valid YAML");
        assert!(nameless[0].name().expect_err("no name").to_string().contains("metadata.name"));
    }
}
