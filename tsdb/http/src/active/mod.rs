//! Which queries run, in memory for those who ask, and in a file for the next start if this process is killed.

mod format;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::State;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use swell_env::{Clock, Monotonic};
use swell_model::TimestampMs;

pub use self::format::LeftBehind;
use self::format::{ENTRY_LEN, FREE, HEADER_LEN};
use crate::answer::success;
use crate::service::Api;

/// Bytes of a file that are read at most: that of a thousand queries.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Who asked for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of the API.
    Api,
    /// A rule.
    Rule,
}

impl Origin {
    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Rule => "rule",
        }
    }
}

/// The queries that run.
pub struct ActiveQueries {
    clock: Arc<dyn Clock>,
    file: Option<File>,
    /// A failed write is told once.
    is_failing: AtomicBool,
    state: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    queries: BTreeMap<u64, Entry>,
    /// Entries of the file that nothing runs in.
    free: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    query: Arc<str>,
    origin: Origin,
    began_at: TimestampMs,
    began: Monotonic,
}

/// A query that runs until this is dropped.
#[derive(Debug)]
pub struct ActiveQuery {
    all: Arc<ActiveQueries>,
    number: u64,
    slot: Option<usize>,
}

impl std::fmt::Debug for ActiveQueries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ActiveQueries").field("state", &self.state).finish_non_exhaustive()
    }
}

impl ActiveQueries {
    /// In memory only.
    #[must_use]
    pub fn in_memory(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            file: None,
            is_failing: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    /// In a file, too, which has room for so many at once; with what the last process left in it, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(
        path: &Path,
        count_max: usize,
        clock: Arc<dyn Clock>,
    ) -> io::Result<(Arc<Self>, Vec<LeftBehind>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(&file, FILE_BYTES_MAX), &mut bytes)?;
        let mut left = format::decode(&bytes);
        left.sort_by_key(|query| query.began_at);
        let empty = format::empty(count_max);
        file.write_all_at(&empty, 0)?;
        file.set_len(empty.len() as u64)?;
        let state = Running { free: (0..count_max).rev().collect(), ..Running::default() };
        let is_failing = AtomicBool::new(false);
        Ok((Arc::new(Self { clock, file: Some(file), is_failing, state: Mutex::new(state) }), left))
    }

    /// Notes that a query begins.
    #[must_use]
    pub fn begin(self: &Arc<Self>, query: &str, origin: Origin) -> ActiveQuery {
        let (began_at, began) = (self.clock.now(), self.clock.monotonic());
        let entry = Entry { query: query.into(), origin, began_at, began };
        let (number, slot) = {
            let mut state = self.state.lock();
            state.next += 1;
            let number = state.next;
            state.queries.insert(number, entry);
            (number, state.free.pop())
        };
        if let Some(slot) = slot {
            self.write(slot, &format::encode(began_at, origin.name(), query));
        }
        ActiveQuery { all: Arc::clone(self), number, slot }
    }

    fn write(&self, slot: usize, bytes: &[u8]) {
        let Some(file) = &self.file else { return };
        let at = HEADER_LEN + slot * ENTRY_LEN;
        if let Err(error) = file.write_all_at(bytes, at as u64)
            && !self.is_failing.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(error = %error, "the file of running queries cannot be written: what runs when this process is killed is not told at the next start");
        }
    }

    /// The queries that run, the oldest first.
    fn list(&self) -> Vec<Entry> {
        self.state.lock().queries.values().cloned().collect()
    }
}

impl Drop for ActiveQuery {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.all.write(slot, &FREE);
        }
        let mut state = self.all.state.lock();
        state.queries.remove(&self.number);
        state.free.extend(self.slot);
    }
}

/// What a file tells.
#[cfg(feature = "fuzzing")]
pub(crate) fn left_behind(file: &[u8]) -> Vec<LeftBehind> {
    format::decode(file)
}

/// The queries that run.
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Response {
    let now = api.clock.monotonic();
    let shown = |entry: &Entry| -> Value {
        json!({
            "query": &*entry.query,
            "origin": entry.origin.name(),
            "startedAt": jiff::Timestamp::from_millisecond(entry.began_at.0)
                .map_or_else(|_| String::new(), |at| at.to_string()),
            "seconds": now.since(entry.began).as_secs_f64(),
        })
    };
    let queries: Vec<Value> = api.active.list().iter().map(shown).collect();
    success(&json!({"queries": queries}))
}

#[cfg(test)]
mod tests {
    use swell_env::ManualClock;

    use super::*;

    #[test]
    fn what_runs_when_the_process_ends_is_told_once() {
        let folder = std::env::temp_dir().join(format!("swell-active-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("queries.active");
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(TimestampMs(1000)));
        let open = || ActiveQueries::open(&path, 2, clock.clone()).expect("opened");
        let (queries, left) = open();
        assert!(left.is_empty());
        drop(queries.begin("quick", Origin::Api));
        let running = [
            queries.begin("slow", Origin::Rule),
            queries.begin("slower", Origin::Api),
            queries.begin("without room in the file", Origin::Api),
        ];
        assert_eq!(queries.list().len(), 3);
        // As by a kill: nothing is cleaned up.
        running.into_iter().for_each(std::mem::forget);
        let (_, left) = open();
        let told: Vec<(&str, &str)> =
            left.iter().map(|query| (&*query.origin, &*query.query)).collect();
        assert_eq!(told, [("rule", "slow"), ("api", "slower")]);
        assert!(open().1.is_empty());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
