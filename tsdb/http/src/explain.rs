//! `/api/swell/v1/explain`: how a query would be evaluated.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};
use swell_model::TimestampMs;
use swell_promql::{Explained, Read};
use swell_promql_syntax::parse;

use crate::answer::success;
use crate::error::ApiError;
use crate::params::Params;
use crate::query::{asked_instant, asked_range};
use crate::service::Api;

/// The planned tree, at one instant (`time`) or over a range (`start`, `end`, `step`).
pub(crate) async fn explain(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let query = params.required("query")?.to_owned();
    let eval = match params.get("step") {
        Some(_) => asked_range(&api, &params)?,
        None => asked_instant(&api, &params)?,
    };
    let timeout = api.timeout(&params)?;
    // A long query takes long to plan, so it waits for its turn like one that is evaluated.
    let explained = api.run(params.client(), timeout, Arc::default(), move || {
        let expr = parse(&query)?;
        let explained = swell_promql::explain(&expr, &query, &eval);
        let explained = explained.map_err(|error| ApiError::of_query(&query, error))?;
        Ok(shown(&explained))
    });
    Ok(success(&explained.await?))
}

fn shown(part: &Explained) -> Value {
    let mut shown = json!({
        "operation": part.operation,
        "text": part.text,
        "type": part.value_type,
        "steps": part.steps,
    });
    if let Some(Read { matchers, range, figures_only }) = &part.reads {
        let matchers: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        shown["reads"] = json!({
            "matchers": matchers,
            "start": rfc3339(range.start_incl),
            "end": rfc3339(range.end_incl),
            "countsAndSumsOnly": figures_only,
        });
    }
    if !part.operands.is_empty() {
        shown["operands"] = part.operands.iter().map(self::shown).collect();
    }
    shown
}

/// Times beyond what dates reach are told as such.
fn rfc3339(at: TimestampMs) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| format!("{} ms", at.0), |time| time.to_string())
}
