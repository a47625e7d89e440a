//! The tests every [`Dir`] must pass; call [`check`] from a test of the implementation.

use std::io::ErrorKind;
use std::sync::Arc;

use super::{Dir, LockError, read_whole, remove_tree};

/// Runs the suite; `make` gives a fresh, empty directory each time.
///
/// # Panics
/// When the implementation breaks the contract.
pub fn check(make: impl Fn() -> Arc<dyn Dir>) {
    files_grow_and_are_read_at_offsets(&*make());
    names_are_created_listed_renamed_and_removed(&*make());
    odd_names_are_refused(&*make());
    folders_are_renamed_and_removed_when_empty(&*make());
    a_file_may_have_two_names(&*make());
    an_open_file_outlives_its_name(&*make());
    truncation_cuts_and_never_extends(&*make());
    a_lock_is_held_once_and_freed_on_drop(&*make());
}

fn files_grow_and_are_read_at_offsets(dir: &dyn Dir) {
    let file = dir.create("a").expect("create");
    let reader = dir.open("a").expect("open");
    assert!(reader.is_empty().expect("length"));
    file.append(b"hello ").expect("append");
    file.append(b"world").expect("append");
    file.sync().expect("sync");
    assert_eq!(reader.len().expect("length"), 11);
    let mut word = [0; 5];
    reader.read_at(6, &mut word).expect("read");
    assert_eq!(&word, b"world");
    for offset in [7, 11, u64::MAX] {
        let error = reader.read_at(offset, &mut word).expect_err("past the end");
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidInput));
    }
    assert_eq!(read_whole(dir, "a", 11).expect("whole"), b"hello world");
    assert_eq!(read_whole(dir, "a", 10).expect_err("too long").kind(), ErrorKind::InvalidData);
}

fn names_are_created_listed_renamed_and_removed(dir: &dyn Dir) {
    dir.create_folder("f").expect("folder");
    dir.create_folder("f").expect("a folder that is there");
    for name in ["f/b", "f/a", "top"] {
        dir.create(name).expect("create").append(name.as_bytes()).expect("append");
    }
    assert_eq!(dir.create("f/a").expect_err("twice").kind(), ErrorKind::AlreadyExists);
    assert_eq!(dir.create("none/a").expect_err("no folder").kind(), ErrorKind::NotFound);
    let names = |folder| -> Vec<(String, bool, u64)> {
        let entries = dir.list(folder).expect("list");
        entries.into_iter().map(|e| (e.name, e.is_folder, e.len_bytes)).collect()
    };
    assert_eq!(names(""), [("f".to_owned(), true, 0), ("top".to_owned(), false, 3)]);
    assert_eq!(names("f"), [("a".to_owned(), false, 3), ("b".to_owned(), false, 3)]);
    dir.rename("f/a", "f/b").expect("rename replaces");
    assert_eq!(read_whole(dir, "f/b", 10).expect("read"), b"f/a");
    assert_eq!(dir.rename("f/a", "f/c").expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(dir.rename("f/b", "b").expect_err("across").kind(), ErrorKind::InvalidInput);
    dir.sync_dir("f").expect("sync folder");
    dir.sync_dir("").expect("sync root");
    dir.remove("f/b").expect("remove");
    assert_eq!(dir.remove("f/b").expect_err("twice").kind(), ErrorKind::NotFound);
    assert_eq!(dir.open("f/b").expect_err("removed").kind(), ErrorKind::NotFound);
    assert_eq!(names("f"), []);
    assert_eq!(dir.list("none").expect_err("no folder").kind(), ErrorKind::NotFound);
}

fn folders_are_renamed_and_removed_when_empty(dir: &dyn Dir) {
    dir.create_folder("tmp").expect("folder");
    dir.create_folder("tmp/inner").expect("folder");
    dir.create("tmp/inner/a").expect("create").append(b"a").expect("append");
    let error = dir.remove_folder("tmp/inner").expect_err("not empty");
    assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    dir.rename("tmp", "kept").expect("a folder takes its content along");
    assert_eq!(read_whole(dir, "kept/inner/a", 1).expect("read"), b"a");
    assert_eq!(dir.list("tmp").expect_err("gone").kind(), ErrorKind::NotFound);
    assert_eq!(dir.remove_folder("tmp").expect_err("gone").kind(), ErrorKind::NotFound);
    remove_tree(dir, "kept").expect("removed");
    remove_tree(dir, "kept").expect("nothing to remove");
    assert_eq!(dir.list("").expect("list"), []);
}

fn a_file_may_have_two_names(dir: &dyn Dir) {
    dir.create_folder("f").expect("folder");
    dir.create("a").expect("create").append(b"shared").expect("append");
    dir.link("a", "f/b").expect("link");
    assert_eq!(dir.link("a", "f/b").expect_err("taken").kind(), ErrorKind::AlreadyExists);
    assert_eq!(dir.link("none", "c").expect_err("missing").kind(), ErrorKind::NotFound);
    dir.remove("a").expect("remove");
    assert_eq!(read_whole(dir, "f/b", 10).expect("read"), b"shared");
}

fn odd_names_are_refused(dir: &dyn Dir) {
    for name in ["", "/a", "a/", "../a", "a/../b", ".", "a//b", "a\0b"] {
        assert_eq!(dir.create(name).expect_err(name).kind(), ErrorKind::InvalidInput, "{name:?}");
    }
}

fn an_open_file_outlives_its_name(dir: &dyn Dir) {
    let file = dir.create("a").expect("create");
    let reader = dir.open("a").expect("open");
    dir.remove("a").expect("remove");
    file.append(b"still here").expect("append");
    let mut bytes = [0; 10];
    reader.read_at(0, &mut bytes).expect("read");
    assert_eq!(&bytes, b"still here");
}

fn truncation_cuts_and_never_extends(dir: &dyn Dir) {
    let file = dir.create("a").expect("create");
    file.append(b"0123456789").expect("append");
    file.cut(8).expect("cut");
    assert_eq!(file.cut(9).expect_err("longer").kind(), ErrorKind::InvalidInput);
    file.append(b"ab").expect("append");
    assert_eq!(read_whole(dir, "a", 10).expect("read"), b"01234567ab");
    dir.truncate("a", 4).expect("cut");
    assert_eq!(read_whole(dir, "a", 10).expect("read"), b"0123");
    assert_eq!(dir.truncate("a", 5).expect_err("longer").kind(), ErrorKind::InvalidInput);
    assert_eq!(dir.truncate("b", 0).expect_err("missing").kind(), ErrorKind::NotFound);
}

fn a_lock_is_held_once_and_freed_on_drop(dir: &dyn Dir) {
    let held = dir.lock("lock").expect("free");
    let error = dir.lock("lock").expect_err("held");
    assert!(matches!(error, LockError::Held { .. }), "{error}");
    drop(held);
    dir.lock("lock").expect("free again");
}

#[cfg(test)]
mod tests {
    use super::super::{FaultDir, FsDir, MemDir};
    use super::*;

    #[test]
    fn the_file_system_keeps_the_contract() {
        let root = tempfile::tempdir().expect("temporary directory");
        let count = std::sync::atomic::AtomicU32::new(0);
        check(|| {
            let nr = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Arc::new(FsDir::open(&root.path().join(nr.to_string())).expect("made"))
        });
    }

    #[test]
    fn memory_keeps_the_contract() {
        check(|| Arc::new(MemDir::new()));
        check(|| Arc::new(FaultDir::new()));
    }

    #[test]
    fn the_holder_of_a_lock_is_named_with_the_way_out() {
        let root = tempfile::tempdir().expect("temporary directory");
        let dir = FsDir::open(root.path()).expect("made");
        let _held = dir.lock("lock").expect("free");
        let message = dir.lock("lock").expect_err("held").to_string();
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        assert!(message.contains("use another directory"), "{message}");
    }

    #[test]
    fn a_file_in_place_of_the_directory_is_an_error() {
        let root = tempfile::tempdir().expect("temporary directory");
        let path = root.path().join("file");
        std::fs::write(&path, b"x").expect("write");
        assert!(FsDir::open(&path).is_err());
    }
}
