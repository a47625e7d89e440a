//! From the keys of the storage to its settings.

use swell_engine::{BackgroundShare, RetentionRule, WalSync};
use swell_model::{DurationMs, Matcher};

use super::raw::{RawBackground, RawConfig, Span};
use super::{downsample, set};

/// What the storage keeps, and how.
pub(super) fn storage(raw: &RawConfig, faults: &mut Vec<String>) -> swell_engine::Config {
    let standard = swell_engine::Config::standard();
    let wal_sync = match raw.swell.wal_sync.as_deref() {
        None => standard.wal_sync,
        Some("always") => WalSync::Always,
        Some("never") => WalSync::Never,
        Some("interval") => WalSync::Interval(DurationMs::from_secs(1)),
        Some(other) => {
            faults.push(format!(
                "swell.wal_sync {other:?}: one of always (each batch), interval (each second), never"
            ));
            standard.wal_sync
        }
    };
    let retention = &raw.storage.tsdb.retention;
    let retention_rules = raw.swell.retention.0.iter().filter_map(|(selector, time)| {
        retention_rule(selector, *time).map_err(|fault| faults.push(fault)).ok()
    });
    let retention_rules = retention_rules.collect();
    let limits = &raw.swell.limits;
    let none_for_zero = |limit: usize| Some(limit).filter(|limit| *limit > 0);
    if limits.series == Some(0) {
        faults.push("swell.limits.series: 0 series leave no room for any".to_owned());
    }
    // Unlike elsewhere 0 is a value here: no late samples.
    let window = raw.storage.tsdb.out_of_order_time_window.map(|span| span.0);
    // Prometheus reads what is not above 0 as "keep none".
    let exemplars_max = raw.storage.exemplars.max_exemplars;
    let exemplars_max = exemplars_max.map(|max| usize::try_from(max).unwrap_or(0));
    let storage = swell_engine::Config {
        retention_rules,
        tiers: downsample::tiers(&raw.swell.downsample, faults),
        background: background(&raw.swell.background, faults),
        wal_sync,
        retention_time: set(retention.time, standard.retention_time),
        retention_size_bytes: retention.size.map(|size| size.0).filter(|bytes| *bytes > 0),
        out_of_order_window: window.unwrap_or(standard.out_of_order_window),
        head_series_max: limits.series.unwrap_or(standard.head_series_max),
        metric_series_max: limits.series_per_metric.and_then(none_for_zero),
        label_series_max: limits
            .series_per_label
            .iter()
            .filter_map(|(name, max)| Some((name.clone(), none_for_zero(*max)?)))
            .collect(),
        exemplars_max: exemplars_max.unwrap_or(standard.exemplars_max),
        held_log_bytes_max: limits.held_log.map_or(standard.held_log_bytes_max, |size| size.0),
        ..standard
    };
    faults.extend(downsample::fault(&storage));
    storage
}

fn retention_rule(selector: &str, time: Span) -> Result<RetentionRule, String> {
    let parsed = swell_promql_syntax::parse_selector(selector)
        .map_err(|error| format!("swell.retention {selector:?}: {error}"))?;
    let matchers = parsed.matchers;
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(format!(
            "swell.retention {selector:?}: one matcher must not match the empty text; storage.tsdb.retention.time is for all series"
        ));
    }
    if time.0.0 <= 0 {
        return Err(format!("swell.retention {selector:?}: the time must be above 0"));
    }
    Ok(RetentionRule { matchers, time: time.0 })
}

fn background(raw: &RawBackground, faults: &mut Vec<String>) -> Option<BackgroundShare> {
    let standard = swell_engine::Config::standard().background?;
    let cpu_percent = raw.cpu_percent.unwrap_or(standard.cpu_percent);
    if !(1..=100).contains(&cpu_percent) {
        faults.push(format!("swell.background.cpu_percent {cpu_percent} is not in 1 to 100"));
    }
    let bytes_per_second = raw.bytes_per_second.map_or(standard.bytes_per_second, |size| size.0);
    if bytes_per_second == 0 {
        faults.push("swell.background.bytes_per_second must be above 0".to_owned());
    }
    Some(BackgroundShare { cpu_percent, bytes_per_second })
}
