//! `/targets` and `/scrape_pools`: where samples come from and how that goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use swell_model::{DurationMs, Labels, MetricDescription, TimestampMs};

use crate::answer::success;
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

/// How the last attempt on a target went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetHealth {
    /// Samples came.
    Up,
    /// It failed.
    Down,
    /// It was not tried yet.
    Unknown,
}

/// One target: scraped, or collected by ourselves under a virtual job.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// Job that it belongs to.
    pub scrape_pool: String,
    /// Labels as discovered, before relabelling.
    pub discovered_labels: Labels,
    /// Labels of its series.
    pub labels: Labels,
    /// Where it is scraped.
    pub scrape_url: String,
    /// How the last attempt went.
    pub health: TargetHealth,
    /// Why it failed; empty when it did not.
    pub last_error: String,
    /// When the last attempt began.
    pub last_scrape: Option<TimestampMs>,
    /// How long it took, in seconds.
    pub last_scrape_seconds: f64,
    /// Distance of attempts.
    pub scrape_interval: DurationMs,
    /// Longest an attempt may take.
    pub scrape_timeout: DurationMs,
    /// How many of its series other targets give as well.
    pub shared_series: usize,
    /// Whether relabelling dropped it.
    pub dropped: bool,
}

/// What one target that is scraped says of its metrics.
#[derive(Clone, Debug)]
pub struct DescribedTarget {
    /// Labels of its series.
    pub labels: Labels,
    /// Families in the order of their names, each name once; targets that say the same may share the list.
    pub families: Arc<[Arc<MetricDescription>]>,
}

/// A discovery that the configuration asks for and that Swell does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedDiscovery {
    /// Job that asks for it.
    pub scrape_pool: String,
    /// Its key in the configuration.
    pub discovery: String,
}

/// Knows the targets. Implemented by the composition root over the collectors; one without pools need not say so.
pub trait TargetStatusSource: Send + Sync {
    /// All targets, the dropped ones too.
    fn targets(&self) -> Vec<TargetReport>;

    /// What each target that is scraped says of its metrics.
    fn described(&self) -> Vec<DescribedTarget> {
        Vec::new()
    }

    /// What the configuration asks for in vain.
    fn unsupported(&self) -> Vec<UnsupportedDiscovery>;

    /// How many targets of each pool are dropped, also those that [`Self::targets`] does not remember.
    fn dropped_counts(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }

    /// Pools that the configuration names, each with its part of it as YAML, without secrets.
    fn pool_configs(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// What each relabelling rule of a pool does to these labels, in order; `None` when there is no such pool.
    fn relabel_steps(&self, _pool: &str, _labels: &Labels) -> Option<Vec<RelabelStep>> {
        None
    }
}

/// What one relabelling rule did.
#[derive(Clone, Debug, PartialEq)]
pub struct RelabelStep {
    /// The rule as configured, its defaults filled in.
    pub rule: BTreeMap<&'static str, serde_json::Value>,
    /// The labels after it; empty once they are dropped.
    pub output: Labels,
    /// Whether they are kept so far.
    pub keep: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ActiveTarget {
    discovered_labels: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: &'static str,
    scrape_interval: String,
    scrape_timeout: String,
    /// Ours alone, and there when it is not 0.
    #[serde(skip_serializing_if = "is_zero")]
    shared_series: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Targets by state.
pub(crate) async fn targets(State(api): State<Arc<Api>>, params: Params) -> Response {
    // There are none in a state that there is not, as upstream.
    let state = params.get("state").unwrap_or("any").to_ascii_lowercase();
    let shown = |states: &str| ["any", states].contains(&state.as_str());
    let pool = params.get("scrapePool");
    let wanted = |report: &TargetReport| pool.is_none_or(|pool| pool == report.scrape_pool);
    let all = api.targets.targets();
    let active: Vec<ActiveTarget> = all
        .iter()
        .filter(|report| shown("active") && !report.dropped && wanted(report))
        .map(active_target)
        .collect();
    let dropped: Vec<_> = all
        .iter()
        .filter(|report| shown("dropped") && report.dropped && wanted(report))
        .map(|report| {
            json!({
                "discoveredLabels": map(&report.discovered_labels),
                "scrapePool": report.scrape_pool,
            })
        })
        .collect();
    let dropped_counts = api.targets.dropped_counts();
    let unsupported: Vec<_> = api
        .targets
        .unsupported()
        .into_iter()
        .map(|it| json!({"scrapePool": it.scrape_pool, "discovery": it.discovery}))
        .collect();
    let mut data = json!({
        "activeTargets": active,
        "droppedTargets": dropped,
        "droppedTargetCounts": dropped_counts,
    });
    if !unsupported.is_empty() {
        data["unsupportedDiscovery"] = json!(unsupported);
    }
    success(&data)
}

/// Names of all jobs.
pub(crate) async fn scrape_pools(State(api): State<Arc<Api>>) -> Response {
    let seen = api.targets.targets().into_iter().map(|report| report.scrape_pool);
    let pools: BTreeSet<String> = seen.chain(api.targets.pool_configs().into_keys()).collect();
    success(&json!({"scrapePools": pools}))
}

/// The configuration of one job.
pub(crate) async fn scrape_pool_config(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let pool = required_pool(&params)?;
    match api.targets.pool_configs().remove(pool) {
        Some(yaml) => Ok(success(&json!({ "yaml": yaml }))),
        None => Err(ApiError::not_found(format!("there is no scrape pool {pool:?}"))),
    }
}

/// What relabelling does to labels that a source could tell.
pub(crate) async fn relabel_steps(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let pool = required_pool(&params)?;
    let text = params.get("labels").filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| ApiError::bad_param("labels", "it is missing".to_owned()))?;
    let labels: BTreeMap<String, String> = serde_json::from_str(text).map_err(|error| {
        ApiError::bad_param("labels", format!("not a JSON object of texts: {error}"))
    })?;
    let steps = api.targets.relabel_steps(pool, &Labels::from_pairs(&labels));
    let steps =
        steps.ok_or_else(|| ApiError::not_found(format!("there is no scrape pool {pool:?}")))?;
    let steps: Vec<_> = steps
        .iter()
        .map(|step| json!({"rule": step.rule, "output": map(&step.output), "keep": step.keep}))
        .collect();
    Ok(success(&json!({ "steps": steps })))
}

fn required_pool(params: &Params) -> Result<&str, ApiError> {
    let pool = params.get("scrapePool").filter(|pool| !pool.is_empty());
    pool.ok_or_else(|| ApiError::bad_param("scrapePool", "it is missing".to_owned()))
}

fn active_target(report: &TargetReport) -> ActiveTarget {
    let last_scrape = report.last_scrape.and_then(|at| Timestamp::from_millisecond(at.0).ok());
    ActiveTarget {
        discovered_labels: map(&report.discovered_labels),
        labels: map(&report.labels),
        scrape_pool: report.scrape_pool.clone(),
        scrape_url: report.scrape_url.clone(),
        global_url: report.scrape_url.clone(),
        last_error: report.last_error.clone(),
        last_scrape: last_scrape
            .map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string()),
        last_scrape_duration: report.last_scrape_seconds,
        health: match report.health {
            TargetHealth::Up => "up",
            TargetHealth::Down => "down",
            TargetHealth::Unknown => "unknown",
        },
        scrape_interval: report.scrape_interval.to_string(),
        scrape_timeout: report.scrape_timeout.to_string(),
        shared_series: report.shared_series,
    }
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
