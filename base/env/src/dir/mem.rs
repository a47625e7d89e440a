//! A directory in memory that knows which of its state would survive a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{AppendFile, Dir, DirEntry, DirLock, LockError, ReadFile, split_name};

/// A directory in memory. Clones share it. [`MemDir::after_power_cut`] and [`MemDir::after_kill`] give what a
/// restarted process would find.
#[derive(Clone, Debug, Default)]
pub struct MemDir {
    tree: Arc<Mutex<Tree>>,
    locks: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug)]
struct Tree {
    /// Folder 0 is the root.
    folders: Vec<Folder>,
}

#[derive(Debug, Default)]
struct Folder {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    /// Changes that lead from `durable` to `live`.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Node {
    File(FileCell),
    Folder(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Add(String, Node),
    Rename(String, String),
    Remove(String),
}

type FileCell = Arc<Mutex<FileData>>;

#[derive(Debug, Default)]
struct FileData {
    bytes: Vec<u8>,
    /// How much of `bytes` a power cut leaves.
    durable_len: usize,
    /// A sync failed: what was not durable then never will be.
    sync_failed: bool,
}

impl FileData {
    fn cut(&mut self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).ok().filter(|len| *len <= self.bytes.len());
        let len = len.ok_or_else(|| {
            let what = format!("a file of {} bytes cannot be cut to {len_bytes}", self.bytes.len());
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        self.bytes.truncate(len);
        Ok(())
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self { folders: vec![Folder::default()] }
    }
}

impl Folder {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Add(name, node) => drop(names.insert(name.clone(), node.clone())),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Tree {
    fn folder_idx(&self, name: &str) -> io::Result<usize> {
        let mut idx = 0;
        if name.is_empty() {
            return Ok(idx);
        }
        split_name(name)?;
        for part in name.split('/') {
            match self.folders[idx].live.get(part) {
                Some(Node::Folder(next)) => idx = *next,
                _ => return Err(not_found(name)),
            }
        }
        Ok(idx)
    }

    fn parent<'n>(&self, name: &'n str) -> io::Result<(usize, &'n str)> {
        let (folder, last) = split_name(name)?;
        Ok((self.folder_idx(folder)?, last))
    }

    fn file(&self, name: &str) -> io::Result<FileCell> {
        let (folder, last) = self.parent(name)?;
        match self.folders[folder].live.get(last) {
            Some(Node::File(file)) => Ok(Arc::clone(file)),
            _ => Err(not_found(name)),
        }
    }
}

impl MemDir {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of all files that have a name; one with two names counts twice.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let tree = self.tree.lock();
        let nodes = tree.folders.iter().flat_map(|folder| folder.live.values());
        let len = |node: &Node| match node {
            Node::File(file) => file.lock().bytes.len() as u64,
            Node::Folder(_) => 0,
        };
        nodes.map(len).sum()
    }

    /// A copy as a process finds it that starts after this one was killed: all that was written.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        self.copy(&mut |folder| folder.live.clone(), &mut |file| file.bytes.clone())
    }

    /// A copy as it is found after a power cut; `seed` picks among what the fault model allows.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let choices = std::cell::RefCell::new(SplitMix(seed));
        self.copy(
            &mut |folder| {
                let kept = choices.borrow_mut().below(folder.pending.len() + 1);
                let mut names = folder.durable.clone();
                folder.pending[..kept].iter().for_each(|change| change.apply(&mut names));
                names
            },
            &mut |file| {
                let mut choices = choices.borrow_mut();
                let unsynced = file.bytes.len() - file.durable_len;
                let kept = match choices.below(3) {
                    0 => 0,
                    1 => unsynced,
                    _ => choices.below(unsynced + 1),
                };
                let mut bytes = file.bytes[..file.durable_len + kept].to_vec();
                if choices.below(4) == 0 {
                    bytes.resize(file.bytes.len(), 0);
                }
                bytes
            },
        )
    }

    fn copy(
        &self,
        names_of: &mut dyn FnMut(&Folder) -> BTreeMap<String, Node>,
        bytes_of: &mut dyn FnMut(&FileData) -> Vec<u8>,
    ) -> Self {
        let tree = self.tree.lock();
        let mut copied = Tree::default();
        let mut waiting = vec![(0, 0)];
        while let Some((from, into)) = waiting.pop() {
            for (name, node) in names_of(&tree.folders[from]) {
                let node = match node {
                    Node::File(file) => {
                        let bytes = bytes_of(&file.lock());
                        let durable_len = bytes.len();
                        let data = FileData { bytes, durable_len, sync_failed: false };
                        Node::File(Arc::new(Mutex::new(data)))
                    }
                    Node::Folder(source) => {
                        copied.folders.push(Folder::default());
                        waiting.push((source, copied.folders.len() - 1));
                        Node::Folder(copied.folders.len() - 1)
                    }
                };
                copied.folders[into].durable.insert(name.clone(), node.clone());
                copied.folders[into].live.insert(name, node);
            }
        }
        Self { tree: Arc::new(Mutex::new(copied)), locks: Arc::default() }
    }

    /// Lets a file decay: turns over the bits of `mask` in the byte at `offset`.
    ///
    /// # Errors
    /// `NotFound`, or `InvalidInput` when the file is shorter.
    pub fn flip(&self, name: &str, offset: usize, mask: u8) -> io::Result<()> {
        let file = self.tree.lock().file(name)?;
        let mut file = file.lock();
        let byte = file.bytes.get_mut(offset).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("{name} ends before {offset}"))
        })?;
        *byte ^= mask;
        Ok(())
    }

    /// Lets a file decay: its end goes missing.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn lose_end(&self, name: &str, len_bytes: usize) -> io::Result<()> {
        let file = self.tree.lock().file(name)?;
        let mut file = file.lock();
        file.bytes.truncate(len_bytes);
        file.durable_len = file.durable_len.min(file.bytes.len());
        Ok(())
    }

    /// Makes a sync of the file fail as the fault model says.
    pub(super) fn fail_sync(&self, name: &str) {
        if let Ok(file) = self.tree.lock().file(name) {
            file.lock().sync_failed = true;
        }
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name} is not there"))
}

#[derive(Debug)]
struct MemFile(FileCell);

impl AppendFile for MemFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut file = self.0.lock();
        if !file.sync_failed {
            file.durable_len = file.bytes.len();
        }
        Ok(())
    }

    fn cut(&self, len_bytes: u64) -> io::Result<()> {
        let mut file = self.0.lock();
        file.cut(len_bytes)?;
        // What the bytes were may come back in a power cut, but is nothing to count on.
        file.durable_len = file.durable_len.min(file.bytes.len());
        Ok(())
    }
}

impl ReadFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let file = self.0.lock();
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| file.bytes.get(start..start.checked_add(into.len())?))
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        into.copy_from_slice(bytes);
        Ok(())
    }
}

#[derive(Debug)]
struct MemLock {
    name: String,
    locks: Arc<Mutex<BTreeSet<String>>>,
}

impl DirLock for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.locks.lock().remove(&self.name);
    }
}

impl Dir for MemDir {
    fn location(&self) -> &str {
        "memory"
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn AppendFile>> {
        let mut tree = self.tree.lock();
        let (folder, last) = tree.parent(name)?;
        if tree.folders[folder].live.contains_key(last) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} is there")));
        }
        let file = FileCell::default();
        tree.folders[folder].change(Change::Add(last.to_owned(), Node::File(Arc::clone(&file))));
        Ok(Arc::new(MemFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(MemFile(self.tree.lock().file(name)?)))
    }

    fn truncate(&self, name: &str, len_bytes: u64) -> io::Result<()> {
        let file = self.tree.lock().file(name)?;
        let mut file = file.lock();
        file.cut(len_bytes)?;
        file.durable_len = file.bytes.len();
        Ok(())
    }

    fn list(&self, folder: &str) -> io::Result<Vec<DirEntry>> {
        let tree = self.tree.lock();
        let folder = tree.folder_idx(folder)?;
        let entry = |(name, node): (&String, &Node)| match node {
            Node::File(file) => DirEntry {
                name: name.clone(),
                is_folder: false,
                len_bytes: file.lock().bytes.len() as u64,
            },
            Node::Folder(_) => DirEntry { name: name.clone(), is_folder: true, len_bytes: 0 },
        };
        Ok(tree.folders[folder].live.iter().map(entry).collect())
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let (parent, last) = tree.parent(name)?;
        match tree.folders[parent].live.get(last) {
            Some(Node::Folder(_)) => Ok(()),
            Some(Node::File(_)) => {
                Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name} is a file")))
            }
            None => {
                tree.folders.push(Folder::default());
                let node = Node::Folder(tree.folders.len() - 1);
                tree.folders[parent].change(Change::Add(last.to_owned(), node));
                Ok(())
            }
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let (folder, from_last) = tree.parent(from)?;
        let (to_folder, to_last) = tree.parent(to)?;
        if folder != to_folder {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{from} and {to} lie in different folders"),
            ));
        }
        if !tree.folders[folder].live.contains_key(from_last) {
            return Err(not_found(from));
        }
        tree.folders[folder].change(Change::Rename(from_last.to_owned(), to_last.to_owned()));
        Ok(())
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let idx = tree.folder_idx(name)?;
        if !tree.folders[idx].live.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                format!("{name} is not empty"),
            ));
        }
        let (parent, last) = tree.parent(name)?;
        tree.folders[parent].change(Change::Remove(last.to_owned()));
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let file = tree.file(from)?;
        let (folder, last) = tree.parent(to)?;
        if tree.folders[folder].live.contains_key(last) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{to} is there")));
        }
        tree.folders[folder].change(Change::Add(last.to_owned(), Node::File(file)));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut tree = self.tree.lock();
        tree.file(name)?;
        let (folder, last) = tree.parent(name)?;
        tree.folders[folder].change(Change::Remove(last.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        let mut tree = self.tree.lock();
        let folder = tree.folder_idx(folder)?;
        let folder = &mut tree.folders[folder];
        folder.pending.clear();
        folder.durable = folder.live.clone();
        Ok(())
    }

    fn lock(&self, name: &str) -> Result<Box<dyn DirLock>, LockError> {
        if !self.locks.lock().insert(name.to_owned()) {
            return Err(LockError::Held {
                path: format!("memory:{name}"),
                holder: "another opener in this process".to_owned(),
            });
        }
        Ok(Box::new(MemLock { name: name.to_owned(), locks: Arc::clone(&self.locks) }))
    }
}

/// A small generator of reproducible choices (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let wide = u128::from(z ^ (z >> 31)) * bound as u128;
        usize::try_from(wide >> 64).expect("below a usize bound")
    }
}
