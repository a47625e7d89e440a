//! A running binary whose standard error is read all the time.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::folder::pid_of;
use super::wait_for;

/// How long the last lines of an ended process may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Killed when dropped, so that a failed test leaves nothing behind.
pub(crate) struct Process {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = log.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, log, reader }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Waits for a line of standard error in which something is found.
    #[track_caller]
    pub(crate) fn line<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        wait_for(what, || {
            let ended = self.has_ended();
            let found = self.log().lines().find_map(&find);
            assert!(found.is_some() || !ended, "it ended before {what}:\n{}", self.log());
            found
        })
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM; the exit status.
    pub(crate) fn stop(mut self) -> i32 {
        kill_process(pid_of(self.pid()), Signal::TERM).expect("it runs");
        self.end()
    }

    /// Waits for the end; the exit status.
    pub(crate) fn end(&mut self) -> i32 {
        wait_for("the end of the process", || self.has_ended().then_some(()));
        // What it said last; unless somebody else holds the pipe, that is read at once.
        let ended_at = Instant::now();
        while !self.reader.is_finished() && ended_at.elapsed() < LAST_WORDS {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.child.wait().expect("it ended").code().unwrap_or(-1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is gone already is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
