//! The walk over a request: each point becomes samples with labels, or is refused with a reason.

use std::sync::Arc;

use swell_model::{
    Exemplar as ModelExemplar, LabelledBatch, LabelledFloat, LabelledHistogram, LabelledNo, Labels,
    LabelsBuilder, MetricDescription, MetricKind, MetricMetadata, NativeHistogram, TimestampMs,
    stale_nan,
};

use crate::attributes::{PointLabels, Surroundings, target_info};
use crate::histograms::{Unfit, custom, exponential};
use crate::message::{
    Exemplar, ExportRequest, HistogramPoint, KeyValue, Metric, NO_RECORDED_VALUE, NumberPoint,
    ResourceMetrics, SummaryPoint,
};
use crate::metric::{CUMULATIVE, DELTA, Family, kind_of, point_count, temporality_of};
use crate::names::{metric_name, unit_words};
use crate::refused::Refused;
use crate::settings::{Deltas, Settings};

/// Samples that one request may become; a bucket is one.
pub const SAMPLES_MAX: usize = 1 << 20;
/// Bytes of labels that one request may become: each series has those of its resource.
pub const LABEL_BYTES_MAX: usize = 128 << 20;
/// Samples of `target_info` for one resource, however long the time that a request spans.
const TARGET_INFO_MAX: usize = 64;
/// Letters of an exemplar's labels, as `OpenMetrics` has it.
const EXEMPLAR_CHARS_MAX: usize = 128;

/// A request that becomes more than is stored at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request becomes more than {SAMPLES_MAX} samples or {LABEL_BYTES_MAX} bytes of labels: send smaller batches"
)]
pub struct TooMuch;

/// What a request became.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Translation {
    /// Samples whose values count from a start on, and gauges.
    pub cumulative: LabelledBatch,
    /// Samples whose values count from the one before on, to be summed up.
    pub delta: LabelledBatch,
    /// Points that became nothing.
    pub refused: Refused,
}

/// Translates a request.
///
/// # Errors
/// [`TooMuch`], however few bytes the request has.
pub fn translate(
    request: &ExportRequest,
    settings: &Settings,
    deltas: Deltas,
) -> Result<Translation, TooMuch> {
    let mut translator = Translator {
        settings,
        deltas,
        cumulative: Output::default(),
        delta: Output::default(),
        refused: Refused::default(),
        span: None,
    };
    for resource in &request.resource_metrics {
        translator.add_resource(resource)?;
    }
    Ok(Translation {
        cumulative: translator.cumulative.batch,
        delta: translator.delta.batch,
        refused: translator.refused,
    })
}

/// A batch with what it holds.
#[derive(Default)]
struct Output {
    batch: LabelledBatch,
    label_bytes: usize,
}

impl Output {
    fn series(&mut self, labels: Labels) -> Result<LabelledNo, TooMuch> {
        self.label_bytes += labels.text_bytes();
        let samples = self.batch.sample_count() + self.batch.exemplars.len();
        if samples >= SAMPLES_MAX || self.label_bytes > LABEL_BYTES_MAX {
            return Err(TooMuch);
        }
        Ok(self.batch.add_series(labels))
    }

    fn float(&mut self, labels: Labels, at: At, value: f64) -> Result<LabelledNo, TooMuch> {
        let series = self.series(labels)?;
        let (timestamp, start_ms) = (at.timestamp, at.start_ms);
        self.batch.floats.push(LabelledFloat { series, timestamp, value, start_ms });
        Ok(series)
    }
}

/// When a point was measured, and since when it counts.
#[derive(Clone, Copy)]
struct At {
    timestamp: TimestampMs,
    /// 0 for unknown.
    start_ms: i64,
    /// Nothing was measured.
    is_gone: bool,
}

fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).expect("a millionth of 2^64")
}

impl At {
    fn of(family: &Family<'_>, time_nanos: u64, start_nanos: u64, flags: u32) -> Self {
        let (timestamp, start) = (millis(time_nanos), millis(start_nanos));
        // A start behind its sample says nothing, and neither does that of a delta that stays one.
        let is_total = !family.is_bare_delta();
        Self {
            timestamp: TimestampMs(timestamp),
            start_ms: if start <= timestamp && is_total { start } else { 0 },
            is_gone: flags & NO_RECORDED_VALUE != 0,
        }
    }

    /// The value, or the mark that the series has ended.
    fn or_stale(self, value: f64) -> f64 {
        if self.is_gone { stale_nan() } else { value }
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn number(double: Option<f64>, int: Option<i64>) -> Option<f64> {
    double.or(int.map(|int| int as f64))
}

struct Translator<'a> {
    settings: &'a Settings,
    deltas: Deltas,
    cumulative: Output,
    delta: Output,
    refused: Refused,
    /// First and last time of the points of a resource.
    span: Option<(TimestampMs, TimestampMs)>,
}

impl<'a> Translator<'a> {
    fn add_resource(&mut self, resource: &'a ResourceMetrics) -> Result<(), TooMuch> {
        self.span = None;
        for scope in &resource.scope_metrics {
            match Surroundings::new(resource.resource.as_ref(), scope, self.settings) {
                Ok(around) => {
                    for metric in &scope.metrics {
                        self.add_metric(metric, &around)?;
                    }
                }
                Err(fault) => {
                    let points = scope.metrics.iter().map(point_count).sum();
                    let why = format!("an attribute of its resource or library: {fault}");
                    self.refused.add(points, || why);
                }
            }
        }
        let attributes = resource.resource.as_ref().map_or(&[][..], |it| &it.attributes);
        let Some((first, last)) = self.span else { return Ok(()) };
        match target_info(attributes, self.settings) {
            Ok(Some(labels)) => self.add_target_info(labels, first, last),
            Ok(None) => Ok(()),
            // Its points, if they have that attribute too, were refused for it.
            Err(fault) => {
                self.refused.add(0, || format!("target_info of a resource: {fault}"));
                Ok(())
            }
        }
    }

    fn add_target_info(
        &mut self,
        labels: Labels,
        first: TimestampMs,
        last: TimestampMs,
    ) -> Result<(), TooMuch> {
        let series = self.cumulative.series(labels)?;
        let interval = self.settings.target_info_interval_ms.max(1);
        let earliest = last.0.saturating_sub(interval.saturating_mul(TARGET_INFO_MAX as i64 - 1));
        let mut at = first.0.max(earliest);
        let floats = &mut self.cumulative.batch.floats;
        let mut push = |at: i64| {
            floats.push(LabelledFloat {
                series,
                timestamp: TimestampMs(at),
                value: 1.0,
                start_ms: 0,
            });
        };
        while at < last.0 {
            push(at);
            at += interval;
        }
        push(last.0);
        self.cumulative.batch.descriptions.push(MetricDescription {
            metric_name: "target_info".to_owned(),
            metadata: MetricMetadata {
                kind: MetricKind::Gauge,
                help: "Target metadata".to_owned(),
                unit: String::new(),
            },
        });
        Ok(())
    }

    fn add_metric(&mut self, metric: &'a Metric, around: &Surroundings<'a>) -> Result<(), TooMuch> {
        let points = point_count(metric);
        if points == 0 {
            return Ok(());
        }
        let (kind, name_kind) = kind_of(metric);
        let temporality = temporality_of(metric);
        let is_delta = temporality == DELTA;
        if !(temporality == CUMULATIVE || (is_delta && self.deltas != Deltas::Refused)) {
            let why = if is_delta {
                "delta temporality is not taken: send cumulative points, or start the server with \
                 --enable-feature=otlp-deltatocumulative or otlp-native-delta-ingestion"
            } else {
                "its temporality is neither cumulative nor delta"
            };
            self.refused.add(points, || format!("metric {:?}: {why}", metric.name));
            return Ok(());
        }
        let strategy = self.settings.strategy;
        let name = match metric_name(strategy, &metric.name, &metric.unit, name_kind) {
            Ok(name) => name,
            Err(fault) => {
                self.refused.add(points, || format!("a metric: {fault}"));
                return Ok(());
            }
        };
        let deltas = is_delta.then_some(self.deltas);
        let kind = if deltas == Some(Deltas::AsTheyAre) { MetricKind::Unknown } else { kind };
        let family = Family { metric, name, kind, unit: unit_words(&metric.unit), deltas };
        let description = MetricDescription {
            metric_name: family.name.clone(),
            metadata: MetricMetadata {
                kind,
                help: metric.description.clone(),
                unit: family.unit.clone(),
            },
        };
        self.output(&family).batch.descriptions.push(description);
        if let Some(gauge) = &metric.gauge {
            for point in &gauge.data_points {
                self.add_number(&family, point, around)?;
            }
        } else if let Some(sum) = &metric.sum {
            for point in &sum.data_points {
                self.add_number(&family, point, around)?;
            }
        } else if let Some(histogram) = &metric.histogram {
            for point in &histogram.data_points {
                if self.settings.nhcb {
                    let at = At::of(
                        &family,
                        point.time_unix_nano,
                        point.start_time_unix_nano,
                        point.flags,
                    );
                    self.add_native(
                        &family,
                        &point.attributes,
                        at,
                        custom(point),
                        &point.exemplars,
                        around,
                    )?;
                } else {
                    self.add_classic(&family, point, around)?;
                }
            }
        } else if let Some(histogram) = &metric.exponential_histogram {
            for point in &histogram.data_points {
                let at =
                    At::of(&family, point.time_unix_nano, point.start_time_unix_nano, point.flags);
                self.add_native(
                    &family,
                    &point.attributes,
                    at,
                    exponential(point),
                    &point.exemplars,
                    around,
                )?;
            }
        } else if let Some(summary) = &metric.summary {
            for point in &summary.data_points {
                self.add_summary(&family, point, around)?;
            }
        }
        Ok(())
    }

    /// Labels of a point; none when they are refused.
    fn labels(
        &mut self,
        family: &Family<'_>,
        attributes: &[KeyValue],
        at: At,
        around: &Surroundings<'_>,
    ) -> Option<PointLabels> {
        match around.around(attributes, self.settings) {
            Ok(mut labels) => {
                if self.settings.type_and_unit_labels {
                    family.label(&mut labels);
                }
                let (first, last) = self.span.unwrap_or((at.timestamp, at.timestamp));
                self.span = Some((first.min(at.timestamp), last.max(at.timestamp)));
                Some(labels)
            }
            Err(fault) => {
                self.refused.add(1, || format!("metric {:?}: {fault}", family.metric.name));
                None
            }
        }
    }

    fn output(&mut self, family: &Family<'_>) -> &mut Output {
        let is_summed_up = family.deltas == Some(Deltas::SummedUp);
        if is_summed_up { &mut self.delta } else { &mut self.cumulative }
    }

    fn add_number(
        &mut self,
        family: &Family<'_>,
        point: &NumberPoint,
        around: &Surroundings<'_>,
    ) -> Result<(), TooMuch> {
        let sum = family.metric.sum.as_ref();
        let start = if sum.is_some() { point.start_time_unix_nano } else { 0 };
        let at = At::of(family, point.time_unix_nano, start, point.flags);
        let Some(value) = number(point.as_double, point.as_int).or(at.is_gone.then_some(0.0))
        else {
            self.refused
                .add(1, || format!("metric {:?}: a point has no value", family.metric.name));
            return Ok(());
        };
        let Some(labels) = self.labels(family, &point.attributes, at, around) else {
            return Ok(());
        };
        let output = self.output(family);
        let series = output.float(labels.with(&family.name, None), at, at.or_stale(value))?;
        if sum.is_some_and(|sum| sum.is_monotonic) {
            let exemplars = point.exemplars.iter().filter_map(exemplar_of);
            output.batch.exemplars.extend(exemplars.map(|exemplar| (series, exemplar)));
        }
        Ok(())
    }

    /// A histogram as `_bucket`, `_sum` and `_count`.
    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn add_classic(
        &mut self,
        family: &Family<'_>,
        point: &HistogramPoint,
        around: &Surroundings<'_>,
    ) -> Result<(), TooMuch> {
        let at = At::of(family, point.time_unix_nano, point.start_time_unix_nano, point.flags);
        let Some(labels) = self.labels(family, &point.attributes, at, around) else {
            return Ok(());
        };
        let output = self.output(family);
        let name = |suffix: &str| format!("{}{suffix}", family.name);
        if let Some(sum) = point.sum {
            output.float(labels.with(&name("_sum"), None), at, at.or_stale(sum))?;
        }
        let count = at.or_stale(point.count as f64);
        output.float(labels.with(&name("_count"), None), at, count)?;
        let bucket_name = name("_bucket");
        let mut buckets = Vec::with_capacity(point.explicit_bounds.len() + 1);
        let mut below = 0_u64;
        for (bound, count) in point.explicit_bounds.iter().zip(&point.bucket_counts) {
            below = below.saturating_add(*count);
            let labels = labels.with(&bucket_name, Some(("le", &bound_text(*bound))));
            buckets.push((*bound, output.float(labels, at, at.or_stale(below as f64))?));
        }
        let labels = labels.with(&bucket_name, Some(("le", "+Inf")));
        buckets.push((f64::INFINITY, output.float(labels, at, count)?));
        for exemplar in point.exemplars.iter().filter_map(exemplar_of) {
            // The first bucket that has it; of a NaN none.
            let found = buckets.iter().find(|(bound, _)| exemplar.value <= *bound);
            if let Some((_, series)) = found {
                output.batch.exemplars.push((*series, exemplar));
            }
        }
        Ok(())
    }

    fn add_native(
        &mut self,
        family: &Family<'_>,
        attributes: &[KeyValue],
        at: At,
        value: Result<Arc<NativeHistogram>, Unfit>,
        exemplars: &[Exemplar],
        around: &Surroundings<'_>,
    ) -> Result<(), TooMuch> {
        let value = match value {
            Ok(value) => family.stored(value),
            Err(unfit) => {
                self.refused.add(1, || format!("metric {:?}: {unfit}", family.metric.name));
                return Ok(());
            }
        };
        let Some(labels) = self.labels(family, attributes, at, around) else { return Ok(()) };
        let output = self.output(family);
        let series = output.series(labels.with(&family.name, None))?;
        let (timestamp, start_ms) = (at.timestamp, at.start_ms);
        output.batch.histograms.push(LabelledHistogram { series, timestamp, value, start_ms });
        let exemplars = exemplars.iter().filter_map(exemplar_of);
        output.batch.exemplars.extend(exemplars.map(|exemplar| (series, exemplar)));
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "samples are floats")]
    fn add_summary(
        &mut self,
        family: &Family<'_>,
        point: &SummaryPoint,
        around: &Surroundings<'_>,
    ) -> Result<(), TooMuch> {
        let at = At::of(family, point.time_unix_nano, point.start_time_unix_nano, point.flags);
        let Some(labels) = self.labels(family, &point.attributes, at, around) else {
            return Ok(());
        };
        let output = self.output(family);
        let name = |suffix: &str| format!("{}{suffix}", family.name);
        output.float(labels.with(&name("_sum"), None), at, at.or_stale(point.sum))?;
        output.float(labels.with(&name("_count"), None), at, at.or_stale(point.count as f64))?;
        for quantile in &point.quantile_values {
            let text = bound_text(quantile.quantile);
            let labels = labels.with(&family.name, Some(("quantile", &text)));
            output.float(labels, at, at.or_stale(quantile.value))?;
        }
        Ok(())
    }
}

/// A bound as label: without exponent, `0.5`, `10`, `+Inf`.
fn bound_text(bound: f64) -> String {
    if bound == f64::INFINITY {
        "+Inf".to_owned()
    } else if bound == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        format!("{bound}")
    }
}

/// None for one without a value.
fn exemplar_of(exemplar: &Exemplar) -> Option<ModelExemplar> {
    let value = number(exemplar.as_double, exemplar.as_int)?;
    let hex = |bytes: &[u8]| -> String {
        if bytes.iter().all(|byte| *byte == 0) {
            return String::new();
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let mut labels = LabelsBuilder::default();
    let attributes: Vec<_> = exemplar
        .filtered_attributes
        .iter()
        .map(|it| (it.key.as_str(), crate::attributes::text_of(it.value.as_ref())))
        .filter(|(key, _)| !key.is_empty())
        .collect();
    let ids = [("trace_id", hex(&exemplar.trace_id)), ("span_id", hex(&exemplar.span_id))];
    let chars = |name: &str, value: &str| name.chars().count() + value.chars().count();
    let of_ids: usize =
        ids.iter().filter(|(_, id)| !id.is_empty()).map(|(name, id)| chars(name, id)).sum();
    let of_attributes: usize = attributes.iter().map(|(name, value)| chars(name, value)).sum();
    if of_ids + of_attributes <= EXEMPLAR_CHARS_MAX {
        for (name, value) in &attributes {
            labels.set(name, value);
        }
    }
    for (name, id) in &ids {
        if !id.is_empty() {
            labels.set(name, id);
        }
    }
    let timestamp = TimestampMs(millis(exemplar.time_unix_nano));
    Some(ModelExemplar { labels: labels.build(), value, timestamp })
}
