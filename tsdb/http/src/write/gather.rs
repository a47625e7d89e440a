//! A request, read: which series it has, which of them are known, and their samples by instant. Nothing is stored
//! and no series is made before all of it has been read, so a malformed request leaves no trace.

use std::ops::Range;
use std::sync::Arc;

use rustc_hash::FxHashSet;
use swell_model::{
    Exemplar, HistogramSample, Labels, METRIC_NAME, MetricDescription, MetricMetadata,
    NativeHistogram, SeriesRef, TimestampMs,
};
use swell_wire::remote_write::{
    Exemplar as WireExemplar, HistogramMessage, Item, Message, Metadata, MetadataRefs, Part,
    ReadHistogramError, SeriesMessage, WireError, items, read_symbols,
};

use super::catalog::{Key, Tally, Walk};
use super::labels::{LabelFault, exemplar_labels_of, labels_of};
use super::refusals::{Refusals, Why};
use super::rows::{Instants, SeriesNo};
use super::source::Source;

/// Entries read from one request: so many samples take 24 MiB. Larger things count as more than one.
const ENTRIES_MAX: usize = 1 << 20;
const HISTOGRAM_ENTRIES: usize = 16;
const EXEMPLAR_ENTRIES: usize = 8;

/// Why a request is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GatherError {
    /// No such message.
    #[error("the body is no such message")]
    Malformed(#[from] WireError),
    /// More than one request may have.
    #[error("the request has more than {ENTRIES_MAX} entries: send smaller requests")]
    TooManyEntries,
}

/// A series with something to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GatheredSeries {
    /// What it is, once it is known; samples of others are left out.
    pub(crate) reference: Option<SeriesRef>,
    range: Range<u32>,
}

/// A series that has to be made, or looked up in the storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown {
    pub(crate) series: SeriesNo,
    /// Under which it is remembered, when it can be.
    pub(crate) key: Option<Key>,
    /// Bytes of its labels in a 1.0 message, else 0.
    pub(crate) labels_len: usize,
}

/// A histogram of a series.
#[derive(Debug)]
pub(crate) struct GatheredHistogram {
    pub(crate) series: SeriesNo,
    timestamp_ms: i64,
    start_ms: i64,
    value: Arc<NativeHistogram>,
}

/// What a request holds.
#[derive(Debug)]
pub(crate) struct Gathered<'a> {
    pub(crate) series: Vec<GatheredSeries>,
    pub(crate) unknown: Vec<Unknown>,
    pub(crate) instants: Instants,
    pub(crate) histograms: Vec<GatheredHistogram>,
    pub(crate) exemplars: Vec<(SeriesNo, Exemplar)>,
    pub(crate) descriptions: Vec<MetricDescription>,
    pub(crate) refusals: Refusals,
    pub(crate) tally: Tally,
    source: Source<'a>,
    entry_count: usize,
    described: FxHashSet<(u32, MetadataRefs)>,
}

/// How a request is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// What is found of series that were seen before is not believed.
    pub(crate) is_fresh: bool,
    /// Type and unit of a series are labels of it, where it has any (2.0).
    pub(crate) type_and_unit_labels: bool,
}

/// Memory that one series after the other uses.
#[derive(Debug, Default)]
struct Scratch {
    refs: Vec<u32>,
    texts: Vec<u8>,
    text_keys: Vec<[u8; size_of::<Key>()]>,
}

/// A series whose labels have been passed over.
#[derive(Debug, Default)]
struct Located {
    reference: Option<SeriesRef>,
    key: Option<Key>,
    labels_len: usize,
    metric_name: Option<u32>,
}

/// Reads a request. Series are looked for on `walk`.
pub(crate) fn gather<'a>(
    bytes: &'a [u8],
    message: Message,
    mut walk: Walk<'_>,
    reading: Reading,
) -> Result<Gathered<'a>, GatherError> {
    let mut gathered = Gathered {
        series: Vec::new(),
        unknown: Vec::new(),
        instants: Instants::default(),
        histograms: Vec::new(),
        exemplars: Vec::new(),
        descriptions: Vec::new(),
        refusals: Refusals::default(),
        tally: Tally::default(),
        source: Source {
            bytes,
            message,
            symbols: Vec::new(),
            type_and_unit_labels: reading.type_and_unit_labels && message == Message::V2,
        },
        entry_count: 0,
        described: FxHashSet::default(),
    };
    let mut scratch = Scratch::default();
    if message == Message::V2 {
        read_symbols(bytes, &mut gathered.source.symbols)?;
        if gathered.source.symbols.len() > ENTRIES_MAX {
            return Err(GatherError::TooManyEntries);
        }
        let key = |text: &&[u8]| walk.key_of_text(text).to_le_bytes();
        scratch.text_keys = gathered.source.symbols.iter().map(key).collect();
    }
    for item in items(bytes, message) {
        match item? {
            Item::Metadata(metadata) => gathered.describe(&metadata)?,
            Item::Series(series) => {
                let located = match message {
                    Message::V1 => Some(locate_by_bytes(&series, &mut walk)?),
                    Message::V2 => gathered.locate_by_symbols(&series, &mut walk, &mut scratch)?,
                };
                if let Some(mut located) = located {
                    located.reference = located.reference.filter(|_| !reading.is_fresh);
                    gathered.add(&series, located)?;
                }
            }
        }
    }
    gathered.tally = walk.tally;
    Ok(gathered)
}

fn locate_by_bytes(series: &SeriesMessage<'_>, walk: &mut Walk<'_>) -> Result<Located, WireError> {
    let found = walk.recognise(series.bytes(), |len| series.ends_labels_at(len));
    if let Some((reference, labels_len)) = found {
        let reference = Some(reference);
        return Ok(Located { reference, labels_len, ..Located::default() });
    }
    let labels_len = series.labels_len()?;
    let key = walk.key_of_bytes(&series.bytes()[..labels_len]);
    let reference = walk.find(key);
    Ok(Located { reference, key: Some(key), labels_len, ..Located::default() })
}

impl<'a> Gathered<'a> {
    /// Passes over the labels' references; none when they are broken, which is a refusal then.
    fn locate_by_symbols(
        &mut self,
        series: &SeriesMessage<'a>,
        walk: &mut Walk<'_>,
        scratch: &mut Scratch,
    ) -> Result<Option<Located>, GatherError> {
        let Scratch { refs, texts, text_keys } = scratch;
        refs.clear();
        texts.clear();
        let labels_len = series.leading_label_refs(refs)?;
        let mut fault = (refs.len() % 2 == 1).then(|| "a label without a value".to_owned());
        for reference in refs.iter() {
            if let Some(key) = text_keys.get(*reference as usize) {
                texts.extend_from_slice(key);
            } else {
                let symbol_count = text_keys.len();
                fault = Some(format!("label reference {reference}, {symbol_count} symbols"));
                break;
            }
        }
        if let Some(fault) = fault {
            let count = count_entries(series, labels_len)?.max(1);
            self.count(count)?;
            self.refusals.add(Why::Symbols, count, || fault);
            return Ok(None);
        }
        if let Some((kind, unit)) = self.source.type_and_unit(series, labels_len)? {
            // What makes it another series is part of its key.
            let mut mark = [0; size_of::<Key>()];
            mark[0] = kind as u8 + 1;
            texts.extend_from_slice(&mark);
            texts.extend_from_slice(&text_keys[unit as usize]);
        }
        let key = walk.key_of_texts(texts);
        let symbols = &self.source.symbols;
        let mut pairs = refs.chunks_exact(2);
        let name = pairs.find(|pair| symbols[pair[0] as usize] == METRIC_NAME.as_bytes());
        Ok(Some(Located {
            reference: walk.find(key),
            key: Some(key),
            labels_len,
            metric_name: name.map(|pair| pair[1]),
        }))
    }

    fn count(&mut self, entries: usize) -> Result<(), GatherError> {
        self.entry_count += entries;
        if self.entry_count > ENTRIES_MAX { Err(GatherError::TooManyEntries) } else { Ok(()) }
    }

    /// Reads what a series has beside its labels.
    fn add(&mut self, series: &SeriesMessage<'a>, mut located: Located) -> Result<(), GatherError> {
        let number = SeriesNo::try_from(self.series.len()).expect("bounded by the entries");
        let entries_before = self.entry_count;
        let mut broken_metadata = None;
        let mut exemplars = Vec::new();
        for part in series.parts(located.labels_len) {
            match part? {
                Part::Sample(mut sample) => {
                    self.count(1)?;
                    if sample.start_ms != 0 {
                        sample.start_ms = sensible_start(sample.start_ms, sample.timestamp_ms);
                    }
                    self.instants.push(number, &sample);
                }
                Part::Histogram(histogram) => self.add_histogram(number, series, &histogram)?,
                Part::Exemplar(exemplar) => exemplars.push(exemplar),
                Part::Metadata(metadata) => {
                    broken_metadata = self.source.broken_reference(metadata);
                    if broken_metadata.is_none() {
                        self.describe_refs(located.metric_name, metadata)?;
                    }
                }
                Part::LateLabels => {
                    // What was hashed is not all of the labels.
                    located.reference = None;
                    located.key = None;
                }
            }
        }
        if self.entry_count == entries_before {
            return self.refuse_empty(series);
        }
        for exemplar in exemplars {
            self.add_exemplar(number, series, &exemplar)?;
        }
        if let Some(reference) = broken_metadata {
            located.reference = None;
            let count = count_entries(series, located.labels_len)?;
            let source = &self.source;
            self.refusals.add(Why::Symbols, count, || {
                let (labels, symbols) = (source.shown(series), source.symbols.len());
                format!("metadata reference {reference} of {labels}, {symbols} symbols")
            });
        } else if located.reference.is_none() {
            // Of one that is known, the same bytes were read before.
            self.source.pairs(series)?;
            let (key, labels_len) = (located.key, located.labels_len);
            self.unknown.push(Unknown { series: number, key, labels_len });
        }
        let (start, end) = (series.range().start, series.range().end);
        let offset = |at: usize| u32::try_from(at).expect("a request is below 4 GiB");
        let range = offset(start)..offset(end);
        self.series.push(GatheredSeries { reference: located.reference, range });
        Ok(())
    }

    /// A series without samples and histograms: 1.0 lets it be, 2.0 has none.
    fn refuse_empty(&mut self, series: &SeriesMessage<'a>) -> Result<(), GatherError> {
        if self.source.message == Message::V2 {
            self.count(1)?;
            let source = &self.source;
            self.refusals.add(Why::Nothing, 1, || source.shown(series));
        }
        Ok(())
    }

    fn add_histogram(
        &mut self,
        number: SeriesNo,
        series: &SeriesMessage<'a>,
        histogram: &HistogramMessage<'a>,
    ) -> Result<(), GatherError> {
        self.count(HISTOGRAM_ENTRIES)?;
        let source = &self.source;
        match histogram.read() {
            Ok(read) if swell_chunk::is_writable(&read.value) => {
                self.histograms.push(GatheredHistogram {
                    series: number,
                    timestamp_ms: read.timestamp_ms,
                    start_ms: sensible_start(read.start_ms, read.timestamp_ms),
                    value: Arc::new(read.value),
                });
            }
            Ok(_) => {
                let max = swell_chunk::HISTOGRAM_BUCKETS_MAX;
                self.refusals.add(Why::Histogram, 1, || {
                    format!("{}: more than {max} buckets", source.shown(series))
                });
            }
            Err(ReadHistogramError::Wire(error)) => return Err(error.into()),
            Err(ReadHistogramError::Invalid(rule)) => {
                self.refusals
                    .add(Why::Histogram, 1, || format!("{}: {rule}", source.shown(series)));
            }
        }
        Ok(())
    }

    fn add_exemplar(
        &mut self,
        number: SeriesNo,
        series: &SeriesMessage<'a>,
        exemplar: &WireExemplar<'a>,
    ) -> Result<(), GatherError> {
        self.count(EXEMPLAR_ENTRIES)?;
        let labels = match self.source.exemplar_pairs(exemplar)? {
            Some(mut pairs) => exemplar_labels_of(&mut pairs).map_err(|fault| fault.to_string()),
            None => Err("its labels refer to no symbol".to_owned()),
        };
        match labels {
            Ok(labels) => {
                let timestamp = TimestampMs(exemplar.timestamp_ms);
                let exemplar = Exemplar { labels, value: exemplar.value, timestamp };
                self.exemplars.push((number, exemplar));
            }
            Err(fault) => {
                let source = &self.source;
                self.refusals
                    .add(Why::Exemplar, 1, || format!("of {}: {fault}", source.shown(series)));
            }
        }
        Ok(())
    }

    fn describe(&mut self, metadata: &Metadata<'_>) -> Result<(), GatherError> {
        self.count(EXEMPLAR_ENTRIES)?;
        // What is no text names nothing that could be asked for.
        if let Ok(name) = std::str::from_utf8(metadata.metric_name)
            && !name.is_empty()
        {
            self.descriptions.push(MetricDescription {
                metric_name: name.to_owned(),
                metadata: MetricMetadata {
                    kind: metadata.kind,
                    help: String::from_utf8_lossy(metadata.help).into_owned(),
                    unit: String::from_utf8_lossy(metadata.unit).into_owned(),
                },
            });
        }
        Ok(())
    }

    fn describe_refs(
        &mut self,
        metric_name: Option<u32>,
        metadata: MetadataRefs,
    ) -> Result<(), GatherError> {
        let Some(metric_name) = metric_name else { return Ok(()) };
        if metadata == MetadataRefs::default() || !self.described.insert((metric_name, metadata)) {
            return Ok(());
        }
        let symbols = &self.source.symbols;
        let text = |reference: u32| symbols.get(reference as usize).copied().unwrap_or_default();
        let (metric_name, help, unit) =
            (text(metric_name), text(metadata.help), text(metadata.unit));
        self.describe(&Metadata { metric_name, kind: metadata.kind, help, unit })
    }

    fn message_of(&self, series: SeriesNo) -> SeriesMessage<'a> {
        let range = &self.series[series as usize].range;
        let range = range.start as usize..range.end as usize;
        SeriesMessage::at(self.source.bytes, range, self.source.message)
    }

    /// Labels of a series.
    pub(crate) fn labels(&self, series: SeriesNo) -> Result<Labels, LabelFault> {
        let pairs = self.source.stored_pairs(&self.message_of(series));
        labels_of(&mut pairs.expect("the request was read before"))
    }

    /// Labels of a series as they came, for an error.
    pub(crate) fn shown(&self, series: SeriesNo) -> String {
        self.source.shown(&self.message_of(series))
    }

    /// Float samples and histograms of a series.
    pub(crate) fn entries_of(&self, series: SeriesNo) -> usize {
        count_entries(&self.message_of(series), 0).expect("the request was read before")
    }

    /// The series with this reference.
    pub(crate) fn number_of(&self, reference: SeriesRef) -> Option<SeriesNo> {
        let found = self.series.iter().position(|series| series.reference == Some(reference))?;
        SeriesNo::try_from(found).ok()
    }
}

/// A start that is behind its sample, or of no time that a storage has, says nothing: 0, as Prometheus takes it.
fn sensible_start(start_ms: i64, timestamp_ms: i64) -> i64 {
    /// Whole milliseconds that floats can tell apart.
    const START_MAX_MS: i64 = (1 << 53) - 1;
    if start_ms > 0 && start_ms <= timestamp_ms.min(START_MAX_MS) { start_ms } else { 0 }
}

/// Float samples and histograms of a series.
fn count_entries(series: &SeriesMessage<'_>, labels_len: usize) -> Result<usize, WireError> {
    let mut count = 0;
    for part in series.parts(labels_len) {
        count += usize::from(matches!(part?, Part::Sample(_) | Part::Histogram(_)));
    }
    Ok(count)
}

impl GatheredHistogram {
    /// As the storage takes it.
    pub(crate) fn into_sample(self, series: SeriesRef) -> HistogramSample {
        HistogramSample {
            series,
            timestamp: TimestampMs(self.timestamp_ms),
            value: self.value,
            start_ms: self.start_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_that_make_no_sense_are_none() {
        assert_eq!(sensible_start(1000, 2000), 1000);
        assert_eq!(sensible_start(2000, 2000), 2000);
        for (start, at) in [(2001, 2000), (-1, 2000), (i64::MAX, i64::MAX), (i64::MIN, 0)] {
            assert_eq!(sensible_start(start, at), 0, "{start} of {at}");
        }
    }
}
