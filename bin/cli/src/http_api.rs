//! GET requests to the HTTP API.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
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
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| CliError::Http {
        server: http.server.clone(),
        source,
    };
    let mut url = format!("{}{path}", http.server.trim_end_matches('/'));
    for (idx, (name, value)) in params.iter().enumerate() {
        let separator = if idx == 0 { '?' } else { '&' };
        write!(url, "{separator}{name}={}", escape(value)).expect("writing to a string");
    }
    let uri: http::Uri = url
        .parse()
        .map_err(|error| CliError::Usage(format!("--server {:?}: {error}", http.server)))?;
    let exchange = async {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
        let answer = client.get(uri).await?;
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
