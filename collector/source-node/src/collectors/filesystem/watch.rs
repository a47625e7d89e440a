//! Threads that call `statfs`, and what is known of those that do not come back.
//!
//! One worker takes paths in turn. When its current path has not answered by the deadline, that mount is
//! reported as timed out and left alone until the call returns; the worker is given up to it, and a new
//! one takes the rest. A call that returns late ends its worker.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use rustix::io::Errno;
use swell_model::{DurationMs, TimestampMs};

use super::{FilesystemStat, Statfs};

/// Threads that may hang at once; with more dead mounts than these, the others wait for one to return.
const WORKERS_MAX: usize = 8;

/// How long a pass waits for healthy file systems, which answer in microseconds, so that their values
/// are of this tick.
const PATIENCE: Duration = Duration::from_millis(2);

/// What came of the last question about a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Size(FilesystemStat),
    /// The system's error, as text.
    Failed(String),
    TimedOut,
}

pub(crate) struct Watch {
    statfs: Statfs,
    deadline: DurationMs,
    queue: VecDeque<PathBuf>,
    workers: Vec<Worker>,
    answers: BTreeMap<PathBuf, Answer>,
}

/// One thread and the path it is at, if any.
struct Worker {
    work: SyncSender<PathBuf>,
    results: Receiver<Answer>,
    current: Option<(PathBuf, TimestampMs)>,
    /// Its deadline passed: its mount is reported, and no further path is given to it.
    is_given_up: bool,
}

impl Watch {
    pub(crate) fn new(statfs: Statfs, deadline: DurationMs) -> Self {
        Self {
            statfs,
            deadline,
            queue: VecDeque::new(),
            workers: Vec::new(),
            answers: BTreeMap::new(),
        }
    }

    /// Asks for all these paths, and forgets what was known of others. A path whose last question is
    /// still open is not asked again.
    pub(crate) fn ask(&mut self, paths: Vec<PathBuf>, now: TimestampMs) {
        self.answers.retain(|path, _| paths.contains(path));
        let is_open = |path: &PathBuf| {
            self.workers
                .iter()
                .any(|worker| worker.current.as_ref().is_some_and(|at| at.0 == *path))
        };
        self.queue = paths.into_iter().filter(|path| !is_open(path)).collect();
        self.advance(now);
    }

    /// The last answer for a path; `None` before the first.
    pub(crate) fn answer(&self, path: &Path) -> Option<Answer> {
        self.answers.get(path).cloned()
    }

    /// Takes answers that came, and hands out queued paths until a worker keeps its path for longer than
    /// [`PATIENCE`].
    pub(crate) fn advance(&mut self, now: TimestampMs) {
        loop {
            let (answers, deadline) = (&mut self.answers, self.deadline);
            self.workers.retain_mut(|worker| worker.take_result(answers, now, deadline));
            let is_busy = |worker: &Worker| !worker.is_given_up && worker.current.is_some();
            if self.workers.iter().any(is_busy) {
                return;
            }
            let Some(path) = self.queue.pop_front() else { return };
            match self.free_worker() {
                Ok(Some(worker)) => worker.take_on(path, now),
                Ok(None) => {
                    self.queue.push_front(path);
                    return;
                }
                // the machine is out of threads
                Err(error) => {
                    self.answers.insert(path, Answer::Failed(describe(&error)));
                }
            }
        }
    }

    /// A worker without a path, spawned when there is none; `None` while too many hang.
    fn free_worker(&mut self) -> io::Result<Option<&mut Worker>> {
        if !self.workers.iter().any(|worker| worker.current.is_none()) {
            if self.workers.len() >= WORKERS_MAX {
                return Ok(None);
            }
            self.workers.push(Worker::spawn(self.statfs.clone())?);
        }
        Ok(self.workers.iter_mut().find(|worker| worker.current.is_none()))
    }
}

impl Worker {
    fn spawn(statfs: Statfs) -> io::Result<Self> {
        let (work, paths) = sync_channel::<PathBuf>(1);
        let (answered, results) = sync_channel(1);
        std::thread::Builder::new().name("swell-statfs".to_owned()).spawn(move || {
            while let Ok(path) = paths.recv() {
                let answer = match statfs(&path) {
                    Ok(stat) => Answer::Size(stat),
                    Err(error) => Answer::Failed(describe(&error)),
                };
                if answered.send(answer).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { work, results, current: None, is_given_up: false })
    }

    /// Starts on a path. Should the thread be gone, [`Worker::take_result`] finds that out.
    fn take_on(&mut self, path: PathBuf, now: TimestampMs) {
        if let Err(TrySendError::Full(_)) = self.work.try_send(path.clone()) {
            unreachable!("a worker without a path has an empty queue");
        }
        self.current = Some((path, now));
    }

    /// Looks for the answer to the current path; whether the worker is to be kept.
    fn take_result(
        &mut self,
        answers: &mut BTreeMap<PathBuf, Answer>,
        now: TimestampMs,
        deadline: DurationMs,
    ) -> bool {
        let Some((path, since)) = &self.current else { return true };
        let patience = if self.is_given_up { Duration::ZERO } else { PATIENCE };
        match self.results.recv_timeout(patience) {
            Ok(answer) => {
                answers.insert(path.clone(), answer);
                self.current = None;
                !self.is_given_up
            }
            Err(RecvTimeoutError::Timeout) => {
                if now.since(*since) >= deadline {
                    self.is_given_up = true;
                    answers.insert(path.clone(), Answer::TimedOut);
                }
                true
            }
            Err(RecvTimeoutError::Disconnected) => {
                answers.insert(path.clone(), Answer::Failed("its thread is gone".to_owned()));
                false
            }
        }
    }
}

/// The error as the C library words it, without the number: it becomes a label.
fn describe(error: &io::Error) -> String {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ACCESS) => "permission denied".to_owned(),
        Some(Errno::NOTCONN) => "transport endpoint is not connected".to_owned(),
        Some(Errno::STALE) => "stale file handle".to_owned(),
        Some(Errno::IO) => "input/output error".to_owned(),
        _ => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use super::*;

    /// Mounts whose `statfs` hangs until they are let go.
    #[derive(Default)]
    struct Dead {
        paths: Mutex<Vec<PathBuf>>,
        changed: Condvar,
    }

    impl Dead {
        fn statfs(self: &Arc<Self>) -> Statfs {
            let dead = self.clone();
            Arc::new(move |path| {
                let mut paths = dead.paths.lock().unwrap();
                while paths.iter().any(|hung| hung == path) {
                    paths = dead.changed.wait(paths).unwrap();
                }
                Ok(FilesystemStat { size_bytes: 7, ..FilesystemStat::default() })
            })
        }

        fn set(&self, paths: &[&str]) {
            *self.paths.lock().unwrap() = paths.iter().map(PathBuf::from).collect();
            self.changed.notify_all();
        }
    }

    const DEADLINE: DurationMs = DurationMs(1000);

    fn answers(watch: &Watch, paths: &[PathBuf]) -> Vec<&'static str> {
        let show = |path: &PathBuf| match watch.answer(path) {
            None => "none",
            Some(Answer::Size(_)) => "size",
            Some(Answer::Failed(_)) => "failed",
            Some(Answer::TimedOut) => "timeout",
        };
        paths.iter().map(show).collect()
    }

    /// Advances at a standing clock until the answers are as expected.
    fn wait_for(watch: &mut Watch, paths: &[PathBuf], now: i64, expected: &[&str]) {
        for _ in 0..5000 {
            watch.advance(TimestampMs(now));
            if answers(watch, paths) == expected {
                return;
            }
            std::thread::yield_now();
        }
        assert_eq!(answers(watch, paths), expected, "at {now}");
    }

    #[test]
    fn a_dead_mount_times_out_and_the_others_answer() {
        let dead = Arc::new(Dead::default());
        dead.set(&["/b"]);
        let paths: Vec<PathBuf> = ["/a", "/b", "/c"].map(PathBuf::from).into();
        let mut watch = Watch::new(dead.statfs(), DEADLINE);
        watch.ask(paths.clone(), TimestampMs(0));
        wait_for(&mut watch, &paths, 0, &["size", "none", "none"]);
        wait_for(&mut watch, &paths, 1000, &["size", "timeout", "size"]);

        // the next round leaves the dead one alone
        watch.ask(paths.clone(), TimestampMs(10_000));
        wait_for(&mut watch, &paths, 10_000, &["size", "timeout", "size"]);
        assert_eq!(watch.workers.len(), 2);

        dead.set(&[]);
        wait_for(&mut watch, &paths, 10_001, &["size", "size", "size"]);
        assert_eq!(watch.workers.len(), 1, "the late worker has ended");
    }

    #[test]
    fn threads_that_hang_are_bounded() {
        let dead = Arc::new(Dead::default());
        let names: Vec<String> = (0..WORKERS_MAX + 2).map(|idx| format!("/{idx}")).collect();
        dead.set(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
        let mut watch = Watch::new(dead.statfs(), DEADLINE);
        watch.ask(paths.clone(), TimestampMs(0));
        for second in 1..30 {
            watch.advance(TimestampMs(second * 1000));
        }
        assert_eq!(watch.workers.len(), WORKERS_MAX);
        let shown = answers(&watch, &paths);
        assert_eq!(shown.iter().filter(|shown| **shown == "timeout").count(), WORKERS_MAX);
        dead.set(&[]);
        wait_for(&mut watch, &paths, 31_000, &vec!["size"; names.len()]);
    }

    #[test]
    fn an_error_is_reported_as_such() {
        let refuse: Statfs =
            Arc::new(|_| Err(io::Error::from_raw_os_error(Errno::STALE.raw_os_error())));
        let mut watch = Watch::new(refuse, DEADLINE);
        let paths = vec![PathBuf::from("/a")];
        watch.ask(paths.clone(), TimestampMs(0));
        wait_for(&mut watch, &paths, 0, &["failed"]);
        assert_eq!(watch.answer(&paths[0]), Some(Answer::Failed("stale file handle".to_owned())));
    }
}
