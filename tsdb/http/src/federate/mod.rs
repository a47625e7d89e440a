//! `/federate`: the newest sample of each selected series, for a server that scrapes this one.

mod names;
mod protobuf;
mod text;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use swell_model::{
    DurationMs, Labels, Matcher, SampleValue, SelectHints, SeriesData, SeriesSource, TimeRange,
    TimestampMs, is_stale_nan,
};
use swell_wire::ExpositionFormat;

use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;
use names::Names;

const TEXT_UTF8: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
const UTF8_NAMES: &str = "escaping=allow-utf-8";
/// As in Prometheus, `OpenMetrics` is none of them here.
const OFFERED: [ExpositionFormat; 2] = [ExpositionFormat::Text, ExpositionFormat::Protobuf];

/// The newest value of a series, if it has one that is not stale.
type Newest = (TimestampMs, SampleValue);

/// Families by name, their series by labels.
type Families = BTreeMap<String, BTreeMap<Labels, Newest>>;

/// Newest samples of the series that the selectors match.
pub(crate) async fn federate(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Response> {
    let mut selectors: Vec<Vec<Matcher>> = params
        .all("match[]")
        .iter()
        .map(|text| swell_promql_syntax::parse_any_selector(text).map(|selector| selector.matchers))
        .collect::<Result<_, _>>()
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())?;
    // As in Prometheus, where `{}` selects nothing
    selectors.retain(|matchers| !matchers.is_empty());
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let utf8_names = accept.is_some_and(|accept| accept.contains(UTF8_NAMES));
    let format = ExpositionFormat::best(accept.unwrap_or_default(), &OFFERED);
    let now = api.clock.now();
    let since = now - DurationMs(api.config.lookback.0 - 1);
    let range = TimeRange { start_incl: since, end_incl: now };
    let source = api.own.clone();
    let in_force = api.in_force.current();
    let cancelled = Arc::<AtomicBool>::default();
    let unwanted = cancelled.clone();
    let body = api
        .run(params.client(), api.config.timeout, cancelled, move || {
            let families = newest(source.as_ref(), &selectors, range, &unwanted)?;
            let names = Names { external: &in_force.external_labels, utf8_names };
            Ok(written(&families, &names, format))
        })
        .await
        .map_err(ApiError::into_response)?;
    let content_type = match format {
        ExpositionFormat::Text if utf8_names => TEXT_UTF8,
        other => other.content_type(),
    };
    Ok(([(header::CONTENT_TYPE, content_type)], body).into_response())
}

fn written(families: &Families, names: &Names<'_>, format: ExpositionFormat) -> Vec<u8> {
    match format {
        // The latter is not offered.
        ExpositionFormat::Text | ExpositionFormat::OpenMetrics => {
            let mut text = String::new();
            for (name, series) in families {
                text::write_family(&mut text, names, name, series)
                    .expect("writing to a string cannot fail");
            }
            text.into_bytes()
        }
        ExpositionFormat::Protobuf => {
            let mut messages = Vec::new();
            for (name, series) in families {
                protobuf::write_family(&mut messages, names, name, series);
            }
            messages
        }
    }
}

fn newest(
    source: &dyn SeriesSource,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    unwanted: &AtomicBool,
) -> Result<Families, ApiError> {
    let mut families = Families::new();
    for matchers in selectors {
        for series in source.select(matchers, &SelectHints::newest(range))? {
            if unwanted.load(Ordering::Relaxed) {
                return Err(ApiError::timeout("nobody waits for the answer any more"));
            }
            let series = series?;
            let (Some(name), Some(newest)) = (series.labels.metric_name(), newest_of(&series))
            else {
                continue;
            };
            let family = families.entry(name.to_owned()).or_default();
            family.insert(series.labels.clone(), newest);
        }
    }
    Ok(families)
}

fn newest_of(series: &SeriesData) -> Option<Newest> {
    let floats = &series.floats;
    let float = floats.timestamps.last().copied().zip(floats.values.last().copied());
    let histograms = &series.histograms;
    let histogram = histograms.timestamps.last().copied().zip(histograms.values.last());
    match (float, histogram) {
        (float, Some((at, histogram))) if float.is_none_or(|(float_at, _)| float_at < at) => {
            let value = SampleValue::Histogram(histogram.clone());
            (!is_stale_nan(histogram.sum)).then_some((TimestampMs(at), value))
        }
        (Some((at, value)), _) => {
            (!is_stale_nan(value)).then_some((TimestampMs(at), SampleValue::Float(value)))
        }
        (None, _) => None,
    }
}
