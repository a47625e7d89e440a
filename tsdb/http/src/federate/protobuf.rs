//! Newest samples in the protobuf format, which has native histograms.

use std::collections::BTreeMap;

use swell_model::{CounterResetHint, Labels, SampleValue};
use swell_wire::{FamilyKind, FamilyMessage, FamilyValue};

use super::Newest;
use super::names::Names;

/// Writes a family, or several of its name where its series are of several kinds, as Prometheus does.
pub(super) fn write_family(
    out: &mut Vec<u8>,
    names: &Names<'_>,
    name: &str,
    series: &BTreeMap<Labels, Newest>,
) {
    for kind in [FamilyKind::Untyped, FamilyKind::Histogram, FamilyKind::GaugeHistogram] {
        let mut of_kind = series.iter().filter(|(_, (_, value))| kind_of(value) == kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        let mut family = FamilyMessage::new(&names.name(name), kind);
        for (labels, (at, value)) in of_kind {
            let value = match value {
                SampleValue::Float(value) => FamilyValue::Float(*value),
                SampleValue::Histogram(value) => FamilyValue::Histogram(value),
            };
            let pairs = names.pairs(labels);
            let pairs = pairs.iter().map(|(name, text)| (name.as_ref(), *text));
            family.put_metric(pairs, value, Some(at.0));
        }
        family.finish(out);
    }
}

fn kind_of(value: &SampleValue) -> FamilyKind {
    match value {
        SampleValue::Float(_) => FamilyKind::Untyped,
        SampleValue::Histogram(it) if it.reset_hint == CounterResetHint::Gauge => {
            FamilyKind::GaugeHistogram
        }
        SampleValue::Histogram(_) => FamilyKind::Histogram,
    }
}
