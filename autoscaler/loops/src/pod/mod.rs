//! The loop of HorizontalPodAutoscalers.

mod facts;
mod observe;
mod policy;
mod status;
mod translate;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use prometheus::Registry;
use swell_client::{Cache, Client, EventRecorder, ListParams, ObjectKey};
use swell_env::Clock;
use swell_model::TimestampMs;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::policy::{Context, Policy, Trigger};
use crate::config::Config;
use crate::journal::{Journal, JournalError, JournalWriter};
use crate::metrics::Metrics;
use crate::source::PodMetricSource;

/// Policies are evaluated at most this often, however often samples arrive.
const EVALUATE_EVERY_MIN: Duration = Duration::from_millis(100);
/// Evaluations under way at once; each waits for a few calls of the API.
const EVALUATIONS_AT_ONCE: usize = 16;

/// What the loop works with.
pub struct Dependencies {
    /// The API server.
    pub client: Client,
    /// A copy of all pods; may be shared with the controllers.
    pub pods: Cache<Pod>,
    /// Where metrics come from.
    pub source: Arc<dyn PodMetricSource>,
    /// Bumped when samples were stored: the loop looks then.
    pub samples: watch::Receiver<TimestampMs>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Dependencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dependencies").finish_non_exhaustive()
    }
}

/// Why the loop cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A metric of the same name is registered already.
    #[error("register the metrics of the autoscaler")]
    Metrics(#[from] prometheus::Error),
}

/// Holds workloads at their targets. One task owns all policies.
pub struct PodAutoscaler {
    config: Config,
    dependencies: Dependencies,
    journal: Journal,
    writer: JournalWriter,
    metrics: Metrics,
}

impl std::fmt::Debug for PodAutoscaler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PodAutoscaler").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Why the loop looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Samples,
    Objects,
    Pods,
    Deadline,
    Stop,
}

impl PodAutoscaler {
    /// Opens the journal and registers the self-metrics.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn new(
        config: Config,
        dependencies: Dependencies,
        registry: &Registry,
    ) -> Result<Self, BuildError> {
        let metrics = Metrics::register(registry)?;
        let (journal, writer) = Journal::open(&config.journal_dir, metrics.clone())?;
        Ok(Self { config, dependencies, journal, writer, metrics })
    }

    /// The journal, for [`crate::router`].
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Runs until `shutdown`; an evaluation under way is finished first.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { config, dependencies, journal, writer, metrics } = self;
        let Dependencies { client, pods, source, mut samples, clock } = dependencies;
        let disk_stop = CancellationToken::new();
        let disk = tokio::spawn(writer.run(disk_stop.clone()));
        let hpas: Cache<HorizontalPodAutoscaler> =
            Cache::start(client.clone(), None, ListParams::default(), shutdown.clone());
        let synced = tokio::select! {
            () = shutdown.cancelled() => false,
            synced = async { hpas.synced().await && pods.synced().await } => synced,
        };
        if synced {
            let events = EventRecorder::start(
                client.clone(),
                Arc::clone(&clock),
                "horizontal-pod-autoscaler",
                None,
                shutdown.clone(),
            );
            let mut pods_changed = pods.changed();
            let mut hpas_changed = hpas.changed();
            let context = Context {
                config,
                client,
                pods,
                source,
                events,
                journal,
                metrics,
                clock,
                selectors: Vec::new(),
            };
            let mut policies = Policies { by_key: BTreeMap::new(), context, not_before: None };
            policies.take_objects(&hpas).await;
            loop {
                match policies
                    .wait(&shutdown, &mut samples, &mut hpas_changed, &mut pods_changed)
                    .await
                {
                    Wake::Samples => policies.evaluate(Trigger::Sample, |_| true).await,
                    Wake::Objects => policies.take_objects(&hpas).await,
                    Wake::Pods => policies.follow_starts(),
                    Wake::Deadline => policies.evaluate_due().await,
                    Wake::Stop => break,
                }
            }
        }
        disk_stop.cancel();
        if let Err(error) = disk.await {
            tracing::error!(error = %error, "the decision journal ended badly");
        }
    }
}

struct Policies {
    by_key: BTreeMap<ObjectKey, Policy>,
    context: Context,
    /// Samples that come earlier wait until then.
    not_before: Option<Instant>,
}

impl Policies {
    async fn wait(
        &self,
        shutdown: &CancellationToken,
        samples: &mut watch::Receiver<TimestampMs>,
        hpas: &mut watch::Receiver<u64>,
        pods: &mut watch::Receiver<u64>,
    ) -> Wake {
        let deadline = self.by_key.values().filter_map(|policy| policy.deadline).min();
        let starting = self.by_key.values().any(Policy::waits_for_start);
        let at_deadline = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let next_sample = async {
            if self.by_key.is_empty() {
                return std::future::pending().await;
            }
            // The wait comes first: a change that was seen must not be lost when another branch wins.
            if let Some(not_before) = self.not_before {
                tokio::time::sleep_until(not_before).await;
            }
            if samples.changed().await.is_err() {
                // Nobody stores samples any more; objects and deadlines still count.
                std::future::pending().await
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::Stop,
            changed = hpas.changed() => if changed.is_ok() { Wake::Objects } else { Wake::Stop },
            () = next_sample => Wake::Samples,
            () = at_deadline => Wake::Deadline,
            changed = pods.changed(), if starting => if changed.is_ok() { Wake::Pods } else { Wake::Stop },
        }
    }

    /// Takes in what changed among the HorizontalPodAutoscalers and evaluates those whose wishes changed.
    async fn take_objects(&mut self, hpas: &Cache<HorizontalPodAutoscaler>) {
        let mut gone: Vec<ObjectKey> = self.by_key.keys().cloned().collect();
        let mut changed = Vec::new();
        for hpa in hpas.list() {
            let key = ObjectKey::of(&*hpa);
            gone.retain(|known| *known != key);
            match self.by_key.get_mut(&key) {
                Some(policy) if policy.is_same(&hpa) => {
                    if policy.update(hpa, &self.context.config) {
                        changed.push(key);
                    }
                }
                _ => {
                    let policy = Policy::new(key.clone(), hpa, &self.context.config);
                    self.by_key.insert(key.clone(), policy);
                    changed.push(key);
                }
            }
        }
        for key in gone {
            self.by_key.remove(&key);
            self.context.metrics.forget(&key);
        }
        if !changed.is_empty() {
            self.evaluate(Trigger::Object, |policy| changed.contains(policy.key())).await;
        }
    }

    async fn evaluate_due(&mut self) {
        let now = Instant::now();
        self.evaluate(Trigger::Deadline, |policy| policy.deadline.is_some_and(|due| due <= now))
            .await;
    }

    async fn evaluate(&mut self, trigger: Trigger, wanted: impl Fn(&Policy) -> bool) {
        // Whom each policy scales is known before any of them acts: two of one workload must both see it.
        let context = &self.context;
        let unknown = self.by_key.values_mut().filter(|policy| policy.selector.is_none());
        futures::stream::iter(unknown)
            .for_each_concurrent(EVALUATIONS_AT_ONCE, |policy| policy.learn_selector(context))
            .await;
        self.context.selectors = self
            .by_key
            .iter()
            .filter_map(|(key, policy)| Some((key.clone(), policy.selector.clone()?)))
            .collect();
        if trigger == Trigger::Sample {
            self.not_before = Some(Instant::now() + EVALUATE_EVERY_MIN);
        }
        let context = &self.context;
        let due: Vec<&mut Policy> =
            self.by_key.values_mut().filter(|policy| wanted(policy)).collect();
        futures::stream::iter(due)
            .for_each_concurrent(EVALUATIONS_AT_ONCE, |policy| policy.evaluate(context, trigger))
            .await;
    }

    fn follow_starts(&mut self) {
        for policy in self.by_key.values_mut() {
            policy.follow_start(&self.context);
        }
    }
}
