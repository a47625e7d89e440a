//! Requests to the HTTP API.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use swell_http_client::authorities;

use crate::CliError;
use crate::args::HttpArgs;

/// A query may take its full two minutes; the network a little more.
const DEADLINE: Duration = Duration::from_secs(130);

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Fetches `path` with query parameters and decodes the JSON; an error answer gives its own text.
pub(crate) async fn get(
    http: &HttpArgs,
    path: &str,
    params: &[(&str, &str)],
) -> Result<Value, CliError> {
    json(send(http, Method::GET, path, params, DEADLINE).await?, path).await
}

/// As [`get`], for what changes something.
pub(crate) async fn post(
    http: &HttpArgs,
    path: &str,
    params: &[(&str, &str)],
) -> Result<Value, CliError> {
    post_within(http, path, params, DEADLINE).await
}

/// As [`post`], for what may take its time before it is answered.
pub(crate) async fn post_within(
    http: &HttpArgs,
    path: &str,
    params: &[(&str, &str)],
    deadline: Duration,
) -> Result<Value, CliError> {
    json(send(http, Method::POST, path, params, deadline).await?, path).await
}

async fn json(mut answer: Answer, path: &str) -> Result<Value, CliError> {
    let body = answer.rest(DEADLINE).await?;
    match serde_json::from_slice(&body) {
        Ok(value) if answer.status.is_success() => Ok(value),
        _ => Err(refused(path, answer.status, &body)),
    }
}

/// Gives the body of `path` to `take`, piece by piece. A piece may come as late as a whole answer of [`get`].
pub(crate) async fn stream(
    http: &HttpArgs,
    path: &str,
    params: &[(&str, &str)],
    take: &mut dyn FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut answer = send(http, Method::GET, path, params, DEADLINE).await?;
    if !answer.status.is_success() {
        let body = answer.rest(DEADLINE).await?;
        return Err(refused(path, answer.status, &body));
    }
    while let Some(piece) = answer.piece(DEADLINE).await? {
        take(&piece)?;
    }
    Ok(())
}

/// What an answer says that is none of what was asked for.
fn refused(path: &str, status: http::StatusCode, body: &[u8]) -> CliError {
    let message = match serde_json::from_slice::<Value>(body) {
        Ok(value) => value["error"]
            .as_str()
            .or_else(|| value["message"].as_str())
            .map_or_else(|| value.to_string(), str::to_owned),
        Err(_) => format!(
            "{status} on {path}: {}",
            String::from_utf8_lossy(&body[..body.len().min(300)]).trim()
        ),
    };
    CliError::HttpAnswer { code: status.as_u16(), message }
}

/// An answer whose body is still to come.
struct Answer {
    server: String,
    status: http::StatusCode,
    body: hyper::body::Incoming,
}

impl Answer {
    fn fault(&self, source: impl Into<Cause>) -> CliError {
        CliError::Http { server: self.server.clone(), source: source.into() }
    }

    /// The next piece of the body; `None` at its end.
    async fn piece(&mut self, deadline: Duration) -> Result<Option<Bytes>, CliError> {
        loop {
            let frame = tokio::time::timeout(deadline, self.body.frame()).await;
            match frame.map_err(|elapsed| self.fault(elapsed))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.fault(error)),
                // Trailers are passed over.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn rest(&mut self, deadline: Duration) -> Result<Vec<u8>, CliError> {
        let mut body = Vec::new();
        while let Some(piece) = self.piece(deadline).await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// Sends a request and waits for the head of its answer, no longer than until the deadline.
async fn send(
    http: &HttpArgs,
    method: Method,
    path: &str,
    params: &[(&str, &str)],
    deadline: Duration,
) -> Result<Answer, CliError> {
    // Errors do not show the address as given: it may hold a password.
    let wrong = |what: String| CliError::Usage(format!("--server: {what}"));
    let mut server = url::Url::parse(&http.server).map_err(|error| wrong(error.to_string()))?;
    let authorization = basic_auth(&server).map_err(|what| wrong(what.to_owned()))?;
    if server.set_username("").and_then(|()| server.set_password(None)).is_err() {
        return Err(wrong("it has no host".to_owned()));
    }
    let shown = server.to_string();
    let unreachable = |source: Cause| CliError::Http { server: shown.clone(), source };
    let mut url = format!("{}{path}", server.as_str().trim_end_matches('/'));
    for (idx, (name, value)) in params.iter().enumerate() {
        let separator = if idx == 0 { '?' } else { '&' };
        write!(url, "{separator}{name}={}", escape(value)).expect("writing to a string");
    }
    let mut request = http::Request::builder().method(method).uri(url);
    if let Some(authorization) = authorization {
        request = request.header(http::header::AUTHORIZATION, authorization);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| wrong(error.to_string()))?;
    let tls = if server.scheme() == "https" {
        tls(http.ca_file.as_deref())?
    } else {
        trusting(rustls::RootCertStore::empty())?
    };
    let exchange = async {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
        client.request(request).await.map_err(Cause::from)
    };
    let answer = tokio::time::timeout(deadline, exchange)
        .await
        .map_err(|elapsed| unreachable(Box::new(elapsed)))?
        .map_err(unreachable)?;
    Ok(Answer { server: shown, status: answer.status(), body: answer.into_body() })
}

/// The header for a user and password in the address.
fn basic_auth(server: &url::Url) -> Result<Option<String>, &'static str> {
    if server.username().is_empty() && server.password().is_none() {
        return Ok(None);
    }
    let decoded = |text: &str| {
        let bytes = percent_encoding::percent_decode_str(text).decode_utf8();
        bytes.map(std::borrow::Cow::into_owned).map_err(|_| "user or password is no UTF-8")
    };
    let (user, password) = (decoded(server.username())?, decoded(server.password().unwrap_or(""))?);
    Ok(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
}

/// Trusts the authorities of the file, or else those of the system.
fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, CliError> {
    let Some(path) = ca_file else {
        let found = client_builder()?.with_native_roots().map_err(|error| {
            CliError::Usage(format!("no authorities of the system ({error}): give --ca-file"))
        })?;
        return Ok(found.with_no_client_auth());
    };
    let unread = |error: &dyn std::fmt::Display| {
        CliError::Usage(format!("--ca-file {}: {error}", path.display()))
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unread(&error))?;
    let verifier =
        authorities(certificates, Arc::new(provider())).map_err(|error| unread(&error))?;
    let builder = client_builder()?.dangerous().with_custom_certificate_verifier(verifier);
    Ok(builder.with_no_client_auth())
}

fn trusting(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, CliError> {
    Ok(client_builder()?.with_root_certificates(roots).with_no_client_auth())
}

fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn client_builder()
-> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, CliError> {
    rustls::ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::Usage(format!("set up TLS: {error}")))
}

/// Percent-encodes everything that is not unreserved in RFC 3986.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            write!(escaped, "%{byte:02X}").expect("writing to a string");
        }
    }
    escaped
}
