//! Serves a router on listeners, plain or over TLS, until told to stop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Method, header};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use crate::body::{CountedBody, SteadyBody};
use crate::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, DRAIN_DEADLINE, HEADER_BYTES_MAX,
    HEADER_COUNT_MAX, Patience, STREAMS_PER_CONNECTION_MAX,
};
use crate::metrics::HttpMetrics;
use crate::patience::{InFlight, PatientStream};
use crate::peer::{Peer, PeerCertificate};
use crate::prefix::RoutePrefix;
use crate::requests::instrument;

/// Pause after `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);
/// HTTP/2 connections are asked for a sign of life no more often.
const KEEP_ALIVE_MIN: Duration = Duration::from_secs(1);

/// Listeners with the router behind them.
#[derive(Debug)]
pub struct Server {
    /// One at least.
    listeners: Vec<TcpListener>,
    /// What the next connection is greeted with.
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    switch: RouterSwitch,
    /// Connections beyond which further ones wait, if they do.
    waits_at: Option<usize>,
    patience: Patience,
}

/// Puts another router behind a listener: one answers while the process starts, the other from then on.
#[derive(Clone, Debug)]
pub struct RouterSwitch {
    name: &'static str,
    metrics: HttpMetrics,
    /// The lock is held to take or put a handle.
    current: Arc<RwLock<Router>>,
    below: Option<Below>,
}

/// A prefix, and what answers outside of it.
#[derive(Clone, Debug)]
struct Below {
    prefix: RoutePrefix,
    elsewhere: Router,
}

impl RouterSwitch {
    /// Requests that come from now on go to this router, also those on connections that are open.
    pub fn set(&self, router: Router) {
        let router = instrument(router, self.name, &self.metrics);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    fn current(&self) -> Router {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The router that answers this request, whose address becomes what the routes of that router know. That happens
    /// before any of them is looked for, so that handlers, layers and metrics need to know of no prefix.
    fn route(&self, request: &mut http::Request<Body>) -> Router {
        let Some(below) = &self.below else { return self.current() };
        match below.prefix.strip(request.uri()) {
            Some(uri) => {
                *request.uri_mut() = uri;
                self.current()
            }
            None => below.elsewhere.clone(),
        }
    }
}

impl Server {
    /// A plain HTTP server (HTTP/1.1 and cleartext HTTP/2). `name` is its label in metrics and spans.
    #[must_use]
    pub fn new(
        name: &'static str,
        listener: TcpListener,
        router: Router,
        metrics: &HttpMetrics,
    ) -> Self {
        let metrics = metrics.clone();
        let current = Arc::new(RwLock::new(instrument(router, name, &metrics)));
        Self {
            listeners: vec![listener],
            tls: None,
            switch: RouterSwitch { name, metrics, current, below: None },
            waits_at: None,
            patience: Patience::default(),
        }
    }

    /// Answers on a further listener as well.
    #[must_use]
    pub fn also_on(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Serves the router below a prefix: it sees addresses without that. `elsewhere` answers all other requests, with
    /// their addresses as they are.
    #[must_use]
    pub fn below(mut self, prefix: RoutePrefix, elsewhere: Router) -> Self {
        if !prefix.is_root() {
            let elsewhere = instrument(elsewhere, self.switch.name, &self.switch.metrics);
            self.switch.below = Some(Below { prefix, elsewhere });
        }
        self
    }

    /// Holds at most so many connections, of all listeners together; further ones wait until one ends, in the queue of
    /// the kernel. Without this, those beyond [`CONNECTIONS_MAX`] are closed at once.
    #[must_use]
    pub fn at_most(mut self, connections_max: usize) -> Self {
        self.waits_at = Some(connections_max.max(1));
        self
    }

    /// Waits as long for what clients send, and no longer.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// What puts another router in the place of this one.
    #[must_use]
    pub fn switch(&self) -> RouterSwitch {
        self.switch.clone()
    }

    /// Speaks TLS instead; see [`crate::pki::server_config`].
    #[must_use]
    pub fn tls(self, config: Arc<ServerConfig>) -> Self {
        self.tls_from(watch::channel(config).1)
    }

    /// The same with what was sent last, for certificates that are renewed while the server runs.
    #[must_use]
    pub fn tls_from(mut self, config: watch::Receiver<Arc<ServerConfig>>) -> Self {
        self.tls = Some(config);
        self
    }

    /// The first address it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let first = self.listeners.first().ok_or(io::ErrorKind::NotConnected)?;
        first.local_addr()
    }

    /// Serves until `shutdown`, then takes no new connections and gives requests under way
    /// [`DRAIN_DEADLINE`] to end. Handlers of long streams should watch the token too.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listeners, tls, switch, waits_at, patience } = self;
        let (name, metrics) = (switch.name, switch.metrics.clone());
        let crowd = Crowd::default();
        let mut connections = JoinSet::new();
        // No listener is kept waiting by the crowd of another.
        let mut first_idx = 0;
        loop {
            let has_room = waits_at.is_none_or(|max| connections.len() < max);
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                (idx, accepted) = accept(&listeners, first_idx), if has_room => {
                    first_idx = idx + 1;
                    accepted
                }
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if is_clients_fault(&error) => continue,
                Err(error) => {
                    warn!(listener = name, %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match crowd.admit(address.ip(), connections.len(), waits_at) {
                Err(reason) => {
                    metrics.refused.with_label_values(&[name, reason]).inc();
                    debug!(listener = name, %address, reason, "connection refused");
                }
                Ok(place) => {
                    let connection = Connection {
                        name,
                        address,
                        tls: tls.as_ref().map(|tls| TlsAcceptor::from(tls.borrow().clone())),
                        switch: switch.clone(),
                        metrics: metrics.clone(),
                        patience,
                        shutdown: shutdown.clone(),
                    };
                    connections.spawn(async move {
                        connection.serve(stream).await;
                        drop(place);
                    });
                }
            }
        }
        drop(listeners);
        let drained =
            timeout(DRAIN_DEADLINE, async { while connections.join_next().await.is_some() {} });
        if drained.await.is_err() {
            warn!(
                listener = name,
                left = connections.len(),
                "connections cut at the drain deadline"
            );
            connections.shutdown().await;
        }
    }
}

/// The next connection of any listener, and which one has it; those from `first_idx` on are looked at first.
async fn accept(
    listeners: &[TcpListener],
    first_idx: usize,
) -> (usize, io::Result<(TcpStream, SocketAddr)>) {
    std::future::poll_fn(|cx| {
        let in_turn = listeners.iter().enumerate().cycle().skip(first_idx).take(listeners.len());
        for (idx, listener) in in_turn {
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                return Poll::Ready((idx, accepted));
            }
        }
        Poll::Pending
    })
    .await
}

/// The connection was gone before it was accepted.
fn is_clients_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Open connections by address. The lock guards the map and is held for a look-up.
#[derive(Clone, Debug, Default)]
struct Crowd(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection's place in the crowd; dropping it gives it back.
#[derive(Debug)]
struct Place {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    /// Where connections wait for a place there is no other bound of all.
    fn admit(
        &self,
        address: IpAddr,
        open_count: usize,
        waits_at: Option<usize>,
    ) -> Result<Place, &'static str> {
        if waits_at.is_none() && open_count >= CONNECTIONS_MAX {
            return Err("connections_max");
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= CONNECTIONS_PER_ADDRESS_MAX && !address.is_loopback() {
            return Err("connections_per_address_max");
        }
        *count += 1;
        Ok(Place { crowd: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

struct Connection {
    name: &'static str,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    switch: RouterSwitch,
    metrics: HttpMetrics,
    patience: Patience,
    shutdown: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let open = self.metrics.connections.with_label_values(&[self.name]);
        open.inc();
        if let Err(error) = stream.set_nodelay(true) {
            debug!(listener = self.name, %error, "cannot switch off Nagle's algorithm");
        }
        match &self.tls {
            None => self.speak(stream, None).await,
            Some(acceptor) => match timeout(self.patience.head, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let certificate = stream
                        .get_ref()
                        .1
                        .peer_certificates()
                        .and_then(<[_]>::first)
                        .and_then(PeerCertificate::read)
                        .map(Arc::new);
                    self.speak(stream, certificate).await;
                }
                Ok(Err(error)) => {
                    self.metrics.refused.with_label_values(&[self.name, "tls"]).inc();
                    debug!(listener = self.name, peer = %self.address, %error, "TLS handshake failed");
                }
                Err(_) => {
                    self.metrics.refused.with_label_values(&[self.name, "tls_timeout"]).inc();
                }
            },
        }
        open.dec();
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        certificate: Option<Arc<PeerCertificate>>,
    ) {
        let peer = Peer { address: self.address, certificate };
        let in_flight = InFlight::default();
        let switch = self.switch.clone();
        let counted = in_flight.clone();
        let patience = self.patience;
        let service = service_fn(move |request: http::Request<Incoming>| {
            let guard = counted.begin();
            if !request.body().is_end_stream()
                || request.method() == Method::CONNECT
                || request.headers().contains_key(header::UPGRADE)
            {
                counted.has_more();
            }
            let steady =
                |body: Incoming| Body::new(SteadyBody::new(Body::new(body), patience.body));
            let mut request = request.map(steady);
            request.extensions_mut().insert(peer.clone());
            let router = switch.route(&mut request);
            async move {
                let response = router.oneshot(request).await?;
                Ok::<_, Infallible>(response.map(|body| CountedBody { body, guard: Some(guard) }))
            }
        });
        let stream = TokioIo::new(PatientStream::new(stream, in_flight, patience));
        let builder = builder(patience);
        let mut connection =
            std::pin::pin!(builder.serve_connection_with_upgrades(stream, service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            debug!(listener = self.name, peer = %self.address, %error, "connection ended early");
        }
    }
}

fn builder(patience: Patience) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(HEADER_COUNT_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).expect("a small constant"))
        .keep_alive_interval((patience.idle / 4).max(KEEP_ALIVE_MIN));
    builder
}
