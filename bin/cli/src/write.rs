//! `delete` and `scale`.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;
use swell_client::RawRequest;

use crate::CliError;
use crate::apply::read_manifests;
use crate::args::{DeleteArgs, ScaleArgs};
use crate::connect::Connection;
use crate::kinds::{Kind, Kinds, split};
use crate::output::{Output, status_message};

/// Runs `delete`.
pub(crate) async fn delete(args: &DeleteArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    let connection = Connection::open(&args.kube)?;
    let kinds = Kinds::discover(&connection.client).await?;
    let manifests = read_manifests(&args.files)?;
    let mut doomed: Vec<(&Kind, String, String)> = Vec::new();
    if let Some(what) = &args.what {
        let (word, names) = split(what, &args.names)?;
        if names.is_empty() {
            return Err(CliError::Usage(format!("say which {word} to delete: {word}/NAME")));
        }
        let kind = kinds.find(word)?;
        for name in names {
            doomed.push((kind, connection.namespace.clone(), name.to_owned()));
        }
    }
    for manifest in &manifests {
        let kind = kinds.of_object(manifest.api_version()?, manifest.kind()?)?;
        let namespace = manifest.namespace(&connection.namespace).to_owned();
        doomed.push((kind, namespace, manifest.name()?.to_owned()));
    }
    for (kind, namespace, name) in doomed {
        let mut path = kind.object(&namespace, &name);
        if args.dry_run {
            path.push_str("?dryRun=All");
        }
        let what = format!("delete {}", kind.shown(&name));
        let request = RawRequest { method: Method::DELETE, path, accept: None, body: None };
        let answer = connection.client.send(request).await.map_err(CliError::api(what.clone()))?;
        if answer.status == StatusCode::NOT_FOUND && args.ignore_not_found {
            continue;
        }
        if !answer.status.is_success() {
            let message = format!("{what}: {}", status_message(&answer.body));
            return Err(CliError::HttpAnswer { code: answer.status.as_u16(), message });
        }
        let note = if args.dry_run { " (dry run)" } else { "" };
        out.line(&format!("{} deleted{note}", kind.shown(&name)))?;
    }
    Ok(())
}

/// Runs `scale`; tells how to undo it.
pub(crate) async fn scale(args: &ScaleArgs, out: &mut Output<'_>) -> Result<(), CliError> {
    if args.replicas < 0 {
        return Err(CliError::Usage(format!(
            "--replicas {}: a count is not negative",
            args.replicas
        )));
    }
    let connection = Connection::open(&args.kube)?;
    let kinds = Kinds::discover(&connection.client).await?;
    let (word, names) = split(&args.what, &[])?;
    let kind = kinds.find(word)?;
    let [name] = names[..] else {
        return Err(CliError::Usage(format!("say which {word} to scale: {word}/NAME")));
    };
    let path = format!("{}/scale", kind.object(&connection.namespace, name));
    let what = format!("scale {}", kind.shown(name));
    let before = connection
        .client
        .send(RawRequest::get(&path))
        .await
        .map_err(CliError::api(what.clone()))?;
    let request = RawRequest {
        method: Method::PATCH,
        path,
        accept: None,
        body: Some((
            "application/merge-patch+json".to_owned(),
            Bytes::from(json!({"spec": {"replicas": args.replicas}}).to_string()),
        )),
    };
    let answer = connection.client.send(request).await.map_err(CliError::api(what.clone()))?;
    if !answer.status.is_success() {
        let message = format!("{what}: {}", status_message(&answer.body));
        return Err(CliError::HttpAnswer { code: answer.status.as_u16(), message });
    }
    out.line(&format!("{} scaled to {}", kind.shown(name), args.replicas))?;
    let before: serde_json::Value = serde_json::from_slice(&before.body).unwrap_or_default();
    if let Some(replicas) = before["spec"]["replicas"].as_i64() {
        let namespace = &connection.namespace;
        eprintln!("undo: swell scale {} --replicas {replicas} -n {namespace}", args.what);
    }
    Ok(())
}
