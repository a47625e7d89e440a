//! One address that is listened on, and the connections it has taken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::backend::{BackendSet, Lease, Time};
use crate::metrics::Metrics;
use crate::ruleset::{Protocol, ServiceName};
use crate::stats::ServiceStats;
use crate::{forward, tcp};

/// Open connections to one frontend; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// Requests that wait for an endpoint to one service; more are answered at once.
const WAITING_MAX: usize = 1024;

/// A client that sends no complete head for so long is hung up on.
const HEADER_DEADLINE: Duration = Duration::from_secs(30);

/// Rest after a failed accept: most often the process is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one frontend share.
pub(crate) struct Shared {
    pub(crate) service: ServiceName,
    pub(crate) port_name: String,
    pub(crate) stats: Arc<ServiceStats>,
    pub(crate) time: Time,
    pub(crate) endpoint_wait: Duration,
    pub(crate) backends: watch::Sender<Arc<BackendSet>>,
    pub(crate) turn: AtomicUsize,
}

impl Shared {
    /// The next endpoint that has not refused. Waits until the deadline for one to come when there is
    /// none; then says why there is none.
    pub(crate) async fn pick(
        &self,
        refused: &[SocketAddr],
        deadline: tokio::time::Instant,
    ) -> Result<Lease, String> {
        if let Some(lease) = self.backends.borrow().pick(&self.turn, refused) {
            return Ok(lease);
        }
        let waiting = Waiting::begin(&self.stats);
        if waiting.is_one_too_many {
            return Err(self.refusal());
        }
        let mut changes = self.backends.subscribe();
        let found = async {
            loop {
                if let Some(lease) = changes.borrow_and_update().pick(&self.turn, refused) {
                    return Some(lease);
                }
                if changes.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout_at(deadline, found).await {
            Ok(Some(lease)) => Ok(lease),
            Ok(None) | Err(_) => Err(self.refusal()),
        }
    }

    /// Why there is no endpoint, and what to look at.
    fn refusal(&self) -> String {
        let ServiceName { namespace, name } = &self.service;
        let not_ready = match self.backends.borrow().not_ready_count {
            0 => "no pod matches its selector or none has an address".to_owned(),
            1 => "1 pod is not ready".to_owned(),
            count => format!("{count} pods are not ready"),
        };
        let port = match self.port_name.as_str() {
            "" => String::new(),
            name => format!(" port {name}"),
        };
        format!(
            "service {namespace}/{name}{port} has no ready endpoint: {not_ready}; \
             see `kubectl -n {namespace} describe endpoints {name}`\n"
        )
    }
}

/// Counts a request that waits.
struct Waiting<'stats> {
    stats: &'stats ServiceStats,
    is_one_too_many: bool,
}

impl<'stats> Waiting<'stats> {
    fn begin(stats: &'stats ServiceStats) -> Self {
        let before = stats.waiting.fetch_add(1, Relaxed);
        Self { stats, is_one_too_many: before >= WAITING_MAX }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.stats.waiting.fetch_sub(1, Relaxed);
    }
}

/// A frontend that takes connections.
pub(crate) struct Listening {
    /// Cancelled to end it.
    pub(crate) stop: CancellationToken,
    /// Cancelled when its address is free again.
    pub(crate) closed: CancellationToken,
    /// Ends with the last request under way.
    pub(crate) task: JoinHandle<()>,
}

/// Takes connections until it is stopped; then lets requests under way end.
pub(crate) fn listen(
    listener: TcpListener,
    protocol: Protocol,
    shared: Arc<Shared>,
    metrics: Metrics,
) -> Listening {
    let (stop, closed) = (CancellationToken::new(), CancellationToken::new());
    let (is_stopped, is_closed) = (stop.clone(), closed.clone());
    let task = tokio::spawn(async move {
        take_connections(listener, protocol, shared, metrics, is_stopped, is_closed).await;
    });
    Listening { stop, closed, task }
}

async fn take_connections(
    listener: TcpListener,
    protocol: Protocol,
    shared: Arc<Shared>,
    metrics: Metrics,
    stop: CancellationToken,
    closed: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));

    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &room) => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                metrics.accept_failures.inc();
                warn!(service = %shared.service, %error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        connections.spawn(async move {
            match protocol {
                Protocol::Http => serve_http(shared, stream, stop).await,
                Protocol::Tcp => tcp::splice(shared, stream).await,
            }
            drop(place);
        });
    }
    drop(listener);
    closed.cancel();
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.expect("nobody closes the semaphore");
    let (stream, _client) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

async fn serve_http(shared: Arc<Shared>, stream: TcpStream, stop: CancellationToken) {
    let service = shared.service.clone();
    let handler = service_fn(move |request| forward::handle(Arc::clone(&shared), request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE);
    let connection = builder.serve_connection(TokioIo::new(stream), handler).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%service, %error, "a client's connection ended");
    }
}
