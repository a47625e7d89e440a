//! `/series`, `/labels`, `/label/…/values`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Path, State};
use axum::response::Response;
use swell_model::{Matcher, SelectHints, TimeRange, Wanted};

use crate::answer::{closed, opened, response, success_raw};
use crate::encode::{comma, labels as write_labels, string};
use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

const TRUNCATED: &str = "results truncated due to limit";

/// Label sets of all series that one of the selectors matches.
pub(crate) async fn series(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let selectors = params.selectors()?;
    if selectors.is_empty() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let (range, limit) = (params.range_if_any()?, params.limit("limit")?);
    let Some(range) = range else { return Ok(nothing()) };
    let cancelled = Arc::<AtomicBool>::default();
    let source = api.source_until(&cancelled);
    let unwanted = cancelled.clone();
    let found = api
        .run(params.client(), api.config.timeout, cancelled, move || {
            let mut found = BTreeSet::new();
            let hints = SelectHints {
                labels_only: true,
                passes_over_damage: true,
                ..SelectHints::range(range)
            };
            for matchers in &selectors {
                for series in source.select(matchers, &hints)? {
                    if unwanted.load(Ordering::Relaxed) {
                        return Err(ApiError::timeout("nobody waits for the answer any more"));
                    }
                    found.insert(series?.labels);
                }
            }
            let limit = limit.unwrap_or(usize::MAX);
            let mut body = opened();
            body.push('[');
            for (idx, labels) in found.iter().take(limit).enumerate() {
                comma(&mut body, idx);
                write_labels(&mut body, labels);
            }
            body.push(']');
            let mut warnings = source.warnings(range);
            warnings.extend((found.len() > limit).then(|| TRUNCATED.to_owned()));
            Ok(closed(body, &warnings, &[]))
        })
        .await?;
    Ok(response(found))
}

/// The answer for a range that ends before it begins.
fn nothing() -> Response {
    success_raw("[]", &[], &[])
}

/// Sorted label names.
pub(crate) async fn names(
    State(api): State<Arc<Api>>,
    params: Params,
) -> Result<Response, ApiError> {
    let source = api.source.clone();
    list(&api, &params, Wanted::Names, move |matchers, range| {
        source.label_names(matchers, range).map_err(ApiError::from)
    })
    .await
}

/// Sorted values of one label.
pub(crate) async fn values(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    params: Params,
) -> Result<Response, ApiError> {
    let name = match name.strip_prefix("U__") {
        Some(escaped) => unescape(escaped)
            .ok_or_else(|| ApiError::bad_data(format!("invalid label name: {name:?}")))?,
        None => name,
    };
    if name.is_empty() {
        return Err(ApiError::bad_data("invalid label name: \"\""));
    }
    let source = api.source.clone();
    let asked = name.clone();
    list(&api, &params, Wanted::Values(&name), move |matchers, range| {
        source.label_values(&asked, matchers, range).map_err(ApiError::from)
    })
    .await
}

async fn list(
    api: &Api,
    params: &Params,
    wanted: Wanted<'_>,
    ask: impl Fn(&[Matcher], TimeRange) -> Result<Vec<String>, ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let mut selectors = params.selectors()?;
    let (range, limit) = (params.range_if_any()?, params.limit("limit")?);
    let Some(range) = range else { return Ok(nothing()) };
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let source = api.source.clone();
    let is_at_hand = api.are_at_hand(wanted, &selectors, range);
    let read = move || {
        let mut found = Vec::new();
        for matchers in &selectors {
            found.extend(ask(matchers, range)?);
        }
        if selectors.len() > 1 {
            found.sort();
            found.dedup();
        }
        let limit = limit.unwrap_or(usize::MAX);
        let mut body = opened();
        body.push('[');
        for (idx, text) in found.iter().take(limit).enumerate() {
            comma(&mut body, idx);
            string(&mut body, text);
        }
        body.push(']');
        let mut warnings = source.warnings(range);
        warnings.extend((found.len() > limit).then(|| TRUNCATED.to_owned()));
        Ok(closed(body, &warnings, &[]))
    };
    let found = if is_at_hand {
        read()?
    } else {
        api.run(params.client(), api.config.timeout, Arc::default(), read).await?
    };
    Ok(response(found))
}

/// Prometheus' escaping of names in paths: `_` doubled, others as `_HEX_`.
fn unescape(text: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('_') {
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            name.push('_');
            rest = after;
        } else {
            let (hex, after) = rest.split_once('_')?;
            name.push(char::from_u32(u32::from_str_radix(hex, 16).ok()?)?);
            rest = after;
        }
    }
    name.push_str(rest);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names_come_back() {
        for (text, expected) in [
            ("http_2e_status", Some("http.status")),
            ("a__b", Some("a_b")),
            ("plain", Some("plain")),
            ("_zz_", None),
            ("a_2e", None),
        ] {
            assert_eq!(unescape(text).as_deref(), expected, "{text}");
        }
    }
}
