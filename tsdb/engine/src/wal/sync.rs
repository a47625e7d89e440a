//! Group commit: many batches that were written wait for one sync.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use swell_env::AppendFile;

/// Orders syncs of the log. Lock order: the writer's lock before this one; syncs run with neither held.
#[derive(Debug, Default)]
pub(crate) struct SyncGate {
    state: Mutex<SyncState>,
    /// Something was written or synced.
    changed: Condvar,
    /// The gate was closed.
    closed: Condvar,
}

#[derive(Debug, Default)]
struct SyncState {
    /// Batches written.
    written: u64,
    /// Batches known to be durable.
    durable: u64,
    /// The file that holds what is written and not durable; segments before it were synced when they ended.
    file: Option<Arc<dyn AppendFile>>,
    is_syncing: bool,
    is_closed: bool,
    /// Message of the first failure; no sync is tried after it.
    failed: Option<String>,
}

impl SyncGate {
    /// Notes a written batch, in the order of writing, and gives its number.
    pub(crate) fn wrote(&self, file: Arc<dyn AppendFile>) -> u64 {
        let mut state = self.state.lock();
        state.written += 1;
        state.file = Some(file);
        self.changed.notify_all();
        state.written
    }

    /// Returns once the batch is durable; syncs unless someone else does.
    pub(crate) fn wait_durable(&self, batch: u64) -> Result<(), String> {
        let mut state = self.state.lock();
        loop {
            if let Some(reason) = &state.failed {
                return Err(reason.clone());
            }
            if state.durable >= batch {
                return Ok(());
            }
            if state.is_syncing {
                self.changed.wait(&mut state);
                continue;
            }
            let (upto, file) = (state.written, state.file.clone());
            state.is_syncing = true;
            drop(state);
            let result = file.map_or(Ok(()), |file| file.sync());
            state = self.state.lock();
            state.is_syncing = false;
            self.changed.notify_all();
            match result {
                Ok(()) => state.durable = state.durable.max(upto),
                Err(error) => state.failed = Some(sync_failure(&error)),
            }
        }
    }

    /// Returns once a sync that is under way has ended, in whatever way.
    pub(crate) fn wait_for_sync(&self) {
        let mut state = self.state.lock();
        let before = state.durable;
        while state.is_syncing && state.durable == before && state.failed.is_none() {
            self.changed.wait(&mut state);
        }
    }

    /// Makes everything written durable.
    pub(crate) fn sync_all(&self) -> Result<(), String> {
        let written = self.state.lock().written;
        self.wait_durable(written)
    }

    /// Syncs at the latest `interval` after a write, until closed or failed. Sleeps while nothing is written.
    pub(crate) fn run(&self, interval: Duration, on_failure: impl FnOnce(String)) {
        loop {
            let mut state = self.state.lock();
            while !state.is_closed && state.failed.is_none() && state.durable == state.written {
                self.changed.wait(&mut state);
            }
            // Batches that come meanwhile share the sync; only closing ends the wait early.
            if !state.is_closed {
                self.closed.wait_for(&mut state, interval);
            }
            if state.is_closed || state.failed.is_some() {
                return;
            }
            drop(state);
            if let Err(reason) = self.sync_all() {
                on_failure(reason);
                return;
            }
        }
    }

    /// Fails all that wait, and syncs no more: what was written is not to be trusted.
    pub(crate) fn fail(&self, reason: &str) {
        self.state.lock().failed.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_all();
    }

    /// Ends [`SyncGate::run`].
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
        self.closed.notify_all();
    }
}

fn sync_failure(error: &io::Error) -> String {
    format!("sync of the log failed: {error}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// A log on a device whose first sync takes until it is told to end.
    #[derive(Debug, Default)]
    struct Device {
        written: AtomicU64,
        durable: AtomicU64,
        sync_count: AtomicU64,
        may_end: Mutex<bool>,
        ends: Condvar,
    }

    #[derive(Debug)]
    struct Log(Arc<Device>);

    impl AppendFile for Log {
        fn append(&self, _: &[u8]) -> io::Result<()> {
            self.0.written.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        fn sync(&self) -> io::Result<()> {
            let upto = self.0.written.load(Ordering::SeqCst);
            self.0.sync_count.fetch_add(1, Ordering::SeqCst);
            let mut may_end = self.0.may_end.lock();
            self.0.ends.wait_while(&mut may_end, |may_end| !*may_end);
            self.0.durable.fetch_max(upto, Ordering::SeqCst);
            Ok(())
        }

        fn cut(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn writers_share_syncs_and_none_is_told_before_its_batch_is_durable() {
        const WRITERS: u64 = 100;
        let (device, gate) = (Arc::new(Device::default()), SyncGate::default());
        let file: Arc<dyn AppendFile> = Arc::new(Log(Arc::clone(&device)));
        let order = Mutex::new(());
        std::thread::scope(|scope| {
            for _ in 0..WRITERS {
                scope.spawn(|| {
                    let batch = {
                        let _one_at_a_time = order.lock();
                        file.append(b"batch").expect("takes all");
                        gate.wrote(Arc::clone(&file))
                    };
                    gate.wait_durable(batch).expect("syncs");
                    assert!(device.durable.load(Ordering::SeqCst) >= batch, "batch {batch}");
                });
            }
            // All have written, at the latest while the first sync runs.
            while gate.state.lock().written < WRITERS {
                std::thread::yield_now();
            }
            assert_eq!(device.durable.load(Ordering::SeqCst), 0);
            *device.may_end.lock() = true;
            device.ends.notify_all();
        });
        // One sync took what was there when it began, one more the rest.
        assert!(device.sync_count.load(Ordering::SeqCst) <= 2);
    }
}
