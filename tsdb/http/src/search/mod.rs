//! `/search/metric_names`, `/search/label_names`, `/search/label_values`: names that answer a search, the best first if
//! wanted, as lines of JSON.

mod score;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use swell_model::{DurationMs, METRIC_NAME, Matcher, SelectError, SeriesSource, TimeRange};

use self::score::{ALGORITHMS, Search};
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

/// Terms of one search at most.
const TERMS_MAX: usize = 32;
/// Characters of each: comparing takes as many steps for each of a name.
const TERM_CHARS_MAX: usize = 256;
/// Names that are found, and names in a line, unless told.
const LIMIT_DEFAULT: usize = 100;
/// How far back names are looked for unless told.
const SPAN_DEFAULT: DurationMs = DurationMs::from_secs(3600);
const LINES: &str = "application/x-ndjson; charset=utf-8";

/// What is searched among.
#[derive(Clone, Debug)]
enum Among {
    MetricNames { with_metadata: bool },
    LabelNames,
    LabelValues { label: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Rising,
    Falling,
    BestFirst,
}

/// A search, checked.
#[derive(Debug)]
struct Request {
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    search: Search,
    order: Order,
    with_score: bool,
    limit: usize,
    batch_len: usize,
}

/// Names of metrics.
pub(crate) async fn metric_names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let with_metadata = params.flag("include_metadata", false)?;
    answer(&api, &params, Among::MetricNames { with_metadata }).await
}

/// Names of labels.
pub(crate) async fn label_names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    answer(&api, &params, Among::LabelNames).await
}

/// Values of a label.
pub(crate) async fn label_values(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let label = params.required("label")?.to_owned();
    answer(&api, &params, Among::LabelValues { label }).await
}

async fn answer(api: &Api, params: &Params, among: Among) -> Result<Response, ApiError> {
    if !api.config.search_api {
        return Err(ApiError::unavailable(
            "search API disabled: start the server with --enable-feature=search-api",
        ));
    }
    let request = request(api, params)?;
    let (source, db) = (api.source.clone(), api.db.clone());
    let cancelled = Arc::<AtomicBool>::default();
    let unwanted = cancelled.clone();
    let lines = api
        .run(params.client(), api.config.timeout, cancelled, move || {
            let mut names = BTreeSet::new();
            for matchers in &request.selectors {
                check_wanted(&unwanted)?;
                names.extend(list(&*source, &among, matchers, request.range)?);
            }
            let (found, has_more) = found(names, &request, &unwanted)?;
            let known = match among {
                Among::MetricNames { with_metadata: true } => db.metadata(),
                _ => std::collections::BTreeMap::new(),
            };
            let entry = |(score, name): &(f64, String)| {
                let mut entry = json!({"name": name});
                if request.with_score {
                    entry["score"] = json!(score);
                }
                if let Some(metadata) = known.get(name) {
                    entry["type"] = json!(metadata.kind.as_str());
                    let texts = [("help", &metadata.help), ("unit", &metadata.unit)];
                    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
                        entry[key] = json!(text);
                    }
                }
                entry
            };
            let entries: Vec<Value> = found.iter().map(entry).collect();
            Ok(lines(&entries, request.batch_len, &source.warnings(request.range), has_more))
        })
        .await?;
    Ok(([(header::CONTENT_TYPE, LINES)], lines).into_response())
}

fn list(
    source: &dyn SeriesSource,
    among: &Among,
    matchers: &[Matcher],
    range: TimeRange,
) -> Result<Vec<String>, SelectError> {
    match among {
        Among::MetricNames { .. } => source.label_values(METRIC_NAME, matchers, range),
        Among::LabelNames => source.label_names(matchers, range),
        Among::LabelValues { label } => source.label_values(label, matchers, range),
    }
}

fn check_wanted(unwanted: &AtomicBool) -> Result<(), ApiError> {
    if unwanted.load(Ordering::Relaxed) {
        return Err(ApiError::timeout("nobody waits for the answer any more"));
    }
    Ok(())
}

/// The names that answer, with their scores, in the order and number asked for; whether there are more. Comparing takes
/// long, and ends when nobody wants the answer.
fn found(
    names: BTreeSet<String>,
    request: &Request,
    unwanted: &AtomicBool,
) -> Result<(Vec<(f64, String)>, bool), ApiError> {
    let mut scored: Vec<(f64, String)> = Vec::new();
    for name in names {
        check_wanted(unwanted)?;
        if let Some(score) = request.search.score(&name) {
            scored.push((score, name));
        }
        // What comes behind the limit need not be looked at.
        if request.order == Order::Rising && scored.len() > request.limit {
            break;
        }
    }
    match request.order {
        Order::Rising => {}
        Order::Falling => scored.reverse(),
        // Names of equal score stay in their order.
        Order::BestFirst => scored.sort_by(|one, other| other.0.total_cmp(&one.0)),
    }
    let has_more = scored.len() > request.limit;
    scored.truncate(request.limit);
    Ok((scored, has_more))
}

fn lines(entries: &[Value], batch_len: usize, warnings: &[String], has_more: bool) -> String {
    let mut lines = String::new();
    let mut add = |line: &Value| {
        lines.push_str(&line.to_string());
        lines.push('\n');
    };
    let mut batches = entries.chunks(batch_len);
    let mut first = json!({"results": batches.next().unwrap_or_default()});
    if !warnings.is_empty() {
        first["warnings"] = json!(warnings);
    }
    add(&first);
    batches.for_each(|batch| add(&json!({"results": batch})));
    add(&json!({"status": "success", "has_more": has_more}));
    lines
}

fn request(api: &Api, params: &Params) -> Result<Request, ApiError> {
    let mut selectors = params.selectors()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let now = api.clock.now();
    let range = TimeRange {
        start_incl: params.time("start", now - SPAN_DEFAULT)?,
        end_incl: params.time("end", now)?,
    };
    if range.end_incl < range.start_incl {
        let told = "end timestamp must not be before start time".to_owned();
        return Err(ApiError::bad_param("end", told));
    }
    let terms = params.all("search[]");
    if terms.len() > TERMS_MAX {
        let told = format!("{} terms, at most {TERMS_MAX}", terms.len());
        return Err(ApiError::bad_param("search[]", told));
    }
    if let Some(long) = terms.iter().find(|term| term.chars().count() > TERM_CHARS_MAX) {
        let count = long.chars().count();
        let told = format!("a term of {count} characters, at most {TERM_CHARS_MAX}");
        return Err(ApiError::bad_param("search[]", told));
    }
    let algorithm = match params.get("fuzz_alg") {
        None => ALGORITHMS[0].1,
        Some(wanted) => {
            let found = ALGORITHMS.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, algorithm)| *algorithm).ok_or_else(|| {
                let told = format!("{wanted:?} is neither subsequence nor jarowinkler");
                ApiError::bad_param("fuzz_alg", told)
            })?
        }
    };
    let threshold = whole(params, "fuzz_threshold", 0, 100)?.unwrap_or(0);
    let threshold = u32::try_from(threshold).expect("at most a hundred");
    let case_sensitive = params.flag("case_sensitive", true)?;
    let limit = whole(params, "limit", 0, api.config.search_limit_max)?.filter(|limit| *limit > 0);
    let batch_len = whole(params, "batch_size", 0, usize::MAX)?.filter(|len| *len > 0);
    Ok(Request {
        selectors,
        range,
        order: order(params, terms)?,
        search: Search::new(terms, algorithm, threshold, case_sensitive),
        with_score: params.flag("include_score", false)?,
        limit: limit.unwrap_or(LIMIT_DEFAULT.min(api.config.search_limit_max)),
        batch_len: batch_len.unwrap_or(LIMIT_DEFAULT),
    })
}

fn order(params: &Params, terms: &[String]) -> Result<Order, ApiError> {
    let falls = match params.get("sort_dir") {
        None => None,
        Some("asc") => Some(false),
        Some("dsc") => Some(true),
        Some(other) => {
            let told = format!("{other:?} is neither asc nor dsc");
            return Err(ApiError::bad_param("sort_dir", told));
        }
    };
    match (params.get("sort_by"), falls) {
        (None, Some(_)) => {
            Err(ApiError::bad_param("sort_dir", "it goes with sort_by only".to_owned()))
        }
        (Some("score"), Some(_)) => Err(ApiError::bad_param(
            "sort_dir",
            "with sort_by=score the best come first".to_owned(),
        )),
        (Some("score"), None) if terms.is_empty() => {
            Err(ApiError::bad_param("sort_by", "score needs a search[]".to_owned()))
        }
        (Some("score"), None) => Ok(Order::BestFirst),
        (None | Some("alpha"), falls) => {
            Ok(if falls == Some(true) { Order::Falling } else { Order::Rising })
        }
        (Some(other), _) => {
            Err(ApiError::bad_param("sort_by", format!("{other:?} is neither alpha nor score")))
        }
    }
}

/// A whole number between two bounds, if given.
fn whole(params: &Params, name: &str, min: usize, max: usize) -> Result<Option<usize>, ApiError> {
    let Some(text) = params.get(name) else { return Ok(None) };
    let given = text.parse().ok().filter(|number| (min..=max).contains(number));
    given.map(Some).ok_or_else(|| {
        let told = match max {
            usize::MAX => format!("{text:?} is not a number ≥ {min}"),
            max => format!("{text:?} is not a number from {min} to {max}"),
        };
        ApiError::bad_param(name, told)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_nobody_waits_for_looks_no_further() {
        let request = Request {
            selectors: Vec::new(),
            range: TimeRange::ALL,
            search: Search::new(&["a".to_owned()], ALGORITHMS[0].1, 0, true),
            order: Order::BestFirst,
            with_score: true,
            limit: 1,
            batch_len: 1,
        };
        let names = || BTreeSet::from(["a".to_owned(), "ab".to_owned()]);
        let (best, has_more) = found(names(), &request, &AtomicBool::new(false)).expect("wanted");
        assert_eq!((best.len(), best[0].1.as_str(), has_more), (1, "a", true));
        let gone = found(names(), &request, &AtomicBool::new(true)).expect_err("unwanted");
        assert_eq!(gone.kind(), "timeout");
    }
}
