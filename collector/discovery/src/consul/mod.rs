//! `consul_sd_configs`: services of a Consul cluster, followed with blocking queries.

mod entries;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, StatusCode};
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use swell_http_client::{ExtraHeader, HttpClient, HttpRequest, TlsError, read_body};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use crate::config::ConsulConfig;
use crate::discovery::Output;
use crate::group::TargetGroup;
use crate::metrics::DiscoveryMetrics;
use crate::refresh::SourceError;

use entries::Entry;

/// How long the cluster holds a question for which there is nothing new.
const WAIT: Duration = Duration::from_secs(120);
/// An answer that is not here by then does not come: the cluster adds a sixteenth to the wait.
const ANSWER_DEADLINE: Duration = Duration::from_secs(150);
/// After a failure the next question waits this long.
const RETRY_INTERVAL: Duration = Duration::from_secs(15);
/// Larger answers are no lists of services.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-consul-token");
const INDEX_HEADER: HeaderName = HeaderName::from_static("x-consul-index");

/// Follows the services of one entry.
pub(crate) struct ConsulSource {
    cluster: Cluster,
}

/// What all questions of an entry share.
struct Cluster {
    config: ConsulConfig,
    client: HttpClient,
    metrics: DiscoveryMetrics,
}

/// Targets by service; `None` until a service has answered or failed once.
type Known = Arc<Mutex<BTreeMap<String, Option<Vec<TargetGroup>>>>>;

/// Services by name, with the tags of their instances.
type Catalogue = BTreeMap<String, Option<Vec<String>>>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentSelf {
    config: AgentConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    datacenter: String,
}

impl ConsulSource {
    pub(crate) fn new(config: &ConsulConfig, metrics: &DiscoveryMetrics) -> Result<Self, TlsError> {
        let mut options = config.client.clone();
        if let Some(token) = &config.token {
            options.headers.push(ExtraHeader { name: TOKEN_HEADER, values: vec![token.clone()] });
        }
        let client = HttpClient::new(options)?;
        let cluster = Cluster { config: config.clone(), client, metrics: metrics.clone() };
        Ok(Self { cluster })
    }

    pub(crate) async fn run(self, output: Output) {
        let cluster = Arc::new(self.cluster);
        let datacenter: Arc<str> = cluster.datacenter(&output).await.into();
        let known = Known::default();
        let mut watches = Watches {
            cluster,
            datacenter,
            known,
            output,
            tasks: JoinSet::new(),
            services: BTreeMap::new(),
        };
        let config = watches.cluster.config.clone();
        if !config.services.is_empty() && config.tags.is_empty() {
            watches.set(config.services);
            // They run for ever.
            while watches.tasks.join_next().await.is_some() {}
            return;
        }
        watches.follow_catalogue().await;
    }
}

/// Services that are followed, one task each; they end with this.
struct Watches {
    cluster: Arc<Cluster>,
    datacenter: Arc<str>,
    known: Known,
    output: Output,
    tasks: JoinSet<()>,
    services: BTreeMap<String, AbortHandle>,
}

impl Watches {
    async fn follow_catalogue(mut self) {
        let cluster = Arc::clone(&self.cluster);
        let config = &cluster.config;
        let mut index = 0;
        loop {
            let asked = Instant::now();
            let mut query = cluster.common_query(index);
            query.extend(cluster.node_meta());
            query.extend(config.filter.iter().map(|it| ("filter", it.clone())));
            let answer: Result<Indexed<Catalogue>, _> =
                cluster.get("/v1/catalog/services", &query).await;
            self.output.asked(asked.elapsed());
            match answer {
                Ok(answer) if answer.index == index && index > 0 => {}
                Ok(answer) => {
                    index = answer.next_index(index);
                    let wanted = answer.value.into_iter().filter(|(name, tags)| {
                        let tags = tags.as_deref().unwrap_or_default();
                        entries::is_wanted(name, tags, &config.services, &config.tags)
                    });
                    self.set(wanted.map(|(name, _)| name).collect());
                }
                Err(failure) => {
                    cluster.note(&self.output, "the catalogue of services", &failure);
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
            tokio::time::sleep_until(asked + config.refresh.to_std()).await;
        }
    }

    /// Follows exactly these services.
    fn set(&mut self, wanted: Vec<String>) {
        self.services.retain(|name, task| {
            let stays = wanted.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        self.known.lock().retain(|name, _| wanted.contains(name));
        for name in wanted {
            if self.services.contains_key(&name) {
                continue;
            }
            self.known.lock().insert(name.clone(), None);
            let watch = Watch {
                cluster: Arc::clone(&self.cluster),
                datacenter: Arc::clone(&self.datacenter),
                name: name.clone(),
                known: Arc::clone(&self.known),
                output: self.output.clone(),
            };
            self.services.insert(name, self.tasks.spawn(watch.run()));
        }
        tell(&self.known, &self.output);
    }
}

/// Tells all targets, once every service was asked: less than all would end what a source before this one told.
fn tell(known: &Known, output: &Output) {
    let known = known.lock();
    let told: Option<Vec<&Vec<TargetGroup>>> = known.values().map(Option::as_ref).collect();
    if let Some(told) = told {
        output.tell(told.into_iter().flatten().cloned().collect());
    }
}

/// One service.
struct Watch {
    cluster: Arc<Cluster>,
    datacenter: Arc<str>,
    name: String,
    known: Known,
    output: Output,
}

impl Watch {
    async fn run(self) {
        let config = &self.cluster.config;
        let mut path = Url::parse("http://consul/v1/health/service").expect("a good URL");
        path.path_segments_mut().expect("it has a path").push(&self.name);
        let mut index = 0;
        loop {
            let asked = Instant::now();
            let mut query = self.cluster.common_query(index);
            query.extend(config.tags.iter().map(|tag| ("tag", tag.clone())));
            query.extend(self.cluster.node_meta());
            query.extend(config.health_filter.iter().map(|it| ("filter", it.clone())));
            let answer: Result<Indexed<Vec<Entry>>, _> =
                self.cluster.get(path.path(), &query).await;
            match answer {
                Ok(answer) if answer.index == index && index > 0 => {}
                Ok(answer) => {
                    index = answer.next_index(index);
                    let separator = &config.tag_separator;
                    let groups = entries::groups(&answer.value, &self.datacenter, separator);
                    if let Some(known) = self.known.lock().get_mut(&self.name) {
                        *known = Some(groups);
                    }
                    tell(&self.known, &self.output);
                }
                Err(failure) => {
                    let what = format!("service {:?}", self.name);
                    self.cluster.note(&self.output, &what, &failure);
                    if let Some(known) = self.known.lock().get_mut(&self.name) {
                        let before = || self.output.told_with(entries::SERVICE_LABEL, &self.name);
                        known.get_or_insert_with(before);
                    }
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
            tokio::time::sleep_until(asked + config.refresh.to_std()).await;
        }
    }
}

/// An answer and the state of the cluster that it tells of.
struct Indexed<T> {
    value: T,
    index: u64,
}

impl<T> Indexed<T> {
    /// The index to ask with next: one that went back starts again, as the cluster's rules have it.
    const fn next_index(&self, before: u64) -> u64 {
        if self.index < before { 0 } else { self.index }
    }
}

impl Cluster {
    /// The datacenter that is asked for; the agent's own where none is configured.
    async fn datacenter(&self, output: &Output) -> String {
        if let Some(datacenter) = &self.config.datacenter {
            return datacenter.clone();
        }
        loop {
            let answer: Result<Indexed<AgentSelf>, _> = self.get("/v1/agent/self", &[]).await;
            match answer {
                Ok(answer) => return answer.value.config.datacenter,
                Err(failure) => {
                    self.note(output, "the agent's datacenter", &failure);
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    }

    fn common_query(&self, index: u64) -> Vec<(&'static str, String)> {
        let config = &self.config;
        let mut query = vec![("wait", format!("{}ms", WAIT.as_millis()))];
        if index > 0 {
            query.push(("index", index.to_string()));
        }
        if config.allow_stale {
            query.push(("stale", String::new()));
        }
        for (name, value) in [
            ("dc", &config.datacenter),
            ("ns", &config.namespace),
            ("partition", &config.partition),
        ] {
            query.extend(value.iter().map(|value| (name, value.clone())));
        }
        query
    }

    fn node_meta(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let pairs = self.config.node_meta.iter();
        pairs.map(|(name, value)| ("node-meta", format!("{name}:{value}")))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Indexed<T>, SourceError> {
        let mut url = self.config.url.clone();
        let full = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&full);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let exchange = async {
            let answer = self.client.send(&HttpRequest::get(url)).await?;
            let status = answer.status();
            let index = answer.headers().get(INDEX_HEADER).and_then(|it| it.to_str().ok());
            let index = index.and_then(|it| it.parse().ok()).unwrap_or(0);
            let body = read_body(answer, ANSWER_BYTES_MAX).await?;
            if status != StatusCode::OK {
                let told: String = String::from_utf8_lossy(&body).chars().take(200).collect();
                return Err(SourceError::from(format!("{path}: HTTP status {status}: {told}")));
            }
            let value =
                serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))?;
            Ok(Indexed { value, index })
        };
        tokio::time::timeout(ANSWER_DEADLINE, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("{path}: no answer within {ANSWER_DEADLINE:?}").into()))
    }

    fn note(&self, output: &Output, what: &str, failure: &SourceError) {
        self.metrics.consul_rpc_failures_total.inc();
        output.failed();
        let error = swell_telemetry::chain(failure.as_ref());
        warn!(job = output.job(), what, error, "Consul could not be asked: its last targets stay");
    }
}

#[cfg(test)]
mod tests;
