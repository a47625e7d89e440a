//! What kubectl would see.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use swell_model::DurationMs;
use swell_runtime::{ContainerId, ExitReason, PodIdentity, SandboxId};

use super::*;
use crate::pod::back_off::BackOffLimits;
use crate::pod::plan::plan;
use crate::pod::spec::Offer;
use crate::pod::state::{Refusal, Termination};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

fn pod(policy: &str) -> core_v1::Pod {
    let pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "spec": {"restartPolicy": policy,
            "containers": [{"name": "main", "image": "host", "command": ["/bin/true"]}]},
    });
    serde_json::from_value(pod).expect("a pod")
}

fn identity() -> PodIdentity {
    PodIdentity { namespace: "shop".into(), name: "web".into(), uid: "u1".into() }
}

fn run(attempt: u32, state: ContainerState) -> Run {
    Run { id: ContainerId::of(&identity(), "main", attempt), attempt, state }
}

fn exited(attempt: u32, code: i32) -> Run {
    let exit = Exit {
        code,
        signal: None,
        reason: if code == 0 { ExitReason::Completed } else { ExitReason::Error },
        message: String::new(),
        started_at: Some(NOW),
        finished_at: NOW,
    };
    run(attempt, ContainerState::Exited(exit))
}

fn running(ready: bool) -> Progress {
    Progress {
        current: Some(run(0, ContainerState::Running { started_at: NOW })),
        started: true,
        ready,
        ..Progress::default()
    }
}

/// The status as JSON, as the API has it.
fn shown(policy: &str, state: &mut PodState, before: &core_v1::PodStatus) -> Value {
    let pod = pod(policy);
    let offer = Offer { runtime_class: "process".to_owned(), host_image_only: true };
    let workload = Workload::from_pod(&pod, &offer).expect("suitable");
    let plan = plan(&workload, state, BackOffLimits::KUBELET, NOW);
    let around = Surroundings {
        runtime_name: "process",
        host: "127.0.0.1".parse().expect("an address"),
        start_time: NOW,
        before,
        misbound: None,
    };
    serde_json::to_value(status(&pod, &workload, state, &plan, &around, NOW)).expect("JSON")
}

fn state(progress: Progress) -> PodState {
    PodState {
        sandbox: Sandbox::Ready {
            id: SandboxId::of(&identity(), 0),
            address: Some("127.64.0.7".parse().expect("an address")),
        },
        containers: BTreeMap::from([("main".to_owned(), progress)]),
        ..PodState::default()
    }
}

fn condition(status: &Value, name: &str) -> String {
    let all = status["conditions"].as_array().expect("conditions");
    let found = all.iter().find(|condition| condition["type"] == name).expect(name);
    let text = |field: &str| found[field].as_str().unwrap_or("-").to_owned();
    format!("{} {}", text("status"), text("reason"))
}

#[test]
fn phases_follow_the_kubelet() {
    let check = |policy, progress: Progress, phase: &str, ready: &str| {
        let status = shown(policy, &mut state(progress), &core_v1::PodStatus::default());
        assert_eq!(status["phase"], phase, "{status:#}");
        assert_eq!(condition(&status, "Ready"), ready, "{status:#}");
    };
    let ended = |code| Progress { current: Some(exited(0, code)), ..Progress::default() };
    check("Always", Progress::default(), "Pending", "False ContainersNotReady");
    check("Always", running(false), "Running", "False ContainersNotReady");
    check("Always", running(true), "Running", "True -");
    check("Always", ended(0), "Running", "False ContainersNotReady");
    check("Never", ended(0), "Succeeded", "False PodCompleted");
    check("Never", ended(1), "Failed", "False PodFailed");
    check("OnFailure", ended(1), "Running", "False ContainersNotReady");
}

#[test]
fn a_crash_loop_reads_as_in_kubernetes() {
    let mut progress = Progress { current: Some(exited(3, 2)), ..Progress::default() };
    progress.back_off = progress.back_off.restarted(NOW, NOW, BackOffLimits::KUBELET);
    let status = shown("Always", &mut state(progress), &core_v1::PodStatus::default());
    let container = &status["containerStatuses"][0];
    assert_eq!(
        container["state"]["waiting"],
        json!({
            "reason": "CrashLoopBackOff",
            "message": "back-off 10s restarting failed container=main pod=web_shop(u1)",
        })
    );
    let last = &container["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(2), &json!("Error")));
    assert_eq!(container["restartCount"], 3);
    assert_eq!(container["containerID"], "process://u1_main_3");
}

#[test]
fn a_refused_container_shows_the_way_out() {
    let refusal = Refusal {
        reason: "CreateContainerError",
        message: "command \"/x\": does not exist; install it".to_owned(),
        retry_at: NOW + DurationMs(1),
    };
    let progress = Progress { refusal: Some(refusal.clone()), ..Progress::default() };
    let status = shown("Always", &mut state(progress), &core_v1::PodStatus::default());
    let waiting = &status["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting, &json!({"reason": refusal.reason, "message": refusal.message}));
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["podIP"], "127.64.0.7");
}

#[test]
fn a_pod_that_goes_is_not_ready_while_its_program_still_runs() {
    let mut going = state(running(true));
    going.termination =
        Some(Termination { drained_at: NOW + DurationMs(300), deadline: NOW + DurationMs(9000) });
    let status = shown("Always", &mut going, &core_v1::PodStatus::default());
    assert_eq!(condition(&status, "Ready"), "False ContainersNotReady");
    assert_eq!(status["containerStatuses"][0]["ready"], false);
    assert_eq!(status["phase"], "Running");
}

#[test]
fn conditions_of_others_stay_and_ours_keep_their_time() {
    let before: core_v1::PodStatus = serde_json::from_value(json!({"conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        {"type": "Ready", "status": "True", "lastTransitionTime": "2021-01-01T00:00:00Z"},
        {"type": "ContainersReady", "status": "False", "lastTransitionTime": "2021-01-01T00:00:00Z"},
        {"type": BOUND_CONDITION, "status": "False", "reason": "ListensElsewhere"},
    ]}))
    .expect("a status");
    let status = shown("Always", &mut state(running(true)), &before);
    let time = |name: &str| {
        let all = status["conditions"].as_array().expect("conditions");
        let found = all.iter().find(|condition| condition["type"] == name)?;
        Some(found["lastTransitionTime"].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(time("PodScheduled").as_deref(), Some("2020-01-01T00:00:00Z"));
    assert_eq!(time("Ready").as_deref(), Some("2021-01-01T00:00:00Z"));
    assert_eq!(time("ContainersReady").as_deref(), Some("2023-11-14T22:13:20Z"), "it changed now");
    assert_eq!(time(BOUND_CONDITION), None, "what was wrong and is no more is gone");
    let again: core_v1::PodStatus = serde_json::from_value(status.clone()).expect("a status");
    assert_eq!(
        shown("Always", &mut state(running(true)), &again),
        status,
        "read back it is the same"
    );
}

#[test]
fn an_unsuitable_pod_stays_pending_with_the_reason() {
    let why = Unsuitable { reason: "ErrImageNeverPull", message: "no images here".to_owned() };
    let before = core_v1::PodStatus::default();
    let around = Surroundings {
        runtime_name: "process",
        host: "127.0.0.1".parse().expect("an address"),
        start_time: NOW,
        before: &before,
        misbound: None,
    };
    let status = unsuitable_status(&pod("Always"), &why, &around, NOW);
    let status = serde_json::to_value(status).expect("JSON");
    assert_eq!(status["phase"], "Pending");
    let waiting = &status["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting, &json!({"reason": why.reason, "message": why.message}));
    assert_eq!(condition(&status, "Ready"), "False ContainersNotReady");
}
