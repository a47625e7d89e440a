//! All queues: started, exchanged when the configuration is read again, and stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use swell_engine::Db;
use swell_env::{Clock, Dir};
use swell_http_client::{HttpClient, TlsError};
use swell_model::TimestampMs;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::QueueConfig;
use crate::metrics::SendMetrics;
use crate::place_file::{self, PlaceFile, PlaceFileError};
use crate::queue::{LogHold, Queue, QueueDeps};
use crate::transport::Transport;

/// How often it is looked what is stored.
const BEAT: Duration = Duration::from_secs(1);

/// Why queues are not started.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// TLS cannot be done as it is configured.
    #[error("remote_write {queue:?}")]
    Tls {
        /// The queue.
        queue: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// The place in the log cannot be read or written down.
    #[error("remote_write {queue:?}: its place in the log")]
    Place {
        /// The queue.
        queue: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SendError {
    fn place(queue: &str) -> impl FnOnce(PlaceFileError) -> Self + use<> {
        let queue = queue.to_owned();
        move |source| Self::Place { queue, source: Box::new(source) }
    }
}

/// What sending stands on.
#[derive(Clone)]
pub struct SenderDeps {
    /// Whose log is sent.
    pub db: Arc<Db>,
    /// Where the places in the log are written down.
    pub dir: Arc<dyn Dir>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Wakes when something is stored.
    pub stored: watch::Receiver<TimestampMs>,
    /// Where it is counted.
    pub metrics: SendMetrics,
}

impl std::fmt::Debug for SenderDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenderDeps").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// Queues that can be started: what may be wrong with them was looked at.
#[derive(Debug)]
pub struct Prepared(Vec<(Arc<QueueConfig>, Transport)>);

/// All queues.
pub struct RemoteSender {
    deps: SenderDeps,
    running: Mutex<BTreeMap<String, Running>>,
    /// One exchange of queues at a time.
    exchanging: tokio::sync::Mutex<()>,
    /// Set when a queue is lost.
    lost: watch::Sender<bool>,
}

impl std::fmt::Debug for RemoteSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteSender").field("deps", &self.deps).finish_non_exhaustive()
    }
}

struct Running {
    config: Arc<QueueConfig>,
    stop: CancellationToken,
    task: JoinHandle<LogHold>,
}

impl RemoteSender {
    /// A sender without queues. To be made, and given its queues, before the storage takes samples and is maintained.
    #[must_use]
    pub fn new(deps: SenderDeps) -> Arc<Self> {
        Arc::new(Self {
            deps,
            running: Mutex::default(),
            exchanging: tokio::sync::Mutex::default(),
            lost: watch::Sender::new(false),
        })
    }

    /// Looks whether queues can be started.
    ///
    /// # Errors
    /// [`SendError::Tls`].
    pub fn prepare(queues: Vec<QueueConfig>) -> Result<Prepared, SendError> {
        let prepared = queues.into_iter().map(|config| {
            let connections = config.batching.shards_max;
            let client = HttpClient::for_many(config.client.clone(), connections)
                .map_err(|source| SendError::Tls { queue: config.name.clone(), source })?;
            let transport = Transport::new(client, &config);
            Ok((Arc::new(config), transport))
        });
        Ok(Prepared(prepared.collect::<Result<_, SendError>>()?))
    }

    /// Runs these queues and no others. One that is as it was goes on; one that is otherwise is stopped and started where
    /// it was; the place of one that is gone is forgotten.
    ///
    /// # Errors
    /// [`SendError::Place`] of the first queue that cannot be started; the others run.
    pub async fn run_queues(&self, prepared: Prepared) -> Result<(), SendError> {
        let _one_at_a_time = self.exchanging.lock().await;
        let wanted: BTreeMap<&str, &Arc<QueueConfig>> =
            prepared.0.iter().map(|(config, _)| (config.name.as_str(), config)).collect();
        let ended: Vec<Running> = {
            let mut running = self.running.lock();
            let stays = |name: &String, it: &Running| {
                wanted.get(name.as_str()).is_some_and(|config| **config == it.config)
            };
            let names: Vec<String> = running
                .iter()
                .filter(|(name, it)| !stays(name, it))
                .map(|(name, _)| name.clone())
                .collect();
            names.iter().filter_map(|name| running.remove(name)).collect()
        };
        // Until those that go on have taken hold themselves.
        let _held = stop_all(ended).await;
        let names: BTreeSet<String> = wanted.keys().map(|name| (*name).to_owned()).collect();
        let mut outcome = Ok(());
        for (config, transport) in prepared.0 {
            if !self.running.lock().contains_key(&config.name)
                && let Err(error) = self.start(config, transport)
                && outcome.is_ok()
            {
                outcome = Err(error);
            }
        }
        self.forget_others(names).await;
        outcome
    }

    /// Removes the places of queues that are not configured. One that stays does no harm.
    async fn forget_others(&self, names: BTreeSet<String>) {
        let dir = Arc::clone(&self.deps.dir);
        let gone = tokio::task::spawn_blocking(move || {
            place_file::remove_others(&*dir, names.iter().map(String::as_str))
        });
        match gone.await {
            Ok(Ok(files)) => {
                for file in files {
                    info!(
                        file,
                        "the place of a queue that is not configured any more is forgotten"
                    );
                }
            }
            Ok(Err(failure)) => {
                let error = swell_telemetry::chain(&failure);
                tracing::warn!(error, "places of queues that are gone stay");
            }
            Err(failure) => tracing::error!(%failure, "places of queues that are gone stay"),
        }
    }

    fn start(&self, config: Arc<QueueConfig>, transport: Transport) -> Result<(), SendError> {
        let fault = || SendError::place(&config.name);
        let file = PlaceFile::open(Arc::clone(&self.deps.dir), &config.name).map_err(fault())?;
        let deps = QueueDeps {
            db: Arc::clone(&self.deps.db),
            clock: Arc::clone(&self.deps.clock),
            stored: self.deps.stored.clone(),
        };
        let metrics = self.deps.metrics.queue(&config);
        let queue =
            Queue::open(deps, Arc::clone(&config), transport, file, metrics).map_err(fault())?;
        let stop = CancellationToken::new();
        let (told, lost) = (stop.clone(), self.lost.clone());
        let task = tokio::spawn(async move {
            let guard = Guard { stop: told.clone(), lost };
            let hold = queue.run(told).await;
            drop(guard);
            hold
        });
        let name = config.name.clone();
        self.running.lock().insert(name, Running { config, stop, task });
        Ok(())
    }

    /// Keeps the metrics of all queues up to date until `stop`, and ends earlier only when a queue is lost. Then stops
    /// all queues, which send what is there for a while.
    pub async fn run(&self, stop: CancellationToken) {
        let mut lost = self.lost.subscribe();
        let mut beat = tokio::time::interval(BEAT);
        let mut before = self.deps.db.samples_appended();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = lost.wait_for(|lost| *lost) => break,
                _ = beat.tick() => self.look(&mut before),
            }
        }
        let all: Vec<Running> = std::mem::take(&mut *self.running.lock()).into_values().collect();
        drop(stop_all(all).await);
    }

    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
    fn look(&self, before: &mut u64) {
        let (db, metrics) = (&self.deps.db, &self.deps.metrics);
        let stored = db.samples_appended();
        metrics.samples_in.inc_by(stored - *before);
        *before = stored;
        if let Some(range) = db.range() {
            metrics.highest_stored.set(range.end_incl.0 as f64 / 1000.0);
        }
        let segment_nr = db.log_end().segment_nr;
        metrics.written_segment.set(i64::try_from(segment_nr).unwrap_or(i64::MAX));
    }
}

/// Tells of a queue that ends although nobody stopped it.
struct Guard {
    stop: CancellationToken,
    lost: watch::Sender<bool>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            self.lost.send_replace(true);
        }
    }
}

/// Stops queues; gives what holds the log for them.
async fn stop_all(queues: Vec<Running>) -> Vec<LogHold> {
    queues.iter().for_each(|queue| queue.stop.cancel());
    let mut held = Vec::new();
    for queue in queues {
        match queue.task.await {
            Ok(hold) => held.push(hold),
            Err(failure) => {
                tracing::error!(queue = queue.config.name, %failure, "a queue failed inside");
            }
        }
    }
    held
}
