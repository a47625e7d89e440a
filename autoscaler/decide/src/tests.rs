//! Properties that every pass keeps, and the words of a decision.

use std::collections::BTreeMap;

use proptest::prelude::*;
use swell_model::{DurationMs, TimestampMs};

use crate::{
    Behavior, ContainerRequests, Decision, DecisionRecord, Direction, MetricInput, MetricSource,
    MetricSpec, ObjectName, Observation, PodFacts, PodPhase, PodRequests, PodSample, PodScaleSpec,
    Policy, PolicyUnit, Readiness, Reading, Reason, Recommendation, Resource, ScaleHistory,
    ScaleState, ScalingRules, SelectPolicy, Selector, Stage, StartRules, Target, Tolerance, Usage,
    decide,
};

const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

/// A pod by what a test says of it: request and use in thousandths, `None` for no sample.
#[derive(Clone, Debug)]
struct TestPod {
    request_milli: i64,
    used_milli: Option<i64>,
    ready: bool,
    age_s: i64,
}

fn observe(current: i32, target: Target, pods: &[TestPod]) -> Observation {
    let facts = pods.iter().enumerate().map(|(idx, pod)| PodFacts {
        name: format!("p{idx}").into(),
        phase: PodPhase::Running,
        deleting: false,
        started_at: Some(NOW - DurationMs::from_secs(pod.age_s)),
        readiness: Some(Readiness {
            ready: pod.ready,
            since: NOW - DurationMs::from_secs(pod.age_s),
        }),
        requests: PodRequests {
            pod_level_milli: BTreeMap::new(),
            containers: vec![ContainerRequests {
                name: "c".into(),
                sidecar: false,
                milli: BTreeMap::from([(Resource::Cpu, pod.request_milli)]),
            }],
        },
    });
    let samples = pods.iter().enumerate().filter_map(|(idx, pod)| {
        Some(PodSample {
            pod: format!("p{idx}").into(),
            at: NOW,
            window: DurationMs(1000),
            usage: Usage::Pod(pod.used_milli?),
        })
    });
    Observation {
        scale: Ok(ScaleState { spec_replicas: current, status_replicas: current }),
        selector: Selector::Usable,
        pods: facts.collect(),
        metrics: vec![MetricInput {
            spec: MetricSpec { source: MetricSource::Resource(Resource::Cpu), target },
            reading: Reading::Pods(samples.collect()),
            pods: None,
        }],
        count_surge_once: true,
    }
}

fn policy(min: i32, max: i32, behavior: Option<Behavior>) -> PodScaleSpec {
    PodScaleSpec {
        min_replicas: min,
        max_replicas: max,
        behavior,
        down_window: DurationMs(300_000),
        tolerance: Tolerance::DEFAULT,
        start: StartRules::DEFAULT,
    }
}

fn any_pod() -> impl Strategy<Value = TestPod> {
    (1_i64..4000, proptest::option::of(0_i64..9000), any::<bool>(), 0_i64..1000).prop_map(
        |(request_milli, used_milli, ready, age_s)| TestPod {
            request_milli,
            used_milli,
            ready,
            age_s,
        },
    )
}

fn any_rules() -> impl Strategy<Value = ScalingRules> {
    let policies = proptest::collection::vec(
        (any::<bool>(), 1_i32..200, 1_i64..120).prop_map(|(percent, value, period_s)| Policy {
            unit: if percent { PolicyUnit::Percent } else { PolicyUnit::Pods },
            value,
            period: DurationMs::from_secs(period_s),
        }),
        1..4,
    );
    let select =
        prop_oneof![Just(SelectPolicy::Max), Just(SelectPolicy::Min), Just(SelectPolicy::Disabled)];
    (0_i64..60, select, policies).prop_map(|(window_s, select, policies)| ScalingRules {
        window: DurationMs::from_secs(window_s),
        select,
        policies,
    })
}

fn any_behavior() -> impl Strategy<Value = Option<Behavior>> {
    proptest::option::of((any_rules(), any_rules()).prop_map(|(up, down)| Behavior { up, down }))
}

fn history(log: &[(i64, i32)]) -> ScaleHistory {
    let log = log.iter().map(|(age_s, replicas)| Recommendation {
        at: NOW - DurationMs::from_secs(*age_s),
        replicas: *replicas,
    });
    ScaleHistory { recommendations: Some(log.collect()), ..ScaleHistory::default() }
}

fn assert_chain(decision: &Decision) {
    let chain: Vec<_> = decision.steps.iter().filter(|step| step.stage != Stage::Final).collect();
    for pair in chain.windows(2) {
        assert_eq!(pair[0].after, pair[1].before, "{:?}", decision.steps);
    }
    let last = decision.steps.last().expect("a decision has steps");
    assert_eq!((last.stage, last.after), (Stage::Final, decision.replicas));
    assert_eq!(chain.last().expect("a decision has steps").after, decision.replicas);
}

proptest! {
    #[test]
    fn limits_hold_and_steps_join(
        pods in proptest::collection::vec(any_pod(), 0..8),
        current in 0_i32..12,
        min in 0_i32..6,
        extra in 0_i32..6,
        percent in 1_i64..200,
        behavior in any_behavior(),
        log in proptest::collection::vec((0_i64..400, 0_i32..20), 0..6),
    ) {
        let spec = policy(min, min.max(1) + extra, behavior);
        let mut history = history(&log);
        let mut decision =
            decide(&spec, &observe(current, Target::Utilization(percent), &pods), &mut history, NOW);
        decision.settle(Ok(()), &spec, &mut history, NOW);
        assert_chain(&decision);
        let off = current == 0 && min != 0;
        prop_assert!(off || (min..=spec.max_replicas).contains(&decision.replicas));
        prop_assert!(!off || decision.replicas == 0);
    }

    #[test]
    fn the_same_again_changes_nothing(
        used in proptest::collection::vec(0_i64..9000, 1..8),
        more in 0_i32..4,
        percent in 1_i64..200,
        up in any_rules(),
        down in any_rules(),
        log in proptest::collection::vec((0_i64..400, 0_i32..20), 0..6),
    ) {
        let pods: Vec<TestPod> = used
            .iter()
            .map(|used| TestPod { request_milli: 1000, used_milli: Some(*used), ready: true, age_s: 900 })
            .collect();
        let spec = policy(1, 20, Some(Behavior { up, down }));
        let current = i32::try_from(pods.len()).expect("few pods") + more;
        let target = Target::Utilization(percent);
        let mut history = history(&log);
        let mut first = decide(&spec, &observe(current, target, &pods), &mut history, NOW);
        first.settle(Ok(()), &spec, &mut history, NOW);
        let second = decide(&spec, &observe(first.replicas, target, &pods), &mut history, NOW);
        prop_assert_eq!(second.replicas, first.replicas);
    }

    #[test]
    fn the_order_of_pods_does_not_matter(
        pods in proptest::collection::vec(any_pod(), 1..8),
        current in 1_i32..12,
        percent in 1_i64..200,
    ) {
        let spec = policy(1, 20, None);
        let seen = observe(current, Target::Utilization(percent), &pods);
        let mut turned = seen.clone();
        turned.pods.reverse();
        if let Reading::Pods(samples) = &mut turned.metrics[0].reading {
            samples.reverse();
        }
        let one = decide(&spec, &seen, &mut history(&[]), NOW);
        let other = decide(&spec, &turned, &mut history(&[]), NOW);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn without_samples_nothing_moves(
        requests in proptest::collection::vec(1_i64..4000, 0..8),
        current in 1_i32..12,
        failed in any::<bool>(),
        behavior in any_behavior(),
    ) {
        let pods: Vec<TestPod> = requests
            .iter()
            .map(|request| TestPod { request_milli: *request, used_milli: None, ready: true, age_s: 900 })
            .collect();
        let mut seen = observe(current, Target::Utilization(50), &pods);
        if failed {
            seen.metrics[0].reading = Reading::Failed("down".to_owned());
        }
        let decision = decide(&policy(1, 20, behavior), &seen, &mut history(&[]), NOW);
        prop_assert_eq!((decision.replicas, decision.reason), (current, Reason::MetricsUnavailable));
    }

    #[test]
    fn unsampled_pods_never_turn_a_change_round(
        used in proptest::collection::vec(0_i64..3000, 1..6),
        missing in 1_usize..6,
        percent in 1_i64..150,
    ) {
        let pod = |used_milli| TestPod { request_milli: 1000, used_milli, ready: true, age_s: 900 };
        let sampled: Vec<TestPod> = used.iter().map(|used| pod(Some(*used))).collect();
        let current = i32::try_from(sampled.len() + missing).expect("few pods");
        let mut all = sampled.clone();
        all.extend(std::iter::repeat_with(|| pod(None)).take(missing));
        let target = Target::Utilization(percent);
        let signal = &decide(&policy(0, 100, None), &observe(current, target, &all), &mut history(&[]), NOW)
            .signals[0];
        let proposal = signal.proposal.expect("some pods are sampled");
        let above = signal.utilization.expect("a utilisation") > percent;
        let agrees = if above { proposal >= current } else { proposal <= current };
        prop_assert!(agrees, "{} against {}", proposal, current);
    }
}

fn surge(current: i32, behavior: Behavior, used_milli: i64, log: &[(i64, i32)]) -> Decision {
    let pod = TestPod { request_milli: 100, used_milli: Some(used_milli), ready: true, age_s: 900 };
    let pods = vec![pod; usize::try_from(current).expect("a count")];
    let spec = policy(1, 12, Some(behavior));
    let mut history = history(log);
    let mut decision =
        decide(&spec, &observe(current, Target::Utilization(50), &pods), &mut history, NOW);
    decision.settle(Ok(()), &spec, &mut history, NOW);
    decision
}

fn three_per_half_minute() -> Behavior {
    Behavior {
        up: ScalingRules {
            policies: vec![Policy { unit: PolicyUnit::Pods, value: 3, period: DurationMs(30_000) }],
            ..ScalingRules::default_up()
        },
        down: ScalingRules::default_down(DurationMs(60_000)),
    }
}

#[test]
fn a_decision_reads_as_english() {
    let check = |decision: &Decision, sentence: &str, brief: &str| {
        let name = ObjectName::default();
        let record = DecisionRecord::new(name.clone(), 1, name, decision, "sample", NOW);
        assert_eq!((record.sentence.as_str(), record.brief.as_str()), (sentence, brief));
    };
    check(
        &surge(5, three_per_half_minute(), 104, &[]),
        "CPU was 104 % of request against a target of 50 %. That asks for 11 replicas. The scale-out rate let 3 start \
         at once. 5 to 8.",
        "CPU 104 % against 50 % asks for 11: 5 × 104 ÷ 50 = 10.40. The scale-out rate allows 8.",
    );
    check(
        &surge(5, three_per_half_minute(), 49, &[]),
        "CPU was 49 % of request against a target of 50 %. That is inside the tolerance (45 % to 55 %), so 5 stay.",
        "CPU 49 %, inside the tolerance.",
    );
    check(
        &surge(5, three_per_half_minute(), 10, &[(20, 4)]),
        "CPU was 10 % of request against a target of 50 %. That asks for 1 replica. Held at 4: within the last 60 s \
         as many as 4 were asked for. 5 to 4.",
        "CPU 10 % against 50 % asks for 1: 5 × 10 ÷ 50 = 1.00. Held at 4 by the scale-in window.",
    );
    check(
        &surge(9, three_per_half_minute(), 400, &[]),
        "CPU was 400 % of request against a target of 50 %. That asks for 72 replicas. The maximum is 12. \
         9 to 12.",
        "CPU 400 % against 50 % asks for 72: 9 × 400 ÷ 50 = 72.00. The maximum is 12.",
    );
}

#[test]
fn the_outlook_tells_when_more_is_possible() {
    let decision = surge(5, three_per_half_minute(), 104, &[]);
    assert_eq!(decision.limited_by(), Some(Stage::RateLimit));
    let (grow, shrink) = (decision.outlook.grow, decision.outlook.shrink);
    assert_eq!((grow.to, grow.more_at_ms, grow.more_to), (8, Some(NOW.0 + 30_000), Some(11)));
    assert_eq!((shrink.to, shrink.not_before_ms), (1, Some(NOW.0 + 60_000)));
    let held = surge(5, three_per_half_minute(), 10, &[(20, 5)]);
    assert_eq!(held.recheck_after, Some(DurationMs(40_000)));
    assert_eq!(held.reason, Reason::ScaleDownStabilized);
}

#[test]
fn surge_pods_of_a_rolling_update_do_not_raise_the_count() {
    let pod =
        |used| TestPod { request_milli: 1000, used_milli: Some(used), ready: true, age_s: 900 };
    let check = |used: i64, once: bool, expected: i32| {
        let mut seen = observe(4, Target::Utilization(50), &vec![pod(used); 5]);
        seen.count_surge_once = once;
        let decision = decide(&policy(1, 20, None), &seen, &mut history(&[]), NOW);
        assert_eq!(decision.replicas, expected, "{used} {once}");
    };
    check(600, false, 6);
    check(600, true, 5);
    check(440, false, 5);
    check(440, true, 4);
    check(200, true, 2);
}

#[test]
fn a_record_survives_json_and_knows_news() {
    let name = ObjectName {
        kind: "HorizontalPodAutoscaler".into(),
        namespace: "default".into(),
        name: "web".into(),
    };
    let record = |decision: &Decision| {
        DecisionRecord::new(name.clone(), 1, name.clone(), decision, "sample", NOW)
    };
    let out = record(&surge(5, three_per_half_minute(), 104, &[]));
    assert_eq!(out.direction, Direction::Out);
    let json = serde_json::to_string(&out).expect("a record is JSON");
    assert_eq!(serde_json::from_str::<DecisionRecord>(&json).expect("its own JSON"), out);
    let calm = record(&surge(8, three_per_half_minute(), 50, &[]));
    assert!(calm.is_news_after(&out));
    assert!(!record(&surge(8, three_per_half_minute(), 51, &[])).is_news_after(&calm));
}

#[test]
fn another_failure_is_news_and_the_same_one_is_not() {
    let name =
        ObjectName { kind: "Deployment".into(), namespace: "default".into(), name: "web".into() };
    let spec = policy(1, 12, Some(three_per_half_minute()));
    let pod = TestPod { request_milli: 100, used_milli: Some(104), ready: true, age_s: 900 };
    let record = |change: &dyn Fn(&mut Observation)| {
        let mut seen = observe(5, Target::Utilization(50), &vec![pod.clone(); 5]);
        change(&mut seen);
        let decision = decide(&spec, &seen, &mut history(&[]), NOW);
        DecisionRecord::new(name.clone(), 1, name.clone(), &decision, "sample", NOW)
    };
    let unreadable = |why: &str| record(&|seen| seen.scale = Err(why.to_owned()));
    assert!(unreadable("away").is_news_after(&unreadable("not found")));
    assert!(!unreadable("away").is_news_after(&unreadable("away")));
    let unmeasured =
        |why: &str| record(&|seen| seen.metrics[0].reading = Reading::Failed(why.to_owned()));
    assert!(unmeasured("no samples").is_news_after(&unmeasured("no request")));
    assert!(!unmeasured("no request").is_news_after(&unmeasured("no request")));
}

#[test]
fn a_failed_write_keeps_the_old_size() {
    let spec = policy(1, 12, Some(three_per_half_minute()));
    let pod = TestPod { request_milli: 100, used_milli: Some(104), ready: true, age_s: 900 };
    let mut history = history(&[]);
    let seen = observe(5, Target::Utilization(50), &vec![pod; 5]);
    let mut decision = decide(&spec, &seen, &mut history, NOW);
    assert!(decision.is_rescale());
    decision.settle(Err("etcd is away"), &spec, &mut history, NOW);
    assert_eq!((decision.replicas, decision.reason), (5, Reason::WriteFailed));
    assert!(history.ups.as_slice().is_empty());
}
