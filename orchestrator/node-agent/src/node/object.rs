//! The Node object.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use swell_model::TimestampMs;
use swell_runtime::RuntimeVersion;

use super::machine::Pressure;
use crate::config::Config;
use crate::pod::time;

/// Condition that says what the runtime does not keep apart.
const ISOLATED: &str = "swell.dev/Isolated";

/// The object as it is created.
pub(super) fn node(config: &Config, info: &core::NodeSystemInfo) -> core::Node {
    core::Node {
        metadata: ObjectMeta {
            name: Some(config.node_name.clone()),
            labels: Some(labels(config, info)),
            ..ObjectMeta::default()
        },
        spec: Some(core::NodeSpec::default()),
        status: None,
    }
}

/// Labels that this agent sets; others on the object are left alone.
pub(super) fn labels(config: &Config, info: &core::NodeSystemInfo) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for prefix in ["kubernetes.io", "beta.kubernetes.io"] {
        labels.insert(format!("{prefix}/os"), info.operating_system.clone());
        labels.insert(format!("{prefix}/arch"), info.architecture.clone());
    }
    labels.insert("kubernetes.io/hostname".to_owned(), config.node_name.clone());
    labels.extend(config.labels.clone());
    labels
}

/// What goes into the status.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) config: &'a Config,
    pub(super) info: &'a core::NodeSystemInfo,
    pub(super) runtime: &'a RuntimeVersion,
    pub(super) pressure: Pressure,
    pub(super) logs_at: SocketAddr,
    /// Conditions as the API has them now.
    pub(super) before: &'a [core::NodeCondition],
}

/// The status. Fields of others (addresses of a cloud, volumes) are not touched, as it is sent as a patch.
pub(super) fn status(report: &Report<'_>, now: TimestampMs) -> core::NodeStatus {
    let config = report.config;
    let amounts = BTreeMap::from([
        ("cpu".to_owned(), cpu(config.capacity.cpu_milli)),
        ("memory".to_owned(), Quantity(format!("{}Ki", config.capacity.memory_bytes / 1024))),
        ("pods".to_owned(), Quantity(config.capacity.pods.to_string())),
    ]);
    let address =
        |type_: &str, address: String| core::NodeAddress { type_: type_.to_owned(), address };
    core::NodeStatus {
        capacity: Some(amounts.clone()),
        allocatable: Some(amounts),
        conditions: Some(conditions(report, now)),
        addresses: Some(vec![
            address("InternalIP", config.address.to_string()),
            address("Hostname", config.node_name.clone()),
        ]),
        daemon_endpoints: Some(core::NodeDaemonEndpoints {
            kubelet_endpoint: Some(core::DaemonEndpoint { port: i32::from(report.logs_at.port()) }),
        }),
        node_info: Some(report.info.clone()),
        ..core::NodeStatus::default()
    }
}

fn cpu(milli: u64) -> Quantity {
    if milli.is_multiple_of(1000) {
        Quantity((milli / 1000).to_string())
    } else {
        Quantity(format!("{milli}m"))
    }
}

/// `(type, status, reason, message)` in the kubelet's words.
fn facts(report: &Report<'_>) -> Vec<(&'static str, bool, &'static str, String)> {
    let pick = |bad: bool, yes: (&'static str, &str), no: (&'static str, &str)| {
        let (reason, message) = if bad { yes } else { no };
        (bad, reason, message.to_owned())
    };
    let pressure = report.pressure;
    let memory = pick(
        pressure.memory,
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    );
    let disk = pick(
        pressure.disk,
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    );
    let pids = pick(
        pressure.pids,
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    );
    let isolation = &report.runtime.isolation;
    let isolated = if isolation.complete { "Isolated" } else { "NotIsolated" };
    vec![
        ("MemoryPressure", memory.0, memory.1, memory.2),
        ("DiskPressure", disk.0, disk.1, disk.2),
        ("PIDPressure", pids.0, pids.1, pids.2),
        ("Ready", true, "KubeletReady", "kubelet is posting ready status".to_owned()),
        (ISOLATED, isolation.complete, isolated, isolation.message.clone()),
    ]
}

fn conditions(report: &Report<'_>, now: TimestampMs) -> Vec<core::NodeCondition> {
    let facts = facts(report);
    let ours = |name: &str| facts.iter().any(|fact| fact.0 == name);
    let mut all: Vec<core::NodeCondition> =
        report.before.iter().filter(|condition| !ours(&condition.type_)).cloned().collect();
    for (name, is_true, reason, message) in facts {
        let status = if is_true { "True" } else { "False" };
        let earlier = report.before.iter().find(|old| old.type_ == name && old.status == status);
        all.push(core::NodeCondition {
            type_: name.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: Some(time(now)),
            last_transition_time: earlier
                .and_then(|old| old.last_transition_time.clone())
                .or_else(|| Some(time(now))),
        });
    }
    all
}

/// Whether two statuses differ in more than the time they were made.
pub(super) fn differs(a: &core::NodeStatus, b: &core::NodeStatus) -> bool {
    let timeless = |status: &core::NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        status
    };
    timeless(a) != timeless(b)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use swell_runtime::Isolation;

    use super::*;
    use crate::config::Capacity;

    fn with_report(
        before: &[core::NodeCondition],
        pressure: Pressure,
        now: TimestampMs,
    ) -> core::NodeStatus {
        let capacity = Capacity { cpu_milli: 1500, memory_bytes: 4 << 30, pods: 110 };
        let mut config =
            Config::new("node-1".to_owned(), capacity, PathBuf::from("/data"), "t".to_owned());
        config.labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        let info = core::NodeSystemInfo {
            architecture: "amd64".to_owned(),
            operating_system: "linux".to_owned(),
            ..core::NodeSystemInfo::default()
        };
        let labels = labels(&config, &info);
        assert_eq!(labels["kubernetes.io/hostname"], "node-1");
        assert_eq!(labels["kubernetes.io/arch"], "amd64");
        assert_eq!(labels["zone"], "a");
        let runtime = RuntimeVersion {
            name: "process",
            version: "1",
            host_image_only: true,
            isolation: Isolation { complete: false, message: "shared files".to_owned() },
        };
        let logs_at = SocketAddr::from(([127, 0, 0, 1], 10250));
        let report =
            Report { config: &config, info: &info, runtime: &runtime, pressure, logs_at, before };
        status(&report, now)
    }

    fn condition<'a>(status: &'a core::NodeStatus, name: &str) -> &'a core::NodeCondition {
        let mut conditions = status.conditions.iter().flatten();
        conditions.find(|condition| condition.type_ == name).expect(name)
    }

    #[test]
    fn a_node_reports_as_a_kubelet_does_and_is_honest_about_isolation() {
        let status = with_report(&[], Pressure::default(), TimestampMs(5000));
        let capacity = status.capacity.clone().unwrap();
        assert_eq!(capacity["cpu"].0, "1500m");
        assert_eq!(capacity["memory"].0, "4194304Ki");
        assert_eq!(condition(&status, "Ready").status, "True");
        assert_eq!(condition(&status, "MemoryPressure").status, "False");
        let isolated = condition(&status, ISOLATED);
        assert_eq!(
            (isolated.status.as_str(), isolated.message.as_deref()),
            ("False", Some("shared files"))
        );
        let endpoint = status.daemon_endpoints.clone().and_then(|e| e.kubelet_endpoint);
        assert_eq!(endpoint.map(|endpoint| endpoint.port), Some(10250));
    }

    #[test]
    fn transitions_keep_their_time_and_conditions_of_others_stay() {
        let first = with_report(&[], Pressure::default(), TimestampMs(5000));
        let mut before = first.conditions.clone().unwrap();
        let foreign =
            core::NodeCondition { type_: "NetworkUnavailable".to_owned(), ..before[0].clone() };
        before.push(foreign.clone());
        let quiet = with_report(&before, Pressure::default(), TimestampMs(9000));
        assert_eq!(
            condition(&quiet, "Ready").last_transition_time,
            condition(&first, "Ready").last_transition_time
        );
        assert!(quiet.conditions.iter().flatten().any(|condition| *condition == foreign));
        let later = with_report(
            &quiet.conditions.clone().unwrap(),
            Pressure::default(),
            TimestampMs(99_000),
        );
        assert!(!differs(&quiet, &later), "a heartbeat is no change");
        let pressed = Pressure { disk: true, ..Pressure::default() };
        let pressed = with_report(&before, pressed, TimestampMs(9000));
        assert!(differs(&quiet, &pressed));
        assert_eq!(
            condition(&pressed, "DiskPressure").last_transition_time,
            Some(time(TimestampMs(9000)))
        );
    }
}
