//! `/query`, `/query_range`, `/format_query`, `/parse_query`, `/query_exemplars`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use swell_model::{DurationMs, TimestampMs};
use swell_promql::{EvalParams, QueryOutput};
use swell_promql_syntax::{Expr, Pretty, ValueType, parse};

use crate::answer::{closed, opened, response, success, success_raw};
use crate::encode::query_data;
use crate::error::ApiError;
use crate::exemplars;
use crate::params::Params;
use crate::service::{Api, Took};
use crate::tree;

/// Points per series that a range query may ask for.
const POINTS_MAX: i64 = 11_000;

/// Evaluates at one instant.
pub(crate) async fn instant(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let eval = asked_instant(&api, &params)?;
    let query = params.required("query")?.to_owned();
    let expr = parse(&query)?;
    run(&api, &params, &query, expr, eval).await
}

/// The instant that is asked for.
pub(crate) fn asked_instant(api: &Api, params: &Params) -> Result<EvalParams, ApiError> {
    let at = params.time("time", api.clock.now())?;
    Ok(api.tuned(EvalParams::instant(at), params.duration("lookback_delta")?))
}

/// The steps that are asked for.
pub(crate) fn asked_range(api: &Api, params: &Params) -> Result<EvalParams, ApiError> {
    for name in ["start", "end", "step"] {
        params.required(name)?;
    }
    let start = params.time("start", api.clock.now())?;
    let end = params.time("end", api.clock.now())?;
    if end < start {
        let told = "end timestamp must not be before start time".to_owned();
        return Err(ApiError::bad_param("end", told));
    }
    let step = params.duration("step")?.unwrap_or(DurationMs::ZERO);
    if step.0 <= 0 {
        let told = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::bad_param("step", told.to_owned()));
    }
    if end.since(start).0 / step.0 > POINTS_MAX {
        return Err(ApiError::bad_data(
            "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
        ));
    }
    Ok(api.tuned(EvalParams::range(start, end, step), params.duration("lookback_delta")?))
}

/// Evaluates at each step of a range.
pub(crate) async fn range(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let eval = asked_range(&api, &params)?;
    let query = params.required("query")?.to_owned();
    let expr = parse(&query)?;
    if let refused @ (ValueType::Matrix | ValueType::Text) = expr.value_type() {
        return Err(ApiError::bad_param(
            "query",
            format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                refused.documented()
            ),
        ));
    }
    run(&api, &params, &query, expr, eval).await
}

async fn run(
    api: &Api,
    params: &Params,
    query: &str,
    expr: Expr,
    eval: EvalParams,
) -> Result<Response, ApiError> {
    let limit = params.limit("limit")?;
    let timeout = api.timeout(params)?;
    let asked_stats = params.get("stats").map(str::to_owned);
    let counts_steps = api.config.per_step_stats && asked_stats.as_deref() == Some("all");
    let eval = EvalParams { counts_steps, ..eval };
    let text = query.to_owned();
    let make = move |output: &QueryOutput, incomplete: Vec<String>, took: Took| {
        let mut body = opened();
        let cut = query_data(&mut body, &output.value, limit);
        if asked_stats.is_some() {
            let stats = stats(output, &eval, took);
            body.pop();
            body.push_str(&format!(r#","stats":{stats}}}"#));
        }
        let mut warnings: Vec<String> =
            output.warnings.iter().map(|remark| remark.render(&text)).collect();
        warnings.extend(incomplete);
        if cut {
            warnings.push("results truncated due to limit".to_owned());
        }
        if let Some(other) = asked_stats.filter(|asked| !["true", "all"].contains(&&**asked)) {
            warnings.push(format!("stats={other:?} is neither true nor all: taken as true"));
        }
        let infos: Vec<String> = output.infos.iter().map(|remark| remark.render(&text)).collect();
        closed(body, &warnings, &infos)
    };
    Ok(response(api.evaluate((params.client(), query), expr, eval, timeout, make).await?))
}

/// Under Prometheus' names, and our own. A query is planned and sorted as it is evaluated, so that these times are not
/// told apart.
fn stats(output: &QueryOutput, params: &EvalParams, took: Took) -> serde_json::Value {
    let (eval, total) = (took.evaluating_s, took.waiting_s + took.evaluating_s);
    let mut samples = json!({
        "totalQueryableSamples": output.stats.samples_total,
        "peakSamples": output.stats.samples_peak,
        "samplesRead": output.stats.samples_read,
    });
    if params.counts_steps {
        let step_ms = params.step.0;
        let steps = (0_i64..).zip(&output.stats.samples_by_step);
        let by_step = steps.map(|(step, count)| {
            let at_ms = params.start.0.saturating_add(step.saturating_mul(step_ms));
            json!([seconds(at_ms), count])
        });
        samples["totalQueryableSamplesPerStep"] = by_step.collect();
    }
    json!({
        "timings": {
            "evalTotalTime": eval,
            "resultSortTime": 0,
            "queryPreparationTime": 0,
            "innerEvalTime": eval,
            "execQueueTime": took.waiting_s,
            "execTotalTime": total,
        },
        "samples": samples,
        "swell": {
            "seriesSelected": output.stats.series_selected,
            "peakBytes": output.stats.bytes_peak,
        },
    })
}

/// Milliseconds as a number of seconds, without a fraction where there is none.
fn seconds(at_ms: i64) -> serde_json::Value {
    if at_ms % 1000 == 0 { json!(at_ms / 1000) } else { json!(TimestampMs(at_ms).as_seconds()) }
}

/// Prints an expression in its canonical form, over several lines where it is long.
pub(crate) async fn format(params: Params) -> Result<Response, ApiError> {
    let expr = parse(params.required("query")?)?;
    Ok(success(&Pretty(&expr).to_string()))
}

/// The tree of an expression.
pub(crate) async fn parse_query(params: Params) -> Result<Response, ApiError> {
    let expr = parse(params.required("query")?)?;
    Ok(success(&tree::json_of(&expr)))
}

/// Exemplars of the series that an expression selects.
pub(crate) async fn query_exemplars(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let expr = parse(params.required("query")?)?;
    let range = params.range()?;
    let selectors = exemplars::selectors(&expr);
    let db = api.db.clone();
    let found = api
        .run(params.client(), api.config.timeout, Arc::default(), move || {
            Ok(exemplars::found(&selectors, |matchers| db.exemplars(matchers, range)))
        })
        .await?;
    Ok(success_raw(&exemplars::data(&found), &[], &[]))
}
