//! The demo's stage: configuration and manifests, taken from `examples/demo` and put into the server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use swell_api_types::by_kind;
use swell_client::{Client, RawRequest};

use crate::config::Config;

/// Applied in this order, as `swell apply -f examples/demo` does.
const MANIFESTS: [(&str, &str); 3] = [
    ("00-namespace.yaml", include_str!("../../../../examples/demo/00-namespace.yaml")),
    ("10-web.yaml", include_str!("../../../../examples/demo/10-web.yaml")),
    ("20-hpa.yaml", include_str!("../../../../examples/demo/20-hpa.yaml")),
];
const RULES: &str = include_str!("../../../../examples/demo/rules.yaml");
const ALERTMANAGER: &str = include_str!("../../../../examples/demo/alertmanager.yaml");

/// The namespace that everything of the demo is in.
pub(crate) const NAMESPACE: &str = "demo";
/// The Deployment, its Service and its autoscaler.
pub(crate) const NAME: &str = "web";

/// A folder that is removed with everything in it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes a folder that no other demo uses.
    pub(crate) fn create() -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = std::env::temp_dir().join(format!("swell-demo-{}", std::process::id()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("create the demo's folder {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it.
    pub(crate) fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_dir_all(&self.0)
            .with_context(|| format!("remove the demo's folder {}", self.0.display()))
    }
}

/// The server's configuration: rules of the demo, alerts to `webhook_url`.
pub(crate) fn config(folder: &Folder, webhook_url: &str) -> anyhow::Result<Config> {
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    };
    write("rules.yaml", RULES)?;
    write("alertmanager.yaml", &ALERTMANAGER.replace("$WEBHOOK_URL", webhook_url))?;
    let text = "global: {evaluation_interval: 1s}\nrule_files: [rules.yaml]\nswell: {alertmanager_config_file: alertmanager.yaml}\n";
    Config::parse(text, folder.path(), Path::new("the demo's configuration"))
}

/// Applies the manifests.
pub(crate) async fn apply(client: &Client) -> anyhow::Result<()> {
    for (file, text) in MANIFESTS {
        let objects: Vec<Value> =
            serde_saphyr::from_multiple(text).with_context(|| format!("parse {file}"))?;
        for object in objects {
            apply_object(client, &object).await.with_context(|| format!("apply {file}"))?;
        }
    }
    Ok(())
}

async fn apply_object(client: &Client, object: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (api_version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    let name = text(&object["metadata"]["name"]);
    let resource = by_kind(&api_version, &kind)
        .with_context(|| format!("there is no kind {kind} in {api_version}"))?;
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let place =
        if resource.namespaced { format!("/namespaces/{NAMESPACE}") } else { String::new() };
    let request = RawRequest {
        method: Method::PATCH,
        path: format!(
            "{root}/{api_version}{place}/{}/{name}?fieldManager=swell-demo&force=true&fieldValidation=Strict",
            resource.plural
        ),
        accept: None,
        body: Some(("application/apply-patch+yaml".to_owned(), Bytes::from(object.to_string()))),
    };
    let answer = client.send(request).await?;
    if !answer.status.is_success() {
        bail!("{kind} {name}: {}", String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_valid() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Folder(folder.keep());
        let config = config(&folder, "http://127.0.0.1:1/alerts").expect("valid");
        assert_eq!(config.rule_files.len(), 1);
        let (_, alertmanager) = config.alertmanager.as_ref().expect("given");
        swell_route::parse_config(alertmanager).expect("valid");
        assert_eq!(swell_alert_runner::check_rules(RULES), []);
        for (file, text) in MANIFESTS {
            let objects: Vec<Value> = serde_saphyr::from_multiple(text).expect(file);
            for object in objects {
                let kind = object["kind"].as_str().expect("a kind");
                by_kind(object["apiVersion"].as_str().expect("a version"), kind).expect(kind);
            }
        }
        folder.remove().expect("removed");
    }
}
