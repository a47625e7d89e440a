//! What a body says of its families: as metadata, and as labels where the configuration has it so.

use std::collections::BTreeMap;

use swell_exposition::{BodyFault, BodyFormat, CurrentFamily, Entry, HistogramOptions, visit_body};
use swell_model::{
    Labels, METRIC_TYPE, METRIC_UNIT, MetricDescription, MetricKind, MetricMetadata,
};

/// Labels with type and unit of the family, where these are known: then they win over labels of these names.
pub(crate) fn with_type_and_unit(exposed: Labels, family: &CurrentFamily) -> Labels {
    let (kind, unit) = family.type_and_unit(exposed.metric_name().unwrap_or_default());
    let (has_kind, has_unit) = (kind != MetricKind::Unknown, !unit.is_empty());
    if !has_kind && !has_unit {
        return exposed;
    }
    let mut labels = exposed.to_builder();
    if has_kind {
        labels.set(METRIC_TYPE, kind.as_str());
    }
    if has_unit {
        labels.set(METRIC_UNIT, unit);
    }
    labels.build()
}

/// What the families of a body are.
pub(crate) fn descriptions(
    body: &[u8],
    format: BodyFormat,
    histograms: &HistogramOptions,
) -> Result<Vec<MetricDescription>, BodyFault> {
    let mut families: BTreeMap<String, MetricMetadata> = BTreeMap::new();
    visit_body(body, format, histograms, &mut |entry| {
        match entry {
            Entry::Sample(_) | Entry::Histogram(_) => {}
            Entry::Type { family, kind, .. } => {
                families.entry(family.into_owned()).or_default().kind = kind;
            }
            Entry::Help { family, text } => {
                families.entry(family.into_owned()).or_default().help = text.into_owned();
            }
            Entry::Unit { family, unit } => {
                families.entry(family.into_owned()).or_default().unit = unit.to_owned();
            }
        }
        Ok::<(), BodyFault>(())
    })?;
    let described = families.into_iter();
    Ok(described
        .map(|(metric_name, metadata)| MetricDescription { metric_name, metadata })
        .collect())
}
