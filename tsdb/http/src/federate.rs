//! `/federate`: the newest sample of each selected series in the text format, for a server that scrapes this one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use swell_model::{
    DurationMs, Labels, METRIC_NAME, Matcher, MetricKind, NativeHistogram, SampleValue,
    SelectHints, SeriesData, SeriesSource, TimeRange, TimestampMs, is_stale_nan,
};
use swell_wire::{format_float_label, write_sample_of, write_type};

use crate::error::ApiError;
use crate::params::Params;
use crate::service::Api;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_UTF8: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8";
const UTF8_NAMES: &str = "escaping=allow-utf-8";
const INSTANCE: &str = "instance";

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
    let selectors: Vec<Vec<Matcher>> = params
        .all("match[]")
        .iter()
        .map(|text| swell_promql_syntax::parse_selector(text).map(|selector| selector.matchers))
        .collect::<Result<_, _>>()
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response())?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let utf8_names = accept.is_some_and(|accept| accept.contains(UTF8_NAMES));
    let now = api.clock.now();
    let since = now - DurationMs(api.config.lookback.0 - 1);
    let range = TimeRange { start_incl: since, end_incl: now };
    let source = api.source.clone();
    let in_force = api.in_force.current();
    let cancelled = Arc::<AtomicBool>::default();
    let unwanted = cancelled.clone();
    let text = api
        .run(api.config.timeout, cancelled, move || {
            let families = newest(source.as_ref(), &selectors, range, &unwanted)?;
            let writer = Writer { external: &in_force.external_labels, utf8_names };
            let mut text = String::new();
            for (name, series) in &families {
                writer.family(&mut text, name, series).expect("writing to a string cannot fail");
            }
            Ok(text)
        })
        .await
        .map_err(ApiError::into_response)?;
    let content_type = if utf8_names { TEXT_UTF8 } else { TEXT };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
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

/// How lines are written.
struct Writer<'a> {
    /// This server's labels, for series that have none of the name.
    external: &'a Labels,
    /// Whether the reader knows names beyond the classic alphabet.
    utf8_names: bool,
}

impl Writer<'_> {
    fn family(
        &self,
        out: &mut String,
        name: &str,
        series: &BTreeMap<Labels, Newest>,
    ) -> fmt::Result {
        let name = self.name(name);
        let floats = series.iter().filter_map(|(labels, (at, value))| match value {
            SampleValue::Float(value) => Some((labels, *at, *value)),
            SampleValue::Histogram(_) => None,
        });
        for (idx, (labels, at, value)) in floats.enumerate() {
            if idx == 0 {
                write_type(out, &name, MetricKind::Unknown)?;
            }
            self.line(out, &name, labels, None, value, at)?;
        }
        // The text format has no native histograms; those with bounds of their own are classic ones in another form.
        let histograms = series.iter().filter_map(|(labels, (at, value))| match value {
            SampleValue::Histogram(it) if it.uses_custom_buckets() => Some((labels, *at, it)),
            _ => None,
        });
        for (idx, (labels, at, histogram)) in histograms.enumerate() {
            if idx == 0 {
                write_type(out, &name, MetricKind::Histogram)?;
            }
            self.classic_histogram(out, &name, labels, at, histogram)?;
        }
        Ok(())
    }

    fn classic_histogram(
        &self,
        out: &mut String,
        name: &str,
        labels: &Labels,
        at: TimestampMs,
        histogram: &NativeHistogram,
    ) -> fmt::Result {
        let bucket = format!("{name}_bucket");
        let buckets = histogram.buckets();
        for bound in &histogram.custom_bounds {
            let below = buckets.iter().filter(|bucket| bucket.upper <= *bound);
            let count = below.map(|bucket| bucket.count).sum();
            self.line(out, &bucket, labels, Some(&format_float_label(*bound)), count, at)?;
        }
        self.line(out, &bucket, labels, Some("+Inf"), histogram.count, at)?;
        self.line(out, &format!("{name}_sum"), labels, None, histogram.sum, at)?;
        self.line(out, &format!("{name}_count"), labels, None, histogram.count, at)
    }

    fn line(
        &self,
        out: &mut String,
        name: &str,
        labels: &Labels,
        le: Option<&str>,
        value: f64,
        at: TimestampMs,
    ) -> fmt::Result {
        let own = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
        let added = self.external.iter().filter(|(label, _)| labels.get(label).is_none());
        let mut pairs: Vec<(Cow<'_, str>, &str)> =
            own.chain(added).map(|(label, text)| (self.name(label), text)).collect();
        // Even an empty one keeps the reader from adding its own.
        if labels.get(INSTANCE).is_none() && self.external.get(INSTANCE).is_none() {
            pairs.push((Cow::Borrowed(INSTANCE), ""));
        }
        pairs.sort();
        pairs.extend(le.map(|le| (Cow::Borrowed("le"), le)));
        let pairs = pairs.iter().map(|(label, text)| (label.as_ref(), *text));
        write_sample_of(out, name, pairs, value, Some(at))
    }

    /// A name as the reader knows it: for one of the classic alphabet other characters become `_`.
    fn name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let fits = |(idx, character): (usize, char)| {
            character.is_ascii_alphabetic()
                || matches!(character, '_' | ':')
                || (idx > 0 && character.is_ascii_digit())
        };
        if self.utf8_names || name.chars().enumerate().all(fits) {
            return Cow::Borrowed(name);
        }
        let characters = name.chars().enumerate();
        characters.map(|(idx, it)| if fits((idx, it)) { it } else { '_' }).collect()
    }
}
