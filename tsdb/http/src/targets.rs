//! `/targets` and `/scrape_pools`: where samples come from and how that goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use swell_model::{DurationMs, Labels, TimestampMs};

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
    /// Whether relabelling dropped it.
    pub dropped: bool,
}

/// A discovery that the configuration asks for and that Swell does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedDiscovery {
    /// Job that asks for it.
    pub scrape_pool: String,
    /// Its key in the configuration.
    pub discovery: String,
}

/// Knows the targets. Implemented by the composition root over the collectors.
pub trait TargetStatusSource: Send + Sync {
    /// All targets, the dropped ones too.
    fn targets(&self) -> Vec<TargetReport>;

    /// What the configuration asks for in vain.
    fn unsupported(&self) -> Vec<UnsupportedDiscovery>;
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
}

/// Targets by state.
pub(crate) async fn targets(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let state = params.get("state").unwrap_or("any").to_ascii_lowercase();
    if !["any", "active", "dropped"].contains(&state.as_str()) {
        return Err(ApiError::bad_param(
            "state",
            format!("{state:?} is not any, active or dropped"),
        ));
    }
    let pool = params.get("scrapePool");
    let wanted = |report: &TargetReport| pool.is_none_or(|pool| pool == report.scrape_pool);
    let all = api.targets.targets();
    let active: Vec<ActiveTarget> = all
        .iter()
        .filter(|report| state != "dropped" && !report.dropped && wanted(report))
        .map(active_target)
        .collect();
    let dropped: Vec<_> = all
        .iter()
        .filter(|report| state != "active" && report.dropped && wanted(report))
        .map(|report| {
            json!({
                "discoveredLabels": map(&report.discovered_labels),
                "scrapePool": report.scrape_pool,
            })
        })
        .collect();
    let mut dropped_counts: BTreeMap<String, usize> = BTreeMap::new();
    for report in all.iter().filter(|report| report.dropped) {
        *dropped_counts.entry(report.scrape_pool.clone()).or_default() += 1;
    }
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
    Ok(success(&data))
}

/// Names of all jobs.
pub(crate) async fn scrape_pools(State(api): State<Arc<Api>>) -> Response {
    let pools: BTreeSet<String> =
        api.targets.targets().into_iter().map(|report| report.scrape_pool).collect();
    success(&json!({"scrapePools": pools}))
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
    }
}

fn map(labels: &Labels) -> BTreeMap<String, String> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
