//! One server: its requests and its answers.

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use snap::raw::{Decoder, Encoder, decompress_len};
use swell_http_client::{HttpClient, HttpRequest, RequestError, TlsError, read_body, without_user};
use swell_model::SeriesData;
use swell_wire::remote_read::{FrameError, request_message, take_frame};

use crate::collect::{AnswerError, Collector};
use crate::config::RemoteReadConfig;
use crate::plan::Ask;

/// Packed bytes of a message of samples, which is held as a whole.
const PACKED_BYTES_MAX: u64 = 256 << 20;
/// The same unpacked.
const MESSAGE_BYTES_MAX: usize = 512 << 20;
/// What is read of the text of an error.
const TEXT_BYTES_MAX: u64 = 64 << 10;
/// What of it is shown.
const SHOWN_CHARS: usize = 256;
/// Requests to a server that may go at a time over connections that stay open.
const CONNECTIONS: usize = 8;

const VERSION: HeaderName = HeaderName::from_static("x-prometheus-remote-read-version");
const SAMPLES: &str = "application/x-protobuf";
const FRAMES: &str = "application/x-streamed-protobuf";

/// Why a server added nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("no whole answer within {0:?}")]
    Timeout(std::time::Duration),
    #[error("the answer is {status}: {text}")]
    Status { status: u16, text: String },
    #[error("the answer has the content type {0:?}, which is none of {SAMPLES} and {FRAMES}")]
    ContentType(String),
    #[error("the answer is no snappy block")]
    Packing(#[from] snap::Error),
    #[error("the answer unpacks to {0} bytes, at most {MESSAGE_BYTES_MAX} are read")]
    TooLarge(usize),
    #[error("read the answer")]
    Body(#[source] hyper::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the answer ends inside a frame")]
    Cut,
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error("nobody waits for the answer any more")]
    Unwanted,
}

impl ExchangeError {
    /// As metrics have it: a status, or what happened instead.
    pub(crate) fn code(&self) -> String {
        match self {
            Self::Status { status, .. } => status.to_string(),
            Self::Timeout(_) => "timeout".to_owned(),
            Self::Request(_) | Self::Body(_) => "unreachable".to_owned(),
            Self::Unwanted => "cancelled".to_owned(),
            _ => "unreadable".to_owned(),
        }
    }
}

/// A server, ready to be asked.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) config: RemoteReadConfig,
    client: HttpClient,
}

impl Remote {
    pub(crate) fn new(config: RemoteReadConfig) -> Result<Self, TlsError> {
        let client = HttpClient::for_many(config.client.clone(), CONNECTIONS)?;
        Ok(Self { config, client })
    }

    /// The URL as it may be shown.
    pub(crate) fn shown_url(&self) -> String {
        let mut url = without_user(&self.config.url);
        // A key may stand there.
        url.set_query(None);
        url.to_string()
    }

    /// The series that the server has, within its timeout and this number of samples.
    pub(crate) async fn read(
        &self,
        ask: &Ask,
        samples_max: usize,
    ) -> Result<Vec<SeriesData>, ExchangeError> {
        let timeout = self.config.timeout;
        let answer = tokio::time::timeout(timeout, self.exchange(ask, samples_max)).await;
        let collector = answer.map_err(|_| ExchangeError::Timeout(timeout))??;
        Ok(collector.finish(ask.range, &ask.added, ask.labels_only))
    }

    async fn exchange(&self, ask: &Ask, samples_max: usize) -> Result<Collector, ExchangeError> {
        let message = request_message(ask.range, &ask.matchers, ask.labels_only);
        let request = HttpRequest {
            method: Method::POST,
            url: self.config.url.clone(),
            headers: headers(),
            body: Bytes::from(Encoder::new().compress_vec(&message)?),
        };
        let response = self.client.send(&request).await?;
        let status = response.status();
        if !status.is_success() {
            let text = match read_body(response, TEXT_BYTES_MAX).await {
                Ok(body) => first_line(&body),
                Err(error) => swell_telemetry::chain(&error),
            };
            return Err(ExchangeError::Status { status: status.as_u16(), text });
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let content_type = content_type
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default();
        let mut collector = Collector::new(samples_max);
        match content_type.split(';').next().unwrap_or_default().trim() {
            SAMPLES => {
                let packed = read_body(response, PACKED_BYTES_MAX).await?;
                collector.add_samples(&unpacked(&packed)?)?;
            }
            FRAMES => self.frames(response, &mut collector).await?,
            _ => return Err(ExchangeError::ContentType(content_type)),
        }
        Ok(collector)
    }

    /// Takes frames as they come: of each no more than its bytes are held.
    async fn frames(
        &self,
        response: Response<Incoming>,
        collector: &mut Collector,
    ) -> Result<(), ExchangeError> {
        let mut body = response.into_body();
        let mut held = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(ExchangeError::Body)?.into_data() else { continue };
            held.extend_from_slice(&data);
            while let Some((message, len)) = take_frame(&held, self.config.frame_bytes_max)? {
                collector.add_frame(message)?;
                held.advance(len);
            }
        }
        if held.is_empty() { Ok(()) } else { Err(ExchangeError::Cut) }
    }
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("snappy")),
        (header::CONTENT_TYPE, HeaderValue::from_static(SAMPLES)),
        (VERSION, HeaderValue::from_static("0.1.0")),
    ])
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, ExchangeError> {
    /// Three bytes stand for 64 at most, and the first few say how many there are.
    const EXPANSION_MAX: usize = 64 / 3 + 1;
    let len = decompress_len(packed)?;
    if len > MESSAGE_BYTES_MAX || len > (packed.len() + 3) * EXPANSION_MAX {
        return Err(ExchangeError::TooLarge(len));
    }
    Ok(Decoder::new().decompress_vec(packed)?)
}

fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default().trim();
    line.chars().take(SHOWN_CHARS).collect()
}
