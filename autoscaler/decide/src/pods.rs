//! What is known of the pods of a workload, and which of them count.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_model::{DurationMs, TimestampMs};

use crate::fraction::sum;
use crate::metric::{MetricError, Resource};

/// Phase of a pod, as far as scaling cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// Not all containers run yet.
    Pending,
    /// Running.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
}

/// A pod's Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether the pod is ready.
    pub ready: bool,
    /// Since when.
    pub since: TimestampMs,
}

/// Requests of one container, in thousandths by resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRequests {
    /// Container name.
    pub name: Arc<str>,
    /// A restartable init container: counted with the others, but not found by name.
    pub sidecar: bool,
    /// Requests in thousandths.
    pub milli: BTreeMap<Resource, i64>,
}

/// Requests of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodRequests {
    /// Requests of the pod as a whole, in thousandths; they override the containers'.
    pub pod_level_milli: BTreeMap<Resource, i64>,
    /// Containers and restartable init containers.
    pub containers: Vec<ContainerRequests>,
}

/// One pod that the target's selector lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Name, unique within the list.
    pub name: Arc<str>,
    /// Phase.
    pub phase: PodPhase,
    /// Whether it has a deletion time.
    pub deleting: bool,
    /// When it started, if it did.
    pub started_at: Option<TimestampMs>,
    /// Its Ready condition, if it has one.
    pub readiness: Option<Readiness>,
    /// Requests.
    pub requests: PodRequests,
}

impl PodFacts {
    pub(crate) fn is_running_and_ready(&self) -> bool {
        self.phase == PodPhase::Running && self.readiness.is_some_and(|readiness| readiness.ready)
    }
}

/// What a pod uses, in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The pod as a whole.
    Pod(i64),
    /// By container.
    Containers(BTreeMap<Arc<str>, i64>),
}

impl Usage {
    fn of(&self, container: Option<&str>) -> Option<i64> {
        match (self, container) {
            (Self::Pod(milli), None) => Some(*milli),
            (Self::Pod(_), Some(_)) => None,
            (Self::Containers(containers), None) => {
                (!containers.is_empty()).then(|| sum(containers.values().copied()))
            }
            (Self::Containers(containers), Some(name)) => containers.get(name).copied(),
        }
    }
}

/// A measurement of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSample {
    /// Name of the pod.
    pub pod: Arc<str>,
    /// End of the interval measured.
    pub at: TimestampMs,
    /// Length of the interval measured.
    pub window: DurationMs,
    /// The value.
    pub usage: Usage,
}

/// When a starting pod's CPU counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartRules {
    /// For so long after its start a pod's CPU counts only when it is ready and was so during the whole sample.
    pub cpu_initialization_period: DurationMs,
    /// A pod that turned unready later than this after its start has been ready before.
    pub initial_readiness_delay: DurationMs,
}

impl StartRules {
    /// Kubernetes' defaults: five minutes and thirty seconds.
    pub const DEFAULT: Self = Self {
        cpu_initialization_period: DurationMs(300_000),
        initial_readiness_delay: DurationMs(30_000),
    };
}

/// The pods by what they are good for; indices into the list given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    /// Sampled and counted, with the sample's value in thousandths.
    pub ready: Vec<(usize, i64)>,
    /// Starting or not ready: joined only against a scale out, as using nothing.
    pub unready: Vec<usize>,
    /// Without a sample: joined against whatever the others ask for.
    pub missing: Vec<usize>,
    /// Failed or going away: left out.
    pub ignored: Vec<usize>,
    /// Time of the newest sample among `ready`.
    pub sampled_at: Option<TimestampMs>,
}

/// Sorts pods into classes. `resource` is set for resource metrics, where a starting pod's CPU is not to be
/// trusted; `container` picks one container's sample.
#[must_use]
pub fn classify(
    resource: Option<&Resource>,
    container: Option<&str>,
    pods: &[PodFacts],
    samples: &BTreeMap<&str, &PodSample>,
    rules: StartRules,
    now: TimestampMs,
) -> Classes {
    let is_cpu = resource == Some(&Resource::Cpu);
    let mut classes = Classes::default();
    for (idx, pod) in pods.iter().enumerate() {
        if pod.deleting || pod.phase == PodPhase::Failed {
            classes.ignored.push(idx);
            continue;
        }
        if pod.phase == PodPhase::Pending {
            classes.unready.push(idx);
            continue;
        }
        let sample = samples.get(&*pod.name);
        let Some((sample, value)) =
            sample.and_then(|sample| sample.usage.of(container).map(|value| (sample, value)))
        else {
            classes.missing.push(idx);
            continue;
        };
        if is_cpu && is_starting(pod, sample, rules, now) {
            classes.unready.push(idx);
            continue;
        }
        classes.ready.push((idx, value));
        classes.sampled_at = classes.sampled_at.max(Some(sample.at));
    }
    classes
}

fn is_starting(pod: &PodFacts, sample: &PodSample, rules: StartRules, now: TimestampMs) -> bool {
    let (Some(started_at), Some(readiness)) = (pod.started_at, pod.readiness) else {
        return true;
    };
    if started_at + rules.cpu_initialization_period > now {
        !readiness.ready || sample.at < readiness.since + sample.window
    } else {
        !readiness.ready && started_at + rules.initial_readiness_delay > readiness.since
    }
}

/// What a pod requests of `resource`, in thousandths: the whole pod's request if it has one, else the sum over
/// its containers (or the one named).
///
/// # Errors
/// [`MetricError::MissingRequest`] when a container that counts has no request, [`MetricError::ContainerNotFound`]
/// when `container` names none.
pub fn pod_request(
    pod: &PodFacts,
    resource: &Resource,
    container: Option<&str>,
) -> Result<i64, MetricError> {
    let requests = &pod.requests;
    let request_of = |candidate: &ContainerRequests| {
        candidate.milli.get(resource).copied().ok_or_else(|| MetricError::MissingRequest {
            resource: resource.clone(),
            container: candidate.name.to_string(),
            pod: pod.name.to_string(),
        })
    };
    if let Some(name) = container {
        return requests
            .containers
            .iter()
            .find(|candidate| &*candidate.name == name)
            .ok_or_else(|| MetricError::ContainerNotFound {
                container: name.to_owned(),
                pod: pod.name.to_string(),
            })
            .and_then(request_of);
    }
    if let Some(request) = requests.pod_level_milli.get(resource) {
        return Ok(*request);
    }
    requests
        .containers
        .iter()
        .try_fold(0_i64, |total, candidate| Ok(total.saturating_add(request_of(candidate)?)))
}
