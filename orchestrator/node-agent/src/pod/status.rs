//! The pod's status as the API shows it: phases, reasons and conditions are the kubelet's.

use core::net::IpAddr;

use k8s_openapi::api::core::v1 as core_v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use swell_model::TimestampMs;
use swell_runtime::{ContainerState, Exit};

use super::plan::{Plan, Shown};
use super::spec::{ContainerSpec, HOST_IMAGE, RestartPolicy, Role, Unsuitable, Workload};
use super::state::{PodEnd, PodState, Progress, Run, Sandbox};

/// Condition that says where a program listens instead of at its pod's address.
pub(crate) const BOUND_CONDITION: &str = "swell.dev/BoundToPodAddress";

/// What does not come from the pod itself.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings<'a> {
    /// Scheme of container ids.
    pub(crate) runtime_name: &'static str,
    /// The node's address.
    pub(crate) host: IpAddr,
    /// When this node took the pod on.
    pub(crate) start_time: TimestampMs,
    /// The status as last known, for conditions of others and times of transitions.
    pub(crate) before: &'a core_v1::PodStatus,
    /// What listens in the wrong place, if anything.
    pub(crate) misbound: Option<&'a str>,
}

/// The status of a pod that cannot run here.
pub(crate) fn unsuitable_status(
    pod: &core_v1::Pod,
    why: &Unsuitable,
    around: &Surroundings<'_>,
    now: TimestampMs,
) -> core_v1::PodStatus {
    let spec = pod.spec.clone().unwrap_or_default();
    let waiting = |container: &core_v1::Container| core_v1::ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        state: Some(waiting_state(why.reason, &why.message)),
        started: Some(false),
        ..core_v1::ContainerStatus::default()
    };
    let names: Vec<&str> =
        spec.containers.iter().map(|container| container.name.as_str()).collect();
    let unready = not_ready(&names);
    let facts = [
        ("PodReadyToStartContainers", Err(("", String::new()))),
        (
            "Initialized",
            if spec.init_containers.is_none() { Ok(()) } else { Err(("", String::new())) },
        ),
        ("ContainersReady", Err(unready.clone())),
        ("Ready", Err(unready)),
    ];
    let init: Vec<_> = spec.init_containers.iter().flatten().map(waiting).collect();
    core_v1::PodStatus {
        phase: Some("Pending".to_owned()),
        conditions: Some(conditions(facts.into(), around.before, now)),
        host_ip: Some(around.host.to_string()),
        host_ips: Some(vec![core_v1::HostIP { ip: around.host.to_string() }]),
        start_time: Some(time(around.start_time)),
        qos_class: Some(swell_api_types::qos_class(&spec).to_owned()),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(spec.containers.iter().map(waiting).collect()),
        ..core_v1::PodStatus::default()
    }
}

/// The status of a pod that runs, will run or has run here.
pub(crate) fn status(
    pod: &core_v1::Pod,
    workload: &Workload,
    state: &PodState,
    plan: &Plan,
    around: &Surroundings<'_>,
    now: TimestampMs,
) -> core_v1::PodStatus {
    let one = |spec: &ContainerSpec| container_status(spec, workload, state, plan, around);
    let init: Vec<_> = workload.init.iter().map(one).collect();
    let main: Vec<_> = workload.main.iter().map(one).collect();
    let phase = phase(workload, plan, &init, &main);
    let address = match &state.sandbox {
        Sandbox::Ready { address, .. } => Some(address.unwrap_or(around.host)),
        _ => None,
    };
    let facts = facts(workload, state, phase, &init, &main, address.is_some(), around);
    core_v1::PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(facts, around.before, now)),
        host_ip: Some(around.host.to_string()),
        host_ips: Some(vec![core_v1::HostIP { ip: around.host.to_string() }]),
        pod_ip: address.map(|address| address.to_string()),
        pod_ips: address.map(|address| vec![core_v1::PodIP { ip: address.to_string() }]),
        start_time: Some(time(around.start_time)),
        qos_class: pod.spec.as_ref().map(|spec| swell_api_types::qos_class(spec).to_owned()),
        init_container_statuses: (!init.is_empty()).then_some(init),
        container_statuses: Some(main),
        ..core_v1::PodStatus::default()
    }
}

fn container_status(
    spec: &ContainerSpec,
    workload: &Workload,
    state: &PodState,
    plan: &Plan,
    around: &Surroundings<'_>,
) -> core_v1::ContainerStatus {
    let absent = Progress::default();
    let progress = state.containers.get(&spec.name).unwrap_or(&absent);
    let id = |run: &Run| format!("{}://{}", around.runtime_name, run.id);
    let terminated = |run: &Run| run.exit().map(|exit| terminated_state(exit, id(run)));
    let shown = plan.shown.get(&spec.name).unwrap_or(&Shown::AsIs);
    let (now_state, last) = match (shown, &progress.current) {
        (Shown::Waiting { reason, message }, run) => {
            (waiting_state(reason, message), run.as_ref().and_then(terminated))
        }
        (Shown::BackOff { pause }, run) => {
            let pod = &workload.identity;
            let message = format!(
                "back-off {pause} restarting failed container={} pod={}_{}({})",
                spec.name, pod.name, pod.namespace, pod.uid
            );
            (waiting_state("CrashLoopBackOff", &message), run.as_ref().and_then(terminated))
        }
        (Shown::AsIs, None) => (waiting_state("ContainerCreating", ""), None),
        (Shown::AsIs, Some(run)) => {
            (run_state(run, id(run)), progress.previous.as_ref().and_then(terminated))
        }
    };
    let running = now_state.running.is_some();
    let completed = now_state.terminated.as_ref().is_some_and(|end| end.exit_code == 0);
    core_v1::ContainerStatus {
        name: spec.name.clone(),
        image: spec.source.image.clone().unwrap_or_default(),
        image_id: HOST_IMAGE.to_owned(),
        container_id: progress.current.as_ref().map(id),
        restart_count: progress
            .current
            .as_ref()
            .map_or(0, |run| i32::try_from(run.attempt).unwrap_or(i32::MAX)),
        started: Some(running && progress.started),
        ready: match spec.role {
            Role::Init => completed,
            Role::Sidecar | Role::Main => running && progress.ready && state.termination.is_none(),
        },
        state: Some(now_state),
        last_state: last,
        ..core_v1::ContainerStatus::default()
    }
}

fn run_state(run: &Run, id: String) -> core_v1::ContainerState {
    match &run.state {
        ContainerState::Created => waiting_state("ContainerCreating", ""),
        ContainerState::Running { started_at } => core_v1::ContainerState {
            running: Some(core_v1::ContainerStateRunning { started_at: Some(time(*started_at)) }),
            ..core_v1::ContainerState::default()
        },
        ContainerState::Exited(exit) => terminated_state(exit, id),
    }
}

fn waiting_state(reason: &str, message: &str) -> core_v1::ContainerState {
    core_v1::ContainerState {
        waiting: Some(core_v1::ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: (!message.is_empty()).then(|| message.to_owned()),
        }),
        ..core_v1::ContainerState::default()
    }
}

fn terminated_state(exit: &Exit, id: String) -> core_v1::ContainerState {
    core_v1::ContainerState {
        terminated: Some(core_v1::ContainerStateTerminated {
            container_id: Some(id),
            exit_code: exit.code,
            signal: exit.signal,
            reason: Some(exit.reason.as_str().to_owned()),
            message: (!exit.message.is_empty()).then(|| exit.message.clone()),
            started_at: Some(time(exit.started_at.unwrap_or(exit.finished_at))),
            finished_at: Some(time(exit.finished_at)),
        }),
        ..core_v1::ContainerState::default()
    }
}

/// `getPhase` of the kubelet.
fn phase(
    workload: &Workload,
    plan: &Plan,
    init: &[core_v1::ContainerStatus],
    main: &[core_v1::ContainerStatus],
) -> &'static str {
    match plan.end {
        Some(PodEnd::Succeeded) => return "Succeeded",
        Some(PodEnd::Failed) => return "Failed",
        None => {}
    }
    let state = |status: &core_v1::ContainerStatus| status.state.clone().unwrap_or_default();
    let ended_before = |status: &core_v1::ContainerStatus| {
        status.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
    };
    let initializing = workload.init.iter().zip(init).any(|(spec, status)| match spec.role {
        Role::Sidecar => status.started != Some(true) && !ended_before(status),
        _ => !status.ready,
    });
    let (mut waiting, mut running, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for status in main {
        let state = state(status);
        if state.running.is_some() {
            running += 1;
        } else if let Some(end) = state.terminated {
            stopped += 1;
            succeeded += usize::from(end.exit_code == 0);
        } else if ended_before(status) {
            stopped += 1;
        } else {
            waiting += 1;
        }
    }
    if (initializing && running == 0 && stopped == 0) || waiting > 0 {
        return "Pending";
    }
    if running > 0 {
        return "Running";
    }
    match workload.restart_policy {
        RestartPolicy::Always => "Running",
        _ if stopped == succeeded => "Succeeded",
        RestartPolicy::OnFailure => "Running",
        RestartPolicy::Never => "Failed",
    }
}

type Fact = (&'static str, Result<(), (&'static str, String)>);

/// The conditions that are this node's to tell: true, or why not.
fn facts(
    workload: &Workload,
    state: &PodState,
    phase: &str,
    init: &[core_v1::ContainerStatus],
    main: &[core_v1::ContainerStatus],
    has_sandbox: bool,
    around: &Surroundings<'_>,
) -> Vec<Fact> {
    let incomplete: Vec<&str> = workload
        .init
        .iter()
        .zip(init)
        .filter(|(spec, status)| match spec.role {
            Role::Sidecar => status.started != Some(true),
            _ => !status.ready,
        })
        .map(|(spec, _)| spec.name.as_str())
        .collect();
    let begun = main.iter().any(|status| status.container_id.is_some());
    let initialized = if incomplete.is_empty() || begun || phase == "Succeeded" {
        Ok(())
    } else {
        Err((
            "ContainersNotInitialized",
            format!("containers with incomplete status: [{}]", incomplete.join(" ")),
        ))
    };
    let sidecars = workload.init.iter().zip(init).filter(|(spec, _)| spec.role == Role::Sidecar);
    let unready: Vec<&str> = sidecars
        .map(|(_, status)| status)
        .chain(main)
        .filter(|status| !status.ready)
        .map(|status| status.name.as_str())
        .collect();
    let ready = match phase {
        "Succeeded" => Err(("PodCompleted", String::new())),
        "Failed" => Err(("PodFailed", String::new())),
        _ if unready.is_empty() => Ok(()),
        _ => Err(not_ready(&unready)),
    };
    let mut facts: Vec<Fact> = vec![
        (
            "PodReadyToStartContainers",
            if has_sandbox && !state.tearing_down { Ok(()) } else { Err(("", String::new())) },
        ),
        ("Initialized", initialized),
        ("ContainersReady", ready.clone()),
        ("Ready", ready),
    ];
    if let Some(message) = around.misbound {
        facts.push((BOUND_CONDITION, Err(("ListensElsewhere", message.to_owned()))));
    }
    facts
}

fn not_ready(names: &[&str]) -> (&'static str, String) {
    ("ContainersNotReady", format!("containers with unready status: [{}]", names.join(" ")))
}

/// Our facts among the conditions of others, with the time of the last change of each.
fn conditions(
    facts: Vec<Fact>,
    before: &core_v1::PodStatus,
    now: TimestampMs,
) -> Vec<core_v1::PodCondition> {
    let before = before.conditions.as_deref().unwrap_or_default();
    let ours = |name: &str| name == BOUND_CONDITION || facts.iter().any(|(fact, _)| *fact == name);
    let mut all: Vec<core_v1::PodCondition> =
        before.iter().filter(|condition| !ours(&condition.type_)).cloned().collect();
    for (name, fact) in &facts {
        let (status, reason, message) = match fact {
            Ok(()) => ("True", "", ""),
            Err((reason, message)) => ("False", *reason, message.as_str()),
        };
        let earlier = before.iter().find(|old| old.type_ == *name && old.status == status);
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        all.push(core_v1::PodCondition {
            type_: (*name).to_owned(),
            status: status.to_owned(),
            reason: text(reason),
            message: text(message),
            last_transition_time: earlier
                .and_then(|old| old.last_transition_time.clone())
                .or_else(|| Some(time(now))),
            ..core_v1::PodCondition::default()
        });
    }
    all.sort_by(|a, b| a.type_.cmp(&b.type_));
    all
}

/// A time as the API has it: whole seconds, so that one that was read back is the same.
pub(crate) fn time(at: TimestampMs) -> Time {
    Time(Timestamp::from_second(at.0.div_euclid(1000)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
