//! The task that owns all targets: starts and stops their loops as configuration and sources change.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use swell_client::Client;
use swell_discovery::{Discovery, DiscoveryDeps, DiscoveryMetrics, StartError};
use swell_env::Clock;
use swell_http_client::TlsError;
use swell_model::SampleSink;
use swell_telemetry::chain;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::board::{Board, BoardMetrics};
use crate::claims::Claimed;
use crate::config::ScrapeConfig;
use crate::departed::Departures;
use crate::described::Described;
use crate::failure_log::FailureLog;
use crate::fetch::Fetcher;
use crate::ingest::TargetSeries;
use crate::metrics::ScrapeMetrics;
use crate::pool::{Job, Running, ScrapePool};
use crate::scrape_loop::{ScrapeLoop, Shared};
use crate::status::{Card, LastScrape, TargetFamilies, TargetState};
use crate::target::Target;

/// Sources that tell more often than this are listened to this often.
const DISCOVERY_PAUSE: Duration = Duration::from_millis(250);
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
    /// A source of a job's targets cannot be set up.
    #[error("job {job:?}")]
    Discovery {
        /// The job.
        job: String,
        /// Why.
        #[source]
        source: StartError,
    },
    /// The log of failed scrapes cannot be written.
    #[error("job {job:?}: open scrape_failure_log_file {}", path.display())]
    FailureLog {
        /// The job.
        job: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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
    jobs: Vec<Job>,
    done: oneshot::Sender<()>,
}

/// Asks a running [`Scraper`] about its targets and gives it a new configuration.
#[derive(Clone, Debug)]
pub struct ScrapeHandle {
    board: Arc<Mutex<Board>>,
    deps: DiscoveryDeps,
    reloads: mpsc::Sender<Reload>,
}

impl ScrapeHandle {
    /// All targets, jobs in the order of the configuration; dropped ones after the others.
    #[must_use]
    pub fn targets(&self) -> Vec<TargetState> {
        let board = self.board.lock();
        board.active.iter().map(Card::state).chain(board.inactive.iter().cloned()).collect()
    }

    /// What each target that is scraped tells of its families, in the order of [`Self::targets`].
    #[must_use]
    pub fn families(&self) -> Vec<TargetFamilies> {
        self.board.lock().active.iter().map(Card::families).collect()
    }

    /// How many targets of each job are not scraped, whether they are remembered or not.
    #[must_use]
    pub fn dropped_counts(&self) -> BTreeMap<String, usize> {
        self.board.lock().inactive_counts.clone()
    }

    /// What its sources stand on, for others that find something.
    #[must_use]
    pub fn discovery_deps(&self) -> DiscoveryDeps {
        self.deps.clone()
    }

    /// Puts another configuration in force: targets that stay keep their series, those that go end them once they have
    /// stayed away for two intervals.
    ///
    /// # Errors
    /// [`ScrapeError`] when the configuration is refused or the scraper has ended.
    pub async fn reload(&self, configs: Vec<ScrapeConfig>) -> Result<(), ScrapeError> {
        let jobs = jobs(configs, &self.deps)?;
        let (done, applied) = oneshot::channel();
        self.reloads.send(Reload { jobs, done }).await.map_err(|_| ScrapeError::Ended)?;
        applied.await.map_err(|_| ScrapeError::Ended)
    }
}

/// Scrapes all targets of all jobs.
pub struct Scraper {
    shared: Arc<Shared>,
    pools: BTreeMap<String, ScrapePool>,
    /// Names of the jobs, in the order of the configuration.
    order: Vec<String>,
    /// Targets that went and may come back.
    departures: Departures,
    board: Arc<Mutex<Board>>,
    /// Rung by sources whose targets changed.
    changed: Arc<Notify>,
    deps: DiscoveryDeps,
    reloads: mpsc::Receiver<Reload>,
    handle: ScrapeHandle,
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper").field("jobs", &self.order).finish_non_exhaustive()
    }
}

impl Scraper {
    /// A scraper with its targets not started yet. `own_cluster` is the API server of this process, if it has one.
    ///
    /// # Errors
    /// [`ScrapeError`] when the configuration or the registry refuses.
    pub fn new(
        configs: Vec<ScrapeConfig>,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        registry: &prometheus::Registry,
        own_cluster: Option<Client>,
    ) -> Result<Self, ScrapeError> {
        let deps = DiscoveryDeps { metrics: DiscoveryMetrics::register(registry)?, own_cluster };
        let jobs = jobs(configs, &deps)?;
        let metrics = ScrapeMetrics::register(registry, &clock)?;
        let (sender, reloads) = mpsc::channel(RELOAD_QUEUE_LEN);
        let board = Arc::new(Mutex::new(Board::default()));
        registry.register(Box::new(BoardMetrics::new(Arc::clone(&board))?))?;
        let mut scraper = Self {
            shared: Arc::new(Shared::new(sink, clock, metrics)),
            pools: BTreeMap::new(),
            order: Vec::new(),
            departures: Departures::default(),
            handle: ScrapeHandle { board: Arc::clone(&board), deps: deps.clone(), reloads: sender },
            board,
            changed: Arc::new(Notify::new()),
            deps,
            reloads,
        };
        scraper.adopt(jobs);
        Ok(scraper)
    }

    /// The way to ask and to reload.
    #[must_use]
    pub fn handle(&self) -> ScrapeHandle {
        self.handle.clone()
    }

    /// Scrapes until `shutdown`; loops have ended when this returns. Series are not ended then, nor those of targets that
    /// went shortly before: the next process goes on with them.
    pub async fn run(mut self, shutdown: CancellationToken) {
        self.pools.values_mut().for_each(ScrapePool::discover);
        self.sync(false).await;
        loop {
            let due = self.departures.next_due();
            let wait = due.map(|due| due.since(self.shared.clock.now()).to_std());
            let farewell = async move {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                reload = self.reloads.recv() => {
                    let Some(reload) = reload else { break };
                    self.reload(reload).await;
                }
                () = self.changed.notified() => {
                    self.sync(false).await;
                    tokio::time::sleep(DISCOVERY_PAUSE).await;
                }
                () = farewell => self.end_departed().await,
            }
        }
        for pool in std::mem::take(&mut self.pools).into_values() {
            for running in pool.loops.into_values() {
                running.end().await;
            }
        }
    }

    /// Takes jobs over; those that were there before go on. Those that are gone are returned.
    fn adopt(&mut self, jobs: Vec<Job>) -> Vec<ScrapePool> {
        let mut old = std::mem::take(&mut self.pools);
        self.order = jobs.iter().map(|job| job.config().job_name.clone()).collect();
        for job in jobs {
            let name = job.config().job_name.clone();
            let pool = match old.remove(&name) {
                Some(mut pool) => {
                    pool.adopt(job);
                    pool
                }
                None => {
                    self.shared.metrics.theirs.begin_job(&name);
                    ScrapePool::new(job, self.deps.clone(), Arc::clone(&self.changed))
                }
            };
            self.pools.insert(name, pool);
        }
        old.into_values().collect()
    }

    async fn reload(&mut self, reload: Reload) {
        let gone = self.adopt(reload.jobs);
        for pool in &gone {
            self.shared.metrics.theirs.forget_job(&pool.job.config().job_name);
        }
        for running in gone.into_iter().flat_map(|pool| pool.loops.into_values()) {
            self.retire(running).await;
        }
        self.pools.values_mut().for_each(ScrapePool::discover);
        self.sync(true).await;
        info!(jobs = self.order.len(), "the scrape configuration was reloaded");
        if reload.done.send(()).is_err() {
            info!("whoever asked for the reload has gone");
        }
    }

    /// Brings the loops in line with the targets. `renewed`: rules may have changed, so all loops start again.
    async fn sync(&mut self, renewed: bool) {
        let mut board = Board { jobs: self.order.clone(), ..Board::default() };
        for name in self.order.clone() {
            self.sync_job(&name, renewed).await;
            let Some(pool) = self.pools.get(&name) else { continue };
            board.active.extend(pool.loops.values().map(|running| running.card.clone()));
            board.inactive.extend(pool.inactive.iter().cloned());
            if pool.inactive_count > 0 {
                board.inactive_counts.insert(name, pool.inactive_count);
            }
        }
        self.shared.metrics.targets.set(i64::try_from(board.active.len()).unwrap_or(i64::MAX));
        *self.board.lock() = board;
    }

    async fn sync_job(&mut self, name: &str, renewed: bool) {
        let began = self.shared.clock.monotonic();
        if self.bring_in_line(name, renewed).await {
            let took = self.shared.clock.monotonic().since(began);
            self.shared.metrics.theirs.synced(name, took);
        }
    }

    /// Whether there was something to do.
    async fn bring_in_line(&mut self, name: &str, renewed: bool) -> bool {
        let Some(pool) = self.pools.get_mut(name) else { return false };
        let Some(wanted) = pool.changed_targets() else { return false };
        self.shared.metrics.theirs.faulty(name, pool.faulty_count);
        let limit = pool.job.config().limits.targets_max.filter(|limit| *limit > 0);
        let crowd = limit.filter(|limit| wanted.len() > *limit).map(|it| (wanted.len(), it));
        if crowd.is_some() {
            self.shared.metrics.theirs.exceeded_target_limit.inc();
        }
        let job = pool.job.clone();
        let mut old = std::mem::take(&mut pool.loops);
        let mut loops = BTreeMap::new();
        let mut starts = Vec::new();
        for (identity, target) in wanted {
            match old.remove(&identity) {
                Some(mut running)
                    if !renewed
                        && running.crowd == crowd
                        && running.card.target.is_scraped_as(&target) =>
                {
                    // What sources say of it is shown as they say it now.
                    if running.card.target.discovered != target.discovered {
                        running.card.target = Arc::new(target);
                    }
                    loops.insert(identity, running);
                }
                other => starts.push((identity, target, other)),
            }
        }
        // A target is given up before it may be started again.
        for running in old.into_values() {
            self.retire(running).await;
        }
        for (identity, target, before) in starts {
            let running = self.start(&job, target, crowd, before).await;
            loops.insert(identity, running);
        }
        if let Some(pool) = self.pools.get_mut(name) {
            pool.loops = loops;
        }
        true
    }

    async fn start(
        &mut self,
        job: &Job,
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
            None => {
                let series = self.departures.take_back(&job.config().job_name, target.identity());
                (Arc::new(Mutex::new(LastScrape::default())), series)
            }
        };
        let mut series = series.unwrap_or_else(|| {
            let claimed = Claimed::new(&self.shared.claims, target.url.to_string());
            let described = Described::new(&self.shared.families);
            TargetSeries::new(target.labels.clone(), claimed, described)
        });
        series.take_histograms(target.histograms);
        let claimant = Arc::clone(series.claimant());
        let described = Arc::clone(series.described());
        let job_name = job.config().job_name.as_str().into();
        let card = Card { job: job_name, target: Arc::new(target), last, claimant, described };
        let stop = CancellationToken::new();
        let one = ScrapeLoop {
            shared: Arc::clone(&self.shared),
            fetcher: Arc::clone(&job.fetcher),
            card: card.clone(),
            series,
            crowd,
            failure_log: job.failure_log.clone(),
        };
        let task = tokio::spawn(one.run(stop.clone()));
        Running { card, crowd, stop, task }
    }

    /// Stops a loop; its series end when the target stays away.
    async fn retire(&mut self, running: Running) {
        let Card { job, target, last, .. } = running.card.clone();
        let Some(series) = running.end().await else { return };
        let (last, now) = (last.lock().at, self.shared.clock.now());
        self.departures.add(&job, &target, series, last, now);
    }

    /// Ends the series of targets that have stayed away.
    async fn end_departed(&mut self) {
        let due = self.departures.take_due(self.shared.clock.now());
        if due.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let ended = tokio::task::spawn_blocking(move || {
            for departed in due {
                let url = departed.url.clone();
                if let Err(failure) = departed.end(shared.sink.as_ref()) {
                    warn!(%url, error = chain(&failure), "the series of a removed target could not be ended");
                }
            }
        })
        .await;
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic.into_panic());
        }
    }
}

/// Jobs that can be scraped as they say; logs of failed scrapes are shared by those that name the same file.
fn jobs(configs: Vec<ScrapeConfig>, deps: &DiscoveryDeps) -> Result<Vec<Job>, ScrapeError> {
    let mut logs: BTreeMap<PathBuf, Arc<FailureLog>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut ready = Vec::with_capacity(configs.len());
    for config in configs {
        let job = config.job_name.clone();
        if !names.insert(job.clone()) {
            return Err(ScrapeError::RepeatedJob { job });
        }
        let refused = |source| ScrapeError::Discovery { job: job.clone(), source };
        Discovery::check(&config.discoveries, deps).map_err(refused)?;
        let failure_log =
            match &config.failure_log {
                None => None,
                Some(path) if logs.contains_key(path) => logs.get(path).cloned(),
                Some(path) => {
                    let opened = FailureLog::open(path).map_err(|source| {
                        ScrapeError::FailureLog { job: job.clone(), path: path.clone(), source }
                    })?;
                    let opened = Arc::new(opened);
                    logs.insert(path.clone(), Arc::clone(&opened));
                    Some(opened)
                }
            };
        let fetcher = Fetcher::new(config).map_err(|source| ScrapeError::Tls { job, source })?;
        ready.push(Job { fetcher: Arc::new(fetcher), failure_log });
    }
    Ok(ready)
}
