//! What the server knows of one run of an agent, and how its batches become rows of the storage.

use std::collections::{HashMap, HashSet};

use swell_model::{
    AppendError, AppendReport, Batch as StorageBatch, Labels, Row, SampleSink, SeriesRef,
    TimestampMs, is_stale_nan,
};

use crate::wire;

/// How often a batch is tried when the storage forgets series between resolving and appending.
const RESOLVE_ATTEMPTS: usize = 3;

/// Series and last stored batch of one session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    acknowledged: u64,
    series: HashMap<u32, Known>,
}

#[derive(Debug)]
struct Known {
    labels: Labels,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unresolved,
    Stored(SeriesRef),
    /// The storage does not take it: its labels break a limit.
    Refused,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) is_duplicate: bool,
    pub(crate) report: AppendReport,
    pub(crate) refused_samples: u64,
    pub(crate) refusal: String,
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The agent breaks the protocol: the session is to be forgotten.
    #[error("batch {sequence}: {what}")]
    Protocol { sequence: u64, what: String },
    /// The storage takes nothing now: the agent is to send it again later.
    #[error("store batch {sequence}")]
    Storage {
        sequence: u64,
        #[source]
        source: AppendError,
    },
}

impl Session {
    /// Last batch that is stored.
    pub(crate) const fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether the series of the session are known: from the first batch on.
    pub(crate) const fn knows_series(&self) -> bool {
        self.acknowledged > 0
    }

    /// Learns series; one that is known already stays as it is.
    pub(crate) fn announce(&mut self, series: &[wire::Series]) -> Result<(), ApplyError> {
        for one in series {
            let Some(labels) = one.to_labels() else {
                let what = format!("the labels of series {} are not sorted pairs", one.number);
                return Err(ApplyError::Protocol { sequence: self.acknowledged, what });
            };
            let known = self
                .series
                .entry(one.number)
                .or_insert_with(|| Known { labels: labels.clone(), place: Place::Unresolved });
            if known.labels != labels {
                let what = format!("series {} is announced with other labels", one.number);
                return Err(ApplyError::Protocol { sequence: self.acknowledged, what });
            }
        }
        Ok(())
    }

    /// Stores a batch, unless it was stored before. Blocks for as long as the storage does.
    pub(crate) fn apply(
        &mut self,
        batch: &wire::Batch,
        sink: &dyn SampleSink,
    ) -> Result<Applied, ApplyError> {
        let sequence = batch.sequence;
        if sequence <= self.acknowledged {
            return Ok(Applied { is_duplicate: true, ..Applied::default() });
        }
        if batch.numbers.len() != batch.values.len() {
            let what = format!("{} numbers, {} values", batch.numbers.len(), batch.values.len());
            return Err(ApplyError::Protocol { sequence, what });
        }
        self.announce(&batch.announced)?;
        let mut applied = Applied::default();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let row = self.row(batch, sink, &mut applied)?;
            match sink.append(&StorageBatch::of_rows(vec![row])) {
                Ok(report) => {
                    applied.report = report;
                    break;
                }
                Err(AppendError::UnknownSeries(_)) if attempts < RESOLVE_ATTEMPTS => {
                    // it has forgotten one, perhaps more: ask for all of them again
                    for known in self.series.values_mut() {
                        known.place = Place::Unresolved;
                    }
                }
                Err(AppendError::Refused { series, reason }) => {
                    applied.refused_samples = batch.numbers.len() as u64;
                    applied.refusal = format!("{series}: {reason}");
                    break;
                }
                Err(source) => return Err(ApplyError::Storage { sequence, source }),
            }
        }
        for number in &batch.retired {
            self.series.remove(number);
        }
        self.acknowledged = sequence;
        Ok(applied)
    }

    /// The samples of a batch by the storage's references, those of refused series left out.
    fn row(
        &mut self,
        batch: &wire::Batch,
        sink: &dyn SampleSink,
        applied: &mut Applied,
    ) -> Result<Row, ApplyError> {
        let sequence = batch.sequence;
        applied.refused_samples = 0;
        let mut row = Row::new(
            TimestampMs(batch.timestamp_ms),
            Vec::with_capacity(batch.numbers.len()),
            Vec::with_capacity(batch.numbers.len()),
        );
        for (number, value) in batch.numbers.iter().zip(&batch.values) {
            let Some(known) = self.series.get_mut(number) else {
                let what = format!("series {number} was not announced");
                return Err(ApplyError::Protocol { sequence, what });
            };
            if known.place == Place::Unresolved {
                known.place = match sink.resolve(&known.labels) {
                    Ok(series) => Place::Stored(series),
                    Err(AppendError::Refused { series, reason }) => {
                        applied.refusal = format!("{series}: {reason}");
                        Place::Refused
                    }
                    // There may be room for it with a later batch.
                    Err(AppendError::TooManySeries { series, reason }) => {
                        applied.refusal = format!("{series}: {reason}");
                        Place::Unresolved
                    }
                    Err(source) => return Err(ApplyError::Storage { sequence, source }),
                };
            }
            match known.place {
                Place::Stored(series) => {
                    row.series.push(series);
                    row.values.push(*value);
                }
                Place::Refused | Place::Unresolved => applied.refused_samples += 1,
            }
        }
        if has_repeats(&row.series) {
            keep_one_of_each(&mut row);
        }
        Ok(row)
    }
}

/// Whether a series stands in a row more than once; quick where they rise, as an agent sends them.
fn has_repeats(series: &[SeriesRef]) -> bool {
    if series.is_sorted_by(|a, b| a < b) {
        return false;
    }
    let mut sorted = series.to_vec();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// A series that ended and came back under another number within one batch stands in it twice: its
/// staleness marker gives way. Of what an agent sends twice otherwise the first counts.
fn keep_one_of_each(row: &mut Row) {
    let live: HashSet<SeriesRef> = row
        .series
        .iter()
        .zip(&row.values)
        .filter(|(_, value)| !is_stale_nan(**value))
        .map(|(series, _)| *series)
        .collect();
    let mut seen = HashSet::new();
    let keep: Vec<bool> = row
        .series
        .iter()
        .zip(&row.values)
        .map(|(series, value)| {
            (!is_stale_nan(*value) || !live.contains(series)) && seen.insert(*series)
        })
        .collect();
    let mut kept = keep.iter();
    row.series.retain(|_| *kept.next().unwrap_or(&true));
    let mut kept = keep.iter();
    row.values.retain(|_| *kept.next().unwrap_or(&true));
}

#[cfg(test)]
mod tests;
