//! Descriptions of metric families as bytes: in log records, and in the file that keeps them.
//!
//! ```text
//! varint families; each: text name, byte kind, text help, text unit
//! ```

use swell_chunk::{Cursor, DecodeError, put_varint};
use swell_model::{MetricDescription, MetricKind, MetricMetadata};

use super::record::{put_text, read_text};

/// Kinds in the order of their numbers.
const KINDS: [MetricKind; 8] = [
    MetricKind::Unknown,
    MetricKind::Counter,
    MetricKind::Gauge,
    MetricKind::Histogram,
    MetricKind::GaugeHistogram,
    MetricKind::Summary,
    MetricKind::Info,
    MetricKind::StateSet,
];

pub(crate) fn put(descriptions: &[MetricDescription], out: &mut Vec<u8>) {
    put_varint(out, descriptions.len() as u64);
    for description in descriptions {
        let metadata = &description.metadata;
        put_text(&description.metric_name, out);
        let number = KINDS.iter().position(|kind| *kind == metadata.kind);
        out.push(u8::try_from(number.expect("all kinds are listed")).expect("few kinds"));
        put_text(&metadata.help, out);
        put_text(&metadata.unit, out);
    }
}

pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Vec<MetricDescription>, DecodeError> {
    let count = cursor.count(cursor.remaining())?;
    let mut descriptions = Vec::new();
    for _ in 0..count {
        let metric_name = read_text(cursor)?.to_owned();
        let kind = cursor.u8()?;
        let kind = KINDS.get(usize::from(kind)).copied();
        let kind = kind.ok_or_else(|| cursor.fault("the kind of a metric is unknown"))?;
        let (help, unit) = (read_text(cursor)?.to_owned(), read_text(cursor)?.to_owned());
        let metadata = MetricMetadata { kind, help, unit };
        descriptions.push(MetricDescription { metric_name, metadata });
    }
    Ok(descriptions)
}
