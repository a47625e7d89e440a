//! One GET: decompression, and a body that never grows past its limit.

mod unpack;

use std::io;
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use swell_exposition::BodyFormat;
use swell_http_client::{HttpClient, HttpRequest, RequestError, TlsError};

use crate::config::ScrapeConfig;
use crate::protocol::{self, ScrapeProtocol};
use crate::target::Target;
pub(crate) use unpack::BodySink;

/// Bodies without a limit of their own end here: no exporter in reason says more, and memory is shared.
const BODY_BYTES_MAX: u64 = 256 << 20;

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Ask(#[from] RequestError),
    #[error("read the answer")]
    Body(#[source] hyper::Error),
    #[error("no complete answer within {0:?}")]
    Deadline(Duration),
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("the body exceeds the limit of {0} bytes")]
    TooLarge(u64),
    #[error("decompress the body")]
    Unpack(#[source] io::Error),
    #[error("decompress the body: it ends inside a frame")]
    Cut,
    #[error("the body comes in an encoding that was not asked for: {0:?}")]
    Encoding(String),
    #[error(
        "Content-Type {0:?} is none of text/plain, application/openmetrics-text and application/vnd.google.protobuf: set fallback_scrape_protocol if the target cannot be mended"
    )]
    ContentType(String),
    #[error("the target has {count} siblings, more than the limit of {limit} targets")]
    TargetLimit { count: usize, limit: usize },
}

/// A body in a format that we read.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    pub(crate) format: BodyFormat,
}

/// Fetches for the targets of one job.
#[derive(Debug)]
pub(crate) struct Fetcher {
    config: ScrapeConfig,
    /// The formats that targets are asked for of which native histograms are not taken, and those that are.
    accept: [HeaderValue; 2],
    client: HttpClient,
}

impl Fetcher {
    /// A fetcher without connections; what the job says of TLS is checked.
    pub(crate) fn new(config: ScrapeConfig) -> Result<Self, TlsError> {
        let client = HttpClient::new(config.client.clone())?;
        let accept = [false, true].map(|native| {
            HeaderValue::try_from(protocol::accept(&config, native))
                .expect("media types and weights are plain text")
        });
        Ok(Self { config, accept, client })
    }

    pub(crate) fn config(&self) -> &ScrapeConfig {
        &self.config
    }

    /// The page of a target, within its deadline.
    pub(crate) async fn fetch(&self, target: &Target) -> Result<Page, FetchError> {
        let timeout = target.timeout.to_std();
        let exchange = async { self.page(self.ask(target, timeout).await?).await };
        let page = tokio::time::timeout(timeout, exchange).await;
        page.unwrap_or(Err(FetchError::Deadline(timeout)))
    }

    async fn ask(
        &self,
        target: &Target,
        timeout: Duration,
    ) -> Result<Response<Incoming>, FetchError> {
        let encoding = match (self.config.compression, self.config.zstd) {
            (false, _) => "identity",
            (true, false) => "gzip",
            // Of two that it likes as much, client_golang takes gzip.
            (true, true) => "zstd, gzip;q=0.9",
        };
        let [plain, native] = &self.accept;
        let accept = if target.histograms.native { native } else { plain };
        let seconds = HeaderValue::try_from(timeout.as_secs_f64().to_string());
        let request = HttpRequest::get(target.url.clone())
            .header(header::ACCEPT, accept.clone())
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static(encoding))
            .header(TIMEOUT_HEADER, seconds.expect("a number is plain text"));
        Ok(self.client.send(&request).await?)
    }

    async fn page(&self, response: Response<Incoming>) -> Result<Page, FetchError> {
        let (parts, mut body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(FetchError::Status(parts.status));
        }
        let content_type = text_of(&parts.headers, header::CONTENT_TYPE);
        let limit = self.config.limits.body_bytes_max.filter(|limit| *limit > 0);
        let limit = limit.unwrap_or(BODY_BYTES_MAX);
        let encoding = text_of(&parts.headers, header::CONTENT_ENCODING);
        let takes_zstd = self.config.compression && self.config.zstd;
        let mut sink = BodySink::new(&encoding, limit, takes_zstd)?;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(FetchError::Body)?.into_data() {
                sink.take(&data)?;
            }
        }
        let body = sink.finish()?;
        let fallback = self.config.fallback_protocol.map(ScrapeProtocol::format);
        let format = BodyFormat::from_content_type(&content_type)
            .or(fallback)
            .ok_or(FetchError::ContentType(content_type))?;
        Ok(Page { body, format })
    }
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}
