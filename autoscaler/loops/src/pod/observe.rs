//! What the sources say about one workload.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use swell_api_types::LabelSelector;
use swell_client::Cache;
use swell_decide::{MetricInput, MetricSource, PodSample, Reading};
use swell_model::{DurationMs, TimestampMs};

use super::translate::WantedMetric;
use crate::source::{PodMetricSource, SourceError};

/// A sample is fresh for so long at least.
const FRESH_MIN: DurationMs = DurationMs(5000);
/// And for so many of its own intervals.
const FRESH_INTERVALS: i64 = 3;

/// Until when a sample counts; an older one says nothing any more.
pub(super) fn fresh_until(sample: &PodSample) -> TimestampMs {
    sample.at + DurationMs(sample.window.0.saturating_mul(FRESH_INTERVALS)).max(FRESH_MIN)
}

/// The pods of `namespace` that `selector` selects.
pub(super) fn selected_pods(
    pods: &Cache<Pod>,
    namespace: &str,
    selector: &LabelSelector,
) -> Vec<Arc<Pod>> {
    let mut found = pods.list_namespace(namespace);
    found.retain(|pod| selector.matches(pod.metadata.labels.as_ref()));
    found
}

/// Asks the sources for every metric of a policy.
pub(super) fn read_metrics(
    source: &dyn PodMetricSource,
    namespace: &str,
    names: &[Arc<str>],
    metrics: &[WantedMetric],
    now: TimestampMs,
) -> Vec<MetricInput> {
    metrics
        .iter()
        .map(|wanted| MetricInput {
            spec: wanted.spec.clone(),
            reading: read_metric(source, namespace, names, wanted, now),
            pods: None,
        })
        .collect()
}

fn read_metric(
    source: &dyn PodMetricSource,
    namespace: &str,
    names: &[Arc<str>],
    wanted: &WantedMetric,
    now: TimestampMs,
) -> Reading {
    let samples = |answer: Result<Vec<PodSample>, SourceError>| match answer {
        Ok(mut samples) => {
            samples.retain(|sample| fresh_until(sample) > now);
            Reading::Pods(samples)
        }
        Err(error) => Reading::Failed(error.to_string()),
    };
    let values = |answer: Result<Vec<i64>, SourceError>| match answer {
        Ok(values) if values.is_empty() => Reading::Failed("no value was returned".to_owned()),
        Ok(values) => Reading::Values(values),
        Err(error) => Reading::Failed(error.to_string()),
    };
    let selector = wanted.selector.as_str();
    match &wanted.spec.source {
        MetricSource::Resource(resource) | MetricSource::ContainerResource(resource, _) => {
            samples(source.pod_usage(namespace, names, resource, now))
        }
        MetricSource::Pods(metric) => {
            samples(source.pod_metric(namespace, names, metric, selector, now))
        }
        MetricSource::Object { metric, described } => {
            values(source.object_metric(namespace, described, metric, selector, now))
        }
        MetricSource::External(metric) => {
            values(source.external_metric(namespace, metric, selector, now))
        }
        MetricSource::Unknown(kind) => Reading::Failed(format!("unknown metric type {kind:?}")),
    }
}

/// The newest sample of all metrics, and when the first of the newest stops to count.
pub(super) fn newest_sample(metrics: &[MetricInput]) -> Option<(TimestampMs, TimestampMs)> {
    let samples = metrics.iter().flat_map(|metric| match &metric.reading {
        Reading::Pods(samples) => samples.as_slice(),
        Reading::Values(_) | Reading::Failed(_) => &[],
    });
    samples.map(|sample| (sample.at, fresh_until(sample))).max()
}
