//! Keeps the samples of all objects and records them each tick.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use swell_client::{Cache, Client, ListParams, Object};
use swell_model::{Pass, SeriesNumber};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::families::{self, Samples};

/// The virtual scrape job under which the series stand.
const JOB: &str = "kube-state-metrics";
/// Its instance: there is one core.
const INSTANCE: &str = "core";

/// Watches all objects and writes their series.
#[derive(Debug)]
pub struct ObjectSource {
    kinds: Vec<Kind>,
}

/// One kind with what its objects gave last.
struct Kind {
    changed: watch::Receiver<u64>,
    collect: Box<dyn Fn(&mut Samples) + Send + Sync>,
    recorded: Vec<(SeriesNumber, f64)>,
    fresh: bool,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind").field("series", &self.recorded.len()).finish_non_exhaustive()
    }
}

impl ObjectSource {
    /// Starts watching; `shutdown` ends the watches.
    #[must_use]
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Self {
        Self {
            kinds: vec![
                Kind::start::<Deployment>(client, shutdown, families::deployment),
                Kind::start::<ReplicaSet>(client, shutdown, families::replica_set),
                Kind::start::<Pod>(client, shutdown, families::pod),
                Kind::start::<Node>(client, shutdown, families::node),
                Kind::start::<Namespace>(client, shutdown, families::namespace),
                Kind::start::<Service>(client, shutdown, families::service),
                Kind::start::<HorizontalPodAutoscaler>(
                    client,
                    shutdown,
                    families::horizontal_pod_autoscaler,
                ),
            ],
        }
    }

    /// Records one tick: the samples of a kind are made anew only if one of its objects changed.
    pub fn record(&mut self, pass: &mut Pass) {
        for kind in &mut self.kinds {
            if !kind.fresh || kind.changed.has_changed().unwrap_or(false) {
                kind.changed.mark_unchanged();
                let mut samples = Samples::new(JOB, INSTANCE);
                (kind.collect)(&mut samples);
                kind.recorded = samples
                    .into_inner()
                    .iter()
                    .map(|(labels, value)| (pass.series(labels), *value))
                    .collect();
                kind.fresh = true;
            }
            for (series, value) in &kind.recorded {
                pass.record(*series, *value);
            }
        }
    }
}

impl Kind {
    fn start<K: Object>(
        client: &Client,
        shutdown: &CancellationToken,
        family: fn(&K, &mut Samples),
    ) -> Self {
        let cache: Cache<K> =
            Cache::start(client.clone(), None, ListParams::default(), shutdown.clone());
        let changed = cache.changed();
        let collect = Box::new(move |samples: &mut Samples| {
            for object in cache.list() {
                let object: Arc<K> = object;
                family(&object, samples);
            }
        });
        Self { changed, collect, recorded: Vec::new(), fresh: false }
    }
}
