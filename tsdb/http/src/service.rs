//! What the handlers share: the storage, limits, and the bounded pool that queries run on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::IntGauge;
use swell_engine::Db;
use swell_env::{Clock, Monotonic};
use swell_model::{DurationMs, Matcher, SeriesSource, TimeRange, TimestampMs, Wanted};
use swell_promql::{Budget, EvalError, EvalParams, Features, QueryOutput, QueryValue, Watched};
use swell_promql_syntax::Expr;
use swell_telemetry::Registry;
use tokio::sync::Semaphore;
use tracing::{Instrument as _, debug_span};

use crate::active::{ActiveQueries, Origin};
use crate::edge::Origins;
use crate::error::ApiError;
use crate::health::{Readiness, Watch};
use crate::in_force::ConfigState;
use crate::lifecycle::Lifecycle;
use crate::metrics::{QueryMetrics, register_readiness};
use crate::notices::Notices;
use crate::params::Params;
use crate::targets::TargetStatusSource;
use crate::threads::{Cores, QueryPool};
#[cfg(feature = "archive")]
use crate::turns::Turn;
use crate::turns::{Begun, Client, Turns};

/// Steps that the longest range query has: both of its ends count.
const STEPS_MAX: usize = Budget::STEPS_MAX_DEFAULT + 1;

/// Microseconds that a query may take, by an estimate, to be evaluated where its request is read. Handing it to a thread of
/// queries and back takes about a hundred, and others wait for those who do not.
const COST_HERE_US: u64 = 500;

/// Longer ones are not looked at for that.
const QUERY_HERE_BYTES_MAX: usize = 4096;

/// Names or values that may be looked at there, over so many selectors.
const NAMES_HERE_MAX: usize = 4096;
const SELECTORS_HERE_MAX: usize = 4;

/// Queries that may wait for each one that may run: more would hardly have their turn within their timeout, and each
/// holds a connection and its text.
const WAITING_PER_SLOT: usize = 16;

/// Limits and facts of the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// How far back a sample counts as current.
    pub lookback: DurationMs,
    /// A query that takes longer is stopped.
    pub timeout: DurationMs,
    /// Samples that one query may hold at once.
    pub samples_max: usize,
    /// Series that one query may select; none for no limit.
    pub series_max: Option<usize>,
    /// Bytes that one query may hold at once, by an estimate; none for no limit.
    pub bytes_max: Option<usize>,
    /// Queries that run at once; others wait for their turn, within their timeout.
    pub concurrency_max: usize,
    /// Experimental parts of the language that are on.
    pub features: Features,
    /// Flags by name, as `status/flags` shows them.
    pub flags: BTreeMap<String, String>,
    /// Name of this host.
    pub hostname: String,
    /// Whether series may be deleted and snapshots made through the API.
    pub admin_api: bool,
    /// Whether OTLP points of delta temporality are taken and summed up.
    pub sums_deltas: bool,
    /// Whether they are taken and stored as they are.
    pub stores_deltas: bool,
    /// Samples that one remote read may have, where it asks for samples and not for chunks.
    pub remote_read_samples_max: usize,
    /// Remote reads that run at once.
    pub remote_reads_max: usize,
    /// Whether `/search/…` answers.
    pub search_api: bool,
    /// Whether rules of a group that do not depend on each other run at once.
    pub concurrent_rules: bool,
    /// Whether `stats=all` tells of each step how many samples it looked at.
    pub per_step_stats: bool,
    /// Names that one search may ask for.
    pub search_limit_max: usize,
    /// Whether the configuration is read again by itself once its files change.
    pub auto_reload: bool,
    /// Whose pages may read.
    pub origins: Origins,
}

/// What the API stands on.
pub struct ApiDeps {
    /// Storage: its state, and what is known of metrics.
    pub db: Arc<Db>,
    /// What queries read: the storage, or the storage in front of an archive and of servers that are read from.
    pub source: Arc<dyn SeriesSource>,
    /// What other servers read and scrape here: without what is read from others, so that two that read from each other do
    /// not ask on and on.
    pub own: Arc<dyn SeriesSource>,
    /// Targets of scraping and of the virtual jobs.
    pub targets: Arc<dyn TargetStatusSource>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether everything answers.
    pub readiness: Readiness,
    /// Where our own metrics are registered, and what `/metrics` shows.
    pub registry: Registry,
    /// What a reload replaces.
    pub in_force: ConfigState,
    /// What the operator should know now.
    pub notices: Notices,
    /// Who reloads and stops the process.
    pub lifecycle: Lifecycle,
    /// Where queries are noted while they run.
    pub active: Arc<ActiveQueries>,
}

impl std::fmt::Debug for ApiDeps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiDeps").finish_non_exhaustive()
    }
}

/// State of the handlers.
pub struct Api {
    pub(crate) config: ApiConfig,
    pub(crate) db: Arc<Db>,
    pub(crate) source: Arc<dyn SeriesSource>,
    pub(crate) own: Arc<dyn SeriesSource>,
    pub(crate) targets: Arc<dyn TargetStatusSource>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    pub(crate) in_force: ConfigState,
    pub(crate) notices: Notices,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) active: Arc<ActiveQueries>,
    pub(crate) started_at: TimestampMs,
    pub(crate) watch: Watch,
    metrics: Arc<QueryMetrics>,
    cores: Arc<Cores>,
    pub(crate) pool: QueryPool,
    turns: Turns,
    /// Turns of remote reads.
    pub(crate) reads: Arc<Semaphore>,
    /// One call of the admin API at a time.
    pub(crate) admin_turn: Arc<Semaphore>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Seconds that a query took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// Until it had its turn.
    pub(crate) waiting_s: f64,
    /// From then on.
    pub(crate) evaluating_s: f64,
}

/// Stops the work of a request whose client went away.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts a piece of work while it runs, also when it panics or nobody waits for it any more.
struct Running(IntGauge);

impl Running {
    fn begin(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Api {
    /// The API over its parts.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(config: ApiConfig, deps: ApiDeps) -> Result<Arc<Self>, prometheus::Error> {
        let metrics = QueryMetrics::register(&deps.registry, &deps.clock, config.concurrency_max)?;
        register_readiness(&deps.registry, deps.readiness.clone())?;
        Ok(Arc::new(Self {
            cores: Cores::new(std::thread::available_parallelism().map_or(1, usize::from)),
            pool: QueryPool::new(config.concurrency_max),
            turns: Turns::new(config.concurrency_max, config.concurrency_max * WAITING_PER_SLOT),
            reads: Arc::new(Semaphore::new(config.remote_reads_max)),
            admin_turn: Arc::new(Semaphore::new(1)),
            started_at: deps.clock.now(),
            watch: Watch::default(),
            metrics: Arc::new(metrics),
            config,
            db: deps.db,
            source: deps.source,
            own: deps.own,
            targets: deps.targets,
            clock: deps.clock,
            readiness: deps.readiness,
            registry: deps.registry,
            in_force: deps.in_force,
            notices: deps.notices,
            lifecycle: deps.lifecycle,
            active: deps.active,
        }))
    }

    /// How long a request may take: what it asks for, and at most what this server gives.
    pub(crate) fn timeout(&self, params: &Params) -> Result<DurationMs, ApiError> {
        let asked = params.duration("timeout")?;
        Ok(asked.map_or(self.config.timeout, |asked| asked.min(self.config.timeout)))
    }

    /// What queries read, for one that ends when the flag is set.
    pub(crate) fn source_until(&self, cancelled: &Arc<AtomicBool>) -> Arc<dyn SeriesSource> {
        self.source.until_cancelled(cancelled).unwrap_or_else(|| self.source.clone())
    }

    /// Parameters of an evaluation with this server's settings; a lookback that is not above 0 is none.
    pub(crate) fn tuned(&self, params: EvalParams, lookback: Option<DurationMs>) -> EvalParams {
        EvalParams {
            lookback: lookback.filter(|span| span.0 > 0).unwrap_or(self.config.lookback),
            subquery_step: self.in_force.current().subquery_step,
            features: self.config.features,
            ..params
        }
    }

    /// Evaluates, and has the answer made in the same place of the result, of why that may be incomplete, and of the time it
    /// took: a large one takes long to write. That place is here where the query takes less than handing it over would, else
    /// the pool. There it is stopped when its time is up or the client goes.
    pub(crate) async fn evaluate(
        &self,
        (client, query): (&Client, &str),
        expr: Expr,
        params: EvalParams,
        timeout: DurationMs,
        make: impl FnOnce(&QueryOutput, Vec<String>, Took) -> String + Send + 'static,
    ) -> Result<String, ApiError> {
        let mut budget = Budget {
            series_max: self.config.series_max,
            bytes_max: self.config.bytes_max,
            ..Budget::new(self.config.samples_max, STEPS_MAX)
        };
        let cancelled = budget.cancelled.clone();
        let source = Watched::passing_over_damage(self.source_until(&cancelled));
        let (asked, clock) = (self.clock.monotonic(), Arc::clone(&self.clock));
        let metrics = Arc::clone(&self.metrics);
        let answered = {
            let query = query.to_owned();
            move |output: Result<QueryOutput, EvalError>, source: &Watched, began: Monotonic| {
                let took = Took {
                    waiting_s: began.since(asked).as_secs_f64(),
                    evaluating_s: clock.monotonic().since(began).as_secs_f64(),
                };
                metrics.queue_seconds.observe(took.waiting_s);
                metrics.evaluation_seconds.observe(took.evaluating_s);
                let output = output.map_err(|error| ApiError::of_query(&query, error))?;
                metrics.samples_total.inc_by(output.stats.samples_total);
                Ok(make(&output, source.warnings_of_reads(), took))
            }
        };
        let is_short = query.len() <= QUERY_HERE_BYTES_MAX;
        let at_hand = is_short.then(|| {
            swell_promql::evaluate_at_hand(&expr, &source, &params, &budget, COST_HERE_US)
        });
        let at_hand = at_hand.flatten();
        let answer = if let Some(output) = at_hand {
            self.metrics.at_hand_total.inc();
            answered(output, &source, asked)
        } else {
            let (cores, clock) = (Arc::clone(&self.cores), Arc::clone(&self.clock));
            let (active, query) = (Arc::clone(&self.active), query.to_owned());
            self.run(client, timeout, cancelled, move || {
                let began = clock.monotonic();
                let _noted = active.begin(&query, Origin::Api);
                budget.workers = Arc::new(cores.query());
                let output = swell_promql::evaluate(&expr, &source, &params, &budget);
                answered(output, &source, began)
            })
            .await
        };
        let spent = self.clock.monotonic().since(asked);
        self.metrics.duration_seconds.observe(spent.as_secs_f64());
        if let Err(error) = &answer {
            self.metrics.failures_total.with_label_values(&[error.kind()]).inc();
        }
        answer
    }

    /// Evaluates at one instant on this thread, which has a turn: for who asks several queries in one. With why the value
    /// may be incomplete.
    pub(crate) fn instant_in_turn(
        &self,
        query: &str,
        expr: &Expr,
        at: TimestampMs,
        cancelled: &Arc<AtomicBool>,
    ) -> Result<(QueryValue, Vec<String>), ApiError> {
        let budget = Budget {
            series_max: self.config.series_max,
            bytes_max: self.config.bytes_max,
            cancelled: Arc::clone(cancelled),
            workers: Arc::new(self.cores.query()),
            ..Budget::new(self.config.samples_max, STEPS_MAX)
        };
        let params = self.tuned(EvalParams::instant(at), None);
        let source = Watched::passing_over_damage(self.source_until(cancelled));
        let _noted = self.active.begin(query, Origin::Api);
        let began = self.clock.monotonic();
        let output = swell_promql::evaluate(expr, &source, &params, &budget);
        let spent_s = self.clock.monotonic().since(began).as_secs_f64();
        self.metrics.evaluation_seconds.observe(spent_s);
        self.metrics.duration_seconds.observe(spent_s);
        let output = output.map_err(|error| ApiError::of_query(query, error));
        let output = output.inspect_err(|error| {
            self.metrics.failures_total.with_label_values(&[error.kind()]).inc();
        })?;
        self.metrics.samples_total.inc_by(output.stats.samples_total);
        Ok((output.value, source.warnings_of_reads()))
    }

    /// Whether names or values of labels take so little that they are read where the request is.
    pub(crate) fn are_at_hand(
        &self,
        wanted: Wanted<'_>,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> bool {
        /// Of a series all labels are looked at for their names.
        const LABELS_PER_SERIES: usize = 16;
        if selectors.len() > SELECTORS_HERE_MAX {
            return false;
        }
        let counts = selectors.iter().map(|matchers| {
            let at_hand = self.source.at_hand(wanted, matchers, range)?;
            let is_by_series = wanted == Wanted::Names && !matchers.is_empty();
            let each = if is_by_series { LABELS_PER_SERIES } else { 1 };
            Some(at_hand.found * each + at_hand.looked_at)
        });
        counts.sum::<Option<usize>>().is_some_and(|sum| sum <= NAMES_HERE_MAX)
    }

    /// Waits for a turn, for work that holds it beyond the answer's first byte.
    #[cfg(feature = "archive")]
    pub(crate) async fn turn(
        &self,
        client: &Client,
        timeout: DurationMs,
    ) -> Result<Turn, ApiError> {
        match self.turns.ask(client)? {
            Begun::Runs(turn) => Ok(turn),
            Begun::Waits(waiting) => {
                match tokio::time::timeout(timeout.to_std(), waiting.turn()).await {
                    Ok(turn) => Ok(turn?),
                    Err(_) => Err(ApiError::timeout("too many queries run: none ended in time")),
                }
            }
        }
    }

    /// Runs blocking work on the pool when it is its client's turn; refuses it at once when too many wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        client: &Client,
        timeout: DurationMs,
        cancelled: Arc<AtomicBool>,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let guard = CancelOnDrop(cancelled);
        let _asked = Running::begin(self.metrics.asked.clone());
        let running = self.metrics.running.clone();
        let begun = self.turns.ask(client)?;
        let span = debug_span!("query");
        let in_time = tokio::time::timeout(
            timeout.to_std(),
            async move {
                let turn = match begun {
                    Begun::Runs(turn) => turn,
                    Begun::Waits(waiting) => waiting.turn().await?,
                };
                let done = self.pool.spawn(move || {
                    let running = Running::begin(running);
                    let outcome = work();
                    drop((running, turn));
                    outcome
                });
                let done = done.await;
                done.unwrap_or_else(|error| {
                    Err(ApiError::internal(format!("the query failed inside: {error}")))
                })
            }
            .instrument(span),
        )
        .await;
        drop(guard);
        in_time
            .unwrap_or_else(|_| Err(ApiError::timeout("query timed out in expression evaluation")))
    }
}
