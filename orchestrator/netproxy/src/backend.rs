//! The endpoints behind a frontend: which is next, and connections to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use swell_env::{Clock, Monotonic};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::ruleset::Endpoint;
use crate::stats::EndpointStats;

/// An endpoint on the same machine or network answers a connection attempt at once, or is gone.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// Idle connections kept to one endpoint; each costs some kB on both sides.
const IDLE_MAX: usize = 64;

/// Servers commonly close idle connections after a minute or more; ours are closed well before.
const IDLE_AGE_MAX: Duration = Duration::from_secs(15);

/// An endpoint that refused a connection is passed over for so long while there are others.
const AVOID_AFTER_REFUSAL: Duration = Duration::from_millis(500);

/// A request's body: a client's, or none when the request is sent again.
pub(crate) type Outbound = Either<Incoming, Empty<Bytes>>;

/// A connection to an endpoint.
pub(crate) struct Connection {
    sender: SendRequest<Outbound>,
    /// Cancelled when the task that drives the connection has ended.
    ended: CancellationToken,
}

/// A request that was not answered. `unsent` holds it when not a byte of it was written.
pub(crate) struct Unanswered {
    pub(crate) error: hyper::Error,
    pub(crate) unsent: Option<Request<Outbound>>,
}

impl Connection {
    fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request; the connection comes back with the response, unless it has ended.
    ///
    /// A request that is handed over in the very moment in which the driver ends may be left in the
    /// channel between the two, where it stays, unanswered, for as long as there is a sender (the
    /// channel's receiver is emptied while the message is not yet linked in). So when the driver has
    /// ended the sender is dropped: that frees the channel, and the request comes back as unsent.
    pub(crate) async fn send(
        mut self,
        request: Request<Outbound>,
    ) -> Result<(Response<Incoming>, Option<Self>), Unanswered> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let (answered, connection) = tokio::select! {
            biased;
            answered = answer.as_mut() => (answered, Some(self)),
            () = self.ended.cancelled() => {
                drop(self.sender);
                (answer.await, None)
            }
        };
        match answered {
            Ok(response) => Ok((response, connection)),
            Err(mut failed) => {
                let unsent = failed.take_message();
                Err(Unanswered { error: failed.into_error(), unsent })
            }
        }
    }
}

/// One endpoint. Lives on while requests are in flight to it, also after it left the set.
pub(crate) struct Backend {
    pub(crate) endpoint: Endpoint,
    pub(crate) stats: Arc<EndpointStats>,
    in_flight: AtomicUsize,
    /// It left the set: connections are not kept any more.
    is_removed: AtomicBool,
    /// Nanoseconds since the epoch of the proxy.
    avoid_until_ns: AtomicU64,
    idle: Mutex<Vec<Idle>>,
    time: Time,
}

/// The clock, counted from when the proxy was made.
#[derive(Clone)]
pub(crate) struct Time {
    clock: Arc<dyn Clock>,
    epoch: Monotonic,
}

struct Idle {
    connection: Connection,
    since_ns: u64,
}

impl Time {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let epoch = clock.monotonic();
        Self { clock, epoch }
    }

    /// Time since the proxy was made.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic().since(self.epoch)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Backend {
    pub(crate) fn new(endpoint: Endpoint, stats: Arc<EndpointStats>, time: Time) -> Self {
        Self {
            endpoint,
            stats,
            in_flight: AtomicUsize::new(0),
            is_removed: AtomicBool::new(false),
            avoid_until_ns: AtomicU64::new(0),
            idle: Mutex::default(),
            time,
        }
    }

    /// A connection that was used before and still stands, the youngest first.
    pub(crate) fn reuse(&self) -> Option<Connection> {
        let oldest_ns = self.oldest_ns();
        let mut idle = self.idle.lock();
        let is_usable = |idle: &Idle| idle.since_ns >= oldest_ns && idle.connection.is_ready();
        let idx = idle.iter().rposition(is_usable)?;
        Some(idle.remove(idx).connection)
    }

    /// Takes back a connection whose response is read; dropped when there are enough.
    pub(crate) fn give_back(&self, connection: Connection) {
        if connection.is_closed() || self.is_removed.load(Relaxed) {
            return;
        }
        let since_ns = self.time.now_ns();
        let mut idle = self.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { connection, since_ns });
        }
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn reap(&self) {
        let oldest_ns = self.oldest_ns();
        self.idle.lock().retain(|idle| idle.since_ns >= oldest_ns && !idle.connection.is_closed());
    }

    /// Closes all idle connections: one of them turned out to be dead.
    pub(crate) fn close_idle(&self) {
        self.idle.lock().clear();
    }

    /// It has left the set: what is in flight ends in peace, nothing is kept.
    pub(crate) fn remove(&self) {
        self.is_removed.store(true, Relaxed);
        self.close_idle();
    }

    /// Requests and connections under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    fn oldest_ns(&self) -> u64 {
        let age = u64::try_from(IDLE_AGE_MAX.as_nanos()).unwrap_or(u64::MAX);
        self.time.now_ns().saturating_sub(age)
    }

    /// A new TCP connection. An error means that no byte was sent.
    pub(crate) async fn connect_tcp(&self) -> io::Result<TcpStream> {
        let connecting = TcpStream::connect(self.endpoint.address);
        let connected = match tokio::time::timeout(CONNECT_DEADLINE, connecting).await {
            Ok(connected) => connected,
            Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                Ok(stream)
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Relaxed);
                let pause = u64::try_from(AVOID_AFTER_REFUSAL.as_nanos()).unwrap_or(u64::MAX);
                self.avoid_until_ns.store(self.time.now_ns().saturating_add(pause), Relaxed);
                Err(error)
            }
        }
    }

    /// A new HTTP connection, driven by a task of its own until it closes.
    pub(crate) async fn connect_http(&self) -> io::Result<Connection> {
        let stream = TokioIo::new(self.connect_tcp().await?);
        let (sender, driver) = http1::handshake(stream).await.map_err(io::Error::other)?;
        let address = self.endpoint.address;
        let ended = CancellationToken::new();
        let told = ended.clone().drop_guard();
        tokio::spawn(async move {
            let outcome = driver.with_upgrades().await;
            drop(told);
            if let Err(error) = outcome {
                debug!(%address, %error, "a connection to an endpoint ended");
            }
        });
        Ok(Connection { sender, ended })
    }
}

/// Counts one request or connection as in flight to an endpoint.
pub(crate) struct Lease {
    backend: Arc<Backend>,
}

impl Lease {
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The ready endpoints of a frontend at one time.
#[derive(Default)]
pub(crate) struct BackendSet {
    pub(crate) backends: Vec<Arc<Backend>>,
    pub(crate) not_ready_count: usize,
}

impl BackendSet {
    /// The endpoint with the fewest in flight, of several the next in turn. Those in `tried` are left out,
    /// those that just refused a connection unless there are no others.
    pub(crate) fn pick(&self, turn: &AtomicUsize, tried: &[SocketAddr]) -> Option<Lease> {
        let count = self.backends.len();
        if count == 0 {
            return None;
        }
        let start = turn.fetch_add(1, Relaxed) % count;
        let now_ns = self.backends[0].time.now_ns();
        let in_turn = self.backends[start..].iter().chain(&self.backends[..start]);
        let untried = in_turn.filter(|backend| !tried.contains(&backend.endpoint.address));
        let best = untried.min_by_key(|backend| {
            let is_avoided = backend.avoid_until_ns.load(Relaxed) > now_ns;
            (is_avoided, backend.in_flight.load(Relaxed))
        })?;
        best.in_flight.fetch_add(1, Relaxed);
        Some(Lease { backend: Arc::clone(best) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_env::ManualClock;
    use swell_model::{DurationMs, TimestampMs};

    use super::*;

    fn set(count: u16, clock: &Arc<ManualClock>) -> BackendSet {
        let time = Time::new(clock.clone());
        let backend = |idx: u16| {
            let address = SocketAddr::from(([127, 64, 0, 1], 8000 + idx));
            let endpoint = Endpoint { address, pod: format!("p{idx}") };
            Arc::new(Backend::new(endpoint, Arc::default(), time.clone()))
        };
        BackendSet { backends: (0..count).map(backend).collect(), not_ready_count: 0 }
    }

    fn name(lease: Option<&Lease>) -> &str {
        lease.map_or("none", |lease| lease.backend.endpoint.pod.as_str())
    }

    #[test]
    fn the_least_busy_is_next_and_ties_go_in_turn() {
        let clock = Arc::new(ManualClock::new(TimestampMs(0)));
        let (set, turn) = (set(3, &clock), AtomicUsize::new(0));
        let mut leases: Vec<Lease> = (0..6).filter_map(|_| set.pick(&turn, &[])).collect();
        let names: Vec<&str> = leases.iter().map(|lease| name(Some(lease))).collect();
        assert_eq!(names, ["p0", "p1", "p2", "p0", "p1", "p2"]);
        leases.remove(1);
        assert_eq!(name(set.pick(&turn, &[]).as_ref()), "p1");
        let tried: Vec<SocketAddr> =
            set.backends.iter().map(|backend| backend.endpoint.address).collect();
        assert_eq!(name(set.pick(&turn, &tried[1..]).as_ref()), "p0");
        assert!(set.pick(&turn, &tried).is_none());
        assert!(BackendSet::default().pick(&turn, &[]).is_none());
    }

    #[test]
    fn one_that_refused_is_passed_over_for_a_while() {
        let clock = Arc::new(ManualClock::new(TimestampMs(0)));
        let (set, turn) = (set(2, &clock), AtomicUsize::new(0));
        set.backends[0].avoid_until_ns.store(500_000_000, Relaxed);
        let held: Vec<Lease> = (0..3).filter_map(|_| set.pick(&turn, &[])).collect();
        assert!(held.iter().all(|lease| name(Some(lease)) == "p1"));
        let other = [set.backends[1].endpoint.address];
        assert_eq!(name(set.pick(&turn, &other).as_ref()), "p0", "when there is no other");
        clock.advance(DurationMs(501));
        assert_eq!(name(set.pick(&turn, &[]).as_ref()), "p0");
    }

    proptest! {
        /// Taking and returning in any order, no endpoint is ever two busier than another at a pick.
        #[test]
        fn load_stays_even(count in 1_u16..6, steps in prop::collection::vec(any::<bool>(), 1..100)) {
            let clock = Arc::new(ManualClock::new(TimestampMs(0)));
            let (set, turn) = (set(count, &clock), AtomicUsize::new(0));
            let mut leases = Vec::new();
            for is_pick in steps {
                if is_pick {
                    let least = set.backends.iter().map(|b| b.in_flight.load(Relaxed)).min();
                    let lease = set.pick(&turn, &[]).unwrap();
                    prop_assert_eq!(Some(lease.backend.in_flight.load(Relaxed) - 1), least);
                    leases.push(lease);
                } else if !leases.is_empty() {
                    leases.remove(0);
                }
            }
            drop(leases);
            prop_assert!(set.backends.iter().all(|b| b.in_flight.load(Relaxed) == 0));
        }
    }
}
