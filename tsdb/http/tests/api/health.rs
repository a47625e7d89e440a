//! `/-/healthy` tells whether the storage can be read and written.

use swell_env::Fault;
use swell_model::{AppendError, Batch, DurationMs, Labels, Row, SampleSink as _, TimestampMs};

use super::lab::{Lab, NOW_S};

fn batch(lab: &Lab, after_s: i64) -> Batch {
    let series = lab.db.resolve(&Labels::from_pairs([("__name__", "up")])).expect("good labels");
    let at = TimestampMs((NOW_S + after_s) * 1000);
    Batch::of_rows(vec![Row::new(at, vec![series], vec![1.0])])
}

#[tokio::test]
async fn a_disk_that_stays_full_makes_the_server_unhealthy_until_it_has_room() {
    let lab = Lab::new();
    lab.dir.fill(true);
    let refused = lab.db.append(&batch(&lab, 1)).expect_err("full");
    assert!(matches!(refused, AppendError::Paused { .. }), "{refused}");
    lab.clock.advance(DurationMs::from_secs(29));
    assert_eq!(lab.get("/-/healthy", &[]).await.code, 200, "it may pass");
    lab.clock.advance(DurationMs::from_secs(1));
    let answer = lab.get("/-/healthy", &[]).await;
    assert_eq!(answer.code, 503);
    assert!(answer.text.contains("writes have been refused for 30 s"), "{}", answer.text);
    assert!(answer.text.contains("No space left"), "{}", answer.text);
    lab.get("/api/v1/query", &[("query", "up")]).await.data();
    lab.dir.fill(false);
    lab.db.append(&batch(&lab, 1)).expect("room again");
    assert_eq!(lab.get("/-/healthy", &[]).await.code, 200);
}

#[tokio::test]
async fn a_log_that_cannot_be_trusted_makes_the_server_unhealthy_at_once() {
    let lab = Lab::new();
    lab.dir.fail(lab.dir.op_count(), 1, Fault::Io);
    lab.db.append(&batch(&lab, 1)).expect_err("the device fails");
    let answer = lab.get("/-/healthy", &[]).await;
    assert_eq!(answer.code, 503);
    assert!(answer.text.contains("write of the log failed"), "{}", answer.text);
    assert_eq!(lab.get("/-/ready", &[]).await.code, 200, "queries are answered");
}

#[tokio::test]
async fn a_device_that_does_not_answer_is_named_and_asking_does_not_wait_for_it() {
    let lab = Lab::new();
    let (db, batch) = (lab.db.clone(), batch(&lab, 1));
    let before = lab.dir.op_count();
    lab.dir.hang(true);
    let writer = std::thread::spawn(move || db.append(&batch).map(drop));
    lab.until("the write at the device", |lab| lab.dir.waiting() > 0).await;
    lab.api.probe();
    assert_eq!(lab.get("/-/healthy", &[]).await.code, 200, "not for long yet");
    lab.clock.advance(DurationMs::from_secs(31));
    lab.api.probe();
    let answer = lab.get("/-/healthy", &[]).await;
    assert_eq!(answer.code, 503);
    let told = ["reads of the storage have been stuck for 31 s", "writes of the storage have"];
    assert!(told.iter().all(|part| answer.text.contains(part)), "{}", answer.text);
    assert_eq!(lab.dir.op_count(), before, "probes write nothing");
    lab.dir.hang(false);
    writer.join().expect("no panic").expect("the device answers again");
    let healthy = async {
        loop {
            let answer = lab.get("/-/healthy", &[]).await;
            if answer.code == 200 {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(60), healthy).await;
    let answer = answer.expect("it is healthy again");
    assert_eq!(answer.text, "Prometheus Server is Healthy.\n");
}
