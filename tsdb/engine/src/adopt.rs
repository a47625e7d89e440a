//! Blocks that another process made beside the storage, in a folder inside its directory, are taken in while it is written to.
//!
//! A block is read there and written anew under a number of this storage, as a merge does: every checksum is verified
//! before anything of it is shown. The folder stays as it is; who made it removes it.

use std::io;
use std::sync::Arc;

use swell_model::{AppendError, DurationMs, SeriesData, TimeRange, TimestampMs};

use crate::block::{self, Block, BlockId, Packing, ReadBlockError};
use crate::compact::execute::{Job, Reads, fill};
use crate::compact::sources::{BlockSlices, Sliced};
use crate::db::{Db, Inner};
use crate::maintain::MaintainError;
use crate::select::{Columns, OnDamage, load, storage};
use crate::snapshot::is_name;
use crate::tombstones;

/// Folder of the data directory with folders of others, each laid out as a data directory.
const FOLDER: &str = "incoming";

/// Why a block was not taken in; nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is not there.
    #[error("there is no block {file} in {FOLDER}/{folder}/blocks of the data directory")]
    Unknown {
        /// The folder, as given.
        folder: String,
        /// The block's file, as given.
        file: String,
    },
    /// It is none of samples as an import writes it.
    #[error("{file} has {what}: only blocks that an import made can be taken in")]
    Foreign {
        /// The block's file.
        file: String,
        /// What it has.
        what: &'static str,
    },
    /// A series breaks a limit of the database.
    #[error("a series cannot be stored")]
    Series(#[source] AppendError),
    /// The block cannot be read, or not be written here.
    #[error("take a block in")]
    Failed(#[from] MaintainError),
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdoptReport {
    /// Series with samples.
    pub series_count: u64,
    /// Samples.
    pub sample_count: u64,
    /// Samples of times that are in memory: they were left out.
    pub left_out: u64,
    /// First time in memory, where samples were left out.
    pub memory_from: Option<TimestampMs>,
    /// Bytes of the block that was written; 0 when there was nothing to store.
    pub block_bytes: u64,
    /// Times of the samples.
    pub range: Option<TimeRange>,
}

impl Db {
    /// Takes in the block `incoming/FOLDER/blocks/FILE` of the data directory, but for samples of times that are in memory, which are
    /// for [`swell_model::SampleSink::append`]. Of samples that are there already one of the two counts, as with
    /// [`Db::import`]; so it may be done again after a failure. Neither readers nor writers wait for it; upkeep does.
    ///
    /// # Errors
    /// [`AdoptError`].
    pub fn adopt(&self, folder: &str, file: &str) -> Result<AdoptReport, AdoptError> {
        let inner = &self.inner;
        inner.check_replayed("take a block in")?;
        let staged = inner.staged(folder, file)?;
        let _maintenance = inner.maintenance.lock();
        let before = self.import_before();
        let written = inner.copied(&staged, before)?;
        let mut report = AdoptReport::default();
        if let Some(block) = written {
            let meta = &block.meta;
            report.series_count = meta.series_count;
            report.sample_count = meta.sample_count;
            report.block_bytes = meta.file_bytes;
            report.range = Some(meta.range());
        }
        report.left_out = staged.meta.sample_count.saturating_sub(report.sample_count);
        report.memory_from = (report.left_out > 0).then_some(before);
        inner.update_gauges();
        tracing::info!(folder, file, ?report, "a block was taken in");
        Ok(report)
    }
}

impl Inner {
    /// A block that is to be taken in.
    fn staged(&self, folder: &str, file: &str) -> Result<Arc<Block>, AdoptError> {
        let unknown = || AdoptError::Unknown { folder: folder.to_owned(), file: file.to_owned() };
        let foreign = |what| AdoptError::Foreign { file: file.to_owned(), what };
        let id = BlockId::of_file_name(file).filter(|_| is_name(folder)).ok_or_else(unknown)?;
        let place = format!("{FOLDER}/{folder}/{}", block::FOLDER);
        let opened = Block::open_in(&*self.dir, &place, id).map_err(|error| match error {
            ReadBlockError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                unknown()
            }
            error => AdoptError::Failed(MaintainError::Read {
                action: format!("open {place}/{file}"),
                source: storage(&error),
            }),
        })?;
        if opened.meta.resolution > DurationMs::ZERO {
            return Err(foreign("aggregates"));
        }
        let unlisted = |source| MaintainError::Io { action: format!("list {place}"), source };
        let entries = self.dir.list(&place).map_err(unlisted)?;
        // Its tombstones would have to come along.
        let deleted = tombstones::name_of(id);
        if entries.iter().any(|entry| deleted.ends_with(&format!("/{}", entry.name))) {
            return Err(foreign("samples that were deleted"));
        }
        // It is read once, and its file goes.
        opened.let_go();
        Ok(Arc::new(opened))
    }

    /// Writes what a block of elsewhere has before a time as a block of this storage, and shows it to readers. The lock
    /// of upkeep is held meanwhile: blocks are not exchanged.
    fn copied(
        &self,
        staged: &Arc<Block>,
        before: TimestampMs,
    ) -> Result<Option<Arc<Block>>, AdoptError> {
        let (start, end) = (staged.meta.start, staged.meta.end.min(before));
        if start >= end {
            return Ok(None);
        }
        let unread =
            |source| MaintainError::Read { action: format!("read {}", staged.name), source };
        let range = TimeRange { start_incl: TimestampMs::MIN, end_incl: end - DurationMs(1) };
        let now = self.clock.monotonic();
        let loaded =
            load(std::slice::from_ref(staged), range, now, OnDamage::Fail).map_err(unread)?;
        let series = BlockSlices::new(loaded, range).map_err(unread)?;
        let series = Sliced::new(series, Columns::samples(Vec::new(), range));
        let job = Job {
            id: self.next_id(),
            window: (start, end),
            resolution: DurationMs::ZERO,
            sources: Vec::new(),
            reads: Reads::Samples,
            packing: Packing::Compressed,
        };
        let mut refused = None;
        let mut turn = |series: SeriesData| {
            refused = self.check_labels(&series.labels).err();
            (refused.is_none() && !self.rest.is_over()).then_some(series)
        };
        let filled = fill(&*self.dir, job, series, &mut turn).map_err(MaintainError::from)?;
        if let Some(refusal) = refused {
            return Err(AdoptError::Series(refusal));
        }
        let Some((writer, conflicts)) = filled else { return Err(MaintainError::Stopped.into()) };
        self.metrics.merge_conflicts.inc_by(conflicts);
        let publishing = self.publishing.lock();
        let block = self.finish(writer, &publishing)?;
        if let Some(block) = &block {
            // No batch is between its check and its being in the head.
            let log = self.commit.lock();
            self.show_older(Arc::clone(block), &log);
        }
        self.list_blocks(&publishing)?;
        Ok(block)
    }
}
