//! What is in memory and quickly found is told to be at hand, and nothing else.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, append, config, histogram_batch, open};
use swell_engine::{Db, WalSync};
use swell_env::MemDir;
use swell_model::{
    DurationMs, MatchOp, Matcher, SampleSink as _, SeriesSource as _, TimeRange, TimestampMs,
    Wanted,
};
use swell_promql::{Budget, EvalError, EvalParams, QueryOutput, evaluate, evaluate_at_hand};
use swell_promql_syntax::parse;

const START: i64 = 1000 * 24 * HOUR;

fn range(from_h: i64, to_h: i64) -> TimeRange {
    TimeRange {
        start_incl: TimestampMs(START + from_h * HOUR),
        end_incl: TimestampMs(START + to_h * HOUR),
    }
}

/// Thirty series, a sample each ten minutes of twelve hours, the older ones in blocks.
fn filled() -> Db {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opened");
    for row in 0..72 {
        let samples: Vec<(usize, f64)> = (0..30).map(|nr| (nr, f64::from(row))).collect();
        append(&db, START + i64::from(row) * HOUR / 6, &samples).expect("taken");
    }
    db.maintain(TimestampMs(0)).expect("flushed");
    assert!(db.status().blocks.block_count > 0, "older windows are in blocks");
    db
}

fn metric(name: &str) -> Matcher {
    Matcher::equal("__name__", name)
}

/// Series found.
fn found(db: &Db, wanted: Wanted<'_>, matchers: &[Matcher], range: TimeRange) -> Option<usize> {
    db.at_hand(wanted, matchers, range).map(|at_hand| at_hand.found)
}

#[test]
fn samples_are_at_hand_in_memory_where_finding_them_takes_little() {
    let db = filled();
    let at_hand = |matchers: &[Matcher], range| found(&db, Wanted::Samples, matchers, range);
    let pod = |op, pattern: &str| Matcher::new("pod", op, pattern).expect("a pattern");
    let newest = range(11, 12);
    assert_eq!(at_hand(&[metric("metric_1")], newest), Some(10));
    for (matcher, expected) in [
        (pod(MatchOp::Regex, "pod-1.*"), 5),
        (pod(MatchOp::Regex, "pod-1|pod-4|pod-5"), 2),
        (pod(MatchOp::NotRegex, "pod-1.*"), 5),
        (pod(MatchOp::NotEqual, "pod-1"), 9),
        (pod(MatchOp::NotEqual, ""), 10),
        (pod(MatchOp::Equal, ""), 0),
    ] {
        assert_eq!(
            at_hand(&[metric("metric_1"), matcher.clone()], newest),
            Some(expected),
            "{matcher}"
        );
    }
    // Thirty values and their postings, which is less than the labels of ten series.
    let not_empty = [metric("metric_1"), pod(MatchOp::NotEqual, "")];
    let looked_at = db.at_hand(Wanted::Samples, &not_empty, newest);
    assert_eq!(looked_at.map(|at_hand| at_hand.looked_at), Some(4));
    assert_eq!(at_hand(&[metric("nothing")], newest), Some(0));
    assert_eq!(at_hand(&[pod(MatchOp::Regex, "pod-1.*")], newest), Some(11));
    assert_eq!(at_hand(&[], newest), Some(30));
    assert_eq!(at_hand(&[pod(MatchOp::Equal, "")], newest), Some(0));
    let long = pod(MatchOp::Regex, &"pod-1|".repeat(100));
    assert_eq!(at_hand(&[metric("metric_1"), long], newest), None, "each text is compared");
    // Blocks have frames to be read.
    assert_eq!(at_hand(&[metric("metric_1")], range(0, 12)), None);
    assert_eq!(at_hand(&[metric("metric_1")], range(0, 1)), None);
}

#[test]
fn histograms_are_not_at_hand() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opened");
    append(&db, START, &[(0, 1.0), (1, 1.0)]).expect("taken");
    let batch = histogram_batch(&db, START + 1, &[(1, 5.0)]).expect("known");
    db.append(&batch).expect("taken");
    let at_hand = |name| found(&db, Wanted::Samples, &[metric(name)], range(0, 1));
    assert_eq!((at_hand("metric_0"), at_hand("metric_1")), (Some(1), None));
}

#[test]
fn what_too_many_series_have_is_not_at_hand() {
    let db = open(Arc::new(MemDir::new()), config(WalSync::Never)).expect("opened");
    let samples: Vec<(usize, f64)> = (0..3 * 1024).map(|nr| (nr, 1.0)).collect();
    append(&db, START, &samples).expect("taken");
    let at_hand = |matchers: &[Matcher]| found(&db, Wanted::Samples, matchers, range(0, 1));
    assert_eq!(at_hand(&[metric("metric_0")]), Some(1024));
    append(&db, START + 1, &[(3 * 1024, 1.0)]).expect("taken");
    assert_eq!(at_hand(&[metric("metric_0")]), None);
    assert_eq!(at_hand(&[metric("metric_0"), Matcher::equal("pod", "pod-3")]), Some(1));
    // The index tells how many series a prefix leaves, not what else of a pattern does.
    let pod = |pattern: &str| Matcher::new("pod", MatchOp::Regex, pattern).expect("a pattern");
    assert_eq!(at_hand(&[metric("metric_0"), pod("pod-30.*")]), Some(30));
    assert_eq!(at_hand(&[metric("metric_0"), pod(".*-30.*")]), None);
    assert_eq!(at_hand(&[metric("metric_0"), pod("pod-.*0")]), None);
    assert_eq!(at_hand(&[]), None);
}

#[test]
fn names_are_at_hand_where_the_indexes_are_in_memory() {
    let db = filled();
    let values = Wanted::Values("pod");
    assert_eq!(found(&db, values, &[], range(11, 12)), Some(30));
    assert_eq!(found(&db, values, &[metric("metric_2")], range(11, 12)), Some(10));
    assert_eq!(found(&db, Wanted::Names, &[], range(11, 12)), Some(2));
    let all = range(0, 12);
    assert_eq!(found(&db, values, &[], all), None, "nobody has asked the blocks yet");
    assert_eq!(db.label_values("pod", &[], all).expect("read").len(), 30);
    let blocks = db.status().blocks.block_count;
    assert_eq!(found(&db, values, &[], all), Some(30 * (1 + blocks)));
    assert_eq!(found(&db, Wanted::Names, &[], all), Some(2 * (1 + blocks)));
    assert_eq!(found(&db, values, &[metric("metric_2")], all), None, "postings are decoded");
}

/// The value of a query, however it is evaluated.
fn shown(output: Result<QueryOutput, EvalError>) -> String {
    let output = output.expect("evaluated");
    format!(
        "{:?} {:?} {:?} {}",
        output.value, output.warnings, output.infos, output.stats.samples_total
    )
}

#[test]
fn what_is_evaluated_at_hand_is_what_is_evaluated_anywhere() {
    let db = filled();
    let end = TimestampMs(START + 12 * HOUR);
    let instant = EvalParams { lookback: DurationMs(HOUR), ..EvalParams::instant(end) };
    let over_an_hour = EvalParams {
        lookback: DurationMs(HOUR / 2),
        ..EvalParams::range(end - DurationMs(HOUR), end, DurationMs(HOUR / 12))
    };
    let budget = Budget::default();
    for query in [
        "metric_0",
        "sum by (pod) (metric_1 > 3)",
        r#"metric_0{pod=~"pod-[0-9]"} + on (pod) group_left () metric_0"#,
        r#"max(metric_2{pod!~"pod-1.*",pod!=""})"#,
        "topk(3, metric_0)",
        "sum_over_time(metric_1[30m])",
        "absent(nothing)",
        r#"count(metric_0 or metric_1{pod="none"})"#,
        "1 + 2",
    ] {
        let expr = parse(query).expect("valid");
        for params in [instant, over_an_hour] {
            let here = evaluate_at_hand(&expr, &db, &params, &budget, 100_000);
            let here = here.unwrap_or_else(|| panic!("{query} is at hand"));
            assert_eq!(shown(here), shown(evaluate(&expr, &db, &params, &budget)), "{query}");
        }
    }
    // Samples that are closer than the estimate has it.
    for at_ms in 0..60_000 {
        append(&db, end.0 + at_ms, &[(0, 1.0)]).expect("taken");
    }
    let late = EvalParams::instant(end + DurationMs(60_000));
    for (query, is_here) in [("metric_0[10s]", true), ("metric_0[1m]", false)] {
        let expr = parse(query).expect("valid");
        assert_eq!(evaluate_at_hand(&expr, &db, &late, &budget, 500).is_some(), is_here, "{query}");
    }
}
