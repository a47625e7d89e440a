//! All servers that are asked, from synchronous code.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures::future::join_all;
use parking_lot::Mutex;
use prometheus::Registry;
use swell_env::{Clock, Throttle};
use swell_http_client::TlsError;
use swell_model::{Labels, Matcher, SeriesData, TimeRange, TimestampMs, join_samples};
use swell_telemetry::chain;
use tokio::runtime::Handle;
use tracing::warn;

use crate::config::RemoteReadConfig;
use crate::exchange::{ExchangeError, Remote};
use crate::failures::Failures;
use crate::metrics::ReadMetrics;
use crate::plan::{Ask, ask};

/// Failures are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Who waits for answers looks this often whether they are still wanted: a turn and a thread are held no longer than that.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Servers that were checked, before they are asked.
#[derive(Debug)]
pub struct Prepared(Vec<Arc<Remote>>);

/// A selection, and what the storage here has of it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// All must match.
    pub matchers: &'a [Matcher],
    /// Both ends belong.
    pub range: TimeRange,
    /// From this time on the storage here has all there is; `None` when it has nothing.
    pub local_from: Option<TimestampMs>,
    /// This server's labels.
    pub external: &'a Labels,
    /// Whether samples are not needed: servers that can leave them out do.
    pub labels_only: bool,
    /// Set when nobody waits for the answer any more: then no server is waited for.
    pub unwanted: Option<&'a AtomicBool>,
}

/// Asks other servers for what they have.
pub struct RemoteReaders {
    remotes: ArcSwap<Vec<Arc<Remote>>>,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    failures: Mutex<Failures>,
    metrics: ReadMetrics,
    log: Throttle,
}

impl std::fmt::Debug for RemoteReaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteReaders").field("remotes", &self.remotes).finish_non_exhaustive()
    }
}

impl RemoteReaders {
    /// Asks nobody yet. Requests run on `runtime`; failures are told for `told`: as long as a query may take.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(
        runtime: Handle,
        clock: Arc<dyn Clock>,
        told: Duration,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            remotes: ArcSwap::default(),
            runtime,
            clock,
            failures: Mutex::new(Failures::new(told)),
            metrics: ReadMetrics::register(registry)?,
            log: Throttle::new(LOG_INTERVAL),
        })
    }

    /// Checks who is to be asked.
    ///
    /// # Errors
    /// [`TlsError`] when one of them cannot be asked that way.
    pub fn prepare(configs: Vec<RemoteReadConfig>) -> Result<Prepared, TlsError> {
        let remotes = configs.into_iter().map(|config| Remote::new(config).map(Arc::new));
        remotes.collect::<Result<_, _>>().map(Prepared)
    }

    /// Asks these from now on. Those whose configuration did not change keep their connections.
    pub fn replace(&self, Prepared(mut remotes): Prepared) {
        let before = self.remotes.load();
        for remote in &mut remotes {
            let same = before.iter().find(|it| it.config == remote.config);
            if let Some(same) = same {
                remote.clone_from(same);
            }
        }
        self.remotes.store(Arc::new(remotes));
    }

    fn asks(&self, asked: Asked<'_>) -> Vec<(Arc<Remote>, Ask)> {
        let Asked { matchers, range, local_from, external, labels_only, unwanted: _ } = asked;
        let remotes = self.remotes.load();
        let one = |remote: &Arc<Remote>| {
            let ask = ask(&remote.config, matchers, range, local_from, external)?;
            Some((Arc::clone(remote), Ask { labels_only, ..ask }))
        };
        remotes.iter().filter_map(one).collect()
    }

    /// Whether there is nobody to be asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remotes.load().is_empty()
    }

    /// Whether anyone is asked for this selection.
    #[must_use]
    pub fn are_asked(&self, asked: Asked<'_>) -> bool {
        !self.asks(asked).is_empty()
    }

    /// What others have of a selection, each series once; of samples of several servers at one time those of the first count.
    /// Waits for the answers, as long as they are wanted: not for a thread that serves connections.
    #[must_use]
    pub fn read(&self, asked: Asked<'_>, samples_max: usize) -> Vec<SeriesData> {
        let asks = self.asks(asked);
        let unwanted = asked.unwanted;
        let answers =
            asks.iter().map(|(remote, ask)| self.read_one(remote, ask, samples_max, unwanted));
        let answers = self.runtime.block_on(join_all(answers));
        let mut all: HashMap<Labels, SeriesData> = HashMap::new();
        for series in answers.into_iter().flatten() {
            match all.remove(&series.labels) {
                None => drop(all.insert(series.labels.clone(), series)),
                Some(before) => {
                    drop(all.insert(series.labels.clone(), join_samples(series, before)));
                }
            }
        }
        all.into_values().collect()
    }

    async fn read_one(
        &self,
        remote: &Remote,
        ask: &Ask,
        samples_max: usize,
        unwanted: Option<&AtomicBool>,
    ) -> Vec<SeriesData> {
        let (name, url) = (remote.config.name.as_str(), remote.shown_url());
        let running = self.metrics.running.with_label_values(&[name, url.as_str()]);
        let began = self.clock.monotonic();
        running.inc();
        let outcome = tokio::select! {
            biased;
            () = nobody_waits(unwanted) => Err(ExchangeError::Unwanted),
            outcome = remote.read(ask, samples_max) => outcome,
        };
        running.dec();
        let now = self.clock.monotonic();
        let took = now.since(began).as_secs_f64();
        self.metrics.duration_seconds.with_label_values(&[name, url.as_str()]).observe(took);
        let code = outcome.as_ref().map_or_else(|error| error.code(), |_| "200".to_owned());
        self.metrics.queries_total.with_label_values(&[name, url.as_str(), code.as_str()]).inc();
        match outcome {
            Ok(series) => series,
            // The server did nothing wrong.
            Err(ExchangeError::Unwanted) => Vec::new(),
            Err(error) => {
                let error = chain(&error);
                if let Some(unsaid_count) = self.log.pass(now) {
                    warn!(
                        remote = name,
                        unsaid_count,
                        error,
                        "a query is answered without samples of a server that is read from"
                    );
                }
                let text = format!("remote_read {name}: {error}");
                self.failures.lock().note(ask.range, text, now);
                Vec::new()
            }
        }
    }

    /// Who did not answer for these times of late, in sentences.
    #[must_use]
    pub fn warnings(&self, range: TimeRange) -> Vec<String> {
        self.failures.lock().warnings(range, self.clock.monotonic())
    }
}

/// Ends when an answer is no longer wanted.
async fn nobody_waits(unwanted: Option<&AtomicBool>) {
    let Some(unwanted) = unwanted else { return std::future::pending().await };
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    loop {
        looks.tick().await;
        if unwanted.load(Ordering::Relaxed) {
            return;
        }
    }
}
