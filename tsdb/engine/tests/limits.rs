//! Limits on the number of series: the newest are shed, the others go on, and the reason names who is guilty.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, config, labels, open};
use swell_engine::{Config, Db, WalSync};
use swell_env::MemDir;
use swell_model::{AppendError, Batch, Labels, Row, SampleSink, SeriesRef, TimestampMs};

fn db(limits: Config) -> Db {
    open(Arc::new(MemDir::new()), limits).expect("opens")
}

/// A series of a metric that has a label with many values.
fn bad(nr: usize, namespace: &str) -> Labels {
    Labels::from_pairs([
        ("__name__", "requests_total"),
        ("code", if nr.is_multiple_of(2) { "200" } else { "500" }),
        ("namespace", namespace),
        ("user_id", &format!("u{nr}")),
    ])
}

fn shed(db: &Db, labels: &Labels) -> String {
    match db.resolve(labels) {
        Err(error @ AppendError::TooManySeries { .. }) => error.to_string(),
        other => panic!("{other:?} instead of being shed"),
    }
}

#[test]
fn the_newest_series_are_shed_and_the_guilty_label_is_named() {
    let db = db(Config { head_series_max: 50, ..config(WalSync::Never) });
    let known: Vec<SeriesRef> =
        (0..10).map(|nr| db.resolve(&labels(nr)).expect("there is room")).collect();
    for nr in 0..40 {
        db.resolve(&bad(nr, "a")).expect("there is room");
    }
    for nr in 40..1000 {
        let reason = shed(&db, &bad(nr, "a"));
        for part in ["50 series", "requests_total", "label user_id has 40 values"] {
            assert!(reason.contains(part), "{part} in {reason}");
        }
    }
    assert_eq!(db.status().series_shed, 960);
    assert_eq!(db.status().head.series_count, 50);
    for step in 0..100 {
        let row = Row::new(TimestampMs(step * 1000), known.clone(), vec![1.0; known.len()]);
        let report = db.append(&Batch::of_rows(vec![row])).expect("known series go on");
        assert_eq!(report.stored, known.len());
    }
    let top = db.cardinality(1);
    assert_eq!(top.series_by_metric, [("requests_total".to_owned(), 40)]);
    assert_eq!(top.values_by_label, [("user_id".to_owned(), 40)]);
}

#[test]
fn a_metric_and_a_label_value_have_their_own_room() {
    let limits = Config {
        metric_series_max: Some(20),
        label_series_max: vec![("namespace".to_owned(), 5)],
        ..config(WalSync::Never)
    };
    let db = db(limits);
    for nr in 0..5 {
        db.resolve(&bad(nr, "a")).expect("there is room");
    }
    let reason = shed(&db, &bad(5, "a"));
    assert!(reason.contains("namespace=a has 5 series"), "{reason}");
    for (nr, namespace) in ["b", "c", "d"].iter().flat_map(|n| (0..5).map(move |nr| (nr, n))) {
        db.resolve(&bad(nr, namespace)).expect("other namespaces have theirs");
    }
    let reason = shed(&db, &bad(0, "e"));
    assert!(reason.contains("metric requests_total has 20 series"), "{reason}");
    db.resolve(&labels(0)).expect("other metrics have theirs");
    db.resolve(&bad(0, "a")).expect("known series are found");
}

#[test]
fn room_comes_back_when_series_are_gone() {
    let db = db(Config { head_series_max: 11, ..config(WalSync::Never) });
    for nr in 0..10 {
        common::append(&db, 1000, &[(nr, 1.0)]).expect("appends");
    }
    for step in 1..=60 {
        let at = step * HOUR / 10;
        common::append(&db, at, &[(100, 1.0)]).expect("appends");
    }
    shed(&db, &labels(20));
    let report = db.maintain(TimestampMs(0)).expect("maintains");
    assert_eq!(report.forgotten_series_count, 10);
    for nr in 20..30 {
        db.resolve(&labels(nr)).expect("there is room again");
    }
}
