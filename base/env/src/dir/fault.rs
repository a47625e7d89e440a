//! A directory in memory whose operations fail on demand.

use std::io;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;

use super::{AppendFile, Dir, DirEntry, DirLock, LockError, MemDir, ReadFile};

/// How an operation fails; the module doc of [`crate::dir`] says what each leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No space left on the device.
    DiskFull,
    /// The device reports an error.
    Io,
    /// The file system has turned read-only.
    ReadOnly,
    /// The process may open no more files.
    NoDescriptors,
}

impl Fault {
    fn error(self) -> io::Error {
        let errno = match self {
            Self::DiskFull => Errno::NOSPC,
            Self::Io => Errno::IO,
            Self::ReadOnly => Errno::ROFS,
            Self::NoDescriptors => Errno::MFILE,
        };
        errno.into()
    }
}

/// A [`MemDir`] that counts operations which change something, and lets chosen ones fail. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct FaultDir {
    disk: MemDir,
    plan: Arc<Mutex<Plan>>,
    /// The device answers again.
    answers: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct Plan {
    op_count: u64,
    /// First operation that fails, how many do, and in what way.
    failing: Option<(u64, u64, Fault)>,
    reads_fail: bool,
    is_full: bool,
    /// Bytes that fit on the disk.
    room: Option<u64>,
    hangs: bool,
    waiting: usize,
    read_bytes: u64,
}

impl FaultDir {
    /// An empty directory without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The given state without faults.
    #[must_use]
    pub fn over(disk: MemDir) -> Self {
        Self { disk, ..Self::default() }
    }

    /// Operations so far that changed, or tried to change, something.
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.plan.lock().op_count
    }

    /// Bytes of file contents that were read so far.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.plan.lock().read_bytes
    }

    /// Lets operation number `op` (from 0, as [`FaultDir::op_count`] counts) and the `count - 1` after it fail.
    pub fn fail(&self, op: u64, count: u64, fault: Fault) {
        self.plan.lock().failing = Some((op, count, fault));
    }

    /// Lets all reads of file contents fail, or none.
    pub fn fail_reads(&self, fail: bool) {
        self.plan.lock().reads_fail = fail;
    }

    /// The disk is full from now on: what takes space fails, all else works. Or it has room again.
    pub fn fill(&self, is_full: bool) {
        self.plan.lock().is_full = is_full;
    }

    /// All files together may have so many bytes from now on; what is removed makes room. `None` for no limit.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.plan.lock().room = bytes;
    }

    /// The device answers nothing from now on: operations and reads wait. Or it answers again.
    pub fn hang(&self, hangs: bool) {
        self.plan.lock().hangs = hangs;
        self.answers.notify_all();
    }

    /// Operations and reads that wait for the device.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.plan.lock().waiting
    }

    fn wait(&self) {
        let mut plan = self.plan.lock();
        plan.waiting += 1;
        self.answers.wait_while(&mut plan, |plan| plan.hangs);
        plan.waiting -= 1;
    }

    /// No operation fails from now on.
    pub fn heal(&self) {
        let mut plan = self.plan.lock();
        plan.failing = None;
        plan.reads_fail = false;
        plan.is_full = false;
        plan.room = None;
    }

    /// The state below, to be cut, copied or damaged.
    #[must_use]
    pub fn disk(&self) -> &MemDir {
        &self.disk
    }

    fn step(&self) -> Result<(), Fault> {
        self.wait();
        let mut plan = self.plan.lock();
        let op = plan.op_count;
        plan.op_count += 1;
        match plan.failing {
            Some((first, count, fault)) if op >= first && op - first < count => Err(fault),
            _ => Ok(()),
        }
    }

    /// An operation that takes so many bytes.
    fn grow(&self, bytes: usize) -> Result<(), Fault> {
        self.step()?;
        let (is_full, room) = {
            let plan = self.plan.lock();
            (plan.is_full, plan.room)
        };
        let has_room = room.is_none_or(|room| self.disk.used_bytes() + bytes as u64 <= room);
        if is_full || !has_room { Err(Fault::DiskFull) } else { Ok(()) }
    }

    fn change<T>(&self, operation: impl FnOnce(&MemDir) -> io::Result<T>) -> io::Result<T> {
        self.step().map_err(Fault::error)?;
        operation(&self.disk)
    }
}

#[derive(Debug)]
struct FaultAppend {
    dir: FaultDir,
    name: String,
    file: Arc<dyn AppendFile>,
}

impl AppendFile for FaultAppend {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        match self.dir.grow(bytes.len()) {
            Ok(()) => self.file.append(bytes),
            Err(fault) => {
                self.file.append(&bytes[..bytes.len() / 2])?;
                Err(fault.error())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self.dir.step() {
            Ok(()) => self.file.sync(),
            Err(fault) => {
                self.dir.disk.fail_sync(&self.name);
                Err(fault.error())
            }
        }
    }

    fn cut(&self, len_bytes: u64) -> io::Result<()> {
        self.dir.step().map_err(Fault::error)?;
        self.file.cut(len_bytes)
    }
}

#[derive(Debug)]
struct FaultRead {
    dir: FaultDir,
    file: Arc<dyn ReadFile>,
}

impl ReadFile for FaultRead {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.dir.wait();
        {
            let mut plan = self.dir.plan.lock();
            if plan.reads_fail {
                return Err(Fault::Io.error());
            }
            plan.read_bytes += into.len() as u64;
        }
        self.file.read_at(offset, into)
    }
}

impl Dir for FaultDir {
    fn location(&self) -> &str {
        self.disk.location()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn AppendFile>> {
        self.grow(0).map_err(Fault::error)?;
        let file = self.disk.create(name)?;
        Ok(Arc::new(FaultAppend { dir: self.clone(), name: name.to_owned(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(FaultRead { dir: self.clone(), file: self.disk.open(name)? }))
    }

    fn truncate(&self, name: &str, len_bytes: u64) -> io::Result<()> {
        self.change(|disk| disk.truncate(name, len_bytes))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        self.wait();
        self.disk.list(folder)
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        self.change(|disk| disk.create_folder(name))
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        self.change(|disk| disk.remove_folder(name))
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|disk| disk.link(from, to))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|disk| disk.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|disk| disk.remove(name))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.change(|disk| disk.sync_dir(folder))
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DirLock>, LockError> {
        self.disk.lock(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_keeps_the_synced_prefix_and_may_lose_the_rest() {
        let dir = FaultDir::new();
        let file = dir.create("log").expect("create");
        file.append(b"synced").expect("append");
        file.sync().expect("sync");
        dir.sync_dir("").expect("sync dir");
        file.append(b" and more").expect("append");
        dir.create("late").expect("create");
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let cut = dir.disk().after_power_cut(seed);
            let bytes = super::super::read_whole(&cut, "log", 100).expect("log is durable");
            assert!(bytes.starts_with(b"synced"), "seed {seed}: {bytes:?}");
            seen.insert((bytes.len(), bytes.ends_with(b"\0"), cut.open("late").is_ok()));
        }
        assert!(seen.iter().any(|(len, ..)| *len == 6) && seen.iter().any(|(len, ..)| *len == 15));
        assert!(seen.iter().any(|(_, zeroed, _)| *zeroed), "zeroed tails occur");
        assert!(seen.iter().any(|(.., late)| *late) && seen.iter().any(|(.., late)| !*late));
    }

    #[test]
    fn after_a_failed_sync_nothing_more_of_the_file_becomes_durable() {
        let dir = FaultDir::new();
        let file = dir.create("log").expect("create");
        dir.sync_dir("").expect("sync dir");
        file.append(b"lost").expect("append");
        dir.fail(dir.op_count(), 1, Fault::Io);
        assert!(file.sync().is_err());
        assert!(file.sync().is_ok(), "the page cache forgot");
        let lengths: std::collections::BTreeSet<usize> = (0..100)
            .map(|seed| {
                super::super::read_whole(&dir.disk().after_power_cut(seed), "log", 100)
                    .expect("log")
                    .len()
            })
            .collect();
        assert!(lengths.contains(&0));
    }

    #[test]
    fn a_full_disk_leaves_half_an_append() {
        let dir = FaultDir::new();
        let file = dir.create("log").expect("create");
        dir.fail(dir.op_count(), 1, Fault::DiskFull);
        let error = file.append(b"0123456789").expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.append(b"!").expect("space again");
        assert_eq!(super::super::read_whole(&dir, "log", 100).expect("read"), b"01234!");
        dir.fill(true);
        assert!(file.append(b"more").is_err() && dir.create("another").is_err());
        assert!(file.sync().is_ok() && dir.truncate("log", 1).is_ok());
        dir.fill(false);
        file.append(b"more").expect("space again");
        let used = dir.disk().used_bytes();
        dir.set_room(Some(used + 3));
        assert!(file.append(b"four").is_err(), "half of it is there");
        dir.truncate("log", 1).expect("makes room");
        file.append(b"four").expect("fits");
        dir.set_room(None);
        dir.fail_reads(true);
        assert!(super::super::read_whole(&dir, "log", 100).is_err());
        dir.heal();
        assert!(super::super::read_whole(&dir, "log", 100).is_ok());
    }
}
