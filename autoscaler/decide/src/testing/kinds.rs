//! One function per kind of case: input in, what the real code answers out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use swell_model::{DurationMs, TimestampMs};

use super::facts::{
    DOWN_WINDOW, NOW, behavior, count, events, int, list, metric, pods, recommendations, rules,
    samples, span, start_rules, tolerance,
};
use crate::{
    MetricError, MetricSource, Observation, PodScaleSpec, Question, Resource, ScaleHistory,
    ScaleState, ScalingRules, Selector, Target, classify, decide, pod_request, policy_limit,
    propose, rate_limit, rate_limit_default, stabilize, stabilize_default,
};

pub(super) fn answer(kind: &str, input: &Value) -> Result<Value, String> {
    match kind {
        "hpa.replicas" => replicas(input),
        "hpa.classify" => classes(input),
        "hpa.requests" => Ok(requests(input)),
        "hpa.clamp" => clamp(input),
        "hpa.rate_limit" => limited(input),
        "hpa.policy_limit" => bare_limit(input),
        "hpa.stabilize_legacy" => stabilised_by_default(input),
        "hpa.stabilize" => stabilised(input),
        "hpa.store_event" => stored(input),
        "hpa.reconcile" => reconciled(input),
        "hpa.sequence" => sequence(input),
        other => Err(format!("no decision of the kind {other:?} exists yet")),
    }
}

fn error_name(error: &MetricError) -> &'static str {
    match error {
        MetricError::Source(_) | MetricError::NoMetrics => "no_metrics",
        MetricError::NoMetricsForKnownPods => "no_metrics_for_known_pods",
        MetricError::NoMetricsForReadyPods => "no_metrics_for_ready_pods",
        MetricError::NoPods => "no_pods",
        MetricError::MissingRequest { .. } => "missing_request",
        MetricError::ContainerNotFound { .. } => "container_not_found",
        MetricError::InvalidMetricType(_) | MetricError::InvalidTarget { .. } => {
            "invalid_metric_type"
        }
    }
}

fn replicas(input: &Value) -> Result<Value, String> {
    let current = count(input, "current_replicas")?;
    let input_metric = &input["metric"];
    let metric = metric(input_metric, list(input, "pods"), list(input, "extra_samples"))?;
    let resource = Resource::from_name(metric.spec.source.metric_name());
    let pods = pods(list(input, "pods"), &resource);
    let question = Question {
        current,
        status_replicas: current,
        pods: &pods,
        tolerance: tolerance(input),
        start: start_rules(input),
        count_surge_once: false,
        now: NOW,
    };
    let proposal = match propose(&metric, &question) {
        Ok(proposal) => proposal,
        Err(error) => return Ok(json!({ "error": error_name(&error) })),
    };
    Ok(json!({
        "replicas": proposal.replicas,
        "utilization": proposal.measured.utilization,
        "average_milli": proposal.measured.milli,
        "usage_milli": proposal.measured.milli,
    }))
}

fn classes(input: &Value) -> Result<Value, String> {
    let resource = Resource::from_name(input["resource"].as_str().ok_or("no resource")?);
    let facts = pods(list(input, "pods"), &resource);
    let samples = samples(&[list(input, "pods")]);
    let by_pod: BTreeMap<&str, _> = samples.iter().map(|sample| (&*sample.pod, sample)).collect();
    let classes = classify(Some(&resource), None, &facts, &by_pod, start_rules(input), NOW);
    let names =
        |indices: &[usize]| -> Vec<&str> { indices.iter().map(|idx| &*facts[*idx].name).collect() };
    Ok(json!({
        "ready_count": classes.ready.len(),
        "unready": names(&classes.unready),
        "missing": names(&classes.missing),
        "ignored": names(&classes.ignored),
    }))
}

fn requests(input: &Value) -> Value {
    let container = input["container"].as_str();
    let mut by_pod = Map::new();
    for pod in pods(list(input, "pods"), &Resource::Cpu) {
        match pod_request(&pod, &Resource::Cpu, container) {
            Ok(milli) => by_pod.insert(pod.name.to_string(), milli.into()),
            Err(error) => return json!({ "error": error_name(&error) }),
        };
    }
    json!({ "requests_milli": by_pod })
}

fn range(input: &Value) -> Result<(i32, i32, i32, i32), String> {
    Ok((
        count(input, "current")?,
        count(input, "desired")?,
        count(input, "min")?,
        count(input, "max")?,
    ))
}

fn clamp(input: &Value) -> Result<Value, String> {
    let (current, desired, min, max) = range(input)?;
    let (replicas, reason) = rate_limit_default(current, desired, min, max);
    Ok(json!({ "replicas": replicas, "reason": reason.name() }))
}

fn limited(input: &Value) -> Result<Value, String> {
    let (current, desired, min, max) = range(input)?;
    let ups = events(list(input, "scale_up_events"));
    let downs = events(list(input, "scale_down_events"));
    let (replicas, reason) =
        rate_limit(current, desired, min, max, &behavior(input)?, &ups, &downs, NOW);
    Ok(json!({ "replicas": replicas, "reason": reason.name() }))
}

fn bare_limit(input: &Value) -> Result<Value, String> {
    let growing = input["direction"] == "up";
    let default =
        if growing { ScalingRules::default_up() } else { ScalingRules::default_down(DOWN_WINDOW) };
    let rules = rules(&input["rules"], default)?;
    let ups = events(list(input, "scale_up_events"));
    let downs = events(list(input, "scale_down_events"));
    let limit = policy_limit(count(input, "current")?, growing, &rules, &ups, &downs, NOW);
    Ok(json!({ "limit": limit }))
}

fn window(input: &Value, key: &str) -> Result<DurationMs, String> {
    span(&input[key]).ok_or_else(|| format!("the case has no {key}"))
}

fn stabilised_by_default(input: &Value) -> Result<Value, String> {
    let mut log = recommendations(input).unwrap_or_default();
    let desired = count(input, "desired")?;
    let result = stabilize_default(&mut log, desired, window(input, "window_s")?, NOW);
    Ok(json!({ "replicas": result.replicas, "log_length": log.len() }))
}

fn stabilised(input: &Value) -> Result<Value, String> {
    let mut log = recommendations(input).unwrap_or_default();
    let (current, desired) = (count(input, "current")?, count(input, "desired")?);
    let (up, down) = (window(input, "up_window_s")?, window(input, "down_window_s")?);
    let result = stabilize(&mut log, current, desired, up, down, NOW);
    let log: Vec<i32> = log.iter().map(|entry| entry.replicas).collect();
    Ok(json!({ "replicas": result.replicas, "log": log }))
}

fn stored(input: &Value) -> Result<Value, String> {
    let mut log = events(list(input, "events"));
    let before = log.change_within(window(input, "count_period_s")?, NOW);
    if let Some(longest) = span(&input["longest_period_s"]) {
        log.record(count(input, "change")?, longest, NOW);
    }
    let kept: Vec<Value> =
        log.as_slice().iter().map(|event| json!([event.change, event.outdated])).collect();
    Ok(json!({ "change_before": before, "events": kept }))
}

fn policy(input: &Value) -> Result<PodScaleSpec, String> {
    let behavior =
        input.get("behavior").filter(|value| !value.is_null()).map(behavior).transpose()?;
    Ok(PodScaleSpec {
        min_replicas: count(input, "min_replicas")?,
        max_replicas: count(input, "max_replicas")?,
        behavior,
        down_window: DOWN_WINDOW,
        tolerance: tolerance(input),
        start: start_rules(input),
    })
}

fn reconciled(input: &Value) -> Result<Value, String> {
    let spec = policy(input)?;
    let case_pods = list(input, "pods");
    let metrics = list(input, "metrics")
        .iter()
        .map(|value| metric(value, case_pods, list(input, "extra_samples")))
        .collect::<Result<Vec<_>, _>>()?;
    let resource = metrics
        .first()
        .map_or(Resource::Cpu, |metric| Resource::from_name(metric.spec.source.metric_name()));
    let scale = if input["get_scale_fails"] == true {
        Err("the scale could not be read".to_owned())
    } else {
        Ok(ScaleState {
            spec_replicas: count(input, "spec_replicas")?,
            status_replicas: count(input, "status_replicas")?,
        })
    };
    let seen = Observation {
        scale,
        selector: match input["selector"].as_str() {
            Some("missing") => Selector::Missing,
            Some("invalid") => Selector::Invalid("unparsable".to_owned()),
            Some("ambiguous") => Selector::Ambiguous("another".to_owned()),
            _ => Selector::Usable,
        },
        pods: pods(case_pods, &resource),
        metrics,
        count_surge_once: false,
    };
    let mut history = ScaleHistory {
        recommendations: recommendations(input),
        ups: events(list(input, "scale_up_events")),
        downs: events(list(input, "scale_down_events")),
    };
    let mut decision = decide(&spec, &seen, &mut history, NOW);
    let written =
        if input["update_scale_fails"] == true { Err("the write was refused") } else { Ok(()) };
    decision.settle(written, &spec, &mut history, NOW);
    let conditions: Map<String, Value> = decision
        .conditions
        .iter()
        .map(|condition| {
            let status = if condition.status { "True" } else { "False" };
            (condition.kind.name().to_owned(), json!([status, condition.reason.name()]))
        })
        .collect();
    let names: Vec<&str> = decision.events.iter().map(|event| event.reason.name()).collect();
    Ok(json!({
        "desired": decision.replicas,
        "conditions": conditions,
        "utilization": decision.signals.iter().find_map(|signal| signal.utilization),
        "event": names,
    }))
}

/// Plays a sequence of asked-for counts through whole passes: an external average with the target one asks for
/// exactly its value.
fn sequence(input: &Value) -> Result<Value, String> {
    let mut spec = policy(input)?;
    spec.tolerance = crate::Tolerance { up_ppm: 0, down_ppm: 0 };
    let mut current = count(input, "start_replicas")?;
    let seeded = input["seed_with_current"] == true;
    let mut history =
        ScaleHistory { recommendations: (!seeded).then(Vec::new), ..ScaleHistory::default() };
    let mut ticks = Vec::new();
    for tick in list(input, "ticks") {
        let now: TimestampMs = NOW + span(&tick["t_s"]).ok_or("a tick has no t_s")?;
        let raw = int(tick, "raw")?;
        let spec_replicas = current;
        let seen = Observation {
            scale: Ok(ScaleState { spec_replicas, status_replicas: current }),
            selector: Selector::Usable,
            pods: Vec::new(),
            metrics: vec![crate::MetricInput {
                spec: crate::MetricSpec {
                    source: MetricSource::External("raw".into()),
                    target: Target::AverageValue(1),
                },
                reading: crate::Reading::Values(vec![raw]),
                pods: None,
            }],
            count_surge_once: false,
        };
        let mut decision = decide(&spec, &seen, &mut history, now);
        decision.settle(Ok(()), &spec, &mut history, now);
        let limit = decision
            .conditions
            .iter()
            .find(|condition| condition.kind == crate::ConditionType::ScalingLimited);
        ticks.push(json!({
            "replicas": decision.replicas,
            "reason": limit.map(|condition| condition.reason.name()),
        }));
        current = decision.replicas;
    }
    Ok(json!({ "ticks": ticks }))
}
