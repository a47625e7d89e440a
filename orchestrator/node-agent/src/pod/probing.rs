//! Which probes of a pod are running, and what a container counts as without them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::PodStatus;
use swell_model::TimestampMs;
use swell_runtime::{ContainerId, ContainerState};
use tokio::sync::mpsc;

use super::spec::{ContainerSpec, Role, Workload};
use super::state::{PodState, Progress};
use crate::context::Context;
use crate::probe::{CheckTarget, ProbeKind, ProbeReport, ProbeSpec, ProbeTask};

/// The probes of one pod.
pub(super) struct Probing {
    report: mpsc::Sender<ProbeReport>,
    containers: BTreeMap<String, Probes>,
    /// What an earlier agent had found, by container id: an adopted pod does not lose its traffic.
    before: BTreeMap<String, Before>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Before {
    started: bool,
    ready: bool,
}

struct Probes {
    container: ContainerId,
    startup: Option<ProbeTask>,
    /// Readiness and liveness; they wait for the start.
    lasting: Vec<ProbeTask>,
    lasting_begun: bool,
}

impl Probing {
    pub(super) fn new(report: mpsc::Sender<ProbeReport>, accepted: &PodStatus) -> Self {
        let statuses = accepted
            .init_container_statuses
            .iter()
            .flatten()
            .chain(accepted.container_statuses.iter().flatten());
        let before = statuses.filter_map(|status| {
            // `process://<id>`
            let id = status.container_id.as_ref()?.split_once("://")?.1.to_owned();
            Some((id, Before { started: status.started == Some(true), ready: status.ready }))
        });
        Self { report, containers: BTreeMap::new(), before: before.collect() }
    }

    /// Ends all probes.
    pub(super) fn stop(&mut self) {
        self.containers.clear();
    }

    /// Starts and ends probes as containers come and go. Returns the containers that run since the last look.
    pub(super) fn tend(
        &mut self,
        context: &Context,
        workload: &Workload,
        state: &mut PodState,
        address: IpAddr,
        now: TimestampMs,
    ) -> Vec<String> {
        let mut fresh = Vec::new();
        for spec in workload.containers() {
            let Some(progress) = state.containers.get_mut(&spec.name) else { continue };
            let running = progress.current.as_ref().and_then(|run| match run.state {
                ContainerState::Running { started_at } => Some((run.id.clone(), started_at)),
                _ => None,
            });
            let Some((id, started_at)) = running else {
                self.containers.remove(&spec.name);
                continue;
            };
            let target = CheckTarget { runtime: context.runtime.clone(), container: id, address };
            let age = now.since(started_at).to_std();
            if self.tend_container(spec, progress, &target, age) {
                fresh.push(spec.name.clone());
            }
        }
        fresh
    }

    /// True when the container was not known to run.
    fn tend_container(
        &mut self,
        spec: &ContainerSpec,
        progress: &mut Progress,
        target: &CheckTarget,
        age: std::time::Duration,
    ) -> bool {
        let id = &target.container;
        let begin = |kind, probe: &ProbeSpec, before: bool| {
            let report = self.report.clone();
            let before = before.then_some(true);
            ProbeTask::start(kind, probe.clone(), target.clone(), age, before, report)
        };
        let before = self.before.get(id.as_str()).copied().unwrap_or_default();
        let known = self.containers.get(&spec.name).is_some_and(|probes| probes.container == *id);
        if !known {
            progress.started = spec.startup.is_none() || before.started;
            progress.ready = before.ready;
            let startup = spec.startup.as_ref().filter(|_| !progress.started);
            let probes = Probes {
                container: id.clone(),
                startup: startup.map(|probe| begin(ProbeKind::Startup, probe, false)),
                lasting: Vec::new(),
                lasting_begun: false,
            };
            self.containers.insert(spec.name.clone(), probes);
        }
        let is_probed = spec.role != Role::Init;
        let lasting_due = self
            .containers
            .get(&spec.name)
            .is_some_and(|probes| progress.started && !probes.lasting_begun && is_probed);
        if lasting_due {
            let readiness = spec.readiness.as_ref();
            let readiness = readiness.map(|probe| begin(ProbeKind::Readiness, probe, before.ready));
            let liveness = spec.liveness.as_ref();
            let liveness = liveness.map(|probe| begin(ProbeKind::Liveness, probe, false));
            progress.ready |= readiness.is_none();
            if let Some(probes) = self.containers.get_mut(&spec.name) {
                probes.startup = None;
                probes.lasting = readiness.into_iter().chain(liveness).collect();
                probes.lasting_begun = true;
            }
        }
        !known
    }
}
