//! Samples from elsewhere become a block, whatever their age: the head takes only what is new.

use std::sync::Arc;

use swell_model::{AppendError, DurationMs, SeriesData, TimestampMs};

use crate::block::{Block, BlockWriter, Packing, WriteBlockError};
use crate::compact::execute::discard;
use crate::db::{Db, Inner};
use crate::maintain::MaintainError;
use crate::wal::{FlushMark, WalWriter};

/// Why an import failed; nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The head has samples of that time: they would be taken for stored at the next start.
    #[error(
        "samples up to {end_ms} ms are to be imported, but the head begins at {head_ms} ms: append those from there on"
    )]
    Head {
        /// Last time to be imported.
        end_ms: i64,
        /// First time in the head.
        head_ms: i64,
    },
    /// A series breaks a limit of the database.
    #[error("a series cannot be stored")]
    Series(#[source] AppendError),
    /// The block cannot be written.
    #[error("write the imported block")]
    Write(#[from] MaintainError),
}

/// What was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Series with samples.
    pub series_count: usize,
    /// Samples.
    pub sample_count: u64,
    /// Bytes of the block; 0 when there was nothing to store.
    pub block_bytes: u64,
}

impl Db {
    /// Samples before this time can be imported as blocks; those from there on are for [`swell_model::SampleSink::append`].
    #[must_use]
    pub fn import_before(&self) -> TimestampMs {
        let head = self.inner.state.read().head.range();
        head.map_or(TimestampMs::MAX, |range| range.start_incl)
    }

    /// Stores series as one block. Of samples that are there already, one of the two counts: they are the same unless
    /// the source contradicts what is stored. Samples of each series must rise in time; a series must not come twice.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn import(&self, mut series: Vec<SeriesData>) -> Result<ImportReport, ImportError> {
        let inner = &self.inner;
        inner.check_replayed("import series")?;
        // One at a time, and not while blocks are exchanged; no batch is between its check and its being in the head.
        let _maintenance = inner.maintenance.lock();
        let publishing = inner.publishing.lock();
        let log = inner.commit.lock();
        series
            .retain(|it| !it.floats.timestamps.is_empty() || !it.histograms.timestamps.is_empty());
        series.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        for it in &series {
            inner.check_labels(&it.labels).map_err(ImportError::Series)?;
        }
        let firsts = series
            .iter()
            .flat_map(|it| [it.floats.timestamps.first(), it.histograms.timestamps.first()]);
        let lasts = series
            .iter()
            .flat_map(|it| [it.floats.timestamps.last(), it.histograms.timestamps.last()]);
        let ends = firsts.flatten().min().zip(lasts.flatten().max());
        let Some((first_ms, last_ms)) = ends else { return Ok(ImportReport::default()) };
        let window = (TimestampMs(*first_ms), TimestampMs(last_ms.saturating_add(1)));
        let head = inner.state.read().head.range();
        if let Some(head) = head.filter(|head| head.start_incl < window.1) {
            let head_ms = head.start_incl.0;
            return Err(ImportError::Head { end_ms: *last_ms, head_ms });
        }
        let writer = self.fill_import(window, &series)?;
        let Some(block) = inner.finish(writer, &publishing)? else {
            return Ok(ImportReport::default());
        };
        let (sample_count, block_bytes) = (block.meta.sample_count, block.meta.file_bytes);
        inner.show_older(block, &log);
        inner.list_blocks(&publishing)?;
        Ok(ImportReport { series_count: series.len(), sample_count, block_bytes })
    }

    fn fill_import(
        &self,
        window: (TimestampMs, TimestampMs),
        series: &[SeriesData],
    ) -> Result<BlockWriter<'_>, ImportError> {
        let inner = &self.inner;
        let fault = |error: WriteBlockError| ImportError::Write(error.into());
        let (id, packing) = (inner.next_id(), Packing::Compressed);
        let raw = DurationMs::ZERO;
        let mut writer = BlockWriter::create(&*inner.dir, id, window, raw, Vec::new(), packing)
            .map_err(fault)?;
        for it in series {
            if let Err(error) = writer.add(it) {
                discard(writer);
                return Err(fault(error));
            }
        }
        Ok(writer)
    }
}

impl Inner {
    /// Shows readers a block of times before those in memory. With the lock of the log no batch is between its check and its
    /// being in the head.
    pub(crate) fn show_older(&self, block: Arc<Block>, log: &WalWriter) {
        let (end, newest) = (block.meta.end, block.meta.max);
        let is_ahead = newest > self.allowed();
        self.exchange(&[], Some(block));
        let mut state = self.state.write();
        if state.head.range().is_none() && !is_ahead {
            // As at the next start: what is older than the newest block is in blocks, unless that is ahead of the clock.
            let mark = FlushMark { from: TimestampMs::MIN, below: end, upto: log.position() };
            state.head.has_seen(newest);
            if state.head.late_count() == 0 {
                state.head.forget(&mark, true);
            }
        }
    }
}
