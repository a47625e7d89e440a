//! One task for each probe of a running container; it reports changes and failures.

use std::time::Duration;

use swell_runtime::ContainerId;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::schedule::Schedule;
use super::tally::Tally;
use super::{CheckTarget, ProbeKind, ProbeSpec, run_check};

/// What a probe has to say.
#[derive(Clone, Debug)]
pub(crate) struct ProbeReport {
    pub(crate) container: ContainerId,
    pub(crate) kind: ProbeKind,
    pub(crate) verdict: ProbeVerdict,
}

/// See [`ProbeReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProbeVerdict {
    /// A threshold was reached: healthy or not from here on.
    Established(bool),
    /// A failure that counts, for an event; whether anything changes is told apart.
    Failed(String),
}

/// A running probe; it ends when dropped.
#[derive(Debug)]
pub(crate) struct ProbeTask(AbortHandle);

impl Drop for ProbeTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ProbeTask {
    /// Starts probing a container that has been running for `age`; `before` is what was established of an
    /// adopted one.
    pub(crate) fn start(
        kind: ProbeKind,
        spec: ProbeSpec,
        target: CheckTarget,
        age: Duration,
        before: Option<bool>,
        reports: mpsc::Sender<ProbeReport>,
    ) -> Self {
        let schedule = Schedule::new(kind, &spec);
        let tally = Tally::new(kind, &spec, before);
        let probe = Probe { kind, spec, target, schedule, tally, reports };
        Self(tokio::spawn(probe.run(age)).abort_handle())
    }
}

struct Probe {
    kind: ProbeKind,
    spec: ProbeSpec,
    target: CheckTarget,
    schedule: Schedule,
    tally: Tally,
    reports: mpsc::Sender<ProbeReport>,
}

impl Probe {
    async fn run(mut self, age: Duration) {
        // An adopted container may be older than the machine's clock reaches back.
        let origin = Instant::now().checked_sub(age).unwrap_or_else(Instant::now);
        loop {
            let slot = self.schedule.next(origin.elapsed(), self.tally.is_up());
            tokio::time::sleep_until(origin + slot.at).await;
            let outcome = run_check(&self.target, &self.spec.check, self.spec.timeout).await;
            let ok = outcome.is_ok();
            if !ok && !slot.regular {
                continue;
            }
            let failure = outcome.err().map(ProbeVerdict::Failed);
            let change = self.tally.step(ok).map(ProbeVerdict::Established);
            let decided = change.is_some();
            for verdict in failure.into_iter().chain(change) {
                let container = self.target.container.clone();
                let report = ProbeReport { container, kind: self.kind, verdict };
                // The worker that would listen is gone only when this task is about to be, too.
                if self.reports.send(report).await.is_err() {
                    return;
                }
            }
            if decided && self.kind == ProbeKind::Startup {
                return;
            }
        }
    }
}
