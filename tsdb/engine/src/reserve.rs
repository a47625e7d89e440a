//! Space kept back, so that on a full disk there is still room for what makes room: the lists and tombstones that
//! retention and deletion write.

use std::io;

use swell_env::Dir;

/// The file that takes the space.
pub(crate) const NAME: &str = "reserve";
/// Written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Makes the file unless it is there and whole. What was written is removed when there is no room for all of it.
pub(crate) fn ensure(dir: &dyn Dir, bytes: u64) -> io::Result<()> {
    let entry = dir.list("")?.into_iter().find(|entry| entry.name == NAME);
    match entry {
        Some(entry) if entry.len_bytes == bytes => return Ok(()),
        Some(_) => dir.remove(NAME)?,
        None => {}
    }
    if bytes == 0 {
        return Ok(());
    }
    let written = write(dir, bytes);
    if written.is_err() {
        release(dir)?;
    }
    written
}

fn write(dir: &dyn Dir, bytes: u64) -> io::Result<()> {
    let file = dir.create(NAME)?;
    // Not zeros, which some file systems do not store.
    let piece: Vec<u8> =
        (0..PIECE_BYTES).map(|at| (at * 167 + at / 256).to_le_bytes()[0]).collect();
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let len = left.min(PIECE_BYTES);
        file.append(&piece[..len])?;
        left -= len;
    }
    file.sync()
}

/// Gives the space back; it is made again once there is room.
pub(crate) fn release(dir: &dyn Dir) -> io::Result<()> {
    match dir.remove(NAME) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether an operation failed for lack of space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests {
    use swell_env::{Fault, FaultDir};

    use super::*;

    #[test]
    fn the_reserve_is_whole_or_not_there() {
        let dir = FaultDir::new();
        let len = || dir.list("").expect("listed").first().map(|entry| entry.len_bytes);
        ensure(&dir, 200_000).expect("room");
        assert_eq!(len(), Some(200_000));
        let ops = dir.op_count();
        ensure(&dir, 200_000).expect("there");
        assert_eq!(dir.op_count(), ops, "nothing to do");
        ensure(&dir, 100_000).expect("another size");
        assert_eq!(len(), Some(100_000));
        release(&dir).expect("released");
        release(&dir).expect("nothing to release");
        dir.fail(dir.op_count() + 2, 1, Fault::DiskFull);
        assert!(is_full(&ensure(&dir, 200_000).expect_err("full")));
        assert_eq!(len(), None, "half a reserve is none");
    }
}
