//! `/api/swell/v1/decisions` and `/api/swell/v1/explain`.

use std::sync::Arc;

use axum::extract::{Path, Query as UrlQuery, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use swell_decide::DecisionRecord;
use swell_env::Clock;
use swell_http::ErrorBody;
use swell_model::TimestampMs;

use crate::journal::{Journal, Query};

/// Decisions answered where the caller sets no limit, and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

#[derive(Clone)]
struct Shared {
    journal: Journal,
    clock: Arc<dyn Clock>,
}

/// Serves the journal. `clock` is what a bare time of day (`at=10:42`) is taken from.
pub fn router(journal: Journal, clock: Arc<dyn Clock>) -> Router {
    Router::new()
        .route("/api/swell/v1/decisions", get(decisions))
        .route("/api/swell/v1/explain/{kind}/{namespace}/{name}", get(explain))
        .with_state(Shared { journal, clock })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionsParams {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Decisions {
    decisions: Vec<DecisionRecord>,
}

async fn decisions(
    State(shared): State<Shared>,
    UrlQuery(params): UrlQuery<DecisionsParams>,
) -> Result<Json<Decisions>, ErrorBody> {
    let now = shared.clock.now();
    let time = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| parse_time(name, text, now)).transpose()
    };
    let query = Query {
        kind: params.kind.as_deref().map(canonical_kind),
        namespace: params.namespace,
        name: params.name,
        from: time("from", &params.from)?,
        to: time("to", &params.to)?,
        limit: params.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX),
    };
    Ok(Json(Decisions { decisions: shared.journal.query(&query) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainParams {
    at: Option<String>,
}

async fn explain(
    State(shared): State<Shared>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    UrlQuery(params): UrlQuery<ExplainParams>,
) -> Result<Json<DecisionRecord>, ErrorBody> {
    let now = shared.clock.now();
    let at = params.at.as_deref().map(|text| parse_time("at", text, now)).transpose()?;
    let query = Query {
        kind: Some(canonical_kind(&kind)),
        namespace: Some(namespace.clone()),
        name: Some(name.clone()),
        from: None,
        to: at,
        limit: 1,
    };
    shared.journal.query(&query).pop().map(Json).ok_or_else(|| {
        ErrorBody::not_found(format!(
            "no decision about {kind} {namespace}/{name}{} is kept: see /api/swell/v1/decisions for those that are",
            params.at.map(|at| format!(" at or before {at}")).unwrap_or_default()
        ))
    })
}

/// The kind behind a short name, as `kubectl` has them.
fn canonical_kind(word: &str) -> String {
    match word.to_ascii_lowercase().as_str() {
        "hpa" | "horizontalpodautoscaler" | "horizontalpodautoscalers" => {
            "HorizontalPodAutoscaler".to_owned()
        }
        "deploy" | "deployment" | "deployments" => "Deployment".to_owned(),
        "rs" | "replicaset" | "replicasets" => "ReplicaSet".to_owned(),
        _ => word.to_owned(),
    }
}

/// Above this a bare number is milliseconds, below it seconds.
const SECONDS_MAX: i64 = 100_000_000_000;

/// RFC 3339, seconds or milliseconds since the epoch, or a time of day in UTC (`10:42`, `10:42:07.5`): its latest
/// occurrence before `now`.
fn parse_time(name: &str, text: &str, now: TimestampMs) -> Result<TimestampMs, ErrorBody> {
    if let Ok(number) = text.parse::<i64>() {
        let millis = if number.abs() < SECONDS_MAX { number * 1000 } else { number };
        return Ok(TimestampMs(millis));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(TimestampMs(time.as_millisecond()));
    }
    let seconds = text.split_once('.').map_or(text, |(whole, _)| whole);
    let fraction = &text[seconds.len()..];
    if let Some((whole, rest)) = text.split_once('.')
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_digit())
        && let Ok(number) = whole.parse::<i64>()
    {
        let millis = format!("{rest:0<3}")[..3].parse::<i64>().unwrap_or(0);
        return Ok(TimestampMs(number * 1000 + millis));
    }
    let clock = if seconds.matches(':').count() == 1 {
        format!("{seconds}:00")
    } else {
        seconds.to_owned()
    };
    let day_ms = 86_400_000;
    let midnight = now.0 - now.0.rem_euclid(day_ms);
    match format!("{clock}{fraction}").parse::<jiff::civil::Time>() {
        Ok(time) => {
            let since_midnight = i64::from(time.hour()) * 3_600_000
                + i64::from(time.minute()) * 60_000
                + i64::from(time.second()) * 1000
                + i64::from(time.millisecond());
            let today = midnight + since_midnight;
            Ok(TimestampMs(if today > now.0 { today - day_ms } else { today }))
        }
        Err(_) => Err(ErrorBody::bad_data(format!(
            "{name}={text:?} is no time: use RFC 3339 (2026-01-31T10:42:00Z), seconds since the epoch, or a time of day in UTC (10:42)"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let now = TimestampMs(1_800_000_000_000); // 2027-01-15T08:00:00Z
        let check = |text: &str, expected: i64| {
            let time = parse_time("at", text, now);
            assert_eq!(time.map(|time| time.0).ok(), Some(expected), "{text}");
        };
        check("1800000000", 1_800_000_000_000);
        check("1800000000000", 1_800_000_000_000);
        check("1800000000.25", 1_800_000_000_250);
        check("2027-01-15T07:00:00Z", 1_800_000_000_000 - 3_600_000);
        check("07:59", 1_800_000_000_000 - 60_000);
        check("07:59:30.5", 1_800_000_000_000 - 29_500);
        check("08:01", 1_800_000_000_000 + 60_000 - 86_400_000);
        for text in ["", "soon", "25:00", "1.2.3", "10:"] {
            assert!(parse_time("at", text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn short_names_of_kinds_are_known() {
        assert_eq!(canonical_kind("hpa"), "HorizontalPodAutoscaler");
        assert_eq!(canonical_kind("Deployment"), "Deployment");
        assert_eq!(canonical_kind("ScalingPolicy"), "ScalingPolicy");
    }
}
