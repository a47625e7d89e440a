//! A local target whose answers can be changed, and a scraper that scrapes it.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use swell_discovery::TargetGroup;
use swell_env::SystemClock;
use swell_http::{HttpMetrics, Server, bind};
use swell_model::DurationMs;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::memory::Memory;
use crate::{ScrapeConfig, ScrapeError, ScrapeHandle, Scraper, TargetState};

/// Text 0.0.4.
pub(super) const TEXT: &str = "text/plain; version=0.0.4";
/// Requests that are kept for inspection.
const REQUESTS_KEPT: usize = 16;
/// A condition that does not hold after so long will not.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the target answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// 200 with this content type and body.
    Body(&'static str, String),
    /// The same in text format, compressed.
    Gzip(String),
    /// The same, compressed by zstd, and cut to this part of its length.
    Zstd(String, f64),
    /// 200 with this body, said to be gzip.
    FalseGzip(String),
    /// This status.
    Status(StatusCode),
    /// A redirect to this address.
    Redirect(String),
    /// Nothing, ever.
    Silence,
}

/// A local HTTP server.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    state: Arc<TargetServer>,
}

#[derive(Debug)]
struct TargetServer {
    answer: Mutex<Answer>,
    requests: Mutex<VecDeque<(Uri, HeaderMap)>>,
}

impl Target {
    pub(super) async fn start(answer: Answer) -> Self {
        Self::start_with(answer, None).await
    }

    pub(super) async fn start_with(answer: Answer, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let state = Arc::new(TargetServer {
            answer: Mutex::new(answer),
            requests: Mutex::new(VecDeque::new()),
        });
        let listener = bind(([127, 0, 0, 1], 0).into(), "--target").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let router = Router::new().fallback(serve).with_state(Arc::clone(&state));
        let metrics = HttpMetrics::register(&prometheus::Registry::new()).expect("a new registry");
        let mut server = Server::new("target", listener, router, &metrics);
        if let Some(tls) = tls {
            server = server.tls(tls);
        }
        tokio::spawn(server.run(CancellationToken::new()));
        Self { addr, state }
    }

    pub(super) async fn text(body: &str) -> Self {
        Self::start(Answer::Body(TEXT, body.to_owned())).await
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.state.answer.lock() = answer;
    }

    pub(super) fn says(&self, body: &str) {
        self.answers(Answer::Body(TEXT, body.to_owned()));
    }

    /// Address and headers of the newest request.
    pub(super) fn request(&self) -> (String, HeaderMap) {
        let requests = self.state.requests.lock();
        let (uri, headers) = requests.back().expect("a request came");
        (uri.to_string(), headers.clone())
    }

    pub(super) fn asked(&self) -> bool {
        !self.state.requests.lock().is_empty()
    }
}

async fn serve(State(server): State<Arc<TargetServer>>, request: Request) -> Response {
    {
        let mut requests = server.requests.lock();
        requests.push_back((request.uri().clone(), request.headers().clone()));
        if requests.len() > REQUESTS_KEPT {
            requests.pop_front();
        }
    }
    let answer = server.answer.lock().clone();
    let response = Response::builder();
    let typed =
        |content_type: &'static str| Response::builder().header(header::CONTENT_TYPE, content_type);
    let response = match answer {
        Answer::Body("", body) => response.body(Body::from(body)),
        Answer::Body(content_type, body) => typed(content_type).body(Body::from(body)),
        Answer::Gzip(body) => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(body.as_bytes()).expect("memory takes all");
            let packed = encoder.finish().expect("memory takes all");
            typed(TEXT).header(header::CONTENT_ENCODING, "gzip").body(Body::from(packed))
        }
        Answer::Zstd(body, part) => {
            let mut packed = zstd::stream::encode_all(body.as_bytes(), 1).expect("memory");
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "a part of a short body"
            )]
            packed.truncate((packed.len() as f64 * part) as usize);
            typed(TEXT).header(header::CONTENT_ENCODING, "zstd").body(Body::from(packed))
        }
        Answer::FalseGzip(body) => {
            typed(TEXT).header(header::CONTENT_ENCODING, "gzip").body(Body::from(body))
        }
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::Redirect(to) => {
            response.status(StatusCode::FOUND).header(header::LOCATION, to).body(Body::empty())
        }
        Answer::Silence => std::future::pending().await,
    };
    response.expect("a valid answer")
}

/// A running scraper.
pub(super) struct Lab {
    pub(super) memory: Arc<Memory>,
    pub(super) handle: ScrapeHandle,
    pub(super) registry: prometheus::Registry,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// A job that scrapes these addresses each 50 ms.
pub(super) fn job(targets: &[&Target]) -> ScrapeConfig {
    let mut config = ScrapeConfig::new("j", DurationMs(50), DurationMs(50));
    config.static_groups = vec![TargetGroup {
        targets: targets.iter().map(|target| target.addr.to_string()).collect(),
        labels: [("instance".to_owned(), "i".to_owned())].into(),
    }];
    config
}

impl Lab {
    pub(super) fn start(configs: Vec<ScrapeConfig>) -> Self {
        Self::try_start(configs).expect("a good configuration")
    }

    pub(super) fn try_start(configs: Vec<ScrapeConfig>) -> Result<Self, ScrapeError> {
        let memory = Arc::new(Memory::default());
        let registry = prometheus::Registry::new();
        let clock = Arc::new(SystemClock::new());
        let scraper = Scraper::new(configs, memory.clone(), clock, &registry, None)?;
        let handle = scraper.handle();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(scraper.run(shutdown.clone()));
        Ok(Self { memory, handle, registry, shutdown, task })
    }

    /// Waits until `holds`, or fails with what is known.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let wait = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let names = self.memory.names();
            panic!("{what} did not come: {:?}, series {names:?}", self.handle.targets());
        }
    }

    /// Waits for the newest value of a series of the target.
    pub(super) async fn until_last(&self, name: &str, value: &str) {
        let labels = format!(r#"{name}{{instance="i", job="j"}}"#);
        self.until(&format!("{name} {value}"), |lab| {
            lab.memory.last(&labels).as_deref() == Some(value)
        })
        .await;
    }

    /// Waits for a target that is down with this text in its error.
    pub(super) async fn until_error(&self, part: &str) {
        self.until(part, |lab| {
            lab.handle.targets().iter().any(|target| target.last_error.contains(part))
        })
        .await;
        self.until_last("up", "0").await;
    }

    pub(super) fn target(&self) -> TargetState {
        self.handle.targets().first().expect("a target").clone()
    }

    /// Ends the scraper; it must end soon.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("no panic");
    }
}
