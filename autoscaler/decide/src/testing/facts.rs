//! Cases' JSON into values.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use swell_model::{DurationMs, TimestampMs};

use crate::{
    Behavior, ContainerRequests, MetricInput, MetricSource, MetricSpec, PodFacts, PodPhase,
    PodRequests, PodSample, Policy, PolicyUnit, Readiness, Reading, Recommendation, Resource,
    ScaleEvent, ScaleEvents, ScalingRules, SelectPolicy, StartRules, Target, Tolerance, Usage,
};

/// The time at which cases play.
pub(super) const NOW: TimestampMs = TimestampMs(1_800_000_000_000);
/// What the product takes where no behaviour is given.
pub(super) const DOWN_WINDOW: DurationMs = DurationMs(300_000);

pub(super) fn int(input: &Value, key: &str) -> Result<i64, String> {
    input[key].as_i64().ok_or_else(|| format!("the case has no integer {key}"))
}

pub(super) fn count(input: &Value, key: &str) -> Result<i32, String> {
    i32::try_from(int(input, key)?).map_err(|_| format!("{key} is out of range"))
}

pub(super) fn list<'a>(input: &'a Value, key: &str) -> &'a [Value] {
    input[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "cases count seconds with at most three decimals"
)]
pub(super) fn span(value: &Value) -> Option<DurationMs> {
    value.as_f64().map(|seconds| DurationMs((seconds * 1000.0).round() as i64))
}

fn ago(value: &Value) -> Option<TimestampMs> {
    span(value).map(|age| NOW - age)
}

fn age_or(pod: &Value, key: &str, default_s: i64) -> Option<TimestampMs> {
    match pod.get(key) {
        None => Some(NOW - DurationMs::from_secs(default_s)),
        Some(value) => ago(value),
    }
}

fn milli_map(value: &Value) -> Vec<(Arc<str>, Option<i64>)> {
    let entries = value.as_object().into_iter().flatten();
    entries.map(|(name, milli)| (name.as_str().into(), milli.as_i64())).collect()
}

pub(super) fn pods(list: &[Value], resource: &Resource) -> Vec<PodFacts> {
    list.iter().map(|pod| pod_facts(pod, resource)).collect()
}

fn pod_facts(pod: &Value, resource: &Resource) -> PodFacts {
    let started_at = age_or(pod, "start_age_s", 86_400);
    let since = match pod.get("ready_transition_age_s") {
        None => started_at,
        Some(value) => ago(value),
    };
    let ready = pod.get("ready").map_or(Some(true), Value::as_bool);
    let requests = |key: &str, sidecar: bool| {
        milli_map(&pod[key]).into_iter().map(move |(name, milli)| ContainerRequests {
            name,
            sidecar,
            milli: milli.map(|milli| (resource.clone(), milli)).into_iter().collect(),
        })
    };
    PodFacts {
        name: pod["name"].as_str().unwrap_or_default().into(),
        phase: match pod["phase"].as_str() {
            Some("Pending") => PodPhase::Pending,
            Some("Failed") => PodPhase::Failed,
            Some("Succeeded") => PodPhase::Succeeded,
            _ => PodPhase::Running,
        },
        deleting: pod["deleting"].as_bool().unwrap_or(false),
        started_at,
        readiness: ready.map(|ready| Readiness { ready, since: since.unwrap_or(NOW) }),
        requests: PodRequests {
            pod_level_milli: pod["pod_level_request_milli"]
                .as_i64()
                .map(|milli| (resource.clone(), milli))
                .into_iter()
                .collect(),
            containers: requests("requests_milli", false)
                .chain(requests("sidecar_requests_milli", true))
                .collect(),
        },
    }
}

pub(super) fn samples(lists: &[&[Value]]) -> Vec<PodSample> {
    lists.iter().flat_map(|list| list.iter()).filter_map(pod_sample).collect()
}

fn pod_sample(pod: &Value) -> Option<PodSample> {
    let usage = match &pod["usage_milli"] {
        Value::Number(number) => Usage::Pod(number.as_i64()?),
        Value::Object(containers) => Usage::Containers(
            containers
                .iter()
                .filter_map(|(name, milli)| Some((name.as_str().into(), milli.as_i64()?)))
                .collect::<BTreeMap<_, _>>(),
        ),
        _ => return None,
    };
    Some(PodSample {
        pod: pod["name"].as_str()?.into(),
        at: age_or(pod, "sample_age_s", 0)?,
        window: pod.get("sample_window_s").map_or(Some(DurationMs::from_secs(60)), span)?,
        usage,
    })
}

pub(super) fn metric(
    metric: &Value,
    case_pods: &[Value],
    extra: &[Value],
) -> Result<MetricInput, String> {
    let name = metric["name"].as_str().unwrap_or_default();
    let resource = Resource::from_name(name);
    let source = match metric["type"].as_str().unwrap_or_default() {
        "Resource" => MetricSource::Resource(resource.clone()),
        "ContainerResource" => MetricSource::ContainerResource(
            resource.clone(),
            metric["container"].as_str().unwrap_or_default().into(),
        ),
        "Pods" => MetricSource::Pods(name.into()),
        "Object" => MetricSource::Object { metric: name.into(), described: "Service/web".into() },
        "External" => MetricSource::External(name.into()),
        other => MetricSource::Unknown(other.into()),
    };
    let value = int(&metric["target"], "value")?;
    let target = match metric["target"]["type"].as_str() {
        Some("Utilization") => Target::Utilization(value),
        Some("AverageValue") => Target::AverageValue(value),
        _ => Target::Value(value),
    };
    let own_pods = metric["pods"].as_array();
    let reading = if let Some(error) = metric["error"].as_str() {
        Reading::Failed(error.to_owned())
    } else if metric["values_milli"].is_array() {
        Reading::Values(list(metric, "values_milli").iter().filter_map(Value::as_i64).collect())
    } else {
        Reading::Pods(samples(&[own_pods.map_or(case_pods, Vec::as_slice), extra]))
    };
    Ok(MetricInput {
        spec: MetricSpec { source, target },
        reading,
        pods: own_pods.map(|own| pods(own, &resource)),
    })
}

pub(super) fn tolerance(input: &Value) -> Tolerance {
    #[expect(clippy::cast_possible_truncation, reason = "cases have tolerances of a few decimals")]
    let ppm = |key: &str| {
        input["tolerance"][key].as_f64().map_or(100_000, |ratio| (ratio * 1e6).round() as i64)
    };
    Tolerance { up_ppm: ppm("up"), down_ppm: ppm("down") }
}

pub(super) fn start_rules(input: &Value) -> StartRules {
    StartRules {
        cpu_initialization_period: span(&input["cpu_initialization_period_s"])
            .unwrap_or(DurationMs(120_000)),
        initial_readiness_delay: span(&input["initial_readiness_delay_s"])
            .unwrap_or(DurationMs(10_000)),
    }
}

pub(super) fn recommendations(input: &Value) -> Option<Vec<Recommendation>> {
    let log = input["recommendations"].as_array()?;
    Some(
        log.iter()
            .filter_map(|entry| {
                let at = ago(&entry["age_s"])?;
                Some(Recommendation { at, replicas: count(entry, "replicas").ok()? })
            })
            .collect(),
    )
}

pub(super) fn events(list: &[Value]) -> ScaleEvents {
    let events = list.iter().filter_map(|event| {
        let at = ago(&event["age_s"])?;
        Some(ScaleEvent { at, change: count(event, "change").ok()?, outdated: false })
    });
    ScaleEvents::new(events.collect())
}

pub(super) fn rules(value: &Value, default: ScalingRules) -> Result<ScalingRules, String> {
    if value.is_null() {
        return Ok(default);
    }
    let policies = list(value, "policies").iter().map(|policy| {
        Ok(Policy {
            unit: match policy["type"].as_str() {
                Some("Percent") => PolicyUnit::Percent,
                _ => PolicyUnit::Pods,
            },
            value: count(policy, "value")?,
            period: span(&policy["period_s"]).ok_or("a policy has no period_s")?,
        })
    });
    let policies = policies.collect::<Result<Vec<_>, String>>()?;
    Ok(ScalingRules {
        window: span(&value["window_s"]).unwrap_or(default.window),
        select: match value["select"].as_str() {
            Some("Min") => SelectPolicy::Min,
            Some("Disabled") => SelectPolicy::Disabled,
            _ => SelectPolicy::Max,
        },
        policies: if policies.is_empty() { default.policies } else { policies },
    })
}

pub(super) fn behavior(value: &Value) -> Result<Behavior, String> {
    Ok(Behavior {
        up: rules(&value["scale_up"], ScalingRules::default_up())?,
        down: rules(&value["scale_down"], ScalingRules::default_down(DOWN_WINDOW))?,
    })
}
