//! Opening: lock, blocks, log.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use prometheus::Registry;
use swell_env::{Clock, Dir, DirEntry};
use swell_model::DurationMs;
use swell_telemetry::chain;

use crate::acknowledged::{self, Acknowledged, AcknowledgedFile};
use crate::block::manifest::{self, Listed, Manifest};
use crate::block::{self, Block, BlockId, ReadBlockError};
use crate::checkpoint::Saved;
use crate::config::{Config, WalSync};
use crate::db::{Db, Inner, State};
use crate::described::{self, Described, MetadataFile};
use crate::exemplars::Exemplars;
use crate::head::Head;
use crate::limits::Blame;
use crate::maintain::Backoff;
use crate::metrics::Metrics;
use crate::pace::Rest;
use crate::reserve::Reserve;
use crate::restore::Replay;
use crate::snapshot;
use crate::status::Damage;
use crate::timeline::Timeline;
use crate::tombstones::{self, ReadTombstonesError};
use crate::tuned::Tuned;
use crate::wal::{self, SyncGate, WalWriter};
use crate::writes::Writes;

/// Name of the lock file.
const LOCK: &str = "lock";

/// Why a database does not open. Nothing in the directory was changed but what a repeated open changes again.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the directory, or it is not writable.
    #[error("open the database in {location}")]
    Lock {
        /// The directory.
        location: String,
        /// Who holds it, or what the system says.
        #[source]
        source: swell_env::LockError,
    },
    /// A file or folder cannot be read or written.
    #[error("open the database in {location}: {action}")]
    Io {
        /// The directory.
        location: String,
        /// What was tried.
        action: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A file was written by a newer version of this program; it is left untouched.
    #[error("open the database in {location}: {what}")]
    Newer {
        /// The directory.
        location: String,
        /// File, its version, and the way out.
        what: String,
    },
    /// A metric name is taken.
    #[error("register the metrics of the database")]
    Metrics(#[from] prometheus::Error),
}

impl Db {
    /// Opens, or makes, the database in a directory: reads the blocks' footers and replays the log. Damaged
    /// blocks and log ranges are set aside and listed in [`crate::Status::damage`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        dir: Arc<dyn Dir>,
        config: Config,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, OpenError> {
        let (db, replay) = Self::begin(dir, config, clock, registry)?;
        replay.run()?;
        Ok(db)
    }

    /// As [`Db::open`], but what was in memory is not read yet: that is for [`Replay::run`], on a thread that may block.
    /// Until it has ended, reads answer from the blocks and carry a warning; whatever would write is refused.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn begin(
        dir: Arc<dyn Dir>,
        config: Config,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<(Self, Replay), OpenError> {
        let location = dir.location().to_owned();
        let lock = dir
            .lock(LOCK)
            .map_err(|source| OpenError::Lock { location: location.clone(), source })?;
        let opening = Opening { dir: &*dir, location };
        opening.make_folders()?;
        let mut damage = Vec::new();
        let found = opening.blocks(&mut damage)?;
        let is_coarse = |block: &Arc<Block>| block.meta.resolution > DurationMs::ZERO;
        let (coarse, blocks): (Vec<_>, Vec<_>) = found.blocks.into_iter().partition(is_coarse);
        let described = opening.described(&mut damage)?;
        let mut acknowledged = opening.acknowledged(&mut damage)?;
        if let Err(error) = acknowledged.forget_gone(&*dir, &damage) {
            tracing::warn!(%error, "acknowledged damage that is gone is not forgotten before the next start");
        }
        report(&damage);
        let metrics = Metrics::register(registry)?;
        let timeline = Timeline::new(&*clock);
        let backoff = Backoff::new(config.background, clock.monotonic());
        let exemplars = Exemplars::new(config.exemplars_max);
        let inner = Arc::new(Inner {
            tuned: RwLock::new(Tuned::from(&config)),
            config,
            // The writer of an empty log: nothing is written before the real one takes its place.
            commit: Mutex::new(WalWriter::new(Arc::clone(&dir), Vec::new(), 1, 0, None)),
            dir,
            clock,
            timeline,
            metrics,
            maintenance: Mutex::new(backoff),
            publishing: Mutex::new(()),
            reserve: Reserve::default(),
            rest: Rest::default(),
            state: RwLock::new(State {
                head: Head::new(),
                blocks: Arc::new(blocks),
                coarse: Arc::new(coarse),
            }),
            groupings: crate::groupings::Groupings::default(),
            gate: SyncGate::default(),
            exemplars: RwLock::new(exemplars),
            metadata: RwLock::new(described),
            blame: Blame::default(),
            writes: Writes::default(),
            damage,
            acknowledged: RwLock::new(acknowledged),
            samples_appended: AtomicU64::new(0),
            missing_blocks: found.missing,
            next_block: AtomicU64::new(found.next_block),
            departed: Mutex::default(),
            orphans: Mutex::default(),
            hold_from_ms: AtomicI64::new(i64::MAX),
            log_holds: Mutex::default(),
            saved: Mutex::new(Saved::default()),
            replayed: OnceLock::new(),
        });
        inner.update_gauges();
        let syncer = match inner.config.wal_sync {
            WalSync::Interval(interval) => {
                let syncing = Arc::clone(&inner);
                let body = move || {
                    syncing.gate.run(interval.to_std(), |reason| drop(syncing.fail(reason)));
                };
                let spawned =
                    std::thread::Builder::new().name("swell-wal-sync".to_owned()).spawn(body);
                Some(spawned.map_err(|source| OpenError::Io {
                    location: inner.dir.location().to_owned(),
                    action: "start the thread that syncs the log".to_owned(),
                    source,
                })?)
            }
            WalSync::Always | WalSync::Never => None,
        };
        let replay = Replay::new(Arc::clone(&inner), found.listed);
        Ok((Self { inner, syncer, _lock: lock }, replay))
    }
}

/// Tells what was set aside.
pub(crate) fn report(damage: &[Damage]) {
    for found in damage {
        let (file, offset, what) = (&found.file, found.offset, &found.what);
        tracing::warn!(file, offset, what, "damage was set aside");
    }
}

/// What is in the folder of the blocks.
struct FoundBlocks {
    /// Oldest first.
    blocks: Vec<Arc<Block>>,
    /// Listed, but not there.
    missing: Vec<BlockId>,
    next_block: u64,
    /// What the list of blocks says.
    listed: Vec<Listed>,
}

/// A database that is being opened.
pub(crate) struct Opening<'d> {
    pub(crate) dir: &'d dyn Dir,
    pub(crate) location: String,
}

impl Opening<'_> {
    pub(crate) fn io(&self, action: impl Into<String>) -> impl FnOnce(io::Error) -> OpenError {
        let (location, action) = (self.location.clone(), action.into());
        move |source| OpenError::Io { location, action, source }
    }

    fn make_folders(&self) -> Result<(), OpenError> {
        let existing = self.dir.list("").map_err(self.io("list the directory"))?;
        let mut is_new = false;
        for folder in [block::FOLDER, wal::FOLDER] {
            if !existing.iter().any(|entry| entry.is_folder && entry.name == folder) {
                self.dir
                    .create_folder(folder)
                    .map_err(self.io(format!("make the folder {folder}")))?;
                is_new = true;
            }
        }
        if is_new {
            self.dir.sync_dir("").map_err(self.io("sync the directory"))?;
        }
        snapshot::remove_unfinished(self.dir).map_err(self.io("remove an unfinished snapshot"))?;
        Ok(())
    }

    /// Opens all blocks. Unfinished and superseded files go, damaged ones are set aside.
    fn blocks(&self, damage: &mut Vec<Damage>) -> Result<FoundBlocks, OpenError> {
        let mut next_block = 1;
        let mut blocks: Vec<Arc<Block>> = Vec::new();
        let mut has_changed = false;
        let entries = self.dir.list(block::FOLDER).map_err(self.io("list the blocks"))?;
        for entry in entries.iter().filter(|entry| !entry.is_folder) {
            let name = format!("{}/{}", block::FOLDER, entry.name);
            let number: Option<u64> =
                entry.name.split('.').next().and_then(|digits| digits.parse().ok());
            // Behind the greatest number there is no next one; no block of ours has it.
            let after = number.and_then(|number| number.checked_add(1));
            next_block = after.map_or(next_block, |after| next_block.max(after));
            if entry.name.ends_with(block::SUFFIX_UNFINISHED) {
                self.dir.remove(&name).map_err(self.io(format!("remove {name}")))?;
                has_changed = true;
            } else if entry.name.ends_with(block::SUFFIX_DAMAGED) {
                damage.push(Damage {
                    file: name,
                    offset: 0,
                    what:
                        "the block was set aside at an earlier start: delete the file to forget it"
                            .to_owned(),
                    range: None,
                });
            } else if let Some(id) = BlockId::of_file_name(&entry.name) {
                match Block::open(self.dir, id) {
                    Ok(block) => blocks.push(Arc::new(block)),
                    Err(ReadBlockError::Damaged { file, offset, what }) => {
                        let aside = format!("{name}{}", block::SUFFIX_DAMAGED);
                        self.dir
                            .rename(&name, &aside)
                            .map_err(self.io(format!("set {file} aside")))?;
                        has_changed = true;
                        let what = format!("{what}; the block was set aside as {aside}");
                        damage.push(Damage { file, offset, what, range: None });
                    }
                    Err(error @ ReadBlockError::Newer { .. }) => {
                        let (location, what) = (self.location.clone(), chain(&error));
                        return Err(OpenError::Newer { location, what });
                    }
                    Err(ReadBlockError::Read { file, source }) => {
                        return Err(self.io(format!("read {file}"))(source));
                    }
                }
            }
        }
        let (listed, missing, is_damaged) = self.check_manifest(&entries, damage)?;
        has_changed |= is_damaged;
        // The number of a block that is missing is not given out again.
        let next_block = missing.iter().map(|id| id.0 + 1).fold(next_block, u64::max);
        let superseded: BTreeSet<BlockId> =
            blocks.iter().flat_map(|block| block.meta.sources.iter().copied()).collect();
        let (gone, mut blocks): (Vec<_>, Vec<_>) =
            blocks.into_iter().partition(|block| superseded.contains(&block.meta.id));
        blocks.sort_by_key(|block| (block.meta.start, block.meta.id));
        self.tombstones(&entries, &blocks, &listed)?;
        if has_changed || !gone.is_empty() {
            let there = blocks
                .iter()
                .map(|block| Listed { id: block.meta.id, has_tombstones: block.has_tombstones() });
            let missing = missing.iter().map(|id| Listed { id: *id, has_tombstones: false });
            let head = listed.iter().filter(|entry| entry.id == manifest::HEAD).copied();
            let all: Vec<Listed> = there.chain(missing).chain(head).collect();
            manifest::write(self.dir, block::FOLDER, &all)
                .map_err(self.io("write the list of blocks"))?;
        }
        // After they are off the list, so that they are not missed if this is cut short.
        for block in &gone {
            self.dir.remove(&block.name).map_err(self.io(format!("remove {}", block.name)))?;
        }
        self.remove_orphans(&entries, &blocks, &missing)?;
        Ok(FoundBlocks { blocks, missing, next_block, listed })
    }

    /// Reads what is deleted of each block.
    fn tombstones(
        &self,
        entries: &[DirEntry],
        blocks: &[Arc<Block>],
        listed: &[Listed],
    ) -> Result<(), OpenError> {
        for block in blocks {
            let id = block.meta.id;
            let name = tombstones::name_of(id);
            if entries.iter().any(|entry| name.ends_with(&format!("/{}", entry.name))) {
                block.open_tombstones(self.dir).map_err(|error| self.unread(error))?;
            } else if listed.iter().any(|entry| entry.id == id && entry.has_tombstones) {
                block.miss_tombstones();
            }
        }
        Ok(())
    }

    fn unread(&self, error: ReadTombstonesError) -> OpenError {
        let location = self.location.clone();
        match error {
            ReadTombstonesError::Read { file, source } => {
                OpenError::Io { location, action: format!("read {file}"), source }
            }
            error => OpenError::Newer { location, what: chain(&error) },
        }
    }

    /// Removes tombstones of blocks that are gone for good: not those of one that is missing or set aside, and may
    /// be restored.
    fn remove_orphans(
        &self,
        entries: &[DirEntry],
        blocks: &[Arc<Block>],
        missing: &[BlockId],
    ) -> Result<(), OpenError> {
        for entry in entries {
            let id = entry.name.strip_suffix(tombstones::SUFFIX).and_then(|id| id.parse().ok());
            let Some(id) = id.map(BlockId) else { continue };
            let is_kept = blocks.iter().any(|block| block.meta.id == id)
                || missing.contains(&id)
                || entries.iter().any(|entry| {
                    entry.name == format!("{}{}", id.file_name(), block::SUFFIX_DAMAGED)
                });
            if !is_kept {
                let name = tombstones::name_of(id);
                self.dir.remove(&name).map_err(self.io(format!("remove {name}")))?;
            }
        }
        Ok(())
    }

    /// Reads what is deleted of the samples that the log brings back.
    pub(crate) fn head_tombstones(
        &self,
        head: &mut Head,
        listed: &[Listed],
        damage: &mut Vec<Damage>,
    ) -> Result<(), OpenError> {
        let file = tombstones::head_name();
        let mut report = |offset: u64, what: String| {
            let what = format!("{what}: samples of the log that were deleted may be shown again");
            damage.push(Damage { file: file.clone(), offset, what, range: None });
        };
        match tombstones::read_head(self.dir) {
            Ok(found) => {
                found.late().iter().for_each(|deletion| head.forget_late(deletion));
                head.tombstones = found;
            }
            Err(ReadTombstonesError::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                if listed.iter().any(|entry| entry.id == manifest::HEAD) {
                    report(0, "the file is missing".to_owned());
                }
            }
            Err(ReadTombstonesError::Damaged { offset, what, .. }) => report(offset, what),
            Err(error) => return Err(self.unread(error)),
        }
        Ok(())
    }

    /// What is listed, which blocks of it are not there, and whether the list is damaged.
    fn check_manifest(
        &self,
        entries: &[DirEntry],
        damage: &mut Vec<Damage>,
    ) -> Result<(Vec<Listed>, Vec<BlockId>, bool), OpenError> {
        let file = manifest::name();
        let mut report = |what: String| {
            damage.push(Damage { file: file.clone(), offset: 0, what, range: None });
        };
        match manifest::read(self.dir).map_err(self.io("read the list of blocks"))? {
            Manifest::Absent => Ok((Vec::new(), Vec::new(), false)),
            Manifest::Damaged => {
                report("the checksum differs: a missing block would not be noticed".to_owned());
                Ok((Vec::new(), Vec::new(), true))
            }
            Manifest::Newer(version) => Err(OpenError::Newer {
                location: self.location.clone(),
                what: format!("{file} has format version {version}: use a newer version"),
            }),
            Manifest::Listed(listed) => {
                let is_missing = |id: &BlockId| {
                    !entries.iter().any(|entry| entry.name.starts_with(&id.file_name()))
                };
                let ids = listed.iter().map(|entry| entry.id).filter(|id| *id != manifest::HEAD);
                let missing: Vec<BlockId> = ids.filter(is_missing).collect();
                for id in &missing {
                    report(format!(
                        "block {} is missing: restore the file, or delete {file} to forget it",
                        id.file_name()
                    ));
                }
                Ok((listed, missing, false))
            }
        }
    }

    /// Damage that is known to an operator.
    fn acknowledged(&self, damage: &mut Vec<Damage>) -> Result<Acknowledged, OpenError> {
        let file = acknowledged::NAME;
        match acknowledged::read(self.dir).map_err(self.io(format!("read {file}")))? {
            AcknowledgedFile::Read(known) => Ok(known),
            AcknowledgedFile::Damaged => {
                let what = "the checksum differs: damage that was acknowledged is warned of again";
                let (file, what) = (file.to_owned(), what.to_owned());
                damage.push(Damage { file, offset: 0, what, range: None });
                Ok(Acknowledged::default())
            }
            AcknowledgedFile::Newer(version) => Err(OpenError::Newer {
                location: self.location.clone(),
                what: format!("{file} has format version {version}: use a newer version"),
            }),
        }
    }

    /// What the file says of metric families.
    fn described(&self, damage: &mut Vec<Damage>) -> Result<Described, OpenError> {
        let file = described::NAME;
        match described::read(self.dir).map_err(self.io(format!("read {file}")))? {
            MetadataFile::Read(described) => Ok(described),
            MetadataFile::Damaged => {
                damage.push(Damage {
                    file: file.to_owned(),
                    offset: 0,
                    what:
                        "the checksum differs: what metrics are is learnt anew from their senders"
                            .to_owned(),
                    range: None,
                });
                Ok(Described::default())
            }
            MetadataFile::Newer(version) => Err(OpenError::Newer {
                location: self.location.clone(),
                what: format!("{file} has format version {version}: use a newer version"),
            }),
        }
    }
}
