//! A request's bytes, and labels found in them.

use swell_model::{METRIC_TYPE, METRIC_UNIT, MetricKind};
use swell_wire::remote_write::{
    Exemplar as WireExemplar, Message, MetadataRefs, Part, SeriesMessage, WireError,
};

use super::labels::shown;

/// The request's bytes, and how to find labels in them.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) message: Message,
    /// Empty in 1.0.
    pub(super) symbols: Vec<&'a [u8]>,
    /// Type and unit of a series are labels of it.
    pub(super) type_and_unit_labels: bool,
}

/// Names and values of labels, as they came.
pub(super) type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

impl<'a> Source<'a> {
    /// Names and values as they came; of references that lead nowhere, nothing.
    pub(super) fn pairs(&self, series: &SeriesMessage<'a>) -> Result<Pairs<'a>, WireError> {
        let mut pairs = Vec::new();
        match self.message {
            Message::V1 => series.each_label(|name, value| pairs.push((name, value)))?,
            Message::V2 => {
                let mut refs = Vec::new();
                series.label_refs(&mut refs)?;
                pairs = self.resolved(&refs).unwrap_or_default();
            }
        }
        Ok(pairs)
    }

    pub(super) fn exemplar_pairs(
        &self,
        exemplar: &WireExemplar<'a>,
    ) -> Result<Option<Pairs<'a>>, WireError> {
        let mut pairs = Vec::new();
        match self.message {
            Message::V1 => {
                exemplar.each_label(|name, value| pairs.push((name, value)))?;
                Ok(Some(pairs))
            }
            Message::V2 => {
                let mut refs = Vec::new();
                exemplar.label_refs(&mut refs)?;
                Ok(self.resolved(&refs))
            }
        }
    }

    fn resolved(&self, refs: &[u32]) -> Option<Pairs<'a>> {
        let text = |reference: u32| self.symbols.get(reference as usize).copied();
        let pairs = refs.chunks_exact(2);
        let is_whole = pairs.remainder().is_empty();
        let pairs = pairs.map(|pair| Some((text(pair[0])?, text(pair[1])?)));
        if is_whole { pairs.collect() } else { None }
    }

    /// Names and values of the labels under which a series is stored.
    pub(super) fn stored_pairs(&self, series: &SeriesMessage<'a>) -> Result<Pairs<'a>, WireError> {
        let mut pairs = self.pairs(series)?;
        if let Some((kind, unit)) = self.type_and_unit(series, 0)? {
            let unit = self.symbols.get(unit as usize).copied().unwrap_or_default();
            let kind = if kind == MetricKind::Unknown { "" } else { kind.as_str() };
            for (name, value) in [(METRIC_TYPE, kind.as_bytes()), (METRIC_UNIT, unit)] {
                // As in Prometheus, what comes as a label is none if either of the two is known.
                pairs.retain(|(own, _)| *own != name.as_bytes());
                pairs.push((name.as_bytes(), value));
            }
        }
        Ok(pairs)
    }

    /// Type of a series and reference of its unit, if they are to be labels of it: if either is known.
    pub(super) fn type_and_unit(
        &self,
        series: &SeriesMessage<'a>,
        labels_len: usize,
    ) -> Result<Option<(MetricKind, u32)>, WireError> {
        if !self.type_and_unit_labels {
            return Ok(None);
        }
        let mut found = None;
        for part in series.parts(labels_len) {
            if let Part::Metadata(metadata) = part? {
                let is_known = metadata.kind != MetricKind::Unknown || metadata.unit != 0;
                let is_whole = self.broken_reference(metadata).is_none();
                found = (is_known && is_whole).then_some((metadata.kind, metadata.unit));
            }
        }
        // References are whole only where there are symbols.
        Ok(found.filter(|(_, unit)| (*unit as usize) < self.symbols.len()))
    }

    pub(super) fn broken_reference(&self, metadata: MetadataRefs) -> Option<u32> {
        let is_broken = |reference: &u32| *reference as usize >= self.symbols.len().max(1);
        [metadata.help, metadata.unit].into_iter().find(is_broken)
    }

    pub(super) fn shown(&self, series: &SeriesMessage<'a>) -> String {
        match self.pairs(series) {
            Ok(pairs) => shown(&pairs),
            Err(error) => error.to_string(),
        }
    }
}
