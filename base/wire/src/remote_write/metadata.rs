//! What a metric family is: beside the series in 1.0, inside each of them in 2.0.

use swell_model::MetricKind;

use crate::protobuf::{Cursor, WireError, each_field};

/// Metadata of a family (1.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Name of the family.
    pub metric_name: &'a [u8],
    /// Its kind.
    pub kind: MetricKind,
    /// One sentence.
    pub help: &'a [u8],
    /// Unit, or empty.
    pub unit: &'a [u8],
}

/// Metadata of a series' family (2.0), as references into the symbol table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MetadataRefs {
    /// Kind of the metric.
    pub kind: MetricKind,
    /// One sentence.
    pub help: u32,
    /// Unit.
    pub unit: u32,
}

impl<'a> Metadata<'a> {
    pub(super) fn read(cursor: Cursor<'a>) -> Result<Self, WireError> {
        let mut metadata = Self::default();
        each_field(cursor, |number, value, at| {
            match number {
                1 => metadata.kind = kind(value.number(at)?),
                2 => metadata.metric_name = value.stretch(at)?.bytes(),
                4 => metadata.help = value.stretch(at)?.bytes(),
                5 => metadata.unit = value.stretch(at)?.bytes(),
                _ => {}
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

impl MetadataRefs {
    pub(super) fn read(cursor: Cursor<'_>) -> Result<Self, WireError> {
        let mut metadata = Self::default();
        each_field(cursor, |number, value, at| {
            match number {
                1 => metadata.kind = kind(value.number(at)?),
                3 => metadata.help = value.u32(at)?,
                4 => metadata.unit = value.u32(at)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(metadata)
    }
}

/// The same numbers in both messages; one that is not known is as none.
const fn kind(number: u64) -> MetricKind {
    match number {
        1 => MetricKind::Counter,
        2 => MetricKind::Gauge,
        3 => MetricKind::Histogram,
        4 => MetricKind::GaugeHistogram,
        5 => MetricKind::Summary,
        6 => MetricKind::Info,
        7 => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}
