//! The server's side: agents in, samples to the storage.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::Registry;
use swell_env::{Clock, Throttle};
use swell_model::{SampleSink, TimestampMs};
use swell_telemetry::chain;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use crate::admission::{Visit, admit};
use crate::config::{ServerConfig, ServerTls, SessionId};
use crate::metrics::ServerMetrics;
use crate::service::{AgentStreamService, Handler, Outbound};
use crate::session::{Applied, ApplyError, Session};
use crate::wire::{
    Acknowledge, AgentKind, AgentMessage, Batch, Hello, ServerKind, ServerMessage, Welcome,
};

/// Acknowledgements on their way to one agent; it sends no more batches than that ahead.
const OUTBOUND_MAX: usize = 16;

/// An agent says hello at once; who does not is something else.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);

/// Finds out that an agent's machine is gone.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A TLS handshake of an honest client takes milliseconds.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// Sessions remembered, twice the nodes we promise; beyond it those unseen for longest are forgotten.
const SESSIONS_MAX: usize = 10_000;

/// An agent has one call at a time; the next one may begin before the last is forgotten.
const CALLS_PER_CONNECTION_MAX: u32 = 4;

/// Headers of a call: a path and a token.
const HEADER_BYTES_MAX: u32 = 16 * 1024;

/// How long open calls get to end at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(2);
/// Wrong tokens are logged at most this often; all are counted.
const WRONG_TOKEN_LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Takes the streams of agents. Clones share the sessions.
#[derive(Clone)]
pub struct AgentStreamServer {
    shared: Arc<Shared>,
}

struct Shared {
    config: ServerConfig,
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
    metrics: ServerMetrics,
    /// Anybody can show one as often as they like.
    wrong_tokens: Throttle,
    /// Lock order: this one, then a session's; neither is held across an await.
    sessions: Mutex<HashMap<SessionId, Agent>>,
    calls: TaskTracker,
    shutdown: CancellationToken,
}

struct Agent {
    node: String,
    seen_at: TimestampMs,
    open_calls: usize,
    session: Arc<Mutex<Session>>,
}

/// What is known of one agent, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentStatus {
    /// Name of its node.
    pub node: String,
    /// When it last said something.
    pub seen_at: TimestampMs,
    /// Whether it has an open call.
    pub is_connected: bool,
    /// Batches stored of this run of the agent, those it dropped included.
    pub acknowledged_sequence: u64,
}

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildServerError {
    /// An empty token would let everybody in.
    #[error("the agents' token is empty")]
    EmptyToken,
    /// Its metrics are registered already.
    #[error("register the metrics of the agent stream")]
    Metrics(#[from] prometheus::Error),
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificate and key do not work.
    #[error("set up TLS for the agent stream")]
    Tls(#[source] tonic::transport::Error),
    /// The listener failed.
    #[error("serve the agent stream")]
    Serve(#[source] tonic::transport::Error),
    /// The listener has no address.
    #[error("read the address of the agent stream")]
    Address(#[source] io::Error),
}

impl AgentStreamServer {
    /// A server that knows no session yet.
    ///
    /// # Errors
    /// [`BuildServerError`].
    pub fn new(
        config: ServerConfig,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, BuildServerError> {
        if config.token.is_empty() {
            return Err(BuildServerError::EmptyToken);
        }
        let shared = Shared {
            config,
            sink,
            clock,
            metrics: ServerMetrics::register(registry)?,
            wrong_tokens: Throttle::new(WRONG_TOKEN_LOG_INTERVAL),
            sessions: Mutex::default(),
            calls: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Serves agents until `shutdown`; then ends their calls, so that they go elsewhere or come back.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: ServerTls,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let address = listener.local_addr().map_err(ServeError::Address)?;
        let identity = Identity::from_pem(tls.certificate_pem, tls.key_pem);
        let tls = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_DEADLINE);
        let calls_end = self.shared.shutdown.clone();
        let stop = async move {
            shutdown.cancelled().await;
            calls_end.cancel();
        };
        info!(%address, "agent stream is served");
        let served = Server::builder()
            .tls_config(tls)
            .map_err(ServeError::Tls)?
            .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
            .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .add_service(AgentStreamService::new(Arc::clone(&self.shared)))
            .serve_with_incoming_shutdown(
                admit(listener, self.shared.metrics.refused_connections.clone()),
                stop,
            );
        let mut served = std::pin::pin!(served);
        let outcome = tokio::select! {
            outcome = &mut served => outcome,
            () = self.shared.shutdown.cancelled() => {
                // an agent that does not take its goodbye is left behind
                match tokio::time::timeout(DRAIN_DEADLINE, served).await {
                    Ok(outcome) => outcome,
                    Err(_elapsed) => Ok(()),
                }
            }
        };
        self.shared.calls.close();
        if tokio::time::timeout(DRAIN_DEADLINE, self.shared.calls.wait()).await.is_err() {
            warn!("calls of agents were still open at the end of the drain");
        }
        outcome.map_err(ServeError::Serve)
    }

    /// The agents known, by the name of their node.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentStatus> {
        let mut agents: Vec<AgentStatus> = self
            .shared
            .sessions
            .lock()
            .values()
            .map(|agent| AgentStatus {
                node: agent.node.clone(),
                seen_at: agent.seen_at,
                is_connected: agent.open_calls > 0,
                acknowledged_sequence: agent.session.lock().acknowledged(),
            })
            .collect();
        agents.sort_by(|a, b| (&a.node, a.seen_at).cmp(&(&b.node, b.seen_at)));
        agents
    }
}

impl fmt::Debug for AgentStreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentStreamServer")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}

impl Handler for Shared {
    fn connect(
        self: Arc<Self>,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Outbound>, Status> {
        let visit = request.extensions().get::<Visit>();
        let header = request.metadata().get("authorization").map(|value| value.as_bytes());
        let token = header.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
        if !is_same_secret(token, self.config.token.as_bytes()) {
            self.metrics.rejected_calls.inc();
            let peer = visit.and_then(|visit| visit.peer);
            if let Some(unsaid_count) = self.wrong_tokens.pass(self.clock.monotonic()) {
                warn!(?peer, unsaid_count, "an agent showed a wrong token");
            }
            return Err(Status::unauthenticated("the token is not the agents' token"));
        }
        if let Some(visit) = visit {
            visit.welcome();
        }
        let (answers, outbound) = mpsc::channel(OUTBOUND_MAX);
        let shared = Arc::clone(&self);
        self.calls.spawn(async move {
            let call = shared.call(request.into_inner(), &answers);
            let outcome = tokio::select! {
                outcome = call => outcome,
                () = shared.shutdown.cancelled() => {
                    Err(Status::unavailable("the server is shutting down"))
                }
            };
            if let Err(status) = outcome {
                debug!(%status, "a call of an agent ended");
                if answers.send(Err(status)).await.is_err() {
                    debug!("the agent was gone before it could be told");
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(outbound)))
    }
}

/// Compares without telling by the time it takes how much was right.
fn is_same_secret(shown: &[u8], expected: &[u8]) -> bool {
    let differences = shown.iter().zip(expected).fold(0, |sum, (a, b)| sum | (a ^ b));
    shown.len() == expected.len() && differences == 0
}

impl Shared {
    async fn call(
        self: &Arc<Self>,
        mut messages: Streaming<AgentMessage>,
        answers: &mpsc::Sender<Result<ServerMessage, Status>>,
    ) -> Result<(), Status> {
        let first = tokio::time::timeout(HELLO_DEADLINE, messages.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("no hello came"))??;
        let Some(AgentKind::Hello(hello)) = first.and_then(|message| message.kind) else {
            self.metrics.rejected_calls.inc();
            return Err(Status::invalid_argument("the first message is not a hello"));
        };
        let id = SessionId(hello.session.as_slice().try_into().map_err(|_| {
            self.metrics.rejected_calls.inc();
            Status::invalid_argument("a session is 16 bytes")
        })?);
        let session = self.open(id, &hello);
        let open = OpenCall { shared: Arc::clone(self), id };
        info!(node = hello.node, version = hello.version, "an agent connected");
        let welcome = {
            let session = session.lock();
            Welcome {
                acknowledged_sequence: session.acknowledged(),
                knows_series: session.knows_series(),
                kubernetes_api_url: self.config.kubernetes_api_url.clone(),
                version: swell_telemetry::VERSION.to_owned(),
            }
        };
        send(answers, ServerKind::Welcome(welcome)).await?;
        while let Some(message) = messages.message().await? {
            match message.kind {
                Some(AgentKind::Batch(batch)) => {
                    let acknowledge = self.store(&session, batch).await;
                    if let Err(status) = &acknowledge
                        && status.code() == tonic::Code::FailedPrecondition
                    {
                        self.forget(id);
                    }
                    self.touch(id);
                    send(answers, ServerKind::Acknowledge(acknowledge?)).await?;
                }
                Some(AgentKind::Announce(announce)) => {
                    let announced = session.lock().announce(&announce.series);
                    announced.map_err(|error| {
                        self.forget(id);
                        Status::failed_precondition(error.to_string())
                    })?;
                }
                Some(AgentKind::Hello(_)) | None => {
                    self.metrics.rejected_calls.inc();
                    return Err(Status::invalid_argument("neither a batch nor an announcement"));
                }
            }
        }
        drop(open);
        info!(node = hello.node, "an agent disconnected");
        Ok(())
    }

    /// Finds or makes the session, and counts the call.
    fn open(&self, id: SessionId, hello: &Hello) -> Arc<Mutex<Session>> {
        let now = self.clock.now();
        let mut sessions = self.sessions.lock();
        if sessions.len() >= SESSIONS_MAX && !sessions.contains_key(&id) {
            let idle = sessions.iter().filter(|(_, agent)| agent.open_calls == 0);
            if let Some(oldest) = idle.min_by_key(|(_, agent)| agent.seen_at).map(|(id, _)| *id) {
                sessions.remove(&oldest);
            }
        }
        // an agent that was started anew goes on under another session: its old one is of no use
        sessions.retain(|other, agent| {
            *other == id || agent.open_calls > 0 || agent.node != hello.node
        });
        let agent = sessions.entry(id).or_insert_with(|| Agent {
            node: hello.node.clone(),
            seen_at: now,
            open_calls: 0,
            session: Arc::default(),
        });
        agent.seen_at = now;
        agent.open_calls += 1;
        self.metrics.connected_agents.inc();
        Arc::clone(&agent.session)
    }

    fn touch(&self, id: SessionId) {
        let now = self.clock.now();
        if let Some(agent) = self.sessions.lock().get_mut(&id) {
            agent.seen_at = now;
        }
    }

    /// Starts the session from nothing: the agent will announce all its series again.
    fn forget(&self, id: SessionId) {
        self.metrics.rejected_calls.inc();
        if let Some(agent) = self.sessions.lock().get_mut(&id) {
            agent.session = Arc::default();
        }
    }

    /// Stores a batch on a thread that may block.
    async fn store(
        self: &Arc<Self>,
        session: &Arc<Mutex<Session>>,
        batch: Batch,
    ) -> Result<Acknowledge, Status> {
        let sequence = batch.sequence;
        let (session, shared) = (Arc::clone(session), Arc::clone(self));
        let stored =
            tokio::task::spawn_blocking(move || session.lock().apply(&batch, shared.sink.as_ref()));
        let applied = match stored.await {
            Ok(Ok(applied)) => applied,
            Ok(Err(error @ ApplyError::Protocol { .. })) => {
                warn!(error = chain(&error), "an agent broke the protocol");
                return Err(Status::failed_precondition(error.to_string()));
            }
            Ok(Err(error @ ApplyError::Storage { .. })) => {
                warn!(error = chain(&error), "the storage takes no samples of agents");
                return Err(Status::unavailable(chain(&error)));
            }
            Err(join) => return Err(Status::internal(join.to_string())),
        };
        self.count(&applied);
        Ok(Acknowledge {
            sequence,
            refused_samples: applied.refused_samples,
            refusal: applied.refusal,
        })
    }

    fn count(&self, applied: &Applied) {
        if applied.is_duplicate {
            self.metrics.duplicate_batches.inc();
        } else {
            self.metrics.batches.inc();
            self.metrics.samples.inc_by(applied.report.stored as u64);
            self.metrics.refused_samples.inc_by(applied.refused_samples);
        }
    }
}

/// Counts down when a call ends, however it does.
struct OpenCall {
    shared: Arc<Shared>,
    id: SessionId,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.shared.metrics.connected_agents.dec();
        if let Some(agent) = self.shared.sessions.lock().get_mut(&self.id) {
            agent.open_calls = agent.open_calls.saturating_sub(1);
        }
    }
}

async fn send(
    answers: &mpsc::Sender<Result<ServerMessage, Status>>,
    kind: ServerKind,
) -> Result<(), Status> {
    let sent = answers.send(Ok(kind.into())).await;
    sent.map_err(|_| Status::cancelled("the agent is gone"))
}
