//! Which blocks there are and which of them have tombstones, so that a file that goes missing is noticed. A
//! finished file that is not listed counts all the same: the list is written after it.
//!
//! ```text
//! 8 bytes  "SWELLMAN"
//! 4 bytes  LE version
//! 8 bytes  LE id of each block * 2 + has tombstones; id 0 is the head, listed when it has tombstones
//! 4 bytes  LE checksum (CRC-32) of all before
//! ```

use std::io;

use swell_env::{Dir, read_whole};

use super::{BlockId, FOLDER};

const NAME: &str = "manifest";
const NAME_UNFINISHED: &str = "manifest.tmp";
const MAGIC: &[u8; 8] = b"SWELLMAN";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 12;
const CHECKSUM_LEN: usize = 4;
/// A million blocks.
const MAX_BYTES: u64 = 8 << 20;

/// One entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: BlockId,
    pub(crate) has_tombstones: bool,
}

/// In place of a block: the head.
pub(crate) const HEAD: BlockId = BlockId(0);

/// What the list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manifest {
    /// No list was written yet.
    Absent,
    Listed(Vec<Listed>),
    /// The bytes are not what was written.
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
}

/// The name of the list in the data directory.
pub(crate) fn name() -> String {
    format!("{FOLDER}/{NAME}")
}

/// Replaces the list of the blocks in that folder.
pub(crate) fn write(dir: &dyn Dir, folder: &str, listed: &[Listed]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + listed.len() * 8 + CHECKSUM_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for entry in listed {
        let folded = entry.id.0 * 2 + u64::from(entry.has_tombstones);
        bytes.extend_from_slice(&folded.to_le_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let unfinished = format!("{folder}/{NAME_UNFINISHED}");
    match dir.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.create(&unfinished)?;
    file.append(&bytes)?;
    file.sync()?;
    dir.rename(&unfinished, &format!("{folder}/{NAME}"))?;
    dir.sync_dir(folder)
}

/// Reads the list.
pub(crate) fn read(dir: &dyn Dir) -> io::Result<Manifest> {
    match read_whole(dir, &name(), MAX_BYTES) {
        Ok(bytes) => Ok(decode(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::Absent),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Manifest::Damaged),
        Err(error) => Err(error),
    }
}

fn decode(bytes: &[u8]) -> Manifest {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let Some(end) = bytes.len().checked_sub(CHECKSUM_LEN).filter(|end| *end >= HEADER_LEN) else {
        return Manifest::Damaged;
    };
    if bytes[..8] != *MAGIC || crc32fast::hash(&bytes[..end]) != word(end) {
        return Manifest::Damaged;
    }
    if word(8) != VERSION {
        return Manifest::Newer(word(8));
    }
    let folded = bytes[HEADER_LEN..end].chunks_exact(8);
    let folded = folded.map(|entry| u64::from_le_bytes(entry.try_into().expect("eight bytes")));
    Manifest::Listed(
        folded
            .map(|folded| Listed { id: BlockId(folded / 2), has_tombstones: folded % 2 == 1 })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use swell_env::MemDir;

    use super::*;

    #[test]
    fn the_list_comes_back_and_damage_is_noticed() {
        let dir = MemDir::new();
        dir.create_folder(FOLDER).expect("folder");
        assert_eq!(read(&dir).expect("readable"), Manifest::Absent);
        let listed = [
            Listed { id: BlockId(7), has_tombstones: false },
            Listed { id: BlockId(9), has_tombstones: true },
            Listed { id: HEAD, has_tombstones: true },
        ];
        write(&dir, FOLDER, &[]).expect("written");
        write(&dir, FOLDER, &listed).expect("written again");
        assert_eq!(read(&dir).expect("readable"), Manifest::Listed(listed.to_vec()));
        let len = read_whole(&dir, &name(), 1000).expect("readable").len();
        for offset in 0..len {
            dir.flip(&name(), offset, 1).expect("flipped");
            assert_eq!(read(&dir).expect("readable"), Manifest::Damaged, "byte {offset}");
            dir.flip(&name(), offset, 1).expect("flipped back");
        }
        for len in (0..len).rev() {
            dir.lose_end(&name(), len).expect("cut");
            assert_eq!(read(&dir).expect("readable"), Manifest::Damaged, "{len} bytes");
        }
    }
}
