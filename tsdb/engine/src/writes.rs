//! Whether batches are taken. A write that failed for something that passes, such as a full disk, pauses them until a
//! later one succeeds; whatever makes the log itself doubtful ends them until the database is reopened.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use swell_env::{Monotonic, lacks_descriptors};
use swell_model::AppendError;

use crate::db::Inner;
use crate::reserve;
use crate::restore::STILL_READING;
use crate::wal::LogError;

/// While writes are paused one is tried this often; all others are refused without touching the disk.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Pauses that follow one another sooner than this are not told again in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Why writes are refused, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The first failure.
    pub reason: String,
    /// When it was met.
    pub since: Monotonic,
    /// Whether writes go on by themselves once the cause is gone; otherwise the database must be reopened.
    pub is_passing: bool,
}

impl Refusal {
    fn error(&self) -> AppendError {
        let reason = self.reason.clone();
        match self.is_passing {
            true => AppendError::Paused { reason },
            false => AppendError::ReadOnly { reason },
        }
    }
}

/// Whether a write that failed so may be tried again in the same process: nothing of it was acknowledged, and the
/// files that were written before are as they were.
pub(crate) fn is_passing(error: &io::Error) -> bool {
    reserve::is_full(error) || is_denied_at_open(error)
}

/// Whether a file could not be opened for a reason that says nothing of what is in it.
fn is_denied_at_open(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem || lacks_descriptors(error)
}

/// What a change of the state asks to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing new, or told a moment ago.
    None,
    /// Batches are refused from now on.
    Refusing,
    /// Batches are taken again.
    Taking,
}

/// The state. Its lock is a leaf, taken only when something is or was wrong.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    is_refusing: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    refusal: Option<Refusal>,
    /// When the last attempt failed.
    tried_at: Option<Monotonic>,
    logged_at: Option<Monotonic>,
}

impl Writes {
    /// Whether a write may be tried.
    pub(crate) fn check(&self, now: impl FnOnce() -> Monotonic) -> Result<(), AppendError> {
        if !self.is_refusing.load(Ordering::Acquire) {
            return Ok(());
        }
        let state = self.state.lock();
        match &state.refusal {
            None => Ok(()),
            Some(refusal) if refusal.is_passing => {
                let now = now();
                match state.tried_at.is_none_or(|tried| now.since(tried) >= RETRY_INTERVAL) {
                    true => Ok(()),
                    false => Err(refusal.error()),
                }
            }
            Some(refusal) => Err(refusal.error()),
        }
    }

    /// A write failed: refuses others until one succeeds, or for good. What was refused for good stays so.
    pub(crate) fn refuse(
        &self,
        reason: String,
        is_passing: bool,
        now: Monotonic,
    ) -> (AppendError, Change) {
        let mut state = self.state.lock();
        self.is_refusing.store(true, Ordering::Release);
        state.tried_at = Some(now);
        let since = state.refusal.as_ref().map_or(now, |refusal| refusal.since);
        let is_new = match &state.refusal {
            Some(refusal) => refusal.is_passing && !is_passing,
            None => true,
        };
        let is_told =
            is_passing && state.logged_at.is_some_and(|logged| now.since(logged) < LOG_INTERVAL);
        if is_new {
            state.refusal = Some(Refusal { reason, since, is_passing });
        }
        let change = if is_new && !is_told { Change::Refusing } else { Change::None };
        if change == Change::Refusing {
            state.logged_at = Some(now);
        }
        let refusal = state.refusal.as_ref().expect("set above, or before");
        (refusal.error(), change)
    }

    /// A write succeeded: others may follow.
    pub(crate) fn succeeded(&self) -> Change {
        if !self.is_refusing.load(Ordering::Acquire) {
            return Change::None;
        }
        let mut state = self.state.lock();
        if state.refusal.as_ref().is_none_or(|refusal| !refusal.is_passing) {
            return Change::None;
        }
        state.refusal = None;
        state.tried_at = None;
        self.is_refusing.store(false, Ordering::Release);
        Change::Taking
    }

    /// Why writes are refused, if they are.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        match self.is_refusing.load(Ordering::Acquire) {
            true => self.state.lock().refusal.clone(),
            false => None,
        }
    }
}

impl Inner {
    /// Whether a write may be tried now.
    pub(crate) fn writable(&self) -> Result<(), AppendError> {
        if !self.is_replayed() {
            return Err(AppendError::Paused { reason: STILL_READING.to_owned() });
        }
        self.writes.check(|| self.clock.monotonic())
    }

    /// Takes no batch from now on.
    pub(crate) fn fail(&self, reason: String) -> AppendError {
        self.refuse_writes(reason, false)
    }

    /// The log took no record: that may pass, or be for good.
    pub(crate) fn log_failed(&self, error: &LogError) -> AppendError {
        let passes = matches!(error, LogError::Write(error) if is_passing(error));
        self.refuse_writes(error.to_string(), passes)
    }

    fn refuse_writes(&self, reason: String, passes: bool) -> AppendError {
        self.metrics.read_only.set(1);
        if !passes {
            self.gate.fail(&reason);
        }
        let (error, change) = self.writes.refuse(reason, passes, self.clock.monotonic());
        if change == Change::Refusing {
            tracing::error!(reason = %error, "batches are refused");
        }
        error
    }

    /// The log took a record.
    pub(crate) fn write_succeeded(&self) {
        if self.writes.succeeded() == Change::Taking {
            self.metrics.read_only.set(0);
            tracing::info!("batches are taken again");
        }
    }

    /// A write that is tried after the disk was full: what is kept back for deletion comes first.
    pub(crate) fn restore_reserve(&self) -> Result<(), AppendError> {
        if self.writes.refusal().is_none() {
            return Ok(());
        }
        // The log is not in doubt, whatever this fails for.
        let refuse = |why: String| {
            self.refuse_writes(format!("space is not kept back for a full disk: {why}"), true)
        };
        match self.ensure_reserve() {
            Ok(true) => Ok(()),
            Ok(false) => Err(refuse("work that makes room is using it".to_owned())),
            Err(error) => Err(refuse(error.to_string())),
        }
    }

    /// Makes the reserve unless it is there; appends and maintenance both do. `false` while its space is in use.
    pub(crate) fn ensure_reserve(&self) -> io::Result<bool> {
        self.reserve.ensure(&*self.dir, self.config.reserve_bytes)
    }
}

#[cfg(test)]
mod tests {
    use swell_env::{Clock as _, ManualClock};
    use swell_model::{DurationMs, TimestampMs};

    use super::*;

    #[test]
    fn a_pause_lets_one_try_a_second_and_ends_with_a_success() {
        let (clock, writes) = (ManualClock::new(TimestampMs(0)), Writes::default());
        let now = || clock.monotonic();
        assert_eq!(writes.check(now), Ok(()));
        let full = || "full".to_owned();
        let (error, change) = writes.refuse(full(), true, now());
        assert_eq!((error, change), (AppendError::Paused { reason: full() }, Change::Refusing));
        assert_eq!(writes.check(now), Err(AppendError::Paused { reason: full() }));
        clock.advance(DurationMs(1000));
        assert_eq!(writes.check(now), Ok(()), "one is tried");
        assert_eq!(writes.refuse("full too".to_owned(), true, now()).1, Change::None);
        assert!(writes.check(now).is_err());
        let refusal = writes.refusal().expect("paused");
        assert_eq!(now().since(refusal.since), Duration::from_secs(1), "since the first failure");
        assert_eq!((writes.succeeded(), writes.succeeded()), (Change::Taking, Change::None));
        assert_eq!((writes.check(now), writes.refusal()), (Ok(()), None));
        assert_eq!(writes.refuse(full(), true, now()).1, Change::None, "told a moment ago");
    }

    #[test]
    fn what_is_refused_for_good_is_not_tried_again() {
        let (clock, writes) = (ManualClock::new(TimestampMs(0)), Writes::default());
        let now = || clock.monotonic();
        writes.refuse("full".to_owned(), true, now());
        let (error, change) = writes.refuse("sync failed".to_owned(), false, now());
        assert!(matches!(error, AppendError::ReadOnly { .. }), "{error}");
        assert_eq!(change, Change::Refusing, "worse than before is told at once");
        clock.advance(DurationMs(3_600_000));
        assert!(matches!(writes.check(now), Err(AppendError::ReadOnly { .. })));
        assert_eq!(writes.succeeded(), Change::None);
        let (error, _) = writes.refuse("full".to_owned(), true, now());
        assert_eq!(error, AppendError::ReadOnly { reason: "sync failed".to_owned() });
        assert!(!writes.refusal().expect("still").is_passing);
    }

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        for (code, passes) in
            [(28, true), (122, true), (30, true), (24, true), (23, true), (5, false)]
        {
            assert_eq!(is_passing(&io::Error::from_raw_os_error(code)), passes, "errno {code}");
        }
    }
}
