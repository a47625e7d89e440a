//! `/status/self_metrics`: our own metrics as JSON, the way protocol buffers map to it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use prometheus::proto::{Metric, MetricFamily, MetricType};
use serde_json::{Value, json};
use swell_model::anchored_regex;

use crate::answer::success;
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

/// Families whose name the pattern covers; all without one.
pub(crate) async fn self_metrics(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let pattern = match params.get("metric_name_pattern").filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(
            anchored_regex(text)
                .map_err(|error| ApiError::bad_param("metric_name_pattern", error.to_string()))?,
        ),
    };
    let families = swell_telemetry::gather(&api.registry);
    let chosen = families
        .iter()
        .filter(|family| pattern.as_ref().is_none_or(|it| it.is_match(family.name())));
    Ok(success(&chosen.map(family).collect::<Vec<_>>()))
}

fn family(family: &MetricFamily) -> Value {
    let kind = family.get_field_type();
    let name = match kind {
        MetricType::COUNTER => "COUNTER",
        MetricType::GAUGE => "GAUGE",
        MetricType::SUMMARY => "SUMMARY",
        MetricType::UNTYPED => "UNTYPED",
        MetricType::HISTOGRAM => "HISTOGRAM",
    };
    let metrics: Vec<Value> = family.get_metric().iter().map(|it| metric(kind, it)).collect();
    json!({"name": family.name(), "help": family.help(), "type": name, "metric": metrics})
}

fn metric(kind: MetricType, metric: &Metric) -> Value {
    let labels = metric.get_label().iter();
    let labels: Vec<Value> =
        labels.map(|pair| json!({"name": pair.name(), "value": pair.value()})).collect();
    let mut shown = json!({});
    if !labels.is_empty() {
        shown["label"] = json!(labels);
    }
    match kind {
        MetricType::COUNTER => {
            shown["counter"] = json!({"value": number(metric.get_counter().get_value())});
        }
        MetricType::GAUGE => {
            shown["gauge"] = json!({"value": number(metric.get_gauge().get_value())})
        }
        MetricType::HISTOGRAM => {
            let histogram = metric.get_histogram();
            let buckets = histogram.get_bucket().iter().map(|bucket| {
                json!({
                    "cumulativeCount": bucket.cumulative_count().to_string(),
                    "upperBound": number(bucket.upper_bound()),
                })
            });
            shown["histogram"] = json!({
                "sampleCount": histogram.get_sample_count().to_string(),
                "sampleSum": number(histogram.get_sample_sum()),
                "bucket": buckets.collect::<Vec<_>>(),
            });
        }
        MetricType::SUMMARY => {
            let summary = metric.get_summary();
            let quantiles = summary.get_quantile().iter().map(|quantile| {
                json!({
                    "quantile": number(quantile.quantile()),
                    "value": number(quantile.value()),
                })
            });
            shown["summary"] = json!({
                "sampleCount": summary.sample_count().to_string(),
                "sampleSum": number(summary.sample_sum()),
                "quantile": quantiles.collect::<Vec<_>>(),
            });
        }
        // None of ours are of this kind.
        MetricType::UNTYPED => {}
    }
    shown
}

/// JSON has no word for what is no number: protocol buffers put it in quotes.
fn number(value: f64) -> Value {
    if value.is_nan() {
        json!("NaN")
    } else if value.is_infinite() {
        json!(if value > 0.0 { "Infinity" } else { "-Infinity" })
    } else {
        json!(value)
    }
}
