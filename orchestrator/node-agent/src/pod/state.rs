//! What is known about a pod on this node: the runtime's view, what is under way, and what probes found.

use core::net::IpAddr;
use std::collections::BTreeMap;

use swell_model::{DurationMs, TimestampMs};
use swell_runtime::{ContainerId, ContainerState, ContainerStatus, Exit, SandboxId};

use super::back_off::BackOff;
use crate::probe::ProbeKind;

/// Label under which a container keeps its [`BackOff`].
pub(crate) const BACK_OFF_LABEL: &str = "swell.dev/back-off";

/// Everything that [`plan`](super::plan::plan) looks at, besides the workload itself.
#[derive(Clone, Debug, Default)]
pub struct PodState {
    /// The sandbox.
    pub sandbox: Sandbox,
    /// By name, init containers among them.
    pub containers: BTreeMap<String, Progress>,
    /// Set once the pod is to go.
    pub termination: Option<Termination>,
    /// Set once no container will run again.
    pub end: Option<PodEnd>,
    /// What the pod had is being removed.
    pub tearing_down: bool,
}

/// See [`PodState::sandbox`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sandbox {
    /// Not there.
    #[default]
    Absent,
    /// Being made.
    Preparing,
    /// There.
    Ready {
        /// Its id.
        id: SandboxId,
        /// The pod's address; `None` shares the node's.
        address: Option<IpAddr>,
    },
    /// Could not be made.
    Refused(Refusal),
}

/// Something could not be made; it is tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kubernetes' word for `state.waiting.reason`.
    pub reason: &'static str,
    /// What is wrong, where, and how to mend it.
    pub message: String,
    /// When to try again.
    pub retry_at: TimestampMs,
}

/// The pod is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination {
    /// Containers get their SIGTERM then; until then proxies learn that the pod is no longer ready.
    pub drained_at: TimestampMs,
    /// What is left then is killed.
    pub deadline: TimestampMs,
}

impl Termination {
    /// A pod asked at `now` to go within `grace`. One that served traffic is drained first, for `drain` at
    /// most and never more than half of its grace.
    #[must_use]
    pub fn new(now: TimestampMs, grace: DurationMs, drain: DurationMs, was_ready: bool) -> Self {
        let drain = if was_ready { drain.min(DurationMs(grace.0 / 2)) } else { DurationMs::ZERO };
        Self { drained_at: now + drain, deadline: now + grace }
    }

    /// Brings the end nearer; never further away.
    #[must_use]
    pub fn shortened(self, deadline: TimestampMs) -> Self {
        let deadline = self.deadline.min(deadline);
        Self { drained_at: self.drained_at.min(deadline), deadline }
    }
}

/// How a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodEnd {
    /// Every container with code 0.
    Succeeded,
    /// Some container not.
    Failed,
}

/// One container of the pod.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Its latest run.
    pub current: Option<Run>,
    /// How the run before that ended.
    pub previous: Option<Run>,
    /// Runs that nobody asks for any more.
    pub older: Vec<ContainerId>,
    /// What is being done to it.
    pub busy: Busy,
    /// Why its next run could not be made.
    pub refusal: Option<Refusal>,
    /// How often it has failed lately.
    pub back_off: BackOff,
    /// Its startup probe has succeeded, or it has none and runs.
    pub started: bool,
    /// Its readiness probe succeeds, or it has none and is started.
    pub ready: bool,
    /// A probe found it dead.
    pub unhealthy: Option<Unhealthy>,
}

/// One run of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: ContainerId,
    /// Counts the runs, from 0.
    pub attempt: u32,
    /// Where it is.
    pub state: ContainerState,
}

/// See [`Progress::busy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Busy {
    /// Nothing.
    #[default]
    Idle,
    /// Being made and started.
    Starting,
    /// Being stopped.
    Stopping {
        /// What is left then is killed.
        deadline: TimestampMs,
    },
}

/// A liveness or startup probe has failed often enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    /// Which.
    pub probe: ProbeKind,
    /// Grace of the probe; the pod's when absent.
    pub grace: Option<DurationMs>,
}

impl Progress {
    /// Whether its program runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.current.as_ref().is_some_and(|run| run.state.is_running())
    }

    /// How its latest run ended.
    #[must_use]
    pub fn exit(&self) -> Option<&Exit> {
        self.current.as_ref().and_then(Run::exit)
    }

    /// Takes over the runtime's view of its runs, in any order.
    pub fn observe(&mut self, statuses: &[&ContainerStatus]) {
        let mut statuses: Vec<&&ContainerStatus> = statuses.iter().collect();
        statuses.sort_by_key(|status| std::cmp::Reverse(status.config.attempt));
        let known = self.current.as_ref().map(|run| run.id.clone());
        self.current = statuses.first().map(|status| Run::of(status));
        self.previous = statuses.get(1).map(|status| Run::of(status));
        self.older = statuses.iter().skip(2).map(|status| status.id.clone()).collect();
        let is_new = known != self.current.as_ref().map(|run| run.id.clone());
        if is_new || !self.is_running() {
            (self.started, self.ready, self.unhealthy) = (false, false, None);
        }
        if is_new {
            self.refusal = None;
            let label =
                statuses.first().and_then(|status| status.config.labels.get(BACK_OFF_LABEL));
            self.back_off = label.map(|label| BackOff::from_label(label)).unwrap_or_default();
        }
    }
}

impl Run {
    fn of(status: &ContainerStatus) -> Self {
        Self { id: status.id.clone(), attempt: status.config.attempt, state: status.state.clone() }
    }

    /// How it ended, if it did.
    #[must_use]
    pub fn exit(&self) -> Option<&Exit> {
        match &self.state {
            ContainerState::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drain_is_part_of_the_grace_and_only_for_what_served() {
        let (now, drain) = (TimestampMs(1000), DurationMs(300));
        let at = |grace, was_ready| Termination::new(now, DurationMs(grace), drain, was_ready);
        assert_eq!(at(30_000, true).drained_at, TimestampMs(1300));
        assert_eq!(at(30_000, true).deadline, TimestampMs(31_000));
        assert_eq!(at(30_000, false).drained_at, now);
        assert_eq!(at(400, true).drained_at, TimestampMs(1200));
        assert_eq!(at(0, true).drained_at, now);
        let shortened = at(30_000, true).shortened(TimestampMs(1100));
        assert_eq!(shortened.drained_at, TimestampMs(1100));
        assert_eq!(shortened.shortened(TimestampMs(9000)).deadline, TimestampMs(1100));
    }
}
