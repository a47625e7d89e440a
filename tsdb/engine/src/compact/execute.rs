//! Fills a block with series.

use swell_env::Dir;
use swell_model::{DurationMs, SeriesData};

use super::plan::Window;
use super::sources::{Sliced, Slices};
use crate::block::{BlockId, BlockWriter, Packing, WriteBlockError, aggregate};

/// What a block is made for.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: BlockId,
    pub(crate) window: Window,
    /// Distance of the aggregates it holds, zero for samples as they came.
    pub(crate) resolution: DurationMs,
    /// Blocks it stands for from then on.
    pub(crate) sources: Vec<BlockId>,
    /// What it is made of. A block of aggregates may be made of samples.
    pub(crate) reads: Reads,
    pub(crate) packing: Packing,
}

/// What is read to fill a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    Samples,
    Aggregates,
}

/// Writes the series, which come in the order of their labels, into an unfinished file; it is not a block before
/// [`BlockWriter::finish`]. `turn` gives what is written of a series, `None` to stop. After a stop or a failure the file is removed, and the result is `None` or the failure. With
/// it the number of times of which series had several values, of which one was taken.
pub(crate) fn fill<'d>(
    dir: &'d dyn Dir,
    job: Job,
    mut columns: Sliced<impl Slices>,
    turn: &mut dyn FnMut(SeriesData) -> Option<SeriesData>,
) -> Result<Option<(BlockWriter<'d>, u64)>, WriteBlockError> {
    let file = job.id.file_name();
    let (window, packing) = (job.window, job.packing);
    let mut writer =
        BlockWriter::create(dir, job.id, window, job.resolution, job.sources, packing)?;
    let is_aggregating = job.resolution > DurationMs::ZERO && job.reads == Reads::Samples;
    for series in columns.by_ref() {
        let added = match series.map(&mut *turn) {
            Ok(Some(mut series)) if is_aggregating => {
                aggregate(&mut series, job.resolution.0);
                let is_empty = series.aggregates.is_empty() && series.histogram_runs.is_empty();
                if is_empty { Ok(()) } else { writer.add(&series) }
            }
            Ok(Some(series)) => writer.add(&series),
            Ok(None) => {
                discard(writer);
                return Ok(None);
            }
            Err(source) => Err(WriteBlockError::Source { file: file.clone(), source }),
        };
        if let Err(error) = added {
            discard(writer);
            return Err(error);
        }
    }
    Ok(Some((writer, columns.conflict_count())))
}

/// Removes an unfinished file, which the next start would do as well.
pub(crate) fn discard(writer: BlockWriter<'_>) {
    if let Err(left) = writer.discard() {
        tracing::warn!(
            error = swell_telemetry::chain(&left),
            "an unfinished block stays until the next start"
        );
    }
}
