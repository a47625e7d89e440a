//! Changes of which blocks there are, and of what in them is deleted: one at a time, under the lock `publishing`,
//! each made durable before readers see it, and old files removed after that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use swell_model::DurationMs;
use swell_telemetry::chain;

use crate::block::manifest::{self, Listed};
use crate::block::{self, Block, BlockId, BlockWriter, Departed, ReadBlockError};
use crate::db::Inner;
use crate::maintain::MaintainError;
use crate::tombstones::{self, HeadTombstones, Tombstones};

/// Held while something is published, so that a snapshot and a deletion meet a whole state.
pub(crate) type Publishing<'a> = MutexGuard<'a, ()>;

impl Inner {
    /// Gives a filled block its name and opens it; readers do not see it yet. `None` when it holds nothing.
    pub(crate) fn finish(
        &self,
        writer: BlockWriter<'_>,
        _publishing: &Publishing<'_>,
    ) -> Result<Option<Arc<Block>>, MaintainError> {
        let id = writer.id();
        let orphaned = |error: MaintainError| {
            self.orphans.lock().push(format!("{}/{}", block::FOLDER, id.file_name()));
            if let Err(left) = self.remove_orphans() {
                tracing::warn!(
                    error = chain(&left),
                    "a block that is not to be read stays for now"
                );
            }
            error
        };
        let Some(meta) = writer.finish().map_err(|error| orphaned(error.into()))? else {
            return Ok(None);
        };
        let block = Block::open(&*self.dir, meta.id).map_err(|error: ReadBlockError| {
            let name = format!("{}/{}", block::FOLDER, meta.id.file_name());
            let action = format!("read back the new block {name}");
            orphaned(MaintainError::Read { action, source: crate::select::storage(&error) })
        })?;
        Ok(Some(Arc::new(block)))
    }

    /// Removes what has a block's name and is none: written, but not made durable or not read back. At the next open it
    /// would stand for its sources, whatever is deleted of them until then.
    pub(crate) fn remove_orphans(&self) -> Result<(), MaintainError> {
        let mut orphans = self.orphans.lock();
        if orphans.is_empty() {
            return Ok(());
        }
        orphans.iter().try_for_each(|name| self.remove_file(name))?;
        self.sync_blocks_folder()?;
        orphans.clear();
        Ok(())
    }

    fn sync_blocks_folder(&self) -> Result<(), MaintainError> {
        let action = || "sync the folder of the blocks".to_owned();
        self.dir
            .sync_dir(block::FOLDER)
            .map_err(|source| MaintainError::Io { action: action(), source })
    }

    /// A number for a new block.
    pub(crate) fn next_id(&self) -> BlockId {
        BlockId(self.next_block.fetch_add(1, Ordering::Relaxed))
    }

    /// Shows readers the blocks without `gone`, and with `new`. Reads that began before go on with what they have.
    pub(crate) fn exchange(&self, gone: &[BlockId], new: Option<Arc<Block>>) {
        let now = self.clock.monotonic();
        let mut state = self.state.write();
        let (left, mut all): (Vec<Arc<Block>>, Vec<Arc<Block>>) =
            state.all_blocks().into_iter().partition(|block| gone.contains(&block.meta.id));
        // Before they are off the list, so that at each moment a block is on one of both.
        let mut departed = self.departed.lock();
        departed.retain_mut(|block| block.is_answering(now));
        departed.extend(left.iter().map(|block| Departed::of(block, now)));
        drop(departed);
        all.extend(new);
        all.sort_by_key(|block| (block.meta.start, block.meta.id));
        let is_coarse = |block: &Arc<Block>| block.meta.resolution > DurationMs::ZERO;
        let (coarse, blocks) = all.into_iter().partition(is_coarse);
        (state.blocks, state.coarse) = (Arc::new(blocks), Arc::new(coarse));
        drop(state);
        // Who reads a block just now may hold it up.
        left.iter().for_each(|block| block.let_go());
    }

    /// What the list of blocks must say now.
    pub(crate) fn listed(&self) -> Vec<Listed> {
        let (blocks, head_has) = {
            let state = self.state.read();
            (state.all_blocks(), !state.head.tombstones.is_empty())
        };
        let there = blocks
            .iter()
            .map(|block| Listed { id: block.meta.id, has_tombstones: block.has_tombstones() });
        let missing =
            self.missing_blocks.iter().map(|id| Listed { id: *id, has_tombstones: false });
        let head = head_has.then_some(Listed { id: manifest::HEAD, has_tombstones: true });
        there.chain(missing).chain(head).collect()
    }

    /// Writes down which blocks there are, so that a missing one is noticed at the next open.
    pub(crate) fn list_blocks(&self, _publishing: &Publishing<'_>) -> Result<(), MaintainError> {
        manifest::write(&*self.dir, block::FOLDER, &self.listed()).map_err(|source| {
            MaintainError::Io { action: format!("write {}", manifest::name()), source }
        })
    }

    /// Takes blocks that readers see no more off the list, and removes their files. What is left after a failure
    /// is for the next run.
    pub(crate) fn sweep(
        &self,
        garbage: &mut Vec<Arc<Block>>,
        publishing: &Publishing<'_>,
    ) -> Result<(), MaintainError> {
        self.list_blocks(publishing)?;
        for block in garbage.iter() {
            self.remove_file(&block.name)?;
            if block.has_tombstones() {
                self.remove_file(&tombstones::name_of(block.meta.id))?;
            }
        }
        self.sync_blocks_folder()?;
        garbage.clear();
        Ok(())
    }

    /// A file that is gone already is fine: an earlier try may have removed it.
    fn remove_file(&self, name: &str) -> Result<(), MaintainError> {
        match self.dir.remove(name) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(MaintainError::Io { action: format!("remove {name}"), source })
            }
            _ => Ok(()),
        }
    }

    /// Hides more of a block: on disk, then from readers.
    pub(crate) fn bury(
        &self,
        block: &Block,
        tombstones: Tombstones<u32>,
        _publishing: &Publishing<'_>,
    ) -> Result<(), MaintainError> {
        let name = tombstones::name_of(block.meta.id);
        tombstones::write(&*self.dir, &name, block.meta.id, &tombstones)
            .map_err(|source| MaintainError::Io { action: format!("write {name}"), source })?;
        block.set_tombstones(tombstones);
        Ok(())
    }

    /// Writes down what is deleted of the head.
    pub(crate) fn write_head_tombstones(
        &self,
        tombstones: &HeadTombstones,
        _publishing: &Publishing<'_>,
    ) -> Result<(), MaintainError> {
        let name = tombstones::head_name();
        tombstones::write_head(&*self.dir, tombstones)
            .map_err(|source| MaintainError::Io { action: format!("write {name}"), source })
    }
}
