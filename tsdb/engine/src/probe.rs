//! Work that changes nothing and waits for what real work waits for, so that a watch sees whether that comes to an end.

use std::io;

use crate::db::Db;

impl Db {
    /// Waits for its turn to write a batch, and for a sync that is under way. Writes nothing.
    pub fn probe_writes(&self) {
        drop(self.inner.commit.lock());
        self.inner.gate.wait_for_sync();
    }

    /// Looks at the samples in memory, and at the directory.
    ///
    /// # Errors
    /// The system's error, when the directory cannot be listed.
    pub fn probe_reads(&self) -> io::Result<()> {
        drop(self.inner.state.read());
        self.inner.dir.list("").map(drop)
    }
}
