//! The sources of one job, running.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use swell_client::Client;
use swell_http_client::TlsError;
use swell_telemetry::chain;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::error;

use crate::config::DiscoveryConfig;
use crate::group::TargetGroup;
use crate::metrics::DiscoveryMetrics;
use crate::{consul, dns, docker, file, http, kubernetes};

/// What sources stand on.
#[derive(Clone, Debug)]
pub struct DiscoveryDeps {
    /// Where they count.
    pub metrics: DiscoveryMetrics,
    /// The API server of this process, if it has one.
    pub own_cluster: Option<Client>,
}

/// Why a source cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What its options say of TLS cannot be used.
    #[error("set up TLS")]
    Tls(#[from] TlsError),
    /// The system's resolver configuration cannot be used.
    #[error("read the configuration of the system's resolver")]
    Resolver(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This process has no API server.
    #[error(
        "kubernetes_sd_configs names no api_server and no kubeconfig_file, and this process neither has an API server nor runs in a cluster"
    )]
    NoCluster,
    /// A kubeconfig file cannot be used.
    #[error("kubeconfig file {}: {why}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The sources of one job; they end when this is dropped.
#[derive(Debug)]
pub struct Discovery {
    job: Arc<str>,
    sources: Vec<Source>,
    deps: DiscoveryDeps,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Source {
    config: DiscoveryConfig,
    latest: Arc<Latest>,
    task: JoinHandle<()>,
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a source told last.
#[derive(Debug)]
struct Latest {
    groups: Mutex<Arc<Vec<TargetGroup>>>,
}

impl Discovery {
    /// A job without sources; `changed` is rung when what a source tells differs from before.
    #[must_use]
    pub fn new(job: &str, deps: DiscoveryDeps, changed: Arc<Notify>) -> Self {
        Self { job: job.into(), sources: Vec::new(), deps, changed }
    }

    /// The job has another name from now on; sources that run go on, and are logged under the one before.
    pub fn rename(&mut self, job: &str) {
        if *self.job != *job {
            self.deps.metrics.forget_job(&self.job);
            self.job = job.into();
        }
    }

    /// Checks that sources can be set up, and changes nothing.
    ///
    /// # Errors
    /// [`StartError`] of the first that cannot.
    pub fn check(configs: &[DiscoveryConfig], deps: &DiscoveryDeps) -> Result<(), StartError> {
        configs.iter().try_for_each(|config| prepare(config, deps).map(drop))
    }

    /// Runs these sources from now on. Those that ran before go on undisturbed; one that takes the place of another
    /// of its kind begins with the targets of that one, until it has told its own.
    pub fn run(&mut self, configs: &[DiscoveryConfig]) {
        let mut before: Vec<Option<Source>> =
            std::mem::take(&mut self.sources).into_iter().map(Some).collect();
        let mut find = |wanted: &dyn Fn(&DiscoveryConfig) -> bool| {
            let found =
                before.iter_mut().find(|it| it.as_ref().is_some_and(|it| wanted(&it.config)));
            found.and_then(Option::take)
        };
        let kept: Vec<Option<Source>> =
            configs.iter().map(|config| find(&|other| other == config)).collect();
        let mut failed = 0;
        for (config, kept) in configs.iter().zip(kept) {
            if let Some(source) = kept {
                self.sources.push(source);
                continue;
            }
            let same_kind = find(&|other| other.mechanism() == config.mechanism());
            let groups = same_kind.map(|it| it.latest.groups.lock().clone()).unwrap_or_default();
            match self.start(config, groups) {
                Ok(source) => self.sources.push(source),
                Err(failure) => {
                    failed += 1;
                    let (job, mechanism) = (&*self.job, config.mechanism());
                    error!(
                        job,
                        mechanism,
                        error = chain(&failure),
                        "a source of targets cannot be set up"
                    );
                }
            }
        }
        self.deps.metrics.failed(failed);
        self.count();
    }

    fn start(
        &self,
        config: &DiscoveryConfig,
        groups: Arc<Vec<TargetGroup>>,
    ) -> Result<Source, StartError> {
        let latest = Arc::new(Latest { groups: Mutex::new(groups) });
        let output = Output {
            job: Arc::clone(&self.job),
            mechanism: config.mechanism(),
            latest: Arc::clone(&latest),
            metrics: self.deps.metrics.clone(),
            changed: Arc::clone(&self.changed),
        };
        let task = prepare(config, &self.deps)?.spawn(output);
        Ok(Source { config: config.clone(), latest, task })
    }

    /// The targets of all sources, in the order of their configuration.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<Vec<TargetGroup>>> {
        self.count();
        self.sources.iter().map(|source| source.latest.groups.lock().clone()).collect()
    }

    fn count(&self) {
        let targets =
            |groups: &[TargetGroup]| groups.iter().map(|it| it.targets.len()).sum::<usize>();
        let sum: usize = self.sources.iter().map(|it| targets(&it.latest.groups.lock())).sum();
        self.deps.metrics.count_targets(&self.job, sum);
    }
}

/// The job is no more: nothing tells of its sources any longer, as upstream.
impl Drop for Discovery {
    fn drop(&mut self) {
        let mechanism = |source: Source| source.config.mechanism();
        // They end first, or they would count again.
        let mechanisms: Vec<&str> = self.sources.drain(..).map(mechanism).collect();
        self.deps.metrics.forget_job(&self.job);
        for mechanism in mechanisms {
            self.deps.metrics.forget_source(mechanism, &self.job);
        }
    }
}

/// A source that is set up and does not run yet.
enum Prepared {
    File(file::FileSource),
    Http(Box<http::HttpSource>),
    Dns(Box<dns::DnsSource>),
    Docker(Box<docker::DockerSource>),
    Consul(Box<consul::ConsulSource>),
    Kubernetes(Box<kubernetes::KubernetesSource>),
}

fn prepare(config: &DiscoveryConfig, deps: &DiscoveryDeps) -> Result<Prepared, StartError> {
    let metrics = &deps.metrics;
    Ok(match config {
        DiscoveryConfig::File(config) => {
            Prepared::File(file::FileSource::new(config.clone(), metrics))
        }
        DiscoveryConfig::Http(config) => {
            Prepared::Http(Box::new(http::HttpSource::new(config, metrics)?))
        }
        DiscoveryConfig::Dns(config) => {
            Prepared::Dns(Box::new(dns::DnsSource::new(config, metrics)?))
        }
        DiscoveryConfig::Docker(config) => {
            Prepared::Docker(Box::new(docker::DockerSource::new(config)?))
        }
        DiscoveryConfig::Consul(config) => {
            Prepared::Consul(Box::new(consul::ConsulSource::new(config, metrics)?))
        }
        DiscoveryConfig::Kubernetes(config) => Prepared::Kubernetes(Box::new(
            kubernetes::KubernetesSource::new(config, deps.own_cluster.as_ref(), metrics)?,
        )),
    })
}

impl Prepared {
    fn spawn(self, output: Output) -> JoinHandle<()> {
        match self {
            Self::File(source) => tokio::spawn(source.run(output)),
            Self::Http(source) => tokio::spawn(source.run(output)),
            Self::Dns(source) => tokio::spawn(source.run(output)),
            Self::Docker(source) => tokio::spawn(source.run(output)),
            Self::Consul(source) => tokio::spawn(source.run(output)),
            Self::Kubernetes(source) => tokio::spawn(source.run(output)),
        }
    }
}

/// Where a source tells its targets.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    job: Arc<str>,
    mechanism: &'static str,
    latest: Arc<Latest>,
    metrics: DiscoveryMetrics,
    changed: Arc<Notify>,
}

impl Output {
    /// Of a source that takes the place of one that told these.
    #[cfg(test)]
    pub(crate) fn of_test(told: Vec<TargetGroup>) -> Self {
        let latest = Latest { groups: Mutex::new(Arc::new(told)) };
        Self {
            job: "j".into(),
            mechanism: "test",
            latest: Arc::new(latest),
            metrics: DiscoveryMetrics::register(&prometheus::Registry::new()).expect("new"),
            changed: Arc::default(),
        }
    }

    /// The targets of the source are these; said only by an answer that says so.
    pub(crate) fn tell(&self, groups: Vec<TargetGroup>) {
        self.metrics.told();
        {
            let mut latest = self.latest.groups.lock();
            if **latest == groups {
                return;
            }
            *latest = Arc::new(groups);
        }
        self.metrics.taken();
        self.changed.notify_one();
    }

    /// What was told last: by the source before this one, until this one tells.
    pub(crate) fn told(&self) -> Arc<Vec<TargetGroup>> {
        Arc::clone(&self.latest.groups.lock())
    }

    /// What was told last of targets with this label.
    pub(crate) fn told_with(&self, label: &str, value: &str) -> Vec<TargetGroup> {
        let told = self.told();
        let has = |group: &&TargetGroup| group.labels.get(label).is_some_and(|it| it == value);
        told.iter().filter(has).cloned().collect()
    }

    /// The source will be asked: its failures are counted from zero on.
    pub(crate) fn will_ask(&self) {
        self.metrics.refresh_failures_total.with_label_values(&[self.mechanism, &self.job]);
    }

    pub(crate) fn asked(&self, took: Duration) {
        let labels = [self.mechanism, &self.job];
        let seconds = took.as_secs_f64();
        self.metrics.refresh_duration_seconds.with_label_values(&labels).observe(seconds);
    }

    pub(crate) fn failed(&self) {
        let labels = [self.mechanism, &self.job];
        self.metrics.refresh_failures_total.with_label_values(&labels).inc();
    }

    pub(crate) fn job(&self) -> &str {
        &self.job
    }

    pub(crate) const fn mechanism(&self) -> &'static str {
        self.mechanism
    }
}
