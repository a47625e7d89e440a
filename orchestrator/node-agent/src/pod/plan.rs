//! What to do next for a pod: a function of what is wanted, what is there and the time.

use std::collections::BTreeMap;

use swell_model::{DurationMs, TimestampMs};
use swell_runtime::{ContainerId, ContainerState, Exit};

use super::back_off::BackOffLimits;
use super::spec::{ContainerSpec, RestartPolicy, Role, Workload};
use super::state::{Busy, PodEnd, PodState, Progress, Refusal, Run, Sandbox};
use crate::probe::ProbeKind;

/// One thing to do. Doing it makes the state such that it is not asked for again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Give the pod an address and make its sandbox.
    PrepareSandbox,
    /// Make and start a run of a container.
    Start {
        /// The container.
        container: String,
        /// Which run.
        attempt: u32,
    },
    /// Stop a run.
    Stop {
        /// The container.
        container: String,
        /// Which run.
        id: ContainerId,
        /// SIGKILL comes then.
        deadline: TimestampMs,
        /// Why.
        why: StopReason,
    },
    /// Forget a run that nobody asks for any more.
    Remove {
        /// Which run.
        id: ContainerId,
    },
    /// Remove all that the pod had, and the pod itself if it is being deleted.
    TearDown,
}

/// Why a container is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The pod goes.
    PodDeleted,
    /// A probe found it dead; it is started again if the pod's policy says so.
    Unhealthy(ProbeKind),
    /// A sidecar whose pod has done its work.
    WorkDone,
}

/// How a container shows in the pod's status, where that is not simply what the runtime says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As the runtime has it.
    AsIs,
    /// Waiting for the run to come.
    Waiting {
        /// Kubernetes' word.
        reason: &'static str,
        /// More, for people.
        message: String,
    },
    /// Ended, and waits so long until it is started again.
    BackOff {
        /// The whole pause.
        pause: DurationMs,
    },
}

/// See [`plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do, in this order.
    pub actions: Vec<Action>,
    /// How each container shows.
    pub shown: BTreeMap<String, Shown>,
    /// Set when no container will run again.
    pub end: Option<PodEnd>,
    /// When to look again even if nothing happens.
    pub wake_at: Option<TimestampMs>,
}

/// Decides. The order of containers in the workload is the order of init containers; nothing else depends on order.
#[must_use]
pub fn plan(
    workload: &Workload,
    state: &PodState,
    limits: BackOffLimits,
    now: TimestampMs,
) -> Plan {
    let mut planner = Planner { workload, state, limits, now, plan: Plan::default() };
    if state.termination.is_some() {
        planner.terminate();
    } else if state.end.is_some() {
        planner.plan.end = state.end;
        planner.show_all();
    } else {
        planner.run();
    }
    planner.plan
}

struct Planner<'a> {
    workload: &'a Workload,
    state: &'a PodState,
    limits: BackOffLimits,
    now: TimestampMs,
    plan: Plan,
}

/// What a container's step means for the rest of the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It will still run, or runs.
    Open,
    /// It ended with this code and stays so.
    Closed(i32),
}

impl<'a> Planner<'a> {
    fn progress(&self, spec: &ContainerSpec) -> Option<&'a Progress> {
        self.state.containers.get(&spec.name)
    }

    fn show(&mut self, spec: &ContainerSpec, shown: Shown) {
        self.plan.shown.insert(spec.name.clone(), shown);
    }

    fn wait(&mut self, spec: &ContainerSpec, reason: &'static str) {
        self.show(spec, Shown::Waiting { reason, message: String::new() });
    }

    fn show_all(&mut self) {
        for spec in self.workload.containers() {
            let has_run = self.progress(spec).is_some_and(|progress| progress.current.is_some());
            match has_run {
                true => self.show(spec, Shown::AsIs),
                false => self.wait(spec, "ContainerCreating"),
            }
        }
    }

    fn wake(&mut self, at: TimestampMs) {
        self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    fn run(&mut self) {
        match &self.state.sandbox {
            Sandbox::Absent => {
                self.plan.actions.push(Action::PrepareSandbox);
                return self.wait_all("ContainerCreating");
            }
            Sandbox::Preparing => return self.wait_all("ContainerCreating"),
            Sandbox::Refused(refusal) => return self.refused_sandbox(refusal),
            Sandbox::Ready { .. } => {}
        }
        self.remove_older();
        let workload = self.workload;
        let main_begun = workload
            .main
            .iter()
            .any(|spec| self.progress(spec).is_some_and(|p| p.current.is_some()));
        let initialized = self.initialize(main_begun);
        if self.plan.end.is_some() {
            return;
        }
        let mut codes = Vec::new();
        for spec in &workload.main {
            if !initialized {
                self.wait(spec, "PodInitializing");
            } else if let Stage::Closed(code) = self.step(spec) {
                codes.push(code);
            }
        }
        if initialized && codes.len() == workload.main.len() {
            self.finish(&codes);
        }
    }

    fn wait_all(&mut self, reason: &'static str) {
        for spec in self.workload.containers() {
            let initializing = spec.role == Role::Main && !self.workload.init.is_empty();
            self.wait(spec, if initializing { "PodInitializing" } else { reason });
        }
    }

    fn refused_sandbox(&mut self, refusal: &Refusal) {
        for spec in self.workload.containers() {
            let (reason, message) = (refusal.reason, refusal.message.clone());
            self.show(spec, Shown::Waiting { reason, message });
        }
        if self.now >= refusal.retry_at {
            self.plan.actions.push(Action::PrepareSandbox);
        } else {
            self.wake(refusal.retry_at);
        }
    }

    fn remove_older(&mut self) {
        for progress in self.state.containers.values() {
            let older = progress.older.iter().cloned();
            self.plan.actions.extend(older.map(|id| Action::Remove { id }));
        }
    }

    /// Steps through the init containers; true once the containers proper may run.
    fn initialize(&mut self, main_begun: bool) -> bool {
        let workload = self.workload;
        let mut before_done = true;
        for spec in &workload.init {
            let progress = self.progress(spec);
            if main_begun && spec.role == Role::Init {
                self.show(spec, Shown::AsIs);
                continue;
            }
            if !before_done {
                self.wait(spec, "PodInitializing");
                continue;
            }
            let stage = self.step(spec);
            let done = match (spec.role, stage) {
                (Role::Sidecar, _) => progress.is_some_and(|progress| progress.started),
                (_, Stage::Closed(0)) => true,
                (_, Stage::Closed(_)) => {
                    self.plan.end = Some(PodEnd::Failed);
                    false
                }
                (_, Stage::Open) => false,
            };
            before_done &= done || main_begun;
        }
        before_done
    }

    /// What one container needs now.
    fn step(&mut self, spec: &ContainerSpec) -> Stage {
        let absent = Progress::default();
        let progress = self.progress(spec).unwrap_or(&absent);
        let Some(run) = &progress.current else {
            self.wait(spec, "ContainerCreating");
            if progress.busy == Busy::Idle {
                self.start(spec, progress, 0);
            }
            return Stage::Open;
        };
        self.show(spec, Shown::AsIs);
        match (&run.state, progress.busy) {
            (ContainerState::Running { .. }, Busy::Idle) => {
                if let Some(unhealthy) = progress.unhealthy {
                    let grace = unhealthy.grace.unwrap_or(self.workload.termination_grace);
                    let why = StopReason::Unhealthy(unhealthy.probe);
                    self.stop(spec, run, self.now + grace, why);
                }
                Stage::Open
            }
            // Made by an agent that did not get to start it.
            (ContainerState::Created, Busy::Idle) => {
                self.start(spec, progress, run.attempt + 1);
                Stage::Open
            }
            (ContainerState::Exited(exit), busy) if !self.restarts(spec, exit) => {
                if busy == Busy::Idle { Stage::Closed(exit.code) } else { Stage::Open }
            }
            (ContainerState::Exited(exit), Busy::Idle) => {
                self.restart(spec, progress, run, exit);
                Stage::Open
            }
            _ => Stage::Open,
        }
    }

    fn restarts(&self, spec: &ContainerSpec, exit: &Exit) -> bool {
        match (spec.role, self.workload.restart_policy) {
            (Role::Sidecar, _) => true,
            (_, RestartPolicy::Never) => false,
            (Role::Main, RestartPolicy::Always) => true,
            (Role::Init, RestartPolicy::Always) | (_, RestartPolicy::OnFailure) => exit.code != 0,
        }
    }

    fn restart(&mut self, spec: &ContainerSpec, progress: &Progress, run: &Run, exit: &Exit) {
        let left = progress.back_off.remaining(exit.finished_at, self.now, self.limits);
        if left > DurationMs::ZERO {
            self.show(spec, Shown::BackOff { pause: progress.back_off.pause() });
            self.wake(self.now + left);
        } else {
            self.start(spec, progress, run.attempt + 1);
        }
    }

    /// Starts a run, unless it was refused lately.
    fn start(&mut self, spec: &ContainerSpec, progress: &Progress, attempt: u32) {
        if let Some(refusal) = &progress.refusal {
            let (reason, message) = (refusal.reason, refusal.message.clone());
            self.show(spec, Shown::Waiting { reason, message });
            if self.now < refusal.retry_at {
                self.wake(refusal.retry_at);
                return;
            }
        }
        self.plan.actions.push(Action::Start { container: spec.name.clone(), attempt });
    }

    fn stop(&mut self, spec: &ContainerSpec, run: &Run, deadline: TimestampMs, why: StopReason) {
        let (container, id) = (spec.name.clone(), run.id.clone());
        self.plan.actions.push(Action::Stop { container, id, deadline, why });
    }

    /// The work is done: sidecars go, then the pod has ended.
    fn finish(&mut self, codes: &[i32]) {
        let workload = self.workload;
        let mut left = false;
        // A sidecar that would be restarted or is being started is not, any more.
        self.plan.actions.retain(|action| !matches!(action, Action::Start { .. }));
        for spec in &workload.init {
            let Some(progress) = self.progress(spec) else { continue };
            left |= progress.busy != Busy::Idle || progress.is_running();
            if let Some(run) = progress.current.as_ref().filter(|run| run.state.is_running())
                && progress.busy == Busy::Idle
            {
                let deadline = self.now + workload.termination_grace;
                self.stop(spec, run, deadline, StopReason::WorkDone);
            }
        }
        if !left {
            let succeeded = codes.iter().all(|code| *code == 0);
            self.plan.end = Some(if succeeded { PodEnd::Succeeded } else { PodEnd::Failed });
        }
    }

    fn terminate(&mut self) {
        let (workload, state) = (self.workload, self.state);
        self.show_all();
        let Some(termination) = state.termination else { return };
        let is_left = |progress: &Progress| progress.is_running() || progress.busy != Busy::Idle;
        let main_left = workload.main.iter().filter_map(|spec| self.progress(spec)).any(is_left);
        let mut any_left = state.sandbox == Sandbox::Preparing;
        for spec in workload.containers() {
            let Some(progress) = self.progress(spec) else { continue };
            any_left |= is_left(progress);
            let Some(run) = progress.current.as_ref().filter(|run| run.state.is_running()) else {
                continue;
            };
            // Sidecars serve the others to the end.
            if spec.role == Role::Sidecar && main_left {
                continue;
            }
            let wanted = match progress.busy {
                Busy::Idle => true,
                Busy::Starting => false,
                Busy::Stopping { deadline } => termination.deadline < deadline,
            };
            if !wanted {
                continue;
            }
            if self.now < termination.drained_at {
                self.wake(termination.drained_at);
            } else {
                self.stop(spec, run, termination.deadline, StopReason::PodDeleted);
            }
        }
        if any_left {
            return;
        }
        if !state.tearing_down {
            self.plan.actions.push(Action::TearDown);
        }
        let exits: Vec<&Exit> = workload
            .main
            .iter()
            .filter_map(|spec| self.progress(spec).and_then(Progress::exit))
            .collect();
        self.plan.end = state.end.or_else(|| {
            let succeeded = exits.len() == workload.main.len() && exits.iter().all(|e| e.code == 0);
            let end = if succeeded { PodEnd::Succeeded } else { PodEnd::Failed };
            (!exits.is_empty()).then_some(end)
        });
    }
}

#[cfg(test)]
mod tests;
