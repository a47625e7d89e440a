//! Groups on disk, a file each, written anew with every push and put in the place of the one before as a whole.
//!
//! Layout of `pushed/NUMBER.group`: the magic number `SWPUSH01`, the CRC-32 of what follows (u32, little endian), and the
//! group as JSON (tsdb/engine/docs/format/pushed-groups.md). A file that does not pass is set aside as `NUMBER.unreadable`
//! and told; `NUMBER.new` is a push that was not finished, and is removed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use swell_env::{Dir, read_whole};
use swell_telemetry::chain;
use tracing::error;

use super::body::name_kinds;
use super::key::GroupKey;
use super::state::Group;

const MAGIC: &[u8; 8] = b"SWPUSH01";
const HEAD_BYTES: usize = MAGIC.len() + 4;
const SUFFIX: &str = ".group";
const NEW_SUFFIX: &str = ".new";
const UNREADABLE_SUFFIX: &str = ".unreadable";
/// Largest file that is read, and so the largest that is written.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// Why groups could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum GroupFileError {
    /// The system's error.
    #[error("{what} {file} in {folder}")]
    Io {
        /// What was done.
        what: &'static str,
        /// The file.
        file: String,
        /// The folder.
        folder: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A group whose file would not be read again.
    #[error(
        "the group's file would have {bytes} bytes, more than the {bytes_max} that are read: push fewer series or shorter labels"
    )]
    TooLarge {
        /// Bytes the file would have.
        bytes: u64,
        /// Bytes it may have.
        bytes_max: u64,
    },
}

/// The folder, and which file each group has.
#[derive(Debug)]
pub(crate) struct GroupFiles {
    dir: Arc<dyn Dir>,
    numbers: BTreeMap<GroupKey, u64>,
    next: u64,
}

fn encode(group: &Group) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES];
    serde_json::to_writer(&mut bytes, group).expect("texts and numbers, into memory");
    let (head, json) = bytes.split_at_mut(HEAD_BYTES);
    let (magic, sum) = head.split_at_mut(MAGIC.len());
    magic.copy_from_slice(MAGIC);
    sum.copy_from_slice(&crc32fast::hash(json).to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Result<Group, String> {
    let (head, json) = bytes.split_at_checked(HEAD_BYTES).ok_or("it is cut short")?;
    let (magic, sum) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("it does not begin with SWPUSH01".to_owned());
    }
    if sum != crc32fast::hash(json).to_le_bytes() {
        return Err("its checksum differs".to_owned());
    }
    let mut group: Group = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    // Files have the words as they were pushed once.
    name_kinds(&mut group.families);
    Ok(group)
}

/// Refuses what [`GroupFiles::open`] would not read.
fn check_size(bytes: u64) -> Result<(), GroupFileError> {
    let bytes_max = FILE_BYTES_MAX;
    if bytes > bytes_max { Err(GroupFileError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

impl GroupFiles {
    /// Reads all groups; a file that cannot be read is set aside and told, for the server to start without that group.
    pub(crate) fn open(dir: Arc<dyn Dir>) -> Result<(Self, Vec<Group>), GroupFileError> {
        let mut files = Self { dir, numbers: BTreeMap::new(), next: 0 };
        let mut groups = Vec::new();
        let mut is_set_aside = false;
        let entries =
            files.dir.list("").map_err(|source| files.failed("list", "all files", source))?;
        for entry in entries {
            let name = entry.name;
            if name.ends_with(NEW_SUFFIX) {
                let removed = files.dir.remove(&name);
                removed.map_err(|source| files.failed("remove", &name, source))?;
                continue;
            }
            let number_before = |suffix: &str| name.strip_suffix(suffix)?.parse::<u64>().ok();
            if let Some(number) = number_before(UNREADABLE_SUFFIX) {
                // Its number stays its own, so that nothing is ever set aside over it.
                files.next = files.next.max(number.saturating_add(1));
            }
            let Some(number) = number_before(SUFFIX) else { continue };
            files.next = files.next.max(number.saturating_add(1));
            let read = read_whole(&*files.dir, &name, FILE_BYTES_MAX)
                .map_err(|error| chain(&error))
                .and_then(|bytes| decode(&bytes));
            match read {
                Ok(group) => {
                    files.numbers.insert(group.key.clone(), number);
                    groups.push(group);
                }
                Err(reason) => {
                    files.set_aside(&name, number, &reason)?;
                    is_set_aside = true;
                }
            }
        }
        if is_set_aside {
            files.dir.sync_dir("").map_err(|source| files.failed("sync", "the names", source))?;
        }
        Ok((files, groups))
    }

    fn set_aside(&self, name: &str, number: u64, reason: &str) -> Result<(), GroupFileError> {
        let folder = self.dir.location();
        let aside = format!("{number}{UNREADABLE_SUFFIX}");
        self.dir.rename(name, &aside).map_err(|source| self.failed("set aside", name, source))?;
        error!(
            file = format!("{folder}/{name}"),
            set_aside_as = format!("{folder}/{aside}"),
            reason,
            "a pushed group cannot be read, and is left out: push it again, or mend the file and give it its name again"
        );
        Ok(())
    }

    fn failed(&self, what: &'static str, file: &str, source: io::Error) -> GroupFileError {
        let (file, folder) = (file.to_owned(), self.dir.location().to_owned());
        GroupFileError::Io { what, file, folder, source }
    }

    /// Writes a group; it is durable when this returns.
    pub(crate) fn put(&mut self, group: &Group) -> Result<(), GroupFileError> {
        let bytes = encode(group);
        check_size(bytes.len() as u64)?;
        let number = self.numbers.get(&group.key).copied().unwrap_or(self.next);
        let (name, new) = (format!("{number}{SUFFIX}"), format!("{number}{NEW_SUFFIX}"));
        self.write(&new, &name, &bytes).map_err(|source| self.failed("write", &name, source))?;
        self.next = self.next.max(number + 1);
        self.numbers.insert(group.key.clone(), number);
        Ok(())
    }

    fn write(&self, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        // Left by a write that failed; usually there is none.
        self.remove_if_there(new)?;
        let file = self.dir.create(new)?;
        file.append(bytes)?;
        file.sync()?;
        drop(file);
        self.dir.rename(new, name)?;
        self.dir.sync_dir("")
    }

    fn remove_if_there(&self, name: &str) -> io::Result<()> {
        match self.dir.remove(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Removes a group.
    pub(crate) fn remove(&mut self, key: &GroupKey) -> Result<(), GroupFileError> {
        let Some(number) = self.numbers.get(key) else { return Ok(()) };
        let name = format!("{number}{SUFFIX}");
        // The file is not there when only the sync failed the last time.
        let removed = self.remove_if_there(&name).and_then(|()| self.dir.sync_dir(""));
        removed.map_err(|source| self.failed("remove", &name, source))?;
        self.numbers.remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use swell_env::{Fault, FaultDir, MemDir};

    use super::*;
    use crate::groups::body::{Families, Family};
    use crate::groups::key::parse;
    use crate::groups::limits::GROUP_BYTES_MAX;

    fn group(path: &str, value: f64) -> Group {
        let series = vec![(vec![("__name__".to_owned(), "m".to_owned())], value.to_bits())];
        let family = Family { kind: "gauge".to_owned(), help: "\"é\"".to_owned(), series };
        Group {
            key: parse(path).expect("good"),
            families: Families::from([("m".to_owned(), family)]),
            pushed_ms: 1,
            failed_ms: 2,
        }
    }

    #[test]
    fn groups_survive_and_unfinished_writes_do_not() {
        let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
        let (mut files, groups) = GroupFiles::open(dir.clone()).expect("empty");
        assert!(groups.is_empty());
        for (path, value) in [("job/a", 1.0), ("job/b", f64::NAN), ("job/a", f64::INFINITY)] {
            files.put(&group(path, value)).expect("written");
        }
        files.remove(&parse("job/b").expect("good")).expect("removed");
        files.put(&group("job/c", 3.0)).expect("written");
        dir.create("7.new").expect("made").append(b"half").expect("written");
        let (_, groups) = GroupFiles::open(dir.clone()).expect("read");
        assert_eq!(groups, [group("job/a", f64::INFINITY), group("job/c", 3.0)]);
        assert!(dir.open("7.new").is_err());
    }

    #[test]
    fn damage_is_seen_and_the_file_is_set_aside() {
        let good = encode(&group("job/a", 1.0));
        assert!(decode(&good).is_ok());
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(decode(&bad).is_err(), "byte {at}");
            assert!(decode(&good[..at]).is_err(), "cut at {at}");
        }
        let dir: Arc<dyn Dir> = Arc::new(MemDir::new());
        dir.create("3.group").expect("made").append(b"SWPUSH01????{}").expect("written");
        dir.create("2.group").expect("made").append(&good).expect("written");
        let names = || -> Vec<String> {
            dir.list("").expect("listed").into_iter().map(|entry| entry.name).collect()
        };
        for _ in 0..2 {
            let (_, groups) = GroupFiles::open(dir.clone()).expect("it starts");
            assert_eq!(groups, [group("job/a", 1.0)]);
            assert_eq!(names(), ["2.group", "3.unreadable"]);
        }
        let (mut files, _) = GroupFiles::open(dir.clone()).expect("it starts");
        files.put(&group("job/b", 1.0)).expect("written");
        assert_eq!(names(), ["2.group", "3.unreadable", "4.group"]);
    }

    #[test]
    fn a_removal_that_failed_halfway_can_be_done_again() {
        let dir = FaultDir::new();
        let (mut files, _) = GroupFiles::open(Arc::new(dir.clone())).expect("empty");
        files.put(&group("job/a", 1.0)).expect("written");
        let key = parse("job/a").expect("good");
        // The file is removed, and the sync fails.
        dir.fail(dir.op_count() + 1, 1, Fault::Io);
        files.remove(&key).expect_err("not durable");
        assert!(dir.list("").expect("listed").is_empty());
        files.remove(&key).expect("the sync is done now");
        assert!(files.numbers.is_empty());
    }

    #[test]
    fn words_for_no_kind_are_read_as_one() {
        for word in ["", "unknown", "untyped"] {
            let mut kept = group("job/a", 1.0);
            kept.families.get_mut("m").expect("there").kind = word.to_owned();
            assert_eq!(decode(&encode(&kept)).expect("read").families["m"].kind, "untyped");
        }
    }

    #[test]
    fn a_file_that_cannot_be_set_aside_is_named() {
        let dir = FaultDir::new();
        dir.create("3.group").expect("made").append(b"SWPUSH01????{}").expect("written");
        dir.fail(dir.op_count(), 1, Fault::Io);
        let told = GroupFiles::open(Arc::new(dir)).expect_err("it stays").to_string();
        assert!(told.contains("set aside 3.group"), "{told}");
    }

    #[test]
    fn nothing_is_written_that_would_not_be_read() {
        check_size(FILE_BYTES_MAX).expect("it is read");
        let told = check_size(FILE_BYTES_MAX + 1).expect_err("it is not").to_string();
        assert!(told.contains("1073741825 bytes") && told.contains("shorter labels"), "{told}");
        // The worst group that there is room for: all of its bytes in texts of which each byte becomes six.
        assert!(GROUP_BYTES_MAX as u64 * 6 + (64 << 20) < FILE_BYTES_MAX);
    }
}
