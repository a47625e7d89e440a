//! From signals to one token, a deadline for those who do not listen, and an end for a process that lost a part.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// Time for everything to stop by itself.
const DRAIN_DEADLINE: Duration = Duration::from_secs(20);

/// A token that the first SIGINT or SIGTERM cancels; a second one ends the process at once.
pub(crate) fn on_signal() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancelled.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(token)
}

/// SIGHUP cancels the token too: the terminal is gone, and what was started for it goes.
pub(crate) fn on_hangup(token: &CancellationToken) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    let cancelled = token.clone();
    tokio::spawn(async move {
        hangup.recv().await;
        cancelled.cancel();
    });
    Ok(())
}

/// Whether every part of the process still runs. Clones are the same watch.
#[derive(Clone, Debug)]
pub(crate) struct Vigil {
    /// The first part that ended although nobody had stopped it.
    lost: watch::Sender<Option<&'static str>>,
}

impl Vigil {
    pub(crate) fn new() -> Self {
        Self { lost: watch::Sender::new(None) }
    }

    /// Waits until a part is lost; its name. For as long as all is well this waits.
    pub(crate) async fn lost(&self) -> &'static str {
        let mut lost = self.lost.subscribe();
        loop {
            if let Some(part) = *lost.borrow_and_update() {
                return part;
            }
            if lost.changed().await.is_err() {
                // Not while this value lives, which holds the sender.
                return std::future::pending().await;
            }
        }
    }

    fn note(&self, part: &'static str) {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert(part);
            is_first
        });
    }
}

/// The error of a process that lost a part: it must not go on and look well.
pub(crate) fn lost_part(part: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{part} has ended although nobody stopped it (the log says why): start again, what was acknowledged is kept"
    )
}

/// Parts of the process that stop together. One that panics or ends early is noticed.
#[derive(Clone, Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    vigil: Vigil,
}

impl Tasks {
    /// Parts that end when `stop` is cancelled.
    pub(crate) fn new(stop: CancellationToken, vigil: &Vigil) -> Self {
        Self { tracker: TaskTracker::new(), stop, vigil: vigil.clone() }
    }

    /// What parts listen to.
    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a part, which ends when the token is cancelled and not before.
    pub(crate) fn spawn(
        &self,
        part: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let (stop, vigil) = (self.stop.clone(), self.vigil.clone());
        self.tracker.spawn(async move {
            let panicked = AssertUnwindSafe(work).catch_unwind().await.is_err();
            if panicked {
                error!(part, "a part of this process failed inside");
            } else if !stop.is_cancelled() {
                error!(part, "a part of this process ended early");
            } else {
                return;
            }
            vigil.note(part);
        });
    }

    /// Tells all parts to stop and waits for them, but not for ever.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        drain(&self.tracker).await;
    }
}

/// Waits for all tasks, but not for ever.
pub(crate) async fn drain(tasks: &TaskTracker) {
    tasks.close();
    if tokio::time::timeout(DRAIN_DEADLINE, tasks.wait()).await.is_err() {
        warn!(tasks = tasks.len(), "some tasks did not stop in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_or_ends_early_is_noticed() {
        for panics in [false, true] {
            let vigil = Vigil::new();
            let tasks = Tasks::new(CancellationToken::new(), &vigil);
            let stop = tasks.stop_token();
            tasks.spawn("the steady part", async move { stop.cancelled().await });
            tasks.spawn("the weak part", async move {
                assert!(!panics, "on purpose");
            });
            assert_eq!(vigil.lost().await, "the weak part");
            tasks.stop().await;
            assert_eq!(vigil.lost().await, "the weak part", "what was lost first stays");
        }
    }

    #[tokio::test]
    async fn parts_that_end_when_told_are_not_missed() {
        let vigil = Vigil::new();
        let tasks = Tasks::new(CancellationToken::new(), &vigil);
        let stop = tasks.stop_token();
        tasks.spawn("the steady part", async move { stop.cancelled().await });
        tasks.stop().await;
        assert_eq!(vigil.lost().now_or_never(), None);
    }

    #[tokio::test]
    async fn a_panic_while_stopping_is_noticed_too() {
        let vigil = Vigil::new();
        let tasks = Tasks::new(CancellationToken::new(), &vigil);
        let stop = tasks.stop_token();
        tasks.spawn("the weak part", async move {
            stop.cancelled().await;
            panic!("on purpose");
        });
        tasks.stop().await;
        assert_eq!(vigil.lost().await, "the weak part");
    }
}
