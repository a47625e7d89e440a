//! Newest samples in the text format.

use std::collections::BTreeMap;
use std::fmt;

use swell_model::{Labels, MetricKind, NativeHistogram, SampleValue, TimestampMs};
use swell_wire::{format_float_label, write_sample_of, write_type};

use super::Newest;
use super::names::Names;

/// Writes a family.
pub(super) fn write_family(
    out: &mut String,
    names: &Names<'_>,
    name: &str,
    series: &BTreeMap<Labels, Newest>,
) -> fmt::Result {
    let name = names.name(name);
    let floats = series.iter().filter_map(|(labels, (at, value))| match value {
        SampleValue::Float(value) => Some((labels, *at, *value)),
        SampleValue::Histogram(_) => None,
    });
    for (idx, (labels, at, value)) in floats.enumerate() {
        if idx == 0 {
            write_type(out, &name, MetricKind::Unknown)?;
        }
        write_line(out, names, &name, labels, None, value, at)?;
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
        write_classic(out, names, &name, labels, at, histogram)?;
    }
    Ok(())
}

fn write_classic(
    out: &mut String,
    names: &Names<'_>,
    name: &str,
    labels: &Labels,
    at: TimestampMs,
    histogram: &NativeHistogram,
) -> fmt::Result {
    let bucket = format!("{name}_bucket");
    for (bound, count) in histogram.up_to_bounds() {
        write_line(out, names, &bucket, labels, Some(&format_float_label(bound)), count, at)?;
    }
    write_line(out, names, &format!("{name}_sum"), labels, None, histogram.sum, at)?;
    write_line(out, names, &format!("{name}_count"), labels, None, histogram.count, at)
}

fn write_line(
    out: &mut String,
    names: &Names<'_>,
    name: &str,
    labels: &Labels,
    le: Option<&str>,
    value: f64,
    at: TimestampMs,
) -> fmt::Result {
    let mut pairs = names.pairs(labels);
    pairs.extend(le.map(|le| ("le".into(), le)));
    let pairs = pairs.iter().map(|(label, text)| (label.as_ref(), *text));
    write_sample_of(out, name, pairs, value, Some(at))
}
