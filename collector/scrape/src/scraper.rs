//! The task that owns all targets: starts and stops their loops as configuration and files change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use swell_env::{Clock, Monotonic};
use swell_model::SampleSink;
use swell_telemetry::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{ScrapeConfig, TargetGroup};
use crate::discovery::{self, Stamp};
use crate::fetch::{Fetcher, TlsError};
use crate::ingest::TargetSeries;
use crate::metrics::ScrapeMetrics;
use crate::scrape_loop::{ScrapeLoop, Shared};
use crate::status::{Card, Health, LastScrape, TargetState};
use crate::target::{self, Identity, Outcome, Target};

/// Target files are looked at this often; they are read when they changed.
const FILE_LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// A reload waits for the one before it.
const RELOAD_QUEUE_LEN: usize = 1;

/// Why no scraper could be set up, or a reload was refused; the targets stay as they were.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// What a job says of TLS cannot be used.
    #[error("job {job:?}")]
    Tls {
        /// The job.
        job: String,
        /// Why.
        #[source]
        source: TlsError,
    },
    /// Two jobs have the same name.
    #[error("job {job:?} is configured twice")]
    RepeatedJob {
        /// The job.
        job: String,
    },
    /// A metric of the same name is registered already.
    #[error("register the scraper's metrics")]
    Metrics(#[from] prometheus::Error),
    /// The scraper has ended.
    #[error("the scraper has ended")]
    Ended,
}

struct Reload {
    fetchers: Vec<Arc<Fetcher>>,
    done: oneshot::Sender<()>,
}

/// What is known about targets, for those who ask.
#[derive(Debug, Default)]
struct Board {
    active: Vec<Card>,
    inactive: Vec<TargetState>,
}

/// Asks a running [`Scraper`] about its targets and gives it a new configuration.
#[derive(Clone, Debug)]
pub struct ScrapeHandle {
    board: Arc<Mutex<Board>>,
    reloads: mpsc::Sender<Reload>,
}

impl ScrapeHandle {
    /// All targets, jobs in the order of the configuration; dropped ones after the others.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetState> {
        let board = self.board.lock();
        board.active.iter().map(Card::state).chain(board.inactive.iter().cloned()).collect()
    }

    /// Puts another configuration in force: targets that stay keep their series, those that go end them.
    ///
    /// # Errors
    /// [`ScrapeError`] when the configuration is refused or the scraper has ended.
    pub async fn reload(&self, configs: Vec<ScrapeConfig>) -> Result<(), ScrapeError> {
        let fetchers = fetchers(configs)?;
        let (done, applied) = oneshot::channel();
        self.reloads.send(Reload { fetchers, done }).await.map_err(|_| ScrapeError::Ended)?;
        applied.await.map_err(|_| ScrapeError::Ended)
    }
}

/// Scrapes all targets of all jobs.
pub struct Scraper {
    shared: Arc<Shared>,
    pools: BTreeMap<String, ScrapePool>,
    /// Names of the jobs, in the order of the configuration.
    order: Vec<String>,
    board: Arc<Mutex<Board>>,
    reloads: mpsc::Receiver<Reload>,
    handle: ScrapeHandle,
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper").field("jobs", &self.order).finish_non_exhaustive()
    }
}

/// Targets of one job.
struct ScrapePool {
    fetcher: Arc<Fetcher>,
    loops: BTreeMap<Identity, Running>,
    files: Files,
}

struct Running {
    card: Card,
    crowd: Option<(usize, usize)>,
    stop: CancellationToken,
    task: JoinHandle<TargetSeries>,
}

/// Target files of a job as they were last read.
#[derive(Default)]
struct Files {
    stamps: BTreeMap<PathBuf, Stamp>,
    groups: BTreeMap<PathBuf, Vec<TargetGroup>>,
    read_at: Option<Monotonic>,
}

impl Scraper {
    /// A scraper with its targets not started yet.
    ///
    /// # Errors
    /// [`ScrapeError`] when the configuration or the registry refuses.
    pub fn new(
        configs: Vec<ScrapeConfig>,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        registry: &prometheus::Registry,
    ) -> Result<Self, ScrapeError> {
        let fetchers = fetchers(configs)?;
        let metrics = ScrapeMetrics::register(registry)?;
        let (sender, reloads) = mpsc::channel(RELOAD_QUEUE_LEN);
        let board = Arc::new(Mutex::new(Board::default()));
        let mut scraper = Self {
            shared: Arc::new(Shared::new(sink, clock, metrics)),
            pools: BTreeMap::new(),
            order: Vec::new(),
            handle: ScrapeHandle { board: Arc::clone(&board), reloads: sender },
            board,
            reloads,
        };
        scraper.adopt(fetchers);
        Ok(scraper)
    }

    /// The way to ask and to reload.
    #[must_use]
    pub fn handle(&self) -> ScrapeHandle {
        self.handle.clone()
    }

    /// Scrapes until `shutdown`; loops have ended when this returns. Series are not ended then: the next
    /// process goes on with them.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.look_at_files(true).await;
        self.sync(false).await;
        loop {
            let has_files =
                self.pools.values().any(|pool| !pool.fetcher.config().file_discoveries.is_empty());
            tokio::select! {
                () = shutdown.cancelled() => break,
                reload = self.reloads.recv() => {
                    let Some(reload) = reload else { break };
                    self.reload(reload).await;
                }
                () = tokio::time::sleep(FILE_LOOK_INTERVAL), if has_files => {
                    if self.look_at_files(false).await {
                        self.sync(false).await;
                    }
                }
            }
        }
        for pool in std::mem::take(&mut self.pools).into_values() {
            for running in pool.loops.into_values() {
                running.end().await;
            }
        }
    }

    fn adopt(&mut self, fetchers: Vec<Arc<Fetcher>>) -> Vec<ScrapePool> {
        let mut old = std::mem::take(&mut self.pools);
        self.order = fetchers.iter().map(|it| it.config().job_name.clone()).collect();
        for fetcher in fetchers {
            let name = fetcher.config().job_name.clone();
            let loops = old.remove(&name).map(|pool| pool.loops).unwrap_or_default();
            self.pools.insert(name, ScrapePool { fetcher, loops, files: Files::default() });
        }
        old.into_values().collect()
    }

    async fn reload(&mut self, reload: Reload) {
        let gone = self.adopt(reload.fetchers);
        for running in gone.into_iter().flat_map(|pool| pool.loops.into_values()) {
            self.retire(running).await;
        }
        self.look_at_files(true).await;
        self.sync(true).await;
        info!(jobs = self.order.len(), "the scrape configuration was reloaded");
        if reload.done.send(()).is_err() {
            info!("whoever asked for the reload has gone");
        }
    }

    /// Reads target files that changed or are due; whether targets may differ now.
    async fn look_at_files(&mut self, force: bool) -> bool {
        let mut changed = false;
        for pool in self.pools.values_mut() {
            let discoveries = pool.fetcher.config().file_discoveries.clone();
            if discoveries.is_empty() {
                continue;
            }
            let now = self.shared.clock.monotonic();
            let due = pool.files.read_at.is_none_or(|read_at| {
                discoveries.iter().any(|it| now.since(read_at) >= it.refresh.to_std())
            });
            let patterns: Vec<PathBuf> =
                discoveries.into_iter().flat_map(|it| it.patterns).collect();
            let before = std::mem::take(&mut pool.files);
            let looked = tokio::task::spawn_blocking(move || before.look(&patterns, force || due));
            let (files, read, failures) = match looked.await {
                Ok(looked) => looked,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            pool.files = files;
            if read {
                pool.files.read_at = Some(now);
                changed = true;
            }
            for failure in failures {
                self.shared.metrics.file_failures_total.inc();
                warn!(
                    job = pool.fetcher.config().job_name,
                    error = chain(&failure),
                    "a target file was not used"
                );
            }
        }
        changed
    }

    /// Brings the loops in line with the targets. `renewed`: rules may have changed, so all loops start again.
    async fn sync(&mut self, renewed: bool) {
        let mut inactive = Vec::new();
        let mut cards = Vec::new();
        for name in self.order.clone() {
            let Some(pool) = self.pools.get_mut(&name) else { continue };
            let (wanted, dropped) = pool.targets();
            inactive.extend(dropped);
            let limit = pool.fetcher.config().limits.targets_max.filter(|limit| *limit > 0);
            let crowd = limit.filter(|limit| wanted.len() > *limit).map(|it| (wanted.len(), it));
            let fetcher = Arc::clone(&pool.fetcher);
            let mut old = std::mem::take(&mut pool.loops);
            let mut loops = BTreeMap::new();
            let mut starts = Vec::new();
            for (identity, target) in wanted {
                match old.remove(&identity) {
                    Some(running) if !renewed && running.crowd == crowd => {
                        loops.insert(identity, running);
                    }
                    other => starts.push((identity, target, other)),
                }
            }
            // Series of targets that go end before others may go on with them.
            for running in old.into_values() {
                self.retire(running).await;
            }
            for (identity, target, before) in starts {
                let running = self.start(&fetcher, target, crowd, before).await;
                loops.insert(identity, running);
            }
            cards.extend(loops.values().map(|running| running.card.clone()));
            if let Some(pool) = self.pools.get_mut(&name) {
                pool.loops = loops;
            }
        }
        self.shared.metrics.targets.set(i64::try_from(cards.len()).unwrap_or(i64::MAX));
        *self.board.lock() = Board { active: cards, inactive };
    }

    async fn start(
        &self,
        fetcher: &Arc<Fetcher>,
        target: Target,
        crowd: Option<(usize, usize)>,
        before: Option<Running>,
    ) -> Running {
        let (last, series) = match before {
            Some(running) => {
                let last = Arc::clone(&running.card.last);
                let series = running.end().await.map(|mut series| {
                    series.forget_texts();
                    series
                });
                (last, series)
            }
            None => (Arc::new(Mutex::new(LastScrape::default())), None),
        };
        let series = series.unwrap_or_else(|| TargetSeries::new(target.labels.clone()));
        let card =
            Card { job: fetcher.config().job_name.as_str().into(), target: Arc::new(target), last };
        let stop = CancellationToken::new();
        let one = ScrapeLoop {
            shared: Arc::clone(&self.shared),
            fetcher: Arc::clone(fetcher),
            card: card.clone(),
            series,
            crowd,
        };
        let task = tokio::spawn(one.run(stop.clone()));
        Running { card, crowd, stop, task }
    }

    /// Stops a loop and ends its series.
    async fn retire(&self, running: Running) {
        let url = running.card.target.url.clone();
        let Some(mut series) = running.end().await else { return };
        let shared = Arc::clone(&self.shared);
        let ended = tokio::task::spawn_blocking(move || {
            let at = shared.clock.now();
            series.end_all(at, shared.sink.as_ref())?;
            series.end_reports(at, shared.sink.as_ref())
        })
        .await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                warn!(%url, error = chain(&failure), "the series of a removed target could not be ended");
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Running {
    /// Stops the loop; `None` when it had failed inside.
    async fn end(self) -> Option<TargetSeries> {
        self.stop.cancel();
        match self.task.await {
            Ok(series) => Some(series),
            Err(failure) => {
                error!(url = %self.card.target.url, error = chain(&failure), "a scrape loop failed inside");
                None
            }
        }
    }
}

impl ScrapePool {
    /// Targets to scrape, and those that are not.
    fn targets(&self) -> (BTreeMap<Identity, Target>, Vec<TargetState>) {
        let config = self.fetcher.config();
        let dropped_max = config.limits.dropped_targets_max.filter(|max| *max > 0);
        let mut wanted = BTreeMap::new();
        let mut inactive = Vec::new();
        let groups = config.static_groups.iter().chain(self.files.groups.values().flatten());
        for outcome in groups.flat_map(|group| target::targets(config, group)) {
            match outcome {
                Outcome::Active(target) => {
                    wanted.insert(target.identity(), target);
                }
                Outcome::Dropped(labels) => inactive.push(not_scraped(config, labels, "")),
                Outcome::Faulty(labels, why) => {
                    warn!(job = config.job_name, target = %labels, why, "a target cannot be scraped");
                    inactive.push(not_scraped(config, labels, &why));
                }
            }
        }
        inactive.truncate(dropped_max.unwrap_or(usize::MAX));
        (wanted, inactive)
    }
}

fn not_scraped(config: &ScrapeConfig, discovered: swell_model::Labels, why: &str) -> TargetState {
    TargetState {
        job: config.job_name.clone(),
        discovered,
        labels: swell_model::Labels::empty(),
        url: String::new(),
        health: Health::Unknown,
        last_error: why.to_owned(),
        last_scrape: None,
        last_duration: Duration::ZERO,
        interval: config.interval,
        timeout: config.timeout,
        dropped: true,
    }
}

impl Files {
    /// Reads the files when one of them changed, or in any case; what a file gave before stays when it
    /// cannot be used now. Tells whether files were read, and which failed.
    fn look(
        mut self,
        patterns: &[PathBuf],
        in_any_case: bool,
    ) -> (Self, bool, Vec<discovery::FileError>) {
        let stamps = discovery::files(patterns);
        if !in_any_case && stamps == self.stamps {
            return (self, false, Vec::new());
        }
        let mut failures = Vec::new();
        let mut groups = BTreeMap::new();
        for path in stamps.keys() {
            match discovery::read(path) {
                Ok(read) => {
                    groups.insert(path.clone(), read);
                }
                Err(failure) => {
                    failures.push(failure);
                    if let Some(before) = self.groups.remove(path) {
                        groups.insert(path.clone(), before);
                    }
                }
            }
        }
        (Self { stamps, groups, read_at: self.read_at }, true, failures)
    }
}

fn fetchers(configs: Vec<ScrapeConfig>) -> Result<Vec<Arc<Fetcher>>, ScrapeError> {
    let mut names = BTreeSet::new();
    let mut fetchers = Vec::with_capacity(configs.len());
    for config in configs {
        let job = config.job_name.clone();
        if !names.insert(job.clone()) {
            return Err(ScrapeError::RepeatedJob { job });
        }
        let fetcher = Fetcher::new(config).map_err(|source| ScrapeError::Tls { job, source })?;
        fetchers.push(Arc::new(fetcher));
    }
    Ok(fetchers)
}
