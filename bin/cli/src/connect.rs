//! From a kubeconfig to a client.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;
use swell_client::{Client, ClientConfig, Credentials};

use crate::CliError;
use crate::args::KubeArgs;

/// A client and the namespace to use when an object names none.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: Option<String>,
    certificate_authority: Option<PathBuf>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

impl Connection {
    /// Reads the kubeconfig and makes a client of its current context.
    pub(crate) fn open(args: &KubeArgs) -> Result<Self, CliError> {
        let path = &args.kubeconfig;
        let config = client_config(path)?;
        let client = Client::https(&config).map_err(|source| CliError::Kubeconfig {
            path: path.clone(),
            source: Box::new(source),
        })?;
        Ok(Self { client, namespace: args.namespace.clone() })
    }
}

fn client_config(path: &Path) -> Result<ClientConfig, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            CliError::NoKubeconfig { path: path.to_owned() }
        } else {
            CliError::Read { path: path.to_owned(), source }
        }
    })?;
    let fault = |message: String| CliError::Yaml { path: path.to_owned(), message };
    let config: Kubeconfig =
        serde_saphyr::from_str(&text).map_err(|error| fault(error.to_string()))?;
    let context = config
        .contexts
        .iter()
        .find(|context| context.name == config.current_context)
        .ok_or_else(|| fault(format!("there is no context {:?}", config.current_context)))?;
    let cluster = config
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.context.cluster)
        .ok_or_else(|| fault(format!("there is no cluster {:?}", context.context.cluster)))?;
    let user = config
        .users
        .iter()
        .find(|user| user.name == context.context.user)
        .ok_or_else(|| fault(format!("there is no user {:?}", context.context.user)))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let cluster = &cluster.cluster;
    let ca_pem = pem(
        folder,
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
    )?
    .ok_or_else(|| fault("the cluster names no certificate-authority".to_owned()))?;
    let user = &user.user;
    let cert =
        pem(folder, user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let key = pem(folder, user.client_key_data.as_deref(), user.client_key.as_deref())?;
    let credentials = match (cert, key, &user.token) {
        (Some(cert_pem), Some(key_pem), _) => Credentials::Certificate { cert_pem, key_pem },
        (_, _, Some(token)) => Credentials::Bearer(token.clone()),
        _ => Credentials::Anonymous,
    };
    Ok(ClientConfig { base_url: cluster.server.clone(), ca_pem, credentials })
}

/// A PEM text given inline in base64 or as a file.
fn pem(folder: &Path, data: Option<&str>, file: Option<&Path>) -> Result<Option<String>, CliError> {
    match (data, file) {
        (Some(data), _) => {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(data.trim())
                .map_err(|error| CliError::Usage(format!("kubeconfig: base64 data: {error}")))?;
            String::from_utf8(bytes)
                .map(Some)
                .map_err(|error| CliError::Usage(format!("kubeconfig: PEM data: {error}")))
        }
        (None, Some(file)) => {
            let path = folder.join(file);
            std::fs::read_to_string(&path)
                .map(Some)
                .map_err(|source| CliError::Read { path, source })
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, text).expect("written");
        let result = client_config(&path).map(|config| config.base_url);
        let shown = result.unwrap_or_else(|error| error.to_string());
        assert!(shown.contains(expected), "{shown}");
    }

    #[test]
    fn the_current_context_decides_and_faults_are_named() {
        let good = "current-context: b\ncontexts:\n- {name: b, context: {cluster: c, user: u}}\nclusters:\n- {name: c, cluster: {server: 'https://127.0.0.1:6443', certificate-authority-data: UEVN}}\nusers:\n- {name: u, user: {token: t}}\n";
        check(good, "https://127.0.0.1:6443");
        check(
            &good.replace("current-context: b", "current-context: x"),
            "there is no context \"x\"",
        );
        check("contexts: {", "line 1");
        let missing = client_config(Path::new("no-such-file")).expect_err("missing");
        assert!(missing.to_string().contains("swell server"), "{missing}");
    }
}
