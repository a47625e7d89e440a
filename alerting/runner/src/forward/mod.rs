//! Handing alerts of rules to Alertmanagers outside of this process (`alerting:` of the configuration).
//!
//! Who they are is told by whoever finds them ([`Forwarder::replace`]); what is sent, in which batches and what becomes
//! of a batch is decided in `outbox.rs` and `plan.rs`. Each Alertmanager has a queue and a task of its own, so that one
//! that is down or slow holds up no other.

mod metrics;
mod outbox;
mod peer;
mod plan;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use swell_env::Clock;
use swell_http_client::HttpClient;
use swell_model::{DurationMs, Labels};
use swell_route::Alert;
use tokio::task::JoinHandle;
use url::Url;

use self::metrics::ForwardMetrics;
use self::peer::{Peer, PeerSettings};

/// How long what waits may take at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Labels of an alert as they are sent; `None` when the alert is not to be sent.
pub type AlertRelabel = Arc<dyn Fn(&Labels) -> Option<Labels> + Send + Sync>;

/// Bounds of what waits and of what is sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardLimits {
    /// Alerts that may wait for one Alertmanager; beyond that the oldest are dropped, and counted.
    pub queue_len_max: usize,
    /// Alerts in one request. More than zero.
    pub batch_len_max: usize,
}

impl Default for ForwardLimits {
    /// Prometheus' defaults.
    fn default() -> Self {
        Self { queue_len_max: 10_000, batch_len_max: 256 }
    }
}

/// Alertmanagers that one entry of the configuration names.
#[derive(Clone)]
pub struct AlertmanagerSet {
    /// How they are asked.
    pub client: Arc<HttpClient>,
    /// Longest a request may take.
    pub timeout: DurationMs,
    /// Applied to alerts for these, after what is applied to all.
    pub relabel: AlertRelabel,
    /// Where alerts are posted.
    pub active: Vec<Url>,
    /// Found, and not used by choice of the configuration.
    pub dropped: Vec<Url>,
}

impl std::fmt::Debug for AlertmanagerSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.active.iter().map(shown)).finish()
    }
}

/// All Alertmanagers, and what is done to alerts for any of them.
#[derive(Clone)]
pub struct Forwarding {
    /// Applied to alerts first.
    pub relabel: AlertRelabel,
    /// In the order of the configuration.
    pub sets: Vec<AlertmanagerSet>,
}

impl Default for Forwarding {
    /// No Alertmanagers.
    fn default() -> Self {
        Self { relabel: Arc::new(|labels| Some(labels.clone())), sets: Vec::new() }
    }
}

impl std::fmt::Debug for Forwarding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.sets).finish()
    }
}

/// An address as it may be shown: without the user in it.
fn shown(url: &Url) -> String {
    swell_http_client::without_user(url).to_string()
}

/// Tells peers apart: the address, and the how manieth of the same address it is.
type PeerKey = (Url, usize);

struct Running {
    peer: Arc<Peer>,
    task: JoinHandle<()>,
}

struct State {
    forwarding: Forwarding,
    peers: BTreeMap<PeerKey, Running>,
    /// Nothing is taken any more.
    is_closed: bool,
}

/// Hands alerts to Alertmanagers. The lock guards who they are; no request is made under it.
pub(crate) struct Forwarder {
    limits: ForwardLimits,
    clock: Arc<dyn Clock>,
    metrics: ForwardMetrics,
    seed: u64,
    state: Mutex<State>,
}

impl Forwarder {
    /// One that knows no Alertmanager yet.
    pub(crate) fn new(
        limits: ForwardLimits,
        clock: Arc<dyn Clock>,
        registry: &prometheus::Registry,
        seed: u64,
    ) -> Result<Self, prometheus::Error> {
        let metrics = ForwardMetrics::register(registry)?;
        metrics.queue_capacity.set(i64::try_from(limits.queue_len_max).unwrap_or(i64::MAX));
        let state = Mutex::new(State {
            forwarding: Forwarding::default(),
            peers: BTreeMap::new(),
            is_closed: false,
        });
        Ok(Self { limits, clock, metrics, seed, state })
    }

    /// These are the Alertmanagers from now on. What waits for one that stays goes on waiting; what waits for one that
    /// is no more is dropped, and counted. Called on the runtime that peers are to run on.
    pub(crate) fn replace(&self, forwarding: Forwarding) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        let mut before = std::mem::take(&mut state.peers);
        let mut counts: BTreeMap<&Url, usize> = BTreeMap::new();
        let mut peers = BTreeMap::new();
        for set in &forwarding.sets {
            for url in &set.active {
                let idx = counts.entry(url).or_default();
                let key = (url.clone(), *idx);
                *idx += 1;
                let settings = PeerSettings {
                    client: Arc::clone(&set.client),
                    timeout: set.timeout,
                    relabel: Arc::clone(&set.relabel),
                };
                let running = match before.remove(&key) {
                    Some(running) => {
                        running.peer.set(settings);
                        running
                    }
                    None => self.start(url.clone(), settings),
                };
                peers.insert(key, running);
            }
        }
        self.metrics.discovered.set(i64::try_from(peers.len()).unwrap_or(i64::MAX));
        for running in before.into_values() {
            running.task.abort();
            running.peer.give_up();
            running.peer.forget();
        }
        state.peers = peers;
        state.forwarding = forwarding;
    }

    fn start(&self, url: Url, settings: PeerSettings) -> Running {
        let metrics = self.metrics.of_peer(&shown(&url));
        let seed = self.seed ^ u64::from(crc32fast::hash(url.as_str().as_bytes()));
        let peer =
            Arc::new(Peer::new(url, settings, self.limits, Arc::clone(&self.clock), metrics, seed));
        let task = tokio::spawn(Arc::clone(&peer).run());
        Running { peer, task }
    }

    /// Puts alerts into the queue of each Alertmanager.
    pub(crate) fn forward(&self, alerts: &[Alert]) {
        let state = self.state.lock();
        if state.peers.is_empty() {
            return;
        }
        let alerts = plan::relabelled(alerts, &*state.forwarding.relabel);
        if alerts.is_empty() {
            return;
        }
        for running in state.peers.values() {
            running.peer.take(&alerts);
        }
    }

    /// Addresses that alerts are posted to, and those that the configuration leaves out; without users in them.
    pub(crate) fn addresses(&self) -> (Vec<String>, Vec<String>) {
        let state = self.state.lock();
        let of = |choose: fn(&AlertmanagerSet) -> &Vec<Url>| {
            state.forwarding.sets.iter().flat_map(choose).map(shown).collect()
        };
        (of(|set| &set.active), of(|set| &set.dropped))
    }

    /// Takes nothing more and sends what waits, each batch tried once, for a few seconds at most.
    pub(crate) async fn drain(&self) {
        let running = {
            let mut state = self.state.lock();
            state.is_closed = true;
            std::mem::take(&mut state.peers)
        };
        running.values().for_each(|running| running.peer.drain());
        let deadline = tokio::time::Instant::now() + DRAIN_DEADLINE;
        for Running { peer, mut task } in running.into_values() {
            match tokio::time::timeout_at(deadline, &mut task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(alertmanager = peer.name(), error = %error, "sending alerts ended badly");
                }
                Err(_) => {
                    task.abort();
                    tracing::warn!(
                        alertmanager = peer.name(),
                        "alerts that wait for an Alertmanager are given up at shutdown"
                    );
                }
            }
            peer.give_up();
        }
    }
}
