//! Pods as the decision sees them.

use k8s_openapi::api::core::v1::{Container, Pod};
use swell_decide::{ContainerRequests, PodFacts, PodPhase, PodRequests, Readiness};
use swell_model::TimestampMs;

use super::translate::requests_milli;

pub(super) fn pod_facts(pod: &Pod) -> PodFacts {
    let status = pod.status.as_ref();
    let millis = |time: &k8s_openapi::apimachinery::pkg::apis::meta::v1::Time| {
        TimestampMs(time.0.as_millisecond())
    };
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"));
    PodFacts {
        name: pod.metadata.name.as_deref().unwrap_or_default().into(),
        phase: match status.and_then(|status| status.phase.as_deref()) {
            Some("Running" | "Unknown") => PodPhase::Running,
            Some("Succeeded") => PodPhase::Succeeded,
            Some("Failed") => PodPhase::Failed,
            _ => PodPhase::Pending,
        },
        deleting: pod.metadata.deletion_timestamp.is_some(),
        started_at: status.and_then(|status| status.start_time.as_ref()).map(millis),
        readiness: ready.map(|condition| Readiness {
            ready: condition.status == "True",
            since: condition.last_transition_time.as_ref().map_or(TimestampMs(0), millis),
        }),
        requests: requests_of(pod),
    }
}

fn requests_of(pod: &Pod) -> PodRequests {
    let Some(spec) = &pod.spec else { return PodRequests::default() };
    let container = |container: &Container, sidecar: bool| ContainerRequests {
        name: container.name.as_str().into(),
        sidecar,
        milli: requests_milli(
            container.resources.as_ref().and_then(|needs| needs.requests.as_ref()),
        ),
    };
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    PodRequests {
        pod_level_milli: requests_milli(
            spec.resources.as_ref().and_then(|needs| needs.requests.as_ref()),
        ),
        containers: spec
            .containers
            .iter()
            .map(|plain| container(plain, false))
            .chain(sidecars.map(|sidecar| container(sidecar, true)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swell_decide::{Resource, pod_request};

    use super::*;

    #[test]
    fn a_pod_shows_what_scaling_looks_at() {
        let pod = json!({
            "metadata": {"name": "a"},
            "spec": {
                "containers": [{"name": "c", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}}}],
                "initContainers": [
                    {"name": "once", "resources": {"requests": {"cpu": "1"}}},
                    {"name": "beside", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}}],
            },
            "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:02Z"}]},
        });
        let facts = pod_facts(&serde_json::from_value(pod).expect("a pod"));
        assert_eq!(facts.phase, PodPhase::Running);
        let since = facts.readiness.expect("a condition").since;
        assert_eq!(since.0 - facts.started_at.expect("a start").0, 2000);
        assert_eq!(pod_request(&facts, &Resource::Cpu, None), Ok(300));
        assert!(
            pod_request(&facts, &Resource::Memory, None).is_err(),
            "one container has no request"
        );
        assert_eq!(pod_request(&facts, &Resource::Memory, Some("c")), Ok(67_108_864_000));
    }
}
