//! Which blocks there are, so that one that goes missing is noticed. A finished block that is not listed counts
//! all the same: the list is written after the block.
//!
//! ```text
//! 8 bytes  "SWELLMAN"
//! 4 bytes  LE version
//! 8 bytes  LE id of each block
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

/// What the list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Manifest {
    /// No list was written yet.
    Absent,
    Listed(Vec<BlockId>),
    /// The bytes are not what was written.
    Damaged,
    /// Written by a newer version of this program.
    Newer(u32),
}

/// The name of the list in the data directory.
pub(crate) fn name() -> String {
    format!("{FOLDER}/{NAME}")
}

/// Replaces the list.
pub(crate) fn write(dir: &dyn Dir, ids: &[BlockId]) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + ids.len() * 8 + CHECKSUM_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    ids.iter().for_each(|id| bytes.extend_from_slice(&id.0.to_le_bytes()));
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    let unfinished = format!("{FOLDER}/{NAME_UNFINISHED}");
    match dir.remove(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = dir.create(&unfinished)?;
    file.append(&bytes)?;
    file.sync()?;
    dir.rename(&unfinished, &name())?;
    dir.sync_dir(FOLDER)
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
    let ids = bytes[HEADER_LEN..end].chunks_exact(8);
    Manifest::Listed(
        ids.map(|id| BlockId(u64::from_le_bytes(id.try_into().expect("eight bytes")))).collect(),
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
        let ids = [BlockId(7), BlockId(9)];
        write(&dir, &[]).expect("written");
        write(&dir, &ids).expect("written again");
        assert_eq!(read(&dir).expect("readable"), Manifest::Listed(ids.to_vec()));
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
