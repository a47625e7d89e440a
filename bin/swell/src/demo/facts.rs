//! What the demo finds out by looking: pods, decisions, CPU, alerts. Everything comes from the same places that
//! a user has: the API's objects, the stored samples, the decision journal, the notification log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use serde::Deserialize;
use swell_client::Cache;
use swell_decide::DecisionRecord;
use swell_engine::Db;
use swell_model::{SampleValue, TimestampMs};
use swell_promql::{Budget, EvalParams, QueryValue, evaluate};
use tower::ServiceExt as _;

use super::stage::{NAME, NAMESPACE};

/// One pod over its life.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodFacts {
    /// When it was seen first.
    pub(crate) seen_ms: i64,
    /// When it was ready first.
    pub(crate) ready_ms: Option<i64>,
    /// Whether it is ready now.
    pub(crate) is_ready: bool,
    /// Whether it is being stopped.
    pub(crate) is_deleting: bool,
    /// Whether it is gone.
    pub(crate) is_gone: bool,
}

/// All pods that the demo has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodHistory(BTreeMap<String, PodFacts>);

impl PodHistory {
    /// Takes over the present state; gives the names of pods that just became ready.
    pub(crate) fn update(&mut self, pods: &Cache<Pod>, now: TimestampMs) -> Vec<String> {
        let mut newly_ready = Vec::new();
        let current = pods.list_namespace(NAMESPACE);
        for facts in self.0.values_mut() {
            facts.is_gone = true;
            facts.is_ready = false;
        }
        for pod in &current {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let facts = self
                .0
                .entry(name.clone())
                .or_insert_with(|| PodFacts { seen_ms: now.0, ..PodFacts::default() });
            facts.is_gone = false;
            facts.is_deleting = pod.metadata.deletion_timestamp.is_some();
            facts.is_ready = is_ready(pod) && !facts.is_deleting;
            if facts.is_ready && facts.ready_ms.is_none() {
                facts.ready_ms = Some(now.0);
                newly_ready.push(name);
            }
        }
        newly_ready
    }

    /// Pods by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &PodFacts)> {
        self.0.iter().map(|(name, facts)| (name.as_str(), facts))
    }

    /// Pods that serve now.
    pub(crate) fn ready_count(&self) -> usize {
        self.0.values().filter(|facts| facts.is_ready).count()
    }

    /// Pods that were seen first at or after a time.
    pub(crate) fn since(&self, at: TimestampMs) -> impl Iterator<Item = (&str, &PodFacts)> {
        self.iter().filter(move |(_, facts)| facts.seen_ms >= at.0)
    }
}

fn is_ready(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// What the autoscaler says it measured, in per cent of the request.
pub(crate) fn measured_percent(hpas: &Cache<HorizontalPodAutoscaler>) -> Option<i32> {
    let hpa = hpas.get(NAMESPACE, NAME)?;
    hpa.status
        .as_ref()?
        .current_metrics
        .as_ref()?
        .iter()
        .filter_map(|metric| metric.resource.as_ref())
        .find(|resource| resource.name == "cpu")?
        .current
        .average_utilization
}

/// Replicas that the autoscaler wants.
pub(crate) fn wanted_replicas(hpas: &Cache<HorizontalPodAutoscaler>) -> Option<i32> {
    Some(hpas.get(NAMESPACE, NAME)?.status.as_ref()?.desired_replicas)
}

#[derive(Deserialize)]
struct Decisions {
    decisions: Vec<DecisionRecord>,
}

/// Decisions about the demo's workload, oldest first, as the HTTP API gives them.
pub(crate) async fn decisions(router: &Router) -> anyhow::Result<Vec<DecisionRecord>> {
    let path = format!(
        "/api/swell/v1/decisions?kind=Deployment&namespace={NAMESPACE}&name={NAME}&limit=1000"
    );
    let request = Request::get(&path).body(Body::empty()).context("build a request")?;
    let answer = router.clone().oneshot(request).await.context("ask for the decisions")?;
    let body = answer.into_body().collect().await.context("read the decisions")?.to_bytes();
    let mut found: Decisions = serde_json::from_slice(&body).with_context(|| {
        format!("decode the decisions: {}", String::from_utf8_lossy(&body[..body.len().min(300)]))
    })?;
    found.decisions.sort_by_key(|decision| decision.at_ms);
    Ok(found.decisions)
}

/// A PromQL query at one instant: values by one label.
pub(crate) async fn query_by(
    db: &Arc<Db>,
    query: &str,
    label: &'static str,
    at: TimestampMs,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let expr = swell_promql_syntax::parse(query).with_context(|| format!("parse {query}"))?;
    let db = db.clone();
    let output = tokio::task::spawn_blocking(move || {
        evaluate(&expr, db.as_ref(), &EvalParams::instant(at), &Budget::default())
    })
    .await
    .context("evaluate a query")?
    .with_context(|| format!("evaluate {query}"))?;
    let QueryValue::Vector(samples) = output.value else { return Ok(BTreeMap::new()) };
    Ok(samples
        .into_iter()
        .filter_map(|sample| match sample.value {
            SampleValue::Float(value) => {
                Some((sample.labels.get(label).unwrap_or("").to_owned(), value))
            }
            SampleValue::Histogram(_) => None,
        })
        .collect())
}

/// CPU of each pod in cores, over the last two readings or three.
pub(crate) fn cpu_by_pod_query() -> String {
    format!(
        "sum by (pod) (rate(container_cpu_usage_seconds_total{{namespace=\"{NAMESPACE}\",container=\"{NAME}\"}}[3s]))"
    )
}

/// Requests per second that each pod answers.
pub(crate) fn requests_by_pod_query() -> String {
    format!(
        "sum by (pod) (rate(swell_service_endpoint_requests_total{{namespace=\"{NAMESPACE}\",service=\"{NAME}\"}}[3s]))"
    )
}

/// Requests that each pod has answered in all.
pub(crate) fn requests_total_by_pod_query() -> String {
    format!(
        "sum by (pod) (max_over_time(swell_service_endpoint_requests_total{{namespace=\"{NAMESPACE}\",service=\"{NAME}\"}}[10m]))"
    )
}

/// Milliseconds from `start` to `at`, if `at` is not before it.
pub(crate) fn millis_since(start: TimestampMs, at_ms: i64) -> Option<u64> {
    u64::try_from(at_ms - start.0).ok()
}

/// Time since `start`, as a duration.
pub(crate) fn since(start: TimestampMs, at_ms: i64) -> Duration {
    Duration::from_millis(millis_since(start, at_ms).unwrap_or(0))
}
