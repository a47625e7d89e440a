//! The agent's side: a spool, and a task that keeps a connection to the server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use prometheus::Registry;
use swell_model::PassDelta;
use swell_telemetry::chain;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tracing::{info, warn};

use crate::config::ClientConfig;
use crate::link::{DeltaSink, LinkState, ServerInfo};
use crate::metrics::ClientMetrics;
use crate::spool::Spool;
use crate::wire::{
    AgentKind, AgentMessage, CONNECT_PATH, Hello, MESSAGE_BYTES_MAX, ServerKind, ServerMessage,
    Welcome,
};

/// Messages handed to the connection and not written yet; the spool holds the rest.
const OUTBOUND_MAX: usize = 4;

/// Longer than any healthy network takes.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A server that stores nothing for so long is left, in the hope that the next connection fares better.
const ACKNOWLEDGE_DEADLINE: Duration = Duration::from_secs(30);

/// Finds out that the server's machine is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Waits between attempts, doubled from the first to the last. A wrong token waits for the last.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// How long the last batches get to be acknowledged at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Spools ticks and streams them to a server. Clones share the spool.
#[derive(Clone)]
pub struct StreamClient {
    shared: Arc<Shared>,
}

struct Shared {
    config: ClientConfig,
    endpoint: Endpoint,
    authorization: MetadataValue<Ascii>,
    metrics: ClientMetrics,
    /// Held for single operations, never across an await.
    spool: Mutex<Spool>,
    /// A batch was pushed.
    pushed: Notify,
    state: watch::Sender<LinkState>,
}

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildClientError {
    /// The server's address is not `host:port`.
    #[error("{server:?} is not an address of the form host:port")]
    Address {
        /// What was given.
        server: String,
    },
    /// The authority's certificate does not work.
    #[error("set up TLS to {server}")]
    Tls {
        /// The server.
        server: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// The token holds characters that cannot be sent.
    #[error("the token holds characters other than visible ASCII")]
    Token,
    /// Its metrics are registered already.
    #[error("register the metrics of the agent stream")]
    Metrics(#[from] prometheus::Error),
}

impl StreamClient {
    /// A client that has not connected yet; [`StreamClient::run`] does.
    ///
    /// # Errors
    /// [`BuildClientError`].
    pub fn new(config: ClientConfig, registry: &Registry) -> Result<Self, BuildClientError> {
        let server = &config.server;
        let address = || BuildClientError::Address { server: server.clone() };
        let has_port = server.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if !has_port || server.contains('/') {
            return Err(address());
        }
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&config.ca_pem));
        if let Some(name) = &config.server_name {
            tls = tls.domain_name(name);
        }
        let endpoint = Endpoint::from_shared(format!("https://{server}"))
            .map_err(|_| address())?
            .tls_config(tls)
            .map_err(|source| BuildClientError::Tls { server: server.clone(), source })?
            .connect_timeout(CONNECT_DEADLINE)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let authorization =
            format!("Bearer {}", config.token).parse().map_err(|_| BuildClientError::Token)?;
        let shared = Shared {
            spool: Mutex::new(Spool::new(config.spool_bytes_max)),
            config,
            endpoint,
            authorization,
            metrics: ClientMetrics::register(registry)?,
            pushed: Notify::new(),
            state: watch::Sender::new(LinkState::default()),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How the link stands, and each change of it.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.subscribe()
    }

    /// Keeps a connection until `shutdown`; then sends what waits, for a short while.
    pub async fn run(self, shutdown: CancellationToken) {
        let shared = &self.shared;
        let mut back_off = BACK_OFF_MIN;
        loop {
            let ended = tokio::select! {
                ended = shared.connection(&shutdown) => ended,
                () = drained(&shutdown) => return,
            };
            match ended {
                Ended::Drained => return,
                Ended::Lost { reason, was_welcomed } => {
                    if was_welcomed {
                        back_off = BACK_OFF_MIN;
                    }
                    shared.told(LinkState::Lost { reason });
                }
                Ended::Refused { reason } => {
                    back_off = BACK_OFF_MAX;
                    shared.told(LinkState::Refused { reason });
                }
            }
            if shutdown.is_cancelled() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(shared.jittered(back_off)) => {}
                () = shutdown.cancelled() => {}
            }
            back_off = (back_off * 2).min(BACK_OFF_MAX);
        }
    }
}

/// The end of the time to drain.
async fn drained(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN_DEADLINE).await;
}

impl DeltaSink for StreamClient {
    fn offer(&self, delta: PassDelta) {
        let shared = &self.shared;
        let (dropped, len) = {
            let mut spool = shared.spool.lock();
            (spool.push(delta), spool.len())
        };
        shared.metrics.dropped_batches.inc_by(dropped.batches);
        shared.metrics.dropped_samples.inc_by(dropped.samples);
        shared.metrics.spooled_batches.set(i64::try_from(len).unwrap_or(i64::MAX));
        shared.pushed.notify_one();
    }
}

impl fmt::Debug for StreamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamClient").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// How a connection ended.
enum Ended {
    /// Shut down, with nothing left to send.
    Drained,
    Lost {
        reason: String,
        was_welcomed: bool,
    },
    Refused {
        reason: String,
    },
}

impl Ended {
    fn of(status: &Status, was_welcomed: bool) -> Self {
        let reason = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => Self::Refused { reason },
            _ => Self::Lost { reason, was_welcomed },
        }
    }
}

impl Shared {
    /// Publishes a state; what changed is logged once.
    fn told(&self, state: LinkState) {
        self.state.send_if_modified(|current| {
            let is_news = *current != state;
            if is_news {
                match &state {
                    LinkState::Connecting => {}
                    LinkState::Connected(_) => info!(server = self.config.server, "connected"),
                    LinkState::Lost { reason } => {
                        warn!(server = self.config.server, reason, "not connected to the server");
                    }
                    LinkState::Refused { reason } => {
                        warn!(server = self.config.server, reason, "turned away by the server");
                    }
                }
                *current = state;
            }
            is_news
        });
    }

    /// Between 3/4 and all of a wait, by session: agents that lost a server together come back apart.
    fn jittered(&self, wait: Duration) -> Duration {
        let share = u32::from(self.config.session.0[0]);
        wait - wait / 4 * share / 255
    }

    /// One connection, from the first packet to its end.
    async fn connection(&self, shutdown: &CancellationToken) -> Ended {
        let channel = match self.endpoint.connect().await {
            Ok(channel) => channel,
            Err(error) => return Ended::Lost { reason: chain(&error), was_welcomed: false },
        };
        let (outbound, messages) = mpsc::channel(OUTBOUND_MAX);
        let hello = Hello {
            node: self.config.node.clone(),
            session: self.config.session.0.to_vec(),
            version: swell_telemetry::VERSION.to_owned(),
        };
        if outbound.send(AgentKind::Hello(hello).into()).await.is_err() {
            unreachable!("the receiver is held in this function");
        }
        let opened = self.open(channel, messages);
        let opened = match tokio::time::timeout(CONNECT_DEADLINE, opened).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(status)) => return Ended::of(&status, false),
            Err(_elapsed) => {
                let reason = "the server did not welcome the agent in time".to_owned();
                return Ended::Lost { reason, was_welcomed: false };
            }
        };
        let (mut answers, welcome) = opened;
        self.metrics.connections.inc();
        let announcements =
            self.spool.lock().welcome(welcome.acknowledged_sequence, welcome.knows_series);
        self.told(LinkState::Connected(ServerInfo {
            kubernetes_api_url: welcome.kubernetes_api_url,
            version: welcome.version,
        }));
        for announce in announcements {
            if outbound.send(AgentKind::Announce(announce).into()).await.is_err() {
                break;
            }
        }
        self.exchange(&outbound, &mut answers, shutdown).await
    }

    /// Opens the call and waits for the welcome.
    async fn open(
        &self,
        channel: Channel,
        messages: mpsc::Receiver<AgentMessage>,
    ) -> Result<(Streaming<ServerMessage>, Welcome), Status> {
        let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        grpc.ready().await.map_err(|error| Status::unavailable(chain(&error)))?;
        let mut request = Request::new(ReceiverStream::new(messages));
        request.metadata_mut().insert("authorization", self.authorization.clone());
        let codec = ProstCodec::<AgentMessage, ServerMessage>::default();
        let path = PathAndQuery::from_static(CONNECT_PATH);
        let mut answers = grpc.streaming(request, path, codec).await?.into_inner();
        match answers.message().await?.and_then(|message| message.kind) {
            Some(ServerKind::Welcome(welcome)) => Ok((answers, welcome)),
            _ => Err(Status::internal("the server did not answer hello with a welcome")),
        }
    }

    /// Sends batches and takes acknowledgements until the connection ends.
    async fn exchange(
        &self,
        outbound: &mpsc::Sender<AgentMessage>,
        answers: &mut Streaming<ServerMessage>,
        shutdown: &CancellationToken,
    ) -> Ended {
        let lost = |reason: &str| Ended::Lost { reason: reason.to_owned(), was_welcomed: true };
        let mut next: Option<AgentMessage> = None;
        let mut progress_at = Instant::now();
        loop {
            let (is_empty, is_in_flight) = {
                let mut spool = self.spool.lock();
                if next.is_none() {
                    let waiting = spool.next_to_send().map(|waiting| waiting.to_wire());
                    next = waiting.map(|batch| AgentKind::Batch(batch).into());
                }
                (spool.is_empty(), spool.is_in_flight())
            };
            if shutdown.is_cancelled() && is_empty {
                return Ended::Drained;
            }
            let room: OptionFuture<_> = next.as_ref().map(|_| outbound.reserve()).into();
            if !is_in_flight {
                progress_at = Instant::now();
            }
            let patience = tokio::time::sleep_until(progress_at + ACKNOWLEDGE_DEADLINE);
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(ServerMessage { kind: Some(ServerKind::Acknowledge(acknowledge)) })) => {
                        self.acknowledged(&acknowledge);
                        progress_at = Instant::now();
                    }
                    Ok(Some(_)) => return lost("the server answered out of turn"),
                    Ok(None) => return lost("the server closed the connection"),
                    Err(status) => return Ended::of(&status, true),
                },
                Some(permit) = room => match permit {
                    Ok(permit) => {
                        if let Some(message) = next.take() {
                            permit.send(message);
                        }
                    }
                    Err(_closed) => return lost("the connection was lost"),
                },
                () = patience, if is_in_flight => return lost("the server acknowledged nothing for too long"),
                () = self.pushed.notified(), if next.is_none() => {}
                () = shutdown.cancelled(), if !shutdown.is_cancelled() => {}
            }
        }
    }

    fn acknowledged(&self, acknowledge: &crate::wire::Acknowledge) {
        let (before, after) = {
            let mut spool = self.spool.lock();
            let before = spool.len();
            spool.acknowledge(acknowledge.sequence);
            (before, spool.len())
        };
        self.metrics.acknowledged_batches.inc_by((before - after) as u64);
        self.metrics.spooled_batches.set(i64::try_from(after).unwrap_or(i64::MAX));
        self.metrics.refused_samples.inc_by(acknowledge.refused_samples);
        if !acknowledge.refusal.is_empty() {
            warn!(refusal = acknowledge.refusal, "the server refused series");
        }
    }
}
