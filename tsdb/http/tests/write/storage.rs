//! What the storage says becomes an answer.

use std::sync::Arc;

use swell_env::{Fault, FaultDir, MemDir};
use swell_model::DurationMs;
use swell_tsdb_http::RemoteWriteConfig;

use crate::lab::{Lab, NOW_MS, labels, storage};

#[tokio::test]
async fn a_late_sample_takes_its_request_along_in_1_0() {
    let lab = Lab::new();
    let (late, good) = (labels("late", 0), labels("good", 0));
    assert_eq!(lab.push_series(&[(&late, &[(NOW_MS, 1.0)])]).await.code, 204);
    let answer =
        lab.push_series(&[(&good, &[(NOW_MS, 1.0)]), (&late, &[(NOW_MS - 1000, 2.0)])]).await;
    assert_eq!(answer.code, 400);
    let start = "1 entries refused, and with them the whole request; out of order sample (1 of them, the first: \
                 {__name__=\"late\", nr=\"0\"} at 1699999999000)";
    assert!(answer.text.starts_with(start), "{}", answer.text);
    assert_eq!((lab.stored("good"), lab.stored("late")), (vec![], vec![(NOW_MS, 1.0)]));
    // Repeats are no fault: senders try again.
    let answer = lab.push_series(&[(&good, &[(NOW_MS, 1.0)]), (&late, &[(NOW_MS, 1.0)])]).await;
    assert_eq!(answer.code, 204, "{}", answer.text);
    assert_eq!((lab.stored("good").len(), lab.stored("late").len()), (1, 1));
}

#[tokio::test]
async fn two_values_for_one_time_take_their_request_along_in_1_0() {
    for window in [DurationMs::ZERO, DurationMs::from_secs(3600)] {
        let config = swell_engine::Config { out_of_order_window: window, ..storage() };
        let lab = Lab::with(RemoteWriteConfig::standard(), config, Arc::new(MemDir::new()));
        let (twice, good) = (labels("twice", 0), labels("good", 0));
        let both = [(NOW_MS, 1.0), (NOW_MS, 2.0)];
        for request in [
            &[(&twice, &both[..]), (&good, &[(NOW_MS, 1.0)])][..],
            &[(&good, &[(NOW_MS, 1.0)]), (&twice, &both[..1]), (&twice, &both[1..])],
        ] {
            let answer = lab.push_series(request).await;
            assert_eq!(answer.code, 400);
            assert!(answer.text.contains("duplicate sample"), "{}", answer.text);
            assert_eq!((lab.stored("good"), lab.stored("twice")), (vec![], vec![]));
        }
        let repeat = [(NOW_MS, 2.0), (NOW_MS, 2.0)];
        assert_eq!(lab.push_series(&[(&twice, &repeat)]).await.code, 204);
        assert_eq!(lab.stored("twice"), [(NOW_MS, 2.0)]);
    }
}

#[tokio::test]
async fn late_samples_within_the_window_are_taken() {
    let config =
        swell_engine::Config { out_of_order_window: DurationMs::from_secs(60), ..storage() };
    let lab = Lab::with(RemoteWriteConfig::standard(), config, Arc::new(MemDir::new()));
    let late = labels("late", 0);
    assert_eq!(lab.push_series(&[(&late, &[(NOW_MS, 1.0)])]).await.code, 204);
    assert_eq!(lab.push_series(&[(&late, &[(NOW_MS - 59_000, 2.0)])]).await.code, 204);
    assert_eq!(lab.push_series(&[(&late, &[(NOW_MS - 61_000, 3.0)])]).await.code, 400);
    assert_eq!(lab.stored("late"), [(NOW_MS - 59_000, 2.0), (NOW_MS, 1.0)]);
}

#[tokio::test]
async fn another_value_for_a_late_time_does_not_take_its_request_along() {
    let config =
        swell_engine::Config { out_of_order_window: DurationMs::from_secs(60), ..storage() };
    let lab = Lab::with(RemoteWriteConfig::standard(), config, Arc::new(MemDir::new()));
    let (late, good) = (labels("late", 0), labels("good", 0));
    assert_eq!(lab.push_series(&[(&late, &[(NOW_MS, 1.0)])]).await.code, 204);
    assert_eq!(lab.push_series(&[(&late, &[(NOW_MS - 1000, 5.0)])]).await.code, 204);
    for (value, counts) in [(4.0, 5.0), (6.0, 6.0)] {
        let at = NOW_MS + if value > 5.0 { 1000 } else { 0 };
        let answer =
            lab.push_series(&[(&good, &[(at, 1.0)]), (&late, &[(NOW_MS - 1000, value)])]).await;
        assert_eq!(answer.code, 400);
        let start = "1 entries refused, the others are stored; duplicate sample";
        assert!(answer.text.starts_with(start), "{}", answer.text);
        assert_eq!(lab.stored("good").last(), Some(&(at, 1.0)));
        assert_eq!(lab.stored("late"), [(NOW_MS - 1000, counts), (NOW_MS, 1.0)]);
    }
}

#[tokio::test]
async fn a_storage_that_takes_no_writes_makes_senders_come_again() {
    let dir = FaultDir::new();
    let lab = Lab::with(RemoteWriteConfig::standard(), storage(), Arc::new(dir.clone()));
    let series = labels("m", 0);
    assert_eq!(lab.push_series(&[(&series, &[(NOW_MS, 1.0)])]).await.code, 204);
    dir.fail(dir.op_count(), u64::MAX, Fault::DiskFull);
    for _ in 0..2 {
        let answer = lab.push_series(&[(&series, &[(NOW_MS + 1000, 2.0)])]).await;
        assert_eq!(answer.code, 503, "{}", answer.text);
        assert_eq!(answer.headers["retry-after"], "5");
        assert!(answer.text.contains("cannot be stored now"), "{}", answer.text);
    }
    assert_eq!(lab.stored("m"), [(NOW_MS, 1.0)]);
    assert_eq!(lab.metric("swell_remote_write_failed_total", "503"), 2.0);
}
