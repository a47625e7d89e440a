//! Space kept back, so that on a full disk there is still room for what makes room: the lists and tombstones that
//! retention and deletion write.

use std::io;

use parking_lot::Mutex;
use swell_env::Dir;

/// The file that takes the space.
pub(crate) const NAME: &str = "reserve";
/// Written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The file, as all threads see it. Nobody waits for those who use its space.
#[derive(Debug, Default)]
pub(crate) struct Reserve {
    /// How many use the space. Held while the file is made or removed; nothing else is locked under it.
    use_count: Mutex<usize>,
}

impl Reserve {
    /// Makes the file unless it is there and whole. `false` when it has to wait, since the space is in use.
    pub(crate) fn ensure(&self, dir: &dyn Dir, bytes: u64) -> io::Result<bool> {
        let use_count = self.use_count.lock();
        if bytes > 0 && *use_count > 0 {
            return Ok(false);
        }
        ensure(dir, bytes).map(|()| true)
    }

    /// Gives the space back, for as long as the result lives; it is made again once there is room.
    pub(crate) fn release(&self, dir: &dyn Dir) -> io::Result<InUse<'_>> {
        let mut use_count = self.use_count.lock();
        release(dir)?;
        *use_count += 1;
        Ok(InUse(self))
    }
}

/// The reserve's space is used while this lives.
#[derive(Debug)]
pub(crate) struct InUse<'r>(&'r Reserve);

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        *self.0.use_count.lock() -= 1;
    }
}

/// Makes the file unless it is there and whole. What was written is removed when there is no room for all of it.
fn ensure(dir: &dyn Dir, bytes: u64) -> io::Result<()> {
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

fn release(dir: &dyn Dir) -> io::Result<()> {
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
    use std::sync::Arc;
    use std::sync::mpsc::{self, Receiver};
    use std::time::Duration;

    use prometheus::Registry;
    use swell_env::{Fault, FaultDir, ManualClock};
    use swell_model::{
        AppendError, Batch, DurationMs, Labels, Row, SampleSink as _, TimeRange, TimestampMs,
    };

    use super::*;
    use crate::maintain::MaintainError;
    use crate::{Config, Db};

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

    #[test]
    fn the_reserve_is_not_made_while_its_space_is_in_use() {
        let (dir, reserve) = (FaultDir::new(), Reserve::default());
        assert!(reserve.ensure(&dir, 1000).expect("room"));
        let first = reserve.release(&dir).expect("released");
        let second = reserve.release(&dir).expect("released");
        drop(first);
        assert!(!reserve.ensure(&dir, 1000).expect("skipped"));
        assert_eq!(dir.list("").expect("listed"), []);
        assert!(reserve.ensure(&dir, 0).expect("nothing is kept back"));
        drop(second);
        assert!(reserve.ensure(&dir, 1000).expect("room"));
        assert_eq!(dir.list("").expect("listed").len(), 1);
    }

    /// Long enough for any machine; what hangs would do so for good.
    fn ended<T>(done: &Receiver<T>, what: &str) -> T {
        done.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|_| panic!("{what} hangs"))
    }

    #[test]
    fn deletions_and_appends_go_on_while_the_reserve_makes_room() {
        let dir = FaultDir::new();
        let clock = Arc::new(ManualClock::new(TimestampMs(10_000_000)));
        let settings = Config { reserve_bytes: 30_000, ..Config::standard() };
        let db = Db::open(Arc::new(dir.clone()), settings, clock.clone(), &Registry::new());
        let db = Arc::new(db.expect("opens"));
        let series = db.resolve(&Labels::from_pairs([("__name__", "up")])).expect("resolves");
        let batch =
            move |at: i64| Batch::of_rows(vec![Row::new(TimestampMs(at), vec![series], vec![1.0])]);
        db.append(&batch(1000)).expect("appends");
        db.inner.ensure_reserve().expect("room");
        let fill = || dir.set_room(Some(dir.disk().used_bytes()));
        fill();
        let error = db.append(&batch(2000)).expect_err("full");
        assert!(matches!(error, AppendError::Paused { .. }), "{error}");
        clock.advance(DurationMs(1000));

        let mut attempt = 0;
        let made_room = db.inner.with_reserve(|| {
            attempt += 1;
            if attempt == 1 {
                let source = io::Error::from(io::ErrorKind::StorageFull);
                return Err(MaintainError::Io { action: "write a block".to_owned(), source });
            }
            fill();
            let (told, deleted) = mpsc::channel();
            let other = Arc::clone(&db);
            std::thread::spawn(move || told.send(other.delete_series(&[], TimeRange::ALL)));
            let error = ended(&deleted, "the deletion").expect_err("this takes the space");
            assert!(error.is_full(), "{error}");
            let (told, appended) = mpsc::channel();
            let (other, batch) = (Arc::clone(&db), batch(2000));
            std::thread::spawn(move || told.send(other.append(&batch)));
            let error = ended(&appended, "the append").expect_err("nothing is kept back");
            assert!(matches!(error, AppendError::Paused { .. }), "{error}");
            // A rewrite ends with this.
            drop(db.inner.publishing.lock());
            Ok(attempt)
        });
        assert_eq!(made_room.expect("made"), 2);

        dir.set_room(None);
        clock.advance(DurationMs(1000));
        assert_eq!(db.append(&batch(2000)).expect("room again").stored, 1);
        let entries = dir.list("").expect("listed");
        let reserve = entries.iter().find(|entry| entry.name == NAME).expect("made again");
        assert_eq!(reserve.len_bytes, 30_000);
        assert_eq!(db.delete_series(&[], TimeRange::ALL).expect("deletes").series_count, 1);
    }
}
