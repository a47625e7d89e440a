//! Writes a block out of selected series.

use swell_env::Dir;
use swell_model::{DurationMs, SelectHints, TimeRange, TimestampMs};

use super::plan::Window;
use crate::block::{BlockId, BlockMeta, BlockWriter, Packing, WriteBlockError};
use crate::select::{Columns, Selected};

/// Writes and publishes a block with the samples of the series that lie in `samples_in`; `None` when there are
/// none. After a failure nothing is published, and the unfinished file is removed if that is possible.
pub(crate) fn write_block(
    dir: &dyn Dir,
    id: BlockId,
    window: Window,
    sources: Vec<BlockId>,
    mut selected: Vec<Selected>,
    samples_in: Window,
    packing: Packing,
) -> Result<Option<BlockMeta>, WriteBlockError> {
    selected.sort_by(|a, b| a.labels.cmp(&b.labels));
    let range = TimeRange { start_incl: samples_in.0, end_incl: samples_in.1 - DurationMs(1) };
    let mut writer = BlockWriter::create(dir, id, window, sources, packing)?;
    for series in Columns::new(selected, &SelectHints::range(range), TimestampMs::MIN.0) {
        let added = match series {
            Ok(series) => writer.add(&series),
            Err(source) => Err(WriteBlockError::Source { file: id.file_name(), source }),
        };
        if let Err(error) = added {
            if let Err(left) = writer.discard() {
                tracing::warn!(
                    error = swell_telemetry::chain(&left),
                    "an unfinished block stays until the next start"
                );
            }
            return Err(error);
        }
    }
    writer.finish()
}
