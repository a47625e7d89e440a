//! `/features`: what this server can do, under Prometheus' names, so that clients need not guess from a version.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};
use swell_promql_syntax::{AggregateOp, BinaryOp, Function};

use crate::answer::success;
use crate::service::Api;

/// Features by area.
pub(crate) async fn features(State(api): State<Arc<Api>>) -> Response {
    success(&listed(&api))
}

fn listed(api: &Api) -> Value {
    let on = api.config.features;
    let flag = |name: &str| api.config.flags.get(name).is_some_and(|on| on == "true");
    let functions: BTreeMap<&str, bool> = Function::all()
        .iter()
        .map(|function| (function.name, !function.experimental || on.experimental_functions))
        .collect();
    let aggregations = AggregateOp::ALL
        .iter()
        .map(|op| (op.as_str(), !op.is_experimental() || on.experimental_functions));
    let operators: BTreeMap<&str, bool> = BinaryOp::ALL
        .iter()
        .map(|op| (op.as_str(), true))
        .chain(aggregations)
        .chain([("@", true), ("offset", true)])
        .collect();
    json!({
        "api": {
            "admin": api.config.admin_api,
            "exclude_alerts": true,
            "label_values_match": true,
            "lifecycle": api.lifecycle.is_open(),
            "otlp_write_receiver": flag("web.enable-otlp-receiver"),
            "query_stats": true,
            "query_warnings": true,
            "search": api.config.search_api,
            "search_fuzz_alg_jarowinkler": api.config.search_api,
            "search_fuzz_alg_subsequence": api.config.search_api,
            "remote_write_receiver": flag("web.enable-remote-write-receiver"),
            "time_range_labels": true,
            "time_range_series": true,
        },
        "otlp_receiver": {
            "delta_conversion": api.config.sums_deltas,
            "native_delta_ingestion": api.config.stores_deltas,
        },
        "prometheus": {
            "agent_mode": false,
            "auto_reload_config": api.config.auto_reload,
            "enable_lifecycle": api.lifecycle.is_open(),
        },
        "promql": {
            "anchored": on.extended_range_selectors,
            "at_modifier": true,
            "bool": true,
            "by": true,
            "delayed_name_removal": on.delayed_name_removal,
            "duration_expr": true,
            "fill": on.fill_modifiers,
            "fill_left": on.fill_modifiers,
            "fill_right": on.fill_modifiers,
            "group_left": true,
            "group_right": true,
            "ignoring": true,
            "negative_offset": true,
            "offset": true,
            "on": true,
            "per_query_lookback_delta": true,
            "per_step_stats": api.config.per_step_stats,
            "smoothed": on.extended_range_selectors,
            "subqueries": true,
            "type_and_unit_labels": on.type_and_unit_labels,
            "use_start_timestamps": on.start_timestamps,
            "without": true,
        },
        "promql_functions": functions,
        "promql_operators": operators,
        "rules": {
            "concurrent_rule_eval": api.config.concurrent_rules,
            "keep_firing_for": true,
            "query_offset": true,
        },
        "scrape": {
            "extra_scrape_metrics": true,
            "start_timestamp_zero_ingestion": false,
            "type_and_unit_labels": on.type_and_unit_labels,
        },
        "service_discovery_providers": {
            "consul": true,
            "dns": true,
            "docker": true,
            "file": true,
            "http": true,
            "kubernetes": true,
            "static": true,
        },
        "templating_functions": {},
        "tsdb": {
            "delayed_compaction": false,
            "exemplar_storage": true,
            "native_histograms": true,
            "st_storage": true,
        },
        "ui": {"ui_v2": false, "ui_v3": false},
    })
}
