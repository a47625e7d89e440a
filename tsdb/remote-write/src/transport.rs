//! Requests over HTTP, and the little of an answer that counts.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response};
use swell_http_client::{HttpClient, HttpRequest, RequestError, read_body};
use swell_telemetry::chain;
use swell_wire::remote_write::Message;
use url::Url;

use crate::answer::Answer;
use crate::config::QueueConfig;

/// What is read of an answer, so that its connection can be used again.
const ANSWER_MAX_BYTES: u64 = 64 << 10;
/// What of it is shown.
const SHOWN_CHARS: usize = 256;

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-write-version");
const ATTEMPT: HeaderName = HeaderName::from_static("retry-attempt");
/// In the order of [`Answer::written`].
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// Sends the requests of one queue.
#[derive(Debug)]
pub(crate) struct Transport {
    client: HttpClient,
    url: Url,
    message: Message,
    timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) written: [Option<u64>; 3],
    /// The first line of its body.
    pub(crate) text: String,
}

impl Received {
    pub(crate) fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            retry_after: self.retry_after.as_deref(),
            written: self.written,
        }
    }
}

/// Why there is no answer; another try may have one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    /// It did not come in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Asking failed.
    #[error(transparent)]
    Request(#[from] RequestError),
}

impl Transport {
    pub(crate) fn new(client: HttpClient, config: &QueueConfig) -> Self {
        let (url, message, timeout) = (config.url.clone(), config.message, config.timeout);
        Self { client, url, message, timeout }
    }

    /// Sends a packed message; `attempt` is 0 for the first try.
    pub(crate) async fn send(&self, body: Bytes, attempt: u32) -> Result<Received, TransportError> {
        let request = HttpRequest {
            method: Method::POST,
            url: self.url.clone(),
            headers: self.headers(attempt),
            body,
        };
        let response = tokio::time::timeout(self.timeout, self.client.send(&request)).await;
        let response = response.map_err(|_| TransportError::Timeout(self.timeout))??;
        let received = received(&response);
        // An answer that breaks off, or never ends, is one all the same.
        let body = read_body(response, ANSWER_MAX_BYTES);
        let text = match tokio::time::timeout(self.timeout, body).await {
            Ok(Ok(body)) => first_line(&body),
            Ok(Err(error)) => chain(&error),
            Err(_) => format!("its text did not come within {:?}", self.timeout),
        };
        Ok(Received { text, ..received })
    }

    fn headers(&self, attempt: u32) -> HeaderMap {
        let (content_type, version) = match self.message {
            Message::V1 => ("application/x-protobuf", "0.1.0"),
            Message::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let mut headers = HeaderMap::from_iter([
            (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (VERSION, HeaderValue::from_static(version)),
        ]);
        if attempt > 0 {
            headers.insert(ATTEMPT, HeaderValue::from(attempt));
        }
        headers
    }
}

fn received<B>(response: &Response<B>) -> Received {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    Received {
        status: response.status().as_u16(),
        retry_after: text(header::RETRY_AFTER.as_str()).map(str::to_owned),
        written: WRITTEN.map(|name| text(name).and_then(|value| value.trim().parse().ok())),
        text: String::new(),
    }
}

fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.lines().next().unwrap_or_default().chars().take(SHOWN_CHARS).collect()
}
