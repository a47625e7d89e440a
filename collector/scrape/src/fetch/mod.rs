//! One GET: headers, redirects, decompression, and a body that never grows past its limit.

mod tls;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use swell_exposition::BodyFormat;
use url::Url;

use crate::config::{Auth, ScrapeConfig, Secret};
use crate::protocol::{self, ScrapeProtocol};

pub use tls::TlsError;

/// Bodies without a limit of their own end here: no exporter in reason says more, and memory is shared.
const BODY_BYTES_MAX: u64 = 256 << 20;
/// A chain of redirects longer than this is a loop.
const REDIRECTS_MAX: usize = 10;
/// Connections stay open between scrapes of any usual interval.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A target is asked one thing at a time.
const IDLE_PER_HOST_MAX: usize = 1;

const USER_AGENT: &str = concat!("Swell/", env!("CARGO_PKG_VERSION"));
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("read the secret file {}", path.display())]
    Secret {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the credentials hold characters that a header may not")]
    Header,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("ask the target")]
    Ask(#[source] hyper_util::client::legacy::Error),
    #[error("read the answer")]
    Body(#[source] hyper::Error),
    #[error("no complete answer within {0:?}")]
    Deadline(Duration),
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    #[error("a redirect to {0:?}, which is no http or https URL")]
    RedirectTo(String),
    #[error("the body exceeds the limit of {0} bytes")]
    TooLarge(u64),
    #[error("decompress the body")]
    Gzip(#[source] io::Error),
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

type PlainClient = Client<HttpConnector, Empty<Bytes>>;
type TlsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// Fetches for the targets of one job.
#[derive(Debug)]
pub(crate) struct Fetcher {
    config: ScrapeConfig,
    /// The formats that are asked for.
    accept: String,
    plain: PlainClient,
    /// Made when the first target asks for it: reading the system's authorities costs memory.
    tls: OnceLock<TlsClient>,
}

impl Fetcher {
    /// A fetcher without connections; what the job says of TLS is checked.
    pub(crate) fn new(config: ScrapeConfig) -> Result<Self, TlsError> {
        let plain = client(HttpConnector::new());
        let accept = protocol::accept(&config);
        let fetcher = Self { config, accept, plain, tls: OnceLock::new() };
        if fetcher.config.tls != crate::config::TlsOptions::default() {
            fetcher.tls()?;
        }
        Ok(fetcher)
    }

    pub(crate) fn config(&self) -> &ScrapeConfig {
        &self.config
    }

    fn tls(&self) -> Result<&TlsClient, TlsError> {
        if let Some(client) = self.tls.get() {
            return Ok(client);
        }
        let made = client(tls::connector(&self.config.tls)?);
        Ok(self.tls.get_or_init(|| made))
    }

    /// The page at `url`, within the deadline.
    pub(crate) async fn fetch(&self, url: &Url, timeout: Duration) -> Result<Page, FetchError> {
        tokio::time::timeout(timeout, self.fetch_unhurried(url, timeout))
            .await
            .unwrap_or(Err(FetchError::Deadline(timeout)))
    }

    async fn fetch_unhurried(&self, url: &Url, timeout: Duration) -> Result<Page, FetchError> {
        let mut url = url.clone();
        let mut authorization = self.authorization().await?;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.ask(&url, timeout, authorization.as_ref()).await?;
            let location = response.headers().get(header::LOCATION);
            let Some(location) = location
                .filter(|_| self.config.follow_redirects && response.status().is_redirection())
            else {
                return self.page(response).await;
            };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let next = url
                .join(&location)
                .ok()
                .filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host())
                .ok_or(FetchError::RedirectTo(location))?;
            // Credentials are for the host they were given for.
            if next.host() != url.host()
                || next.port_or_known_default() != url.port_or_known_default()
            {
                authorization = None;
            }
            url = next;
        }
        Err(FetchError::Redirects)
    }

    async fn ask(
        &self,
        url: &Url,
        timeout: Duration,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response<Incoming>, FetchError> {
        let encoding = if self.config.compression { "gzip" } else { "identity" };
        let mut request = Request::get(url.as_str())
            .header(header::ACCEPT, &self.accept)
            .header(header::ACCEPT_ENCODING, encoding)
            .header(header::USER_AGENT, USER_AGENT)
            .header(TIMEOUT_HEADER, timeout.as_secs_f64().to_string())
            .body(Empty::new())
            .map_err(|_| FetchError::RedirectTo(url.to_string()))?;
        if let Some(authorization) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let answer = if url.scheme() == "https" {
            self.tls()?.request(request).await
        } else {
            self.plain.request(request).await
        };
        answer.map_err(FetchError::Ask)
    }

    async fn page(&self, response: Response<Incoming>) -> Result<Page, FetchError> {
        let (parts, mut body) = response.into_parts();
        if parts.status != StatusCode::OK {
            return Err(FetchError::Status(parts.status));
        }
        let content_type = text_of(&parts.headers, header::CONTENT_TYPE);
        let limit = self.config.limits.body_bytes_max.filter(|limit| *limit > 0);
        let limit = limit.unwrap_or(BODY_BYTES_MAX);
        let mut sink = BodySink::new(&text_of(&parts.headers, header::CONTENT_ENCODING), limit)?;
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

    async fn authorization(&self) -> Result<Option<HeaderValue>, FetchError> {
        let text = match &self.config.auth {
            Auth::None => return Ok(None),
            Auth::Basic { username, password } => {
                let pair = format!("{}:{}", reveal(username).await?, reveal(password).await?);
                format!("Basic {}", STANDARD.encode(pair))
            }
            Auth::Header { scheme, credentials } => {
                format!("{scheme} {}", reveal(credentials).await?)
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| FetchError::Header)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

async fn reveal(secret: &Secret) -> Result<String, FetchError> {
    match secret {
        Secret::Text(text) => Ok(text.clone()),
        Secret::File(path) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(source) => Err(FetchError::Secret { path: path.clone(), source }),
        },
    }
}

fn client<C>(connector: C) -> Client<C, Empty<Bytes>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .pool_timer(TokioTimer::new())
        .build(connector)
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .unwrap_or_default()
}

/// Collects a body up to a limit.
enum BodySink {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl BodySink {
    fn new(encoding: &str, limit: u64) -> Result<Self, FetchError> {
        let bounded = Bounded { body: Vec::new(), limit };
        match encoding.trim() {
            "" | "identity" => Ok(Self::Plain(bounded)),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(bounded)))),
            other => Err(FetchError::Encoding(other.to_owned())),
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), FetchError> {
        match self {
            Self::Plain(bounded) => bounded.write_all(data).map_err(refusal),
            Self::Gzip(decoder) => decoder.write_all(data).map_err(refusal),
        }
    }

    fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Plain(bounded) => Ok(bounded.body),
            Self::Gzip(decoder) => decoder.finish().map(|it| it.body).map_err(refusal),
        }
    }
}

/// A vector that refuses to grow past its limit.
struct Bounded {
    body: Vec<u8>,
    limit: u64,
}

/// The refusal of [`Bounded`], on its way through the decompressor.
#[derive(Debug, thiserror::Error)]
#[error("the limit of {0} bytes is reached")]
struct LimitReached(u64);

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if (self.body.len() + data.len()) as u64 > self.limit {
            return Err(io::Error::other(LimitReached(self.limit)));
        }
        self.body.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refusal(error: io::Error) -> FetchError {
    let limit = error.get_ref().and_then(|inner| inner.downcast_ref::<LimitReached>());
    match limit {
        Some(LimitReached(limit)) => FetchError::TooLarge(*limit),
        None => FetchError::Gzip(error),
    }
}
