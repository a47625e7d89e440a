//! Which API server, and who asks: a kubeconfig file, the account of a pod, or an address.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use serde::Deserialize;
use swell_client::Client;
use swell_http_client::{
    Auth, ClientOptions, HttpClient, HttpRequest, Pem, Proxy, RequestError, Secret, TlsOptions,
};
use url::Url;

use crate::config::{KubernetesConfig, KubernetesServer};
use crate::discovery::StartError;

/// A client of the API server that the configuration names.
pub(super) fn connect(
    config: &KubernetesConfig,
    own: Option<&Client>,
) -> Result<Client, StartError> {
    let (url, options) = match &config.server {
        KubernetesServer::Own => return own.cloned().ok_or(StartError::NoCluster),
        KubernetesServer::At(url) => (url.clone(), config.client.clone()),
        KubernetesServer::InCluster { url, account } => (url.clone(), account_options(account)),
        KubernetesServer::Kubeconfig(path) => {
            let fault = |why: String| StartError::Kubeconfig { path: path.clone(), why };
            let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
            let folder = path.parent().unwrap_or(Path::new("."));
            kubeconfig(&text, folder).map_err(fault)?
        }
    };
    let http = Arc::new(HttpClient::new(options)?);
    Ok(Client::in_process(tower::service_fn(move |request: Request<Full<Bytes>>| {
        let (http, base) = (Arc::clone(&http), url.clone());
        async move { send(&http, base, request).await }
    })))
}

/// Sends what the typed client asks, which only reads.
async fn send(
    http: &HttpClient,
    mut url: Url,
    request: Request<Full<Bytes>>,
) -> Result<::http::Response<hyper::body::Incoming>, RequestError> {
    let path = format!("{}{}", url.path().trim_end_matches('/'), request.uri().path());
    url.set_path(&path);
    url.set_query(request.uri().query());
    let mut headers = request.headers().clone();
    headers.remove(::http::header::USER_AGENT);
    let method = request.method().clone();
    http.send(&HttpRequest { method, url, headers, body: Bytes::new() }).await
}

fn account_options(account: &Path) -> ClientOptions {
    ClientOptions {
        auth: Auth::Header {
            scheme: "Bearer".to_owned(),
            credentials: Secret::File(account.join("token")),
        },
        tls: TlsOptions { ca: Some(Pem::File(account.join("ca.crt"))), ..TlsOptions::default() },
        ..ClientOptions::default()
    }
}

#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(rename = "current-context", default)]
    current_context: String,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: ClusterEntry,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterEntry {
    server: String,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: UserEntry,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct UserEntry {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: ContextEntry,
}

#[derive(Deserialize)]
struct ContextEntry {
    cluster: String,
    #[serde(default)]
    user: String,
}

/// Address and options of the current context; relative paths start at `folder`.
fn kubeconfig(text: &str, folder: &Path) -> Result<(Url, ClientOptions), String> {
    let config: Kubeconfig = serde_saphyr::from_str(text)
        .map_err(|error| format!("it is no kubeconfig: {}", error.without_snippet()))?;
    let current = &config.current_context;
    let context = config.contexts.iter().find(|it| it.name == *current);
    let context = context.ok_or_else(|| format!("it has no context {current:?}"))?;
    let wanted = &context.context.cluster;
    let cluster = config.clusters.iter().find(|it| it.name == *wanted);
    let cluster = &cluster.ok_or_else(|| format!("it has no cluster {wanted:?}"))?.cluster;
    let url = Url::parse(&cluster.server)
        .map_err(|error| format!("its server {:?} is no URL: {error}", cluster.server))?;
    let nobody = UserEntry::default();
    let wanted = &context.context.user;
    let user = match config.users.iter().find(|it| it.name == *wanted) {
        Some(named) => &named.user,
        None if wanted.is_empty() => &nobody,
        None => return Err(format!("it has no user {wanted:?}")),
    };
    if user.exec.is_some() || user.auth_provider.is_some() {
        return Err(
            "its user gets credentials from a program: give a token or a certificate".to_owned()
        );
    }
    let pem = |file: &Option<String>, data: &Option<String>, what: &str| match (data, file) {
        (Some(data), _) => decoded(data, what).map(Some),
        (None, Some(file)) => Ok(Some(Pem::File(folder.join(file)))),
        (None, None) => Ok(None),
    };
    let certificate =
        pem(&user.client_certificate, &user.client_certificate_data, "client-certificate-data")?;
    let key = pem(&user.client_key, &user.client_key_data, "client-key-data")?;
    let ca = pem(
        &cluster.certificate_authority,
        &cluster.certificate_authority_data,
        "certificate-authority-data",
    )?;
    let proxy = match &cluster.proxy_url {
        Some(text) => {
            let url = Proxy::parse(text).map_err(|fault| format!("its proxy-url: {fault}"))?;
            Proxy { http: Some(url.clone()), https: Some(url), ..Proxy::default() }
        }
        None => Proxy::default(),
    };
    let tls = TlsOptions {
        ca,
        identity: certificate.zip(key),
        server_name: cluster.tls_server_name.clone(),
        insecure_skip_verify: cluster.insecure_skip_tls_verify,
        ..TlsOptions::default()
    };
    Ok((url, ClientOptions { auth: auth(user, folder), tls, proxy, ..ClientOptions::default() }))
}

fn auth(user: &UserEntry, folder: &Path) -> Auth {
    let token = match (&user.token_file, &user.token) {
        (Some(file), _) => Some(Secret::File(folder.join(file))),
        (None, Some(token)) => Some(Secret::Text(token.clone())),
        (None, None) => None,
    };
    match (token, &user.username) {
        (Some(credentials), _) => Auth::Header { scheme: "Bearer".to_owned(), credentials },
        (None, Some(name)) => Auth::Basic {
            username: Secret::Text(name.clone()),
            password: Secret::Text(user.password.clone().unwrap_or_default()),
        },
        (None, None) => Auth::None,
    }
}

fn decoded(data: &str, what: &str) -> Result<Pem, String> {
    let bytes = STANDARD.decode(data.trim()).map_err(|error| format!("{what}: {error}"))?;
    String::from_utf8(bytes).map(Pem::Text).map_err(|_| format!("{what} is no PEM text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
current-context: there
clusters:
- {name: c, cluster: {server: 'https://10.0.0.1:6443/k8s', certificate-authority-data: Y2E=, tls-server-name: api}}
users:
- {name: by-token, user: {token: t}}
- {name: by-certificate, user: {client-certificate-data: Y2VydA==, client-key: k.pem}}
- {name: by-program, user: {exec: {command: aws}}}
contexts:
- {name: there, context: {cluster: c, user: by-token, namespace: x}}
- {name: other, context: {cluster: c, user: by-certificate}}
- {name: third, context: {cluster: c, user: by-program}}
";

    #[test]
    fn the_current_context_counts() {
        let folder = Path::new("/etc/k");
        let (url, options) = kubeconfig(CONFIG, folder).expect("good");
        assert_eq!(url.as_str(), "https://10.0.0.1:6443/k8s");
        assert_eq!(options.tls.ca, Some(Pem::Text("ca".to_owned())));
        assert_eq!(options.tls.server_name.as_deref(), Some("api"));
        assert!(matches!(options.auth, Auth::Header { .. }));
        let other = CONFIG.replace("current-context: there", "current-context: other");
        let (_, options) = kubeconfig(&other, folder).expect("good");
        let pair = (Pem::Text("cert".to_owned()), Pem::File("/etc/k/k.pem".into()));
        assert_eq!(options.tls.identity, Some(pair));
        assert_eq!(options.auth, Auth::None);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = Path::new(".");
        for (from, to, part) in [
            ("current-context: there", "current-context: gone", "no context \"gone\""),
            ("current-context: there", "current-context: third", "from a program"),
            ("name: c,", "name: d,", "no cluster \"c\""),
            ("name: by-token", "name: renamed", "no user \"by-token\""),
            ("Y2E=", "Y2E", "certificate-authority-data"),
            ("clusters:", "clusters: 7 #", "no kubeconfig"),
        ] {
            let refused = kubeconfig(&CONFIG.replacen(from, to, 1), folder).expect_err(to);
            assert!(refused.contains(part), "{refused}");
        }
    }
}
