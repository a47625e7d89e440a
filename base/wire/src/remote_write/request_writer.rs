//! Requests as a sender of all that a series has writes them, in both messages.

use std::collections::HashMap;

use swell_model::{Exemplar, Labels, MetricKind, MetricMetadata, NativeHistogram};

use super::histogram_writer::{Counts, put_histogram};
use super::series::Sample;
use super::writer::encode_labels;
use crate::protobuf::{bytes_tag, fixed64_tag, put_bytes, put_varint, varint_tag};

/// A native histogram that is sent.
#[derive(Clone, Copy, Debug)]
pub struct SentHistogram<'a> {
    /// When, in milliseconds.
    pub timestamp_ms: i64,
    /// Since when it counts, in milliseconds, 0 for unknown; message 1.0 has no place for it.
    pub start_ms: i64,
    /// What; whole counts are sent as integers, others as floats.
    pub value: &'a NativeHistogram,
}

/// What a series of a request has beside its labels. Texts of exemplars live as long as the request, all else while it
/// is put there.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeriesContent<'a, 's> {
    /// Floats, in the order of time.
    pub samples: &'a [Sample],
    /// Native histograms, in the order of time.
    pub histograms: &'a [SentHistogram<'a>],
    /// Exemplars.
    pub exemplars: &'a [&'s Exemplar],
}

/// A request of message 1.0.
#[derive(Debug, Default)]
pub struct RequestV1 {
    message: Vec<u8>,
    series: Vec<u8>,
    part: Vec<u8>,
}

impl RequestV1 {
    /// Appends a series: its labels by [`encode_labels`], and what it has.
    pub fn put_series(&mut self, labels: &[u8], content: &SeriesContent<'_, '_>) {
        self.series.clear();
        self.series.extend_from_slice(labels);
        for sample in content.samples {
            self.part.clear();
            put_value_and_time(1, sample.value, sample.timestamp_ms, &mut self.part);
            put_bytes(bytes_tag(2), &self.part, &mut self.series);
        }
        for exemplar in content.exemplars {
            self.part.clear();
            self.part.extend_from_slice(&encode_labels(&exemplar.labels));
            put_value_and_time(2, exemplar.value, exemplar.timestamp.0, &mut self.part);
            put_bytes(bytes_tag(3), &self.part, &mut self.series);
        }
        for histogram in content.histograms {
            self.part.clear();
            let times = (histogram.timestamp_ms, 0);
            put_histogram(times, histogram.value, Counts::WholeIfWhole, &mut self.part);
            put_bytes(bytes_tag(4), &self.part, &mut self.series);
        }
        put_bytes(bytes_tag(1), &self.series, &mut self.message);
    }

    /// Appends what a metric family is.
    pub fn put_metadata(&mut self, family: &str, metadata: &MetricMetadata) {
        self.part.clear();
        self.part.push(varint_tag(1));
        put_varint(kind_nr(metadata.kind), &mut self.part);
        for (field, text) in [(2, family), (4, &metadata.help), (5, &metadata.unit)] {
            put_bytes(bytes_tag(field), text.as_bytes(), &mut self.part);
        }
        put_bytes(bytes_tag(3), &self.part, &mut self.message);
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.message
    }
}

/// A request of message 2.0: each text stands once in it, in a table of symbols.
#[derive(Debug)]
pub struct RequestV2<'s> {
    numbers: HashMap<&'s str, u32>,
    /// Texts of the labels before, by their place in the set: series that follow each other share most of them.
    before: Vec<(&'s str, u32)>,
    symbols: Vec<u8>,
    all_series: Vec<u8>,
    series: Vec<u8>,
    part: Vec<u8>,
    refs: Vec<u8>,
}

impl Default for RequestV2<'_> {
    fn default() -> Self {
        let mut request = Self {
            numbers: HashMap::new(),
            before: Vec::new(),
            symbols: Vec::new(),
            all_series: Vec::new(),
            series: Vec::new(),
            part: Vec::new(),
            refs: Vec::new(),
        };
        // By rule the first is the empty one.
        request.symbol("");
        request
    }
}

impl<'s> RequestV2<'s> {
    fn symbol(&mut self, text: &'s str) -> u32 {
        let next = u32::try_from(self.numbers.len()).expect("a request has few texts");
        *self.numbers.entry(text).or_insert_with(|| {
            put_bytes(bytes_tag(4), text.as_bytes(), &mut self.symbols);
            next
        })
    }

    /// Has the references to labels in `refs`.
    fn collect_refs(&mut self, labels: &'s Labels) {
        self.refs.clear();
        for (place, text) in labels.iter().flat_map(|(name, value)| [name, value]).enumerate() {
            let number = match self.before.get(place) {
                Some((before, number)) if *before == text => *number,
                _ => self.symbol(text),
            };
            if place < self.before.len() {
                self.before[place] = (text, number);
            } else {
                self.before.push((text, number));
            }
            put_varint(u64::from(number), &mut self.refs);
        }
    }

    /// Appends a series with what it has, and what its metric is. Receivers ask for a sample or a histogram in each.
    pub fn put_series(
        &mut self,
        labels: &'s Labels,
        content: &SeriesContent<'_, 's>,
        metadata: Option<&'s MetricMetadata>,
    ) {
        self.series.clear();
        self.collect_refs(labels);
        put_bytes(bytes_tag(1), &self.refs, &mut self.series);
        for sample in content.samples {
            self.part.clear();
            put_value_and_time(1, sample.value, sample.timestamp_ms, &mut self.part);
            if sample.start_ms != 0 {
                self.part.push(varint_tag(3));
                put_varint(sample.start_ms.cast_unsigned(), &mut self.part);
            }
            put_bytes(bytes_tag(2), &self.part, &mut self.series);
        }
        for histogram in content.histograms {
            self.part.clear();
            let times = (histogram.timestamp_ms, histogram.start_ms);
            put_histogram(times, histogram.value, Counts::WholeIfWhole, &mut self.part);
            put_bytes(bytes_tag(3), &self.part, &mut self.series);
        }
        for exemplar in content.exemplars {
            self.collect_refs(&exemplar.labels);
            self.part.clear();
            put_bytes(bytes_tag(1), &self.refs, &mut self.part);
            put_value_and_time(2, exemplar.value, exemplar.timestamp.0, &mut self.part);
            put_bytes(bytes_tag(4), &self.part, &mut self.series);
        }
        if let Some(metadata) = metadata {
            let (help, unit) = (self.symbol(&metadata.help), self.symbol(&metadata.unit));
            self.part.clear();
            for (field, number) in
                [(1, kind_nr(metadata.kind)), (3, u64::from(help)), (4, u64::from(unit))]
            {
                self.part.push(varint_tag(field));
                put_varint(number, &mut self.part);
            }
            put_bytes(bytes_tag(5), &self.part, &mut self.series);
        }
        put_bytes(bytes_tag(5), &self.series, &mut self.all_series);
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut message = self.symbols;
        message.extend_from_slice(&self.all_series);
        message
    }
}

/// A double in that field and a time in the next.
fn put_value_and_time(field: u8, value: f64, at_ms: i64, out: &mut Vec<u8>) {
    out.push(fixed64_tag(field));
    out.extend_from_slice(&value.to_bits().to_le_bytes());
    out.push(varint_tag(field + 1));
    put_varint(at_ms.cast_unsigned(), out);
}

/// The same numbers in both messages.
const fn kind_nr(kind: MetricKind) -> u64 {
    match kind {
        MetricKind::Unknown => 0,
        MetricKind::Counter => 1,
        MetricKind::Gauge => 2,
        MetricKind::Histogram => 3,
        MetricKind::GaugeHistogram => 4,
        MetricKind::Summary => 5,
        MetricKind::Info => 6,
        MetricKind::StateSet => 7,
    }
}

#[cfg(test)]
mod tests;
