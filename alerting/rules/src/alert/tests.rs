use proptest::prelude::*;

use super::*;
use crate::rule::{InstantValue, Rule};

struct NoQueries;

impl QuerySource for NoQueries {
    fn query(&self, expr: &str) -> Result<InstantValue, String> {
        Err(format!("no query expected: {expr}"))
    }
}

fn rule(fields: &str) -> AlertingRule {
    let text = format!("groups: [{{name: g, rules: [{{alert: A, expr: x{fields}}}]}}]");
    let file = crate::parse_rule_file(&text).expect("the rule is valid");
    match file.groups[0].rules[0].clone() {
        Rule::Alerting(rule) => rule,
        Rule::Recording(_) => panic!("not an alerting rule"),
    }
}

fn sample(host: &str, value: f64) -> InstantSample {
    InstantSample {
        labels: Labels::from_pairs([("__name__", "x"), ("host", host)]),
        value: SampleValue::Float(value),
    }
}

fn run(
    rule: &AlertingRule,
    state: &RuleState,
    result: &[InstantSample],
    second: i64,
    limit: usize,
) -> Result<AlertStep, StepError> {
    let external_labels = Labels::empty();
    let context = EvaluationContext {
        now: TimestampMs(second * 1000),
        limit,
        external_labels: &external_labels,
        external_url: "http://h",
        queries: &NoQueries,
    };
    step(rule, state, result, &context)
}

/// Runs a rule over seconds 0, 10, 20 …; `script` says for each evaluation whether host `a` is in the result
/// (`1`) or not (`.`); gives one letter for each state: pending, firing, resolved, or `-` for none.
fn states(rule: &AlertingRule, script: &str) -> String {
    let mut state = RuleState::default();
    let mut letters = String::new();
    for (idx, mark) in script.chars().enumerate() {
        let result = if mark == '1' { vec![sample("a", 1.0)] } else { Vec::new() };
        let second = i64::try_from(idx).expect("short script") * 10;
        state = run(rule, &state, &result, second, 0).expect("no fault").state;
        letters.push(match state.instances.values().next().map(|instance| instance.state) {
            None => '-',
            Some(AlertState::Pending) => 'p',
            Some(AlertState::Firing) => 'f',
            Some(AlertState::Inactive) => 'r',
        });
    }
    letters
}

#[test]
fn alerts_go_through_their_states() {
    for (fields, script, expected) in [
        ("", "1.1", "frf"),
        (", for: 20s", "1111.", "ppffr"),
        (", for: 20s", "11.111", "pp-ppf"),
        (", keep_firing_for: 20s", "1....", "fffrr"),
        (", keep_firing_for: 20s", "1..1...", "ffffffr"),
        (", for: 10s, keep_firing_for: 10s", "11..1", "pffrp"),
    ] {
        assert_eq!(states(&rule(fields), script), expected, "{fields} {script}");
    }
}

#[test]
fn a_clock_that_is_set_back_ends_no_alert_and_holds_none_up() {
    let rule = rule(", for: 20s, keep_firing_for: 20s");
    let at = |state: &RuleState, is_there: bool, second: i64| {
        let result = if is_there { vec![sample("a", 1.0)] } else { Vec::new() };
        run(&rule, state, &result, second, 0).expect("no fault").state
    };
    let state_of = |state: &RuleState| state.instances.values().next().map(|alert| alert.state);
    for back_s in [15, 1000, 900_000] {
        let began = 1_000_000;
        let mut firing = RuleState::default();
        for second in [0, 10, 20, 30] {
            firing = at(&firing, true, began + second);
        }
        let now = began + 30 - back_s;
        assert_eq!(state_of(&at(&firing, true, now)), Some(AlertState::Firing), "{back_s} s back");
        let held = at(&firing, false, began + 40);
        let held = at(&held, false, now + 10);
        assert_eq!(state_of(&held), Some(AlertState::Firing), "{back_s} s back");
        let resolved = at(&held, false, now + 31);
        assert_eq!(state_of(&resolved), Some(AlertState::Inactive), "{back_s} s back");
        assert_eq!(state_of(&at(&resolved, false, now + 1000)), None, "{back_s} s back");
        // What waits begins to wait anew at the most.
        let waiting = at(&RuleState::default(), true, began);
        let waiting = at(&waiting, true, began - back_s);
        assert_eq!(state_of(&waiting), Some(AlertState::Pending));
        let fires = at(&waiting, true, began - back_s + 20);
        assert_eq!(state_of(&fires), Some(AlertState::Firing), "{back_s} s back");
    }
}

#[test]
fn a_resolved_alert_is_kept_for_fifteen_minutes() {
    let rule = rule("");
    let fired =
        run(&rule, &RuleState::default(), &[sample("a", 1.0)], 0, 0).expect("no fault").state;
    let resolved = run(&rule, &fired, &[], 10, 0).expect("no fault").state;
    let kept = run(&rule, &resolved, &[], 910, 0).expect("no fault").state;
    assert_eq!(kept.instances.len(), 1);
    let gone = run(&rule, &kept, &[], 911, 0).expect("no fault").state;
    assert!(gone.instances.is_empty());
}

#[test]
fn labels_annotations_and_series_are_made() {
    let rule = rule(
        ", labels: {sev: '{{ $labels.host }}-{{ $value }}'}, annotations: {s: '{{ $value }}'}",
    );
    let first = run(&rule, &RuleState::default(), &[sample("a", 5.0)], 90, 0).expect("no fault");
    let series: Vec<String> =
        first.samples.iter().map(|(labels, value)| format!("{labels} {value}")).collect();
    assert_eq!(
        series,
        [
            r#"ALERTS{alertname="A", alertstate="firing", host="a", sev="a-5"} 1"#,
            r#"ALERTS_FOR_STATE{alertname="A", host="a", sev="a-5"} 90"#,
        ]
    );
    let instance = first.state.instances.values().next().expect("one alert");
    assert_eq!(instance.annotations["s"], "5");
    assert_eq!(instance.fired_at, Some(TimestampMs(90_000)));
    assert_eq!(first.transitions[0].from, None);
    assert_eq!(first.transitions[0].to, Some(AlertState::Firing));
}

#[test]
fn annotations_follow_the_value_and_labels_make_the_alert() {
    let rule = rule(", annotations: {s: '{{ $value }}'}");
    let first =
        run(&rule, &RuleState::default(), &[sample("a", 1.0)], 0, 0).expect("no fault").state;
    let second =
        run(&rule, &first, &[sample("a", 2.0), sample("b", 3.0)], 10, 0).expect("no fault").state;
    let values: Vec<(&str, f64, i64)> = second
        .instances
        .values()
        .map(|alert| (alert.annotations["s"].as_str(), alert.value, alert.active_at.0))
        .collect();
    assert_eq!(values, [("2", 2.0, 0), ("3", 3.0, 10_000)]);
}

#[test]
fn duplicates_and_limits_fail_the_evaluation() {
    let same = rule(", labels: {host: same}");
    let both = [sample("a", 1.0), sample("b", 1.0)];
    assert!(matches!(
        run(&same, &RuleState::default(), &both, 0, 0),
        Err(StepError::DuplicateLabels { .. })
    ));
    let plain = rule("");
    let exceeded = run(&plain, &RuleState::default(), &both, 0, 1);
    assert_eq!(exceeded, Err(StepError::LimitExceeded { count: 2, limit: 1 }));
    assert!(run(&plain, &RuleState::default(), &both, 0, 2).is_ok());
}

#[test]
fn a_longer_for_makes_a_firing_alert_pending_again() {
    let fired =
        run(&rule(""), &RuleState::default(), &[sample("a", 1.0)], 0, 0).expect("no fault").state;
    let longer =
        run(&rule(", for: 1m"), &fired, &[sample("a", 1.0)], 10, 0).expect("no fault").state;
    let instance = longer.instances.values().next().expect("one alert");
    assert_eq!(
        (instance.state, instance.fired_at, instance.active_at),
        (AlertState::Pending, None, TimestampMs(0))
    );
}

#[test]
fn sending_is_repeated_and_follows_a_resolution() {
    let fired =
        run(&rule(""), &RuleState::default(), &[sample("a", 1.0)], 0, 0).expect("no fault").state;
    let mut instance = fired.instances.values().next().expect("one alert").clone();
    let minute = DurationMs(60_000);
    let needs = |instance: &AlertInstance, second: i64| {
        instance.needs_sending(TimestampMs(second * 1000), minute)
    };
    assert!(needs(&instance, 0));
    instance.last_sent_at = Some(TimestampMs(0));
    assert!(!needs(&instance, 60) && needs(&instance, 61));
    instance.state = AlertState::Inactive;
    instance.resolved_at = Some(TimestampMs(5_000));
    assert!(needs(&instance, 5));
    instance.last_sent_at = Some(TimestampMs(5_000));
    assert!(!needs(&instance, 30));
    instance.state = AlertState::Pending;
    assert!(!needs(&instance, 999));
}

proptest! {
    /// Whatever the script, an alert fires only after `for` of unbroken results, and the order of the result does not matter.
    #[test]
    fn firing_needs_unbroken_results(script in "[1.]{1,30}", for_steps in 0_i64..5) {
        let rule = rule(&format!(", for: {}s", for_steps * 10));
        let letters = states(&rule, &script);
        let mut run_length = 0;
        for (mark, letter) in script.chars().zip(letters.chars()) {
            run_length = if mark == '1' { run_length + 1 } else { 0 };
            let expected = if mark == '.' { letter != 'f' && letter != 'p' }
                else if run_length > for_steps { letter == 'f' }
                else { letter == 'p' };
            prop_assert!(expected, "{script} {letters}");
        }
    }

    #[test]
    fn the_order_of_the_result_does_not_matter(mut hosts in proptest::collection::btree_set("[a-f]", 1..6).prop_map(|set| set.into_iter().collect::<Vec<_>>()).prop_shuffle()) {
        let rule = rule("");
        let forward: Vec<InstantSample> = hosts.iter().map(|host| sample(host, 1.0)).collect();
        hosts.reverse();
        let backward: Vec<InstantSample> = hosts.iter().map(|host| sample(host, 1.0)).collect();
        prop_assert_eq!(run(&rule, &RuleState::default(), &forward, 0, 0), run(&rule, &RuleState::default(), &backward, 0, 0));
    }
}

#[test]
fn a_report_is_good_for_four_of_the_longer_of_interval_and_resend_delay() {
    let rule = rule("");
    let state = run(&rule, &RuleState::default(), &[sample("a", 1.0)], 0, 0).expect("fires").state;
    let alert = state.instances.values().next().expect("one").clone();
    let ends = |alert: &AlertInstance, interval, delay| {
        let secs = DurationMs::from_secs;
        ends_at(alert, TimestampMs(10_000), secs(interval), secs(delay)).0 / 1000
    };
    assert_eq!(ends(&alert, 15, 60), 250);
    assert_eq!(ends(&alert, 300, 60), 1210);
    let resolved = AlertInstance { resolved_at: Some(TimestampMs(7000)), ..alert };
    assert_eq!(ends(&resolved, 15, 60), 7);
}
