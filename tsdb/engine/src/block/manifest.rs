//! Which blocks there are and which of them have tombstones, so that a file that goes missing is noticed. A
//! finished file that is not listed counts all the same: the list is written after it.
//!
//! Its content (`small_file.rs`) are eight bytes for each block, LE id * 2 + has tombstones; id 0 is the head, listed when it
//! has tombstones.

use std::io;

use swell_env::Dir;

use super::{BlockId, FOLDER};
use crate::small_file::{self, Format, Found};

const NAME: &str = "manifest";
/// Of a million blocks at most.
const FORMAT: Format = Format { magic: b"SWELLMAN", version: 1, bytes_max: 8 << 20 };

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
    let folded = |entry: &Listed| entry.id.0 * 2 + u64::from(entry.has_tombstones);
    let content: Vec<u8> = listed.iter().flat_map(|entry| folded(entry).to_le_bytes()).collect();
    small_file::replace(dir, &format!("{folder}/{NAME}"), &FORMAT.sealed(&content))
}

/// Reads the list.
pub(crate) fn read(dir: &dyn Dir) -> io::Result<Manifest> {
    Ok(match FORMAT.read(dir, &name())? {
        Found::Absent => Manifest::Absent,
        Found::Content(content) => decode(&content),
        Found::Damaged => Manifest::Damaged,
        Found::Newer(version) => Manifest::Newer(version),
    })
}

fn decode(content: &[u8]) -> Manifest {
    let folded = content.chunks_exact(8);
    let folded = folded.map(|entry| u64::from_le_bytes(entry.try_into().expect("eight bytes")));
    Manifest::Listed(
        folded
            .map(|folded| Listed { id: BlockId(folded / 2), has_tombstones: folded % 2 == 1 })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use swell_env::{MemDir, read_whole};

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
