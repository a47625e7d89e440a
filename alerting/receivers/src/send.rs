//! The thin part: a POST with a deadline.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use swell_route::HttpConfig;

use crate::answer::Answer;
use crate::request::Request;
use crate::secrets::Secrets;

/// Of an answer so much is read: services say what is wrong in less.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Idle connections are few and short-lived: notifications are rare.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_PER_HOST_MAX: usize = 2;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The request cannot be made: the URL or a header is not valid.
    #[error("the request cannot be made: {what}")]
    Request {
        /// What is wrong, without secrets.
        what: &'static str,
    },
    /// No TLS client could be set up.
    #[error("the certificates of this system cannot be read")]
    Tls(#[source] std::io::Error),
    /// Connecting or talking failed.
    #[error("no answer: {why}")]
    Transport {
        /// Why, without secrets.
        why: String,
    },
    /// The deadline passed.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
}

/// Sends requests; one for the process. The client is made on first use: most servers never send.
#[derive(Debug, Default)]
pub struct Sender {
    client: OnceLock<HttpClient>,
}

impl Sender {
    /// A sender without connections.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn client(&self) -> Result<&HttpClient, SendError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let provider = rustls::crypto::ring::default_provider();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(SendError::Tls)?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Ok(self.client.get_or_init(|| client))
    }

    /// Posts a request and reads the answer.
    ///
    /// # Errors
    /// [`SendError`] when there is no answer within `deadline`.
    pub async fn post(
        &self,
        request: &Request,
        http: &HttpConfig,
        secrets: &Secrets,
        deadline: Duration,
    ) -> Result<Answer, SendError> {
        let request = build(request, http, secrets)?;
        let client = self.client()?;
        let exchange = async {
            let response =
                client.request(request).await.map_err(|error| transport(&error, secrets))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                SendError::Transport {
                    why: secrets.redact(&swell_telemetry::chain(error.as_ref())),
                }
            })?;
            Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(SendError::Deadline(deadline)))
    }
}

fn transport(error: &hyper_util::client::legacy::Error, secrets: &Secrets) -> SendError {
    SendError::Transport { why: secrets.redact(&swell_telemetry::chain(error)) }
}

fn build(
    request: &Request,
    http: &HttpConfig,
    secrets: &Secrets,
) -> Result<http::Request<Full<Bytes>>, SendError> {
    let uri: http::Uri = request
        .url
        .expose()
        .parse()
        .map_err(|_| SendError::Request { what: "the URL is not valid" })?;
    let mut builder = http::Request::post(uri)
        .header(header::CONTENT_TYPE, request.content_type)
        .header(header::USER_AGENT, concat!("Swell/", env!("CARGO_PKG_VERSION")));
    if let Some(authorization) = &secrets.authorization {
        builder = builder.header(header::AUTHORIZATION, authorization.expose());
    }
    for (name, value) in &http.headers {
        builder = builder.header(name.as_str(), value.expose());
    }
    builder.body(Full::new(request.body.clone())).map_err(|_| SendError::Request {
        what: "the URL has no host, or a header of http_config is not valid",
    })
}
