//! An unpacked request into the storage: read, series resolved, one batch appended.

use std::hash::{BuildHasher as _, RandomState};

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use swell_model::{
    AppendError, AppendReport, Batch, ExemplarSample, MetricDescription, SampleSink, SeriesRef,
};
use swell_wire::remote_write::Message;

use super::catalog::{Catalog, Seen, Tally};
use super::gather::{GatherError, Gathered, Reading, gather};
use super::refusals::{Refusals, Why};

/// A series is forgotten between being found and being written to only when it had no sample for hours; so often
/// in a row something else is wrong.
const ATTEMPTS_MAX: usize = 3;

/// Descriptions of metric families that are known to be stored.
const DESCRIBED_MAX: usize = 100_000;

/// What is stored of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Float samples; exact repeats of what is there count.
    pub(crate) samples: usize,
    /// Native histograms, likewise.
    pub(crate) histograms: usize,
    /// Exemplars.
    pub(crate) exemplars: usize,
}

/// What became of a request.
#[derive(Debug, Default)]
pub(crate) struct Receipt {
    pub(crate) written: Written,
    pub(crate) refusals: Refusals,
    /// A refusal took everything else along.
    pub(crate) is_rolled_back: bool,
    pub(crate) tally: Tally,
}

/// Why nothing of a request is stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The sender's fault.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// Ours: the sender shall try again.
    #[error("the samples cannot be stored now")]
    Storage(#[source] AppendError),
}

/// The way from bytes to the storage.
pub(crate) struct Receiver {
    sink: std::sync::Arc<dyn SampleSink>,
    /// A 2.0 sample that says since when it counts is preceded by a zero there.
    zero_at_start: bool,
    /// Series of 2.0 are labelled with their type and unit.
    type_and_unit_labels: bool,
    pub(crate) catalog: Catalog,
    described: Mutex<FxHashSet<u64>>,
    hasher: RandomState,
}

impl Receiver {
    pub(crate) fn new(
        sink: std::sync::Arc<dyn SampleSink>,
        zero_at_start: bool,
        type_and_unit_labels: bool,
    ) -> Self {
        Self {
            sink,
            zero_at_start,
            type_and_unit_labels,
            catalog: Catalog::new(),
            described: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Forgets what no sender has used for a while.
    pub(crate) fn age(&self) {
        self.catalog.age();
        self.described.lock().clear();
    }

    /// Stores a request.
    pub(crate) fn receive(&self, bytes: &[u8], message: Message) -> Result<Receipt, ReceiveError> {
        let mut attempt = 1;
        loop {
            let gathered = gather(
                bytes,
                message,
                self.catalog.walk(),
                Reading { is_fresh: attempt > 1, type_and_unit_labels: self.type_and_unit_labels },
            )?;
            match self.store(gathered, message) {
                Err(AppendError::UnknownSeries(_)) if attempt < ATTEMPTS_MAX => attempt += 1,
                outcome => return outcome.map_err(ReceiveError::Storage),
            }
        }
    }

    fn store(&self, mut gathered: Gathered<'_>, message: Message) -> Result<Receipt, AppendError> {
        let mut receipt = Receipt { tally: gathered.tally, ..Receipt::default() };
        if message == Message::V1 && gathered.refusals.count(Why::Histogram) > 0 {
            receipt.is_rolled_back = true;
            receipt.refusals = gathered.refusals;
            return Ok(receipt);
        }
        self.resolve(&mut gathered)?;
        let reference = |series: u32| gathered.series[series as usize].reference;
        if self.zero_at_start {
            let zeros = gathered.instants.zeros_at_starts(reference);
            if !zeros.is_empty() {
                // Best effort: behind the first sample of a series they are late.
                self.sink.append(&Batch::of_rows(zeros))?;
            }
        }
        let descriptions = self.not_described(std::mem::take(&mut gathered.descriptions));
        let histograms = std::mem::take(&mut gathered.histograms);
        let exemplars = std::mem::take(&mut gathered.exemplars);
        let mut batch = Batch {
            rows: std::mem::take(&mut gathered.instants).into_rows(reference),
            histograms: histograms
                .into_iter()
                .filter_map(|histogram| Some((reference(histogram.series)?, histogram)))
                .map(|(series, histogram)| histogram.into_sample(series))
                .collect(),
            exemplars: exemplars
                .into_iter()
                .filter_map(|(series, exemplar)| {
                    Some(ExemplarSample { series: reference(series)?, exemplar })
                })
                .collect(),
            descriptions,
            is_whole: message == Message::V1,
            in_order_only: false,
        };
        batch.histograms.sort_by_key(|histogram| histogram.timestamp);
        let report =
            if batch.is_empty() { AppendReport::default() } else { self.sink.append(&batch)? };
        receipt.is_rolled_back = report.is_rolled_back;
        if !receipt.is_rolled_back {
            self.remember_described(&batch.descriptions);
            receipt.written = written(&batch, &report);
        }
        refuse_dropped(&mut gathered, &report);
        receipt.refusals = gathered.refusals;
        Ok(receipt)
    }

    /// Finds or makes the series that were not known, and remembers them.
    fn resolve(&self, gathered: &mut Gathered<'_>) -> Result<(), AppendError> {
        let mut seen = Vec::with_capacity(gathered.unknown.len());
        for unknown in std::mem::take(&mut gathered.unknown) {
            let number = unknown.series;
            let resolved = match gathered.labels(number) {
                Err(fault) => Err((Why::Labels, fault.to_string())),
                Ok(labels) => match self.sink.resolve(&labels) {
                    Ok(series) => Ok(series),
                    Err(AppendError::Refused { reason, .. }) => Err((Why::Limit, reason)),
                    Err(AppendError::TooManySeries { reason, .. }) => {
                        Err((Why::SeriesLimit, reason))
                    }
                    Err(error) => return Err(error),
                },
            };
            match resolved {
                Ok(series) => {
                    gathered.series[number as usize].reference = Some(series);
                    let labels_len = unknown.labels_len;
                    seen.extend(unknown.key.map(|key| Seen { key, labels_len, series }));
                }
                Err((why, reason)) => {
                    let (count, shown) = (gathered.entries_of(number), gathered.shown(number));
                    gathered.refusals.add(why, count, || format!("{shown}: {reason}"));
                }
            }
        }
        if !seen.is_empty() {
            self.catalog.remember(&seen);
        }
        Ok(())
    }

    fn key_of(&self, description: &MetricDescription) -> u64 {
        let MetricDescription { metric_name, metadata } = description;
        self.hasher.hash_one((metric_name, metadata.kind, &metadata.help, &metadata.unit))
    }

    /// Senders repeat what a family is with each request, and the log need not.
    fn not_described(&self, descriptions: Vec<MetricDescription>) -> Vec<MetricDescription> {
        if descriptions.is_empty() {
            return descriptions;
        }
        let described = self.described.lock();
        descriptions.into_iter().filter(|it| !described.contains(&self.key_of(it))).collect()
    }

    fn remember_described(&self, descriptions: &[MetricDescription]) {
        if !descriptions.is_empty() {
            let mut described = self.described.lock();
            for description in descriptions {
                if described.len() < DESCRIBED_MAX {
                    described.insert(self.key_of(description));
                }
            }
        }
    }
}

fn written(batch: &Batch, report: &AppendReport) -> Written {
    let samples: usize = batch.rows.iter().map(|row| row.series.len()).sum();
    Written {
        samples: samples - (report.dropped() - report.histograms_dropped),
        histograms: batch.histograms.len() - report.histograms_dropped,
        exemplars: report.exemplars_stored,
    }
}

/// Adds what the storage dropped, each kind by its number; it names one example.
fn refuse_dropped(gathered: &mut Gathered<'_>, report: &AppendReport) {
    let counts = [
        (Why::OutOfOrder, report.out_of_order),
        (Why::Duplicate, report.conflicts),
        (Why::TooOld, report.too_old),
        (Why::TooNew, report.too_new),
    ];
    let shown = |gathered: &Gathered<'_>, series: SeriesRef| {
        gathered.number_of(series).map_or_else(String::new, |number| gathered.shown(number))
    };
    let example = report.example.map(|dropped| {
        let text = format!("{} at {}", shown(gathered, dropped.series), dropped.timestamp.0);
        (Why::from(dropped.reason), text)
    });
    for (why, count) in counts {
        gathered.refusals.add(why, count, || match &example {
            Some((of, text)) if *of == why => text.clone(),
            _ => "not shown".to_owned(),
        });
    }
    gathered.refusals.add(Why::Exemplar, report.exemplars_dropped, || {
        "older than the newest one of its series".to_owned()
    });
}
