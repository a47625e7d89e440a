//! Which processes belong to which container: one scan of `/proc` a tick for all of them.
//!
//! A process belongs to the container of its parent, from when it was first seen until it ends, whoever
//! its parent is later. Only processes not seen before are looked at; those that belong to nobody are
//! remembered, and looked at again when the containers change and now and then, since ids are reused.
//! One that was forked and orphaned within a tick is found by its session, if the container has its own.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use swell_source::{KernelFile, ReadError, Scratch, parse_u64};

use super::stat;

/// Some hundred directory entries a call.
const DIR_BUFFER_BYTES: usize = 16 * 1024;

/// After so many scans, processes that belonged to nobody are looked at again.
const FORGET_STRANGERS_EVERY: u64 = 60;

/// A container, to the tree.
pub(crate) type Owner = u64;

#[derive(Debug)]
pub(crate) struct ProcessTree {
    procfs: PathBuf,
    dir: Option<OwnedFd>,
    buffer: Vec<MaybeUninit<u8>>,
    known: HashMap<u32, Known>,
    fresh: Vec<Fresh>,
    round: u64,
}

#[derive(Debug)]
struct Known {
    owner: Option<Owner>,
    round: u64,
}

/// A process not seen before.
#[derive(Clone, Copy, Debug)]
struct Fresh {
    pid: u32,
    parent: u32,
    session: u32,
}

impl ProcessTree {
    pub(crate) fn new(procfs: PathBuf) -> Self {
        Self {
            procfs,
            dir: None,
            buffer: Vec::new(),
            known: HashMap::new(),
            fresh: Vec::new(),
            round: 0,
        }
    }

    /// To be told when containers came or went: who belonged to nobody, or to one that is gone, is
    /// looked at again.
    pub(crate) fn containers_changed(&mut self, is_current: impl Fn(Owner) -> bool) {
        self.known.retain(|_, known| known.owner.is_some_and(&is_current));
    }

    /// Looks for new processes of the containers with these root processes, and hands each to `found`,
    /// parents before children.
    ///
    /// # Errors
    /// When `/proc` cannot be listed.
    pub(crate) fn scan(
        &mut self,
        roots: &[(u32, Owner)],
        scratch: &mut Scratch,
        mut found: impl FnMut(Owner, u32),
    ) -> Result<(), ReadError> {
        self.round += 1;
        if self.round.is_multiple_of(FORGET_STRANGERS_EVERY) {
            self.known.retain(|_, known| known.owner.is_some());
        }
        self.fresh.clear();
        self.list().map_err(|error| {
            self.dir = None;
            ReadError::Io { path: self.procfs.clone(), source: error.into() }
        })?;
        let round = self.round;
        self.known.retain(|_, known| known.round == round);
        self.look_at_fresh(scratch);

        let mut settle = |known: &mut HashMap<u32, Known>, pid, owner| {
            let entry = known.entry(pid).or_insert(Known { owner: None, round });
            if entry.owner.is_none() {
                entry.owner = Some(owner);
                found(owner, pid);
            }
        };
        for (pid, owner) in roots {
            if self.known.contains_key(pid) {
                settle(&mut self.known, *pid, *owner);
            }
        }
        // descendants of a process may be listed before it: go on until nothing is found
        let mut is_settled = false;
        while !is_settled {
            is_settled = true;
            let known = &mut self.known;
            self.fresh.retain(|fresh| {
                let owner_of = |pid: u32| known.get(&pid).and_then(|known| known.owner);
                let session_root = || roots.iter().find(|(pid, _)| *pid == fresh.session);
                let owner =
                    owner_of(fresh.parent).or_else(|| session_root().map(|(_, owner)| *owner));
                if let Some(owner) = owner {
                    settle(known, fresh.pid, owner);
                    is_settled = false;
                }
                owner.is_none()
            });
        }
        Ok(())
    }

    /// Lists `/proc`: marks known processes as present, notes the others as fresh.
    fn list(&mut self) -> rustix::io::Result<()> {
        let dir = match &self.dir {
            Some(dir) => {
                rustix::fs::seek(dir, SeekFrom::Start(0))?;
                dir
            }
            None => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                self.dir.insert(rustix::fs::open(&self.procfs, flags, Mode::empty())?)
            }
        };
        self.buffer.resize(DIR_BUFFER_BYTES, MaybeUninit::uninit());
        let mut entries = RawDir::new(dir, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let pid =
                parse_u64(entry.file_name().to_bytes()).and_then(|pid| u32::try_from(pid).ok());
            let Some(pid) = pid else { continue };
            match self.known.get_mut(&pid) {
                Some(known) => known.round = self.round,
                None => self.fresh.push(Fresh { pid, parent: 0, session: 0 }),
            }
        }
        Ok(())
    }

    /// Reads parent and session of the fresh ones; those that are gone already are left out.
    fn look_at_fresh(&mut self, scratch: &mut Scratch) {
        let round = self.round;
        let (procfs, known) = (&self.procfs, &mut self.known);
        self.fresh.retain_mut(|fresh| {
            let path = procfs.join(fresh.pid.to_string()).join("stat");
            let read = KernelFile::new(path).read_once(scratch).ok().and_then(stat::parse);
            if let Some(stat) = read {
                (fresh.parent, fresh.session) = (stat.parent, stat.session);
                known.insert(fresh.pid, Known { owner: None, round });
            }
            read.is_some()
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        tree: ProcessTree,
        scratch: Scratch,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let tree = ProcessTree::new(dir.path().to_owned());
            Self { dir, tree, scratch: Scratch::default() }
        }

        fn process(&self, pid: u32, parent: u32, session: u32) {
            let path = self.dir.path().join(pid.to_string());
            std::fs::create_dir_all(&path).unwrap();
            let stat = format!(
                "{pid} (p) S {parent} {pid} {session} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid} 0 0\n"
            );
            std::fs::write(path.join("stat"), stat).unwrap();
        }

        fn end(&self, pid: u32) {
            std::fs::remove_dir_all(self.dir.path().join(pid.to_string())).unwrap();
        }

        fn check(&mut self, roots: &[(u32, Owner)], expected: &[(Owner, u32)]) {
            let mut found = BTreeSet::new();
            self.tree
                .scan(roots, &mut self.scratch, |owner, pid| assert!(found.insert((owner, pid))))
                .unwrap();
            assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn descendants_are_found_once_in_any_order_and_stay_with_their_container() {
        let mut fixture = Fixture::new();
        for (pid, parent) in [(1, 0), (900, 1), (20, 900), (10, 20), (500, 1), (501, 500), (33, 1)]
        {
            fixture.process(pid, parent, 1);
        }
        let roots = [(900, 7), (500, 8)];
        fixture.check(&roots, &[(7, 10), (7, 20), (7, 900), (8, 500), (8, 501)]);
        fixture.check(&roots, &[]);

        fixture.end(20);
        fixture.process(10, 1, 1);
        fixture.process(11, 10, 1);
        fixture.check(&roots, &[(7, 11)]);
    }

    #[test]
    fn an_orphan_is_found_by_its_session() {
        let mut fixture = Fixture::new();
        fixture.process(900, 1, 900);
        fixture.check(&[(900, 7)], &[(7, 900)]);
        fixture.process(42, 1, 900);
        fixture.process(43, 1, 1);
        fixture.check(&[(900, 7)], &[(7, 42)]);
    }

    #[test]
    fn strangers_are_looked_at_again_when_containers_change() {
        let mut fixture = Fixture::new();
        fixture.process(900, 1, 1);
        fixture.process(901, 900, 1);
        fixture.check(&[], &[]);
        fixture.tree.containers_changed(|owner| owner == 7);
        fixture.check(&[(900, 7)], &[(7, 900), (7, 901)]);
        fixture.tree.containers_changed(|owner| owner == 8);
        fixture.check(&[(900, 8)], &[(8, 900), (8, 901)]);
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_and_recovers() {
        let mut fixture = Fixture::new();
        fixture.tree.procfs = fixture.dir.path().join("absent");
        let error = fixture.tree.scan(&[], &mut fixture.scratch, |_, _| ()).unwrap_err();
        assert!(error.is_absent());
        fixture.tree.procfs = fixture.dir.path().to_owned();
        fixture.process(900, 1, 1);
        fixture.check(&[(900, 7)], &[(7, 900)]);
    }
}
