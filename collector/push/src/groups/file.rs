//! Groups on disk, a file each, written anew with every push and put in the place of the one before as a whole.
//!
//! Layout of `pushed/NUMBER.group`: the magic number `SWPUSH01`, the CRC-32 of what follows (u32, little endian), and the
//! group as JSON (tsdb/engine/docs/format/pushed-groups.md). A file that does not pass is an error with its name; `NUMBER.new` is a push
//! that was not finished, and is removed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use swell_env::{Dir, read_whole};

use super::key::GroupKey;
use super::state::Group;

const MAGIC: &[u8; 8] = b"SWPUSH01";
const HEAD_BYTES: usize = MAGIC.len() + 4;
const SUFFIX: &str = ".group";
const NEW_SUFFIX: &str = ".new";
/// Largest file: a body of 32 MiB, as JSON with its labels.
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
    /// A file is damaged.
    #[error("{folder}/{file} is damaged: {what}; move it away to start without that group")]
    Damaged {
        /// The file.
        file: String,
        /// The folder.
        folder: String,
        /// What is wrong.
        what: String,
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
    let json = serde_json::to_vec(group).expect("texts and numbers");
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&crc32fast::hash(&json).to_le_bytes());
    bytes.extend_from_slice(&json);
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
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

impl GroupFiles {
    /// Reads all groups.
    pub(crate) fn open(dir: Arc<dyn Dir>) -> Result<(Self, Vec<Group>), GroupFileError> {
        let mut files = Self { dir, numbers: BTreeMap::new(), next: 0 };
        let mut groups = Vec::new();
        let entries =
            files.dir.list("").map_err(|source| files.failed("list", "all files", source))?;
        for entry in entries {
            let name = entry.name;
            if name.ends_with(NEW_SUFFIX) {
                let removed = files.dir.remove(&name);
                removed.map_err(|source| files.failed("remove", &name, source))?;
                continue;
            }
            let number = name.strip_suffix(SUFFIX).and_then(|number| number.parse::<u64>().ok());
            let Some(number) = number else { continue };
            let bytes = read_whole(&*files.dir, &name, FILE_BYTES_MAX)
                .map_err(|source| files.failed("read", &name, source))?;
            let group = decode(&bytes).map_err(|what| GroupFileError::Damaged {
                file: name.clone(),
                folder: files.dir.location().to_owned(),
                what,
            })?;
            files.next = files.next.max(number + 1);
            files.numbers.insert(group.key.clone(), number);
            groups.push(group);
        }
        Ok((files, groups))
    }

    fn failed(&self, what: &'static str, file: &str, source: io::Error) -> GroupFileError {
        let (file, folder) = (file.to_owned(), self.dir.location().to_owned());
        GroupFileError::Io { what, file, folder, source }
    }

    /// Writes a group; it is durable when this returns.
    pub(crate) fn put(&mut self, group: &Group) -> Result<(), GroupFileError> {
        let number = self.numbers.get(&group.key).copied().unwrap_or(self.next);
        let (name, new) = (format!("{number}{SUFFIX}"), format!("{number}{NEW_SUFFIX}"));
        self.write(&new, &name, &encode(group))
            .map_err(|source| self.failed("write", &name, source))?;
        self.next = self.next.max(number + 1);
        self.numbers.insert(group.key.clone(), number);
        Ok(())
    }

    fn write(&self, new: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self.dir.remove(new) {
            Ok(()) => {}
            // Left by a write that failed; usually there is none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = self.dir.create(new)?;
        file.append(bytes)?;
        file.sync()?;
        drop(file);
        self.dir.rename(new, name)?;
        self.dir.sync_dir("")
    }

    /// Removes a group.
    pub(crate) fn remove(&mut self, key: &GroupKey) -> Result<(), GroupFileError> {
        let Some(number) = self.numbers.get(key) else { return Ok(()) };
        let name = format!("{number}{SUFFIX}");
        let removed = self.dir.remove(&name).and_then(|()| self.dir.sync_dir(""));
        removed.map_err(|source| self.failed("remove", &name, source))?;
        self.numbers.remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use swell_env::MemDir;

    use super::*;
    use crate::groups::body::{Families, Family};
    use crate::groups::key::parse;

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
    fn damage_is_told_with_the_files_name() {
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
        let told = GroupFiles::open(dir).expect_err("damaged").to_string();
        assert!(told.contains("3.group") && told.contains("checksum"), "{told}");
    }
}
