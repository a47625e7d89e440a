//! Metrics in the formats in which they are scraped.

use std::collections::BTreeSet;
use std::fmt;

use prometheus::TextEncoder;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use swell_model::MetricKind;
use swell_wire::{
    ExpositionFormat, FamilyKind, FamilyMessage, FamilyValue, OPENMETRICS_END, format_float_label,
    write_openmetrics_family, write_sample_of,
};

/// What names of counters end in.
const TOTAL: &str = "_total";

/// Writes families, as [`crate::gather`] gives them, in a format.
///
/// # Errors
/// When a registered collector gives a family without name or metrics of another kind.
pub fn encode_metrics(
    families: &[MetricFamily],
    format: ExpositionFormat,
) -> Result<Vec<u8>, prometheus::Error> {
    Ok(match format {
        ExpositionFormat::Text => TextEncoder::new().encode_to_string(families)?.into_bytes(),
        ExpositionFormat::OpenMetrics => open_metrics(families).into_bytes(),
        ExpositionFormat::Protobuf => protobuf(families),
    })
}

fn open_metrics(families: &[MetricFamily]) -> String {
    let names: BTreeSet<&str> = families.iter().map(MetricFamily::name).collect();
    let mut text = String::new();
    for family in families {
        put_family(&mut text, family, &names).expect("writing to a string cannot fail");
    }
    text.push_str(OPENMETRICS_END);
    text
}

fn put_family(out: &mut String, family: &MetricFamily, names: &BTreeSet<&str>) -> fmt::Result {
    let name = family.name();
    // A family of counters has its samples' name without the suffix. One that would be named like another family is
    // said to be of unknown kind instead, and so is one whose samples have no suffix.
    let counters = name.strip_suffix(TOTAL).filter(|stem| !names.contains(stem));
    let (stem, kind) = match family.get_field_type() {
        MetricType::COUNTER => {
            counters.map_or((name, MetricKind::Unknown), |stem| (stem, MetricKind::Counter))
        }
        MetricType::GAUGE => (name, MetricKind::Gauge),
        MetricType::HISTOGRAM => (name, MetricKind::Histogram),
        MetricType::SUMMARY => (name, MetricKind::Summary),
        MetricType::UNTYPED => (name, MetricKind::Unknown),
    };
    write_openmetrics_family(out, stem, kind, family.help())?;
    for metric in family.get_metric() {
        match family.get_field_type() {
            MetricType::COUNTER => {
                put_sample(out, name, metric, None, metric.get_counter().get_value())?;
            }
            MetricType::GAUGE => {
                put_sample(out, name, metric, None, metric.get_gauge().get_value())?;
            }
            MetricType::HISTOGRAM => put_histogram(out, name, metric)?,
            MetricType::SUMMARY => put_summary(out, name, metric)?,
            // Without a value.
            MetricType::UNTYPED => {}
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn put_histogram(out: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let histogram = metric.get_histogram();
    let count = histogram.get_sample_count() as f64;
    let bucket_name = format!("{name}_bucket");
    for bucket in histogram.get_bucket().iter().filter(|it| it.upper_bound().is_finite()) {
        let bound = format_float_label(bucket.upper_bound());
        let value = bucket.cumulative_count() as f64;
        put_sample(out, &bucket_name, metric, Some(("le", bound.as_str())), value)?;
    }
    put_sample(out, &bucket_name, metric, Some(("le", "+Inf")), count)?;
    put_sample(out, &format!("{name}_sum"), metric, None, histogram.get_sample_sum())?;
    put_sample(out, &format!("{name}_count"), metric, None, count)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn put_summary(out: &mut String, name: &str, metric: &Metric) -> fmt::Result {
    let summary = metric.get_summary();
    for quantile in summary.get_quantile() {
        let label = format_float_label(quantile.quantile());
        put_sample(out, name, metric, Some(("quantile", label.as_str())), quantile.value())?;
    }
    put_sample(out, &format!("{name}_sum"), metric, None, summary.sample_sum())?;
    put_sample(out, &format!("{name}_count"), metric, None, summary.sample_count() as f64)
}

fn put_sample(
    out: &mut String,
    name: &str,
    metric: &Metric,
    last: Option<(&str, &str)>,
    value: f64,
) -> fmt::Result {
    let labels = metric.get_label().iter().map(|pair| (pair.name(), pair.value()));
    write_sample_of(out, name, labels.chain(last), value, None)
}

fn protobuf(families: &[MetricFamily]) -> Vec<u8> {
    let mut out = Vec::new();
    for family in families {
        let kind = match family.get_field_type() {
            MetricType::COUNTER => FamilyKind::Counter,
            MetricType::GAUGE => FamilyKind::Gauge,
            MetricType::HISTOGRAM => FamilyKind::Histogram,
            MetricType::SUMMARY => FamilyKind::Summary,
            // Without a value.
            MetricType::UNTYPED => continue,
        };
        let mut message = FamilyMessage::new(family.name(), kind);
        message.put_help(family.help());
        for metric in family.get_metric() {
            put_message(&mut message, kind, metric);
        }
        message.finish(&mut out);
    }
    out
}

fn put_message(message: &mut FamilyMessage, kind: FamilyKind, metric: &Metric) {
    let pairs = metric.get_label().iter().map(|pair: &LabelPair| (pair.name(), pair.value()));
    match kind {
        FamilyKind::Histogram | FamilyKind::GaugeHistogram => {
            let histogram = metric.get_histogram();
            let bounds = histogram.get_bucket().iter();
            let buckets: Vec<(f64, u64)> =
                bounds.map(|it| (it.upper_bound(), it.cumulative_count())).collect();
            let (count, sum) = (histogram.get_sample_count(), histogram.get_sample_sum());
            let value = FamilyValue::Classic { count, sum, buckets: &buckets };
            message.put_metric(pairs, value, None);
        }
        FamilyKind::Summary => {
            let summary = metric.get_summary();
            let quantiles: Vec<(f64, f64)> =
                summary.get_quantile().iter().map(|it| (it.quantile(), it.value())).collect();
            let (count, sum) = (summary.sample_count(), summary.sample_sum());
            let value = FamilyValue::Summary { count, sum, quantiles: &quantiles };
            message.put_metric(pairs, value, None);
        }
        FamilyKind::Counter => {
            let value = FamilyValue::Float(metric.get_counter().get_value());
            message.put_metric(pairs, value, None);
        }
        FamilyKind::Gauge | FamilyKind::Untyped => {
            let value = FamilyValue::Float(metric.get_gauge().get_value());
            message.put_metric(pairs, value, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};
    use swell_env::{Clock, ManualClock};
    use swell_model::TimestampMs;

    use super::*;
    use crate::SummaryVec;

    fn registry() -> Registry {
        let registry = Registry::new();
        let counter = IntCounter::new("a_total", "Counts \"a\".").expect("valid");
        let odd = IntCounter::new("b", "A counter by another name.").expect("valid");
        let shadowed = IntCounter::new("c_total", "Beside a gauge of the name.").expect("valid");
        let gauge = IntGauge::new("c", "A gauge.").expect("valid");
        let options = HistogramOpts::new("h_seconds", "Times.").buckets(vec![0.5, 1.0]);
        let histogram = Histogram::with_opts(options).expect("valid");
        registry.register(Box::new(counter.clone())).expect("new");
        registry.register(Box::new(odd)).expect("new");
        registry.register(Box::new(shadowed)).expect("new");
        registry.register(Box::new(gauge.clone())).expect("new");
        registry.register(Box::new(histogram.clone())).expect("new");
        counter.inc_by(3);
        gauge.set(-2);
        histogram.observe(0.75);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(TimestampMs(0)));
        let named = ("s_seconds", "More times.");
        let summaries = SummaryVec::register(&registry, &clock, named, &["of"], &[0.5]);
        drop(summaries.expect("new").with_label_values(&["x"]));
        registry
    }

    #[test]
    fn openmetrics_names_families_of_counters_without_their_suffix() {
        let bytes = encode_metrics(&registry().gather(), ExpositionFormat::OpenMetrics);
        let text = String::from_utf8(bytes.expect("encoded")).expect("a text");
        assert_eq!(
            text,
            r#"# HELP a Counts \"a\".
# TYPE a counter
a_total 3
# HELP b A counter by another name.
# TYPE b unknown
b 0
# HELP c A gauge.
# TYPE c gauge
c -2
# HELP c_total Beside a gauge of the name.
# TYPE c_total unknown
c_total 0
# HELP h_seconds Times.
# TYPE h_seconds histogram
h_seconds_bucket{le="0.5"} 0
h_seconds_bucket{le="1.0"} 1
h_seconds_bucket{le="+Inf"} 1
h_seconds_sum 0.75
h_seconds_count 1
# HELP s_seconds More times.
# TYPE s_seconds summary
s_seconds{of="x",quantile="0.5"} NaN
s_seconds_sum{of="x"} 0
s_seconds_count{of="x"} 0
# EOF
"#
        );
    }

    #[test]
    fn protobuf_has_each_family_behind_its_length() {
        let families = registry().gather();
        let bytes = encode_metrics(&families, ExpositionFormat::Protobuf).expect("encoded");
        // Length, then the name in field 1, the help in field 2 and the kind in field 3, of which 0 is the counter.
        let first = b"\x1f\x0a\x07a_total\x18\x00\x12\x0bCounts \"a\".";
        assert_eq!(bytes[1..first.len()], first[1..], "{bytes:?}");
        let mut rest = &bytes[..];
        let mut count = 0;
        while let Some((length, after)) = rest.split_first() {
            assert!(*length < 0x80, "short families have a length of one byte");
            rest = &after[usize::from(*length)..];
            count += 1;
        }
        assert_eq!(count, families.len());
    }
}
