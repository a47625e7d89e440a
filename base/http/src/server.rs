//! Serves a router on a listener, plain or over TLS, until told to stop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
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

use crate::body::CountedBody;
use crate::limits::{
    CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, DRAIN_DEADLINE, HEADER_BYTES_MAX,
    HEADER_COUNT_MAX, HEADER_READ_TIMEOUT, STREAMS_PER_CONNECTION_MAX,
};
use crate::metrics::HttpMetrics;
use crate::patience::{InFlight, PatientStream};
use crate::peer::{Peer, PeerCertificate};
use crate::requests::instrument;

/// Pause after `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// One listener with the router behind it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    /// What the next connection is greeted with.
    tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    switch: RouterSwitch,
}

/// Puts another router behind a listener: one answers while the process starts, the other from then on.
#[derive(Clone, Debug)]
pub struct RouterSwitch {
    name: &'static str,
    metrics: HttpMetrics,
    /// The lock is held to take or put a handle.
    current: Arc<RwLock<Router>>,
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
        Self { listener, tls: None, switch: RouterSwitch { name, metrics, current } }
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

    /// The address it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown`, then takes no new connections and gives requests under way
    /// [`DRAIN_DEADLINE`] to end. Handlers of long streams should watch the token too.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, tls, switch } = self;
        let (name, metrics) = (switch.name, switch.metrics.clone());
        let crowd = Crowd::default();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = listener.accept() => accepted,
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
            match crowd.admit(address.ip(), connections.len()) {
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
                        shutdown: shutdown.clone(),
                    };
                    connections.spawn(async move {
                        connection.serve(stream).await;
                        drop(place);
                    });
                }
            }
        }
        drop(listener);
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
    fn admit(&self, address: IpAddr, open_count: usize) -> Result<Place, &'static str> {
        if open_count >= CONNECTIONS_MAX {
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
            Some(acceptor) => match timeout(HEADER_READ_TIMEOUT, acceptor.accept(stream)).await {
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
        let service = service_fn(move |request: http::Request<Incoming>| {
            let guard = counted.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            let router = switch.current();
            async move {
                let response = router.oneshot(request).await?;
                Ok::<_, Infallible>(response.map(|body| CountedBody { body, guard: Some(guard) }))
            }
        });
        let stream = TokioIo::new(PatientStream::new(stream, in_flight));
        let builder = builder();
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

fn builder() -> auto::Builder<TokioExecutor> {
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
        .keep_alive_interval(crate::limits::IDLE_TIMEOUT / 4);
    builder
}
