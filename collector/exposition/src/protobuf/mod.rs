//! The protobuf format: messages of `io.prometheus.client.MetricFamily`, each behind its length.
//!
//! What it says is given as the text formats give it, series as text: whoever remembers series by their text need not
//! know in which format they came. One metric is in memory at a time, so that a small body cannot become a large one.

mod classic;
mod messages;
mod native;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write as _;

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use swell_model::{InvalidHistogram, MetricKind, TimestampMs};

use crate::document::{BodyFault, HistogramOptions};
use crate::entry::{Entry, Exemplar, Sample};
use crate::series::SeriesText;
use crate::writer::{write_pairs, write_series};
use messages::{FAMILY_METRIC, FamilyHead, LabelPair, Metric, MetricType, Timestamp};

/// A single metric beyond this is none: the largest histograms have a tenth of it. An empty bucket of two bytes takes
/// forty times that in memory.
const METRIC_BYTES_MAX: usize = 256 << 10;

/// What is wrong with a protobuf body.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProtobufFault {
    /// A length reaches beyond the body.
    #[error("family {nr} of the body is cut short")]
    Cut {
        /// Number of the family, from 1.
        nr: usize,
    },
    /// The bytes are no such message.
    #[error("family {nr} of the body is no metric family: {why}")]
    Malformed {
        /// Number of the family, from 1.
        nr: usize,
        /// Why.
        why: String,
    },
    /// It has metrics and no name.
    #[error("family {nr} of the body has no name")]
    NameMissing {
        /// Number of the family, from 1.
        nr: usize,
    },
    /// Its type is none that is known.
    #[error("family {family:?} has the unknown type {number}")]
    Kind {
        /// The family.
        family: String,
        /// The type's number.
        number: i32,
    },
    /// The family's name does not end in its unit.
    #[error("unit {unit:?} is not the suffix of {family:?}")]
    Unit {
        /// The family.
        family: String,
        /// As given.
        unit: String,
    },
    /// A metric that is too large to be one.
    #[error("a metric of family {family:?} has {bytes} bytes, at most {METRIC_BYTES_MAX} are read")]
    MetricSize {
        /// The family.
        family: String,
        /// Its length.
        bytes: usize,
    },
    /// A native histogram breaks a rule.
    #[error("a histogram of family {family:?}: {source}")]
    Histogram {
        /// The family.
        family: String,
        /// Which rule.
        source: InvalidHistogram,
    },
}

/// Goes through the entries of a body, until `visit` fails.
pub(crate) fn visit<E: From<BodyFault>>(
    body: &[u8],
    options: &HistogramOptions,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut rest = body;
    let mut nr = 0;
    while !rest.is_empty() {
        nr += 1;
        let family = stretch(&mut rest).ok_or_else(|| failed::<E>(ProtobufFault::Cut { nr }))?;
        let malformed = |why: prost::DecodeError| {
            failed::<E>(ProtobufFault::Malformed { nr, why: why.to_string() })
        };
        let head = FamilyHead::decode(family).map_err(malformed)?;
        let mut is_told = false;
        let mut fields = family;
        while !fields.is_empty() {
            let (tag, wire_type) = decode_key(&mut fields).map_err(malformed)?;
            if tag != FAMILY_METRIC || wire_type != WireType::LengthDelimited {
                skip_field(wire_type, tag, &mut fields, DecodeContext::default())
                    .map_err(malformed)?;
                continue;
            }
            let metric =
                stretch(&mut fields).ok_or_else(|| failed::<E>(ProtobufFault::Cut { nr }))?;
            if metric.len() > METRIC_BYTES_MAX {
                let family = head.name.clone();
                return Err(failed(ProtobufFault::MetricSize { family, bytes: metric.len() }));
            }
            // A family without metrics says nothing, not even what it is.
            if !is_told {
                is_told = true;
                tell_head(&head, nr, visit)?;
            }
            let metric = Metric::decode(metric).map_err(malformed)?;
            tell_metric(&head, &metric, options, visit)?;
        }
    }
    Ok(())
}

fn failed<E: From<BodyFault>>(fault: ProtobufFault) -> E {
    BodyFault::from(fault).into()
}

/// The bytes behind a length, taken from the front.
fn stretch<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(decode_varint(bytes).ok()?).ok()?;
    let (stretch, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(stretch)
}

fn tell_head<E: From<BodyFault>>(
    head: &FamilyHead,
    nr: usize,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let family = || Cow::Borrowed(head.name.as_str());
    if head.name.is_empty() {
        return Err(failed(ProtobufFault::NameMissing { nr }));
    }
    let kind = MetricType::try_from(head.kind).map_err(|_| {
        failed::<E>(ProtobufFault::Kind { family: head.name.clone(), number: head.kind })
    })?;
    if !unit_fits(head, kind) {
        let (family, unit) = (head.name.clone(), head.unit.clone());
        return Err(failed(ProtobufFault::Unit { family, unit }));
    }
    visit(Entry::Help { family: family(), text: Cow::Borrowed(&head.help) })?;
    if !head.unit.is_empty() {
        visit(Entry::Unit { family: family(), unit: &head.unit })?;
    }
    let (kind, word) = match kind {
        MetricType::Counter => (MetricKind::Counter, "counter"),
        MetricType::Gauge => (MetricKind::Gauge, "gauge"),
        MetricType::Summary => (MetricKind::Summary, "summary"),
        MetricType::Untyped => (MetricKind::Unknown, "unknown"),
        MetricType::Histogram => (MetricKind::Histogram, "histogram"),
        MetricType::GaugeHistogram => (MetricKind::GaugeHistogram, "gaugehistogram"),
    };
    visit(Entry::Type { family: family(), kind, word })
}

fn unit_fits(head: &FamilyHead, kind: MetricType) -> bool {
    let name = match head.name.strip_suffix("_total") {
        Some(name) if kind == MetricType::Counter => name,
        _ => &head.name,
    };
    head.unit.is_empty()
        || name.strip_suffix(&head.unit).is_some_and(|before| before.ends_with('_'))
}

fn tell_metric<E: From<BodyFault>>(
    head: &FamilyHead,
    metric: &Metric,
    options: &HistogramOptions,
    visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut one = |value: f64, exemplar: Option<&messages::Exemplar>, start| {
        let mut lines = Lines::new(head, metric, start);
        lines.sample("", None, value, exemplar, visit)
    };
    match MetricType::try_from(head.kind) {
        // An absent value reads as 0.
        Ok(MetricType::Counter) => {
            let counter = metric.counter.clone().unwrap_or_default();
            one(counter.value, counter.exemplar.as_ref(), counter.created)
        }
        Ok(MetricType::Gauge) => one(metric.gauge.map_or(0.0, |it| it.value), None, None),
        Ok(MetricType::Untyped) => one(metric.untyped.map_or(0.0, |it| it.value), None, None),
        Ok(MetricType::Summary) => {
            let summary = metric.summary.clone().unwrap_or_default();
            classic::summary(&summary, &mut Lines::new(head, metric, summary.created), visit)
        }
        Ok(kind @ (MetricType::Histogram | MetricType::GaugeHistogram)) => {
            let none = messages::Histogram::default();
            let histogram = metric.histogram.as_deref().unwrap_or(&none);
            let mut lines = Lines::new(head, metric, histogram.created);
            let is_gauge = kind == MetricType::GaugeHistogram;
            let is_native = options.native && native::is_native(histogram);
            if is_native {
                native::exponential(histogram, is_gauge, &mut lines, visit)?;
            }
            let has_classic = !histogram.buckets.is_empty();
            if is_native && !(options.always_classic && has_classic) {
                return Ok(());
            }
            if options.classic_as_custom && has_classic {
                if !is_native {
                    native::custom(histogram, is_gauge, &mut lines, visit)?;
                }
                if !options.always_classic {
                    return Ok(());
                }
            }
            classic::histogram(histogram, &mut lines, visit)
        }
        // Refused with the family's head.
        Err(_) => Ok(()),
    }
}

/// Writes the series of one metric as text.
struct Lines<'a> {
    head: &'a FamilyHead,
    metric: &'a Metric,
    timestamp: Option<TimestampMs>,
    start: Option<TimestampMs>,
    series: String,
    exemplar: String,
}

impl<'a> Lines<'a> {
    fn new(head: &'a FamilyHead, metric: &'a Metric, created: Option<Timestamp>) -> Self {
        Self {
            head,
            metric,
            timestamp: (metric.timestamp_ms != 0).then_some(TimestampMs(metric.timestamp_ms)),
            start: created.map(millis),
            series: String::new(),
            exemplar: String::new(),
        }
    }

    /// The family's name with a suffix, the metric's labels, and one more.
    fn write_series(&mut self, suffix: &str, more: Option<(&str, &str)>) {
        self.series.clear();
        let own = self.metric.labels.iter().map(|pair| (pair.name.as_str(), pair.value.as_str()));
        write_series(&mut self.series, &self.head.name, suffix, own.chain(more));
    }

    fn sample<E>(
        &mut self,
        suffix: &str,
        more: Option<(&str, &str)>,
        value: f64,
        exemplar: Option<&messages::Exemplar>,
        visit: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write_series(suffix, more);
        let exemplar = exemplar.map(|exemplar| {
            self.exemplar.clear();
            write_exemplar(&mut self.exemplar, exemplar)
        });
        let exemplar =
            exemplar.map(|(value, timestamp)| Exemplar::new(&self.exemplar, value, timestamp));
        visit(Entry::Sample(Sample {
            series: SeriesText::new(&self.series, None),
            value: crate::float::normal(value),
            timestamp: self.timestamp,
            start: self.start,
            exemplar,
        }))
    }
}

/// Writes an exemplar's labels; gives its value and time.
fn write_exemplar(out: &mut String, exemplar: &messages::Exemplar) -> (f64, Option<TimestampMs>) {
    out.push('{');
    let pairs = exemplar.labels.iter();
    write_pairs(out, pairs.map(|LabelPair { name, value }| (name.as_str(), value.as_str())));
    (exemplar.value, exemplar.timestamp.map(millis))
}

/// Nanoseconds below a millisecond are cut off.
const fn millis(at: Timestamp) -> TimestampMs {
    TimestampMs(at.seconds.saturating_mul(1000).saturating_add(at.nanos as i64 / 1_000_000))
}

/// The canonical form of a bound or a quantile.
fn bound(value: f64) -> String {
    let mut text = String::new();
    write!(text, "{value}").expect("writing to a string cannot fail");
    crate::float::canonical(&text).unwrap_or(text)
}
