//! GET requests to the HTTP API.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::CliError;
use crate::args::HttpArgs;

/// A query may take its full two minutes; the network a little more.
const DEADLINE: Duration = Duration::from_secs(130);

/// Fetches `path` with query parameters and decodes the JSON; an error answer gives its own text.
pub(crate) async fn get(
    http: &HttpArgs,
    path: &str,
    params: &[(&str, &str)],
) -> Result<Value, CliError> {
    // Errors do not show the address as given: it may hold a password.
    let wrong = |what: String| CliError::Usage(format!("--server: {what}"));
    let mut server = url::Url::parse(&http.server).map_err(|error| wrong(error.to_string()))?;
    let authorization = basic_auth(&server).map_err(|what| wrong(what.to_owned()))?;
    if server.set_username("").and_then(|()| server.set_password(None)).is_err() {
        return Err(wrong("it has no host".to_owned()));
    }
    let shown = server.to_string();
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| CliError::Http {
        server: shown.clone(),
        source,
    };
    let mut url = format!("{}{path}", server.as_str().trim_end_matches('/'));
    for (idx, (name, value)) in params.iter().enumerate() {
        let separator = if idx == 0 { '?' } else { '&' };
        write!(url, "{separator}{name}={}", escape(value)).expect("writing to a string");
    }
    let mut request = http::Request::get(url);
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
        let answer = client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((status, body))
    };
    let (status, body) = tokio::time::timeout(DEADLINE, exchange)
        .await
        .map_err(|elapsed| unreachable(Box::new(elapsed)))?
        .map_err(unreachable)?;
    let parsed: Result<Value, _> = serde_json::from_slice(&body);
    match parsed {
        Ok(value) if status.is_success() => Ok(value),
        Ok(value) => {
            let message = value["error"]
                .as_str()
                .or_else(|| value["message"].as_str())
                .map_or_else(|| value.to_string(), str::to_owned);
            Err(CliError::HttpAnswer { code: status.as_u16(), message })
        }
        Err(_) => Err(CliError::HttpAnswer {
            code: status.as_u16(),
            message: format!(
                "{status} on {path}: {}",
                String::from_utf8_lossy(&body[..body.len().min(300)]).trim()
            ),
        }),
    }
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
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unread(&error))? {
        let certificate = certificate.map_err(|error| unread(&error))?;
        roots.add(certificate).map_err(|error| unread(&error))?;
    }
    trusting(roots)
}

fn trusting(roots: rustls::RootCertStore) -> Result<rustls::ClientConfig, CliError> {
    Ok(client_builder()?.with_root_certificates(roots).with_no_client_auth())
}

fn client_builder()
-> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, CliError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
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
