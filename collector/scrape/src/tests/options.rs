//! Options of a job that are off unless asked for.

use std::fs;

use swell_env::{Clock as _, SystemClock};
use swell_http_client::{ExtraHeader, Secret, settable};
use swell_relabel::{Action, Rule, RuleSpec};

use super::lab::{Lab, Target, job};
use crate::{Limits, ScrapeError};

#[tokio::test]
async fn timeout_limit_and_size_are_stored_when_wanted() {
    let body = "a 1\nb 2\n";
    let target = Target::text(body).await;
    let mut config = job(&[&target]);
    config.extra_metrics = true;
    config.limits = Limits { samples_max: Some(7), ..Limits::default() };
    let lab = Lab::start(vec![config.clone()]);
    lab.until_last("scrape_timeout_seconds", "0.05").await;
    lab.until_last("scrape_sample_limit", "7").await;
    lab.until_last("scrape_body_size_bytes", &body.len().to_string()).await;
    config.limits.body_bytes_max = Some(4);
    lab.handle.reload(vec![config.clone()]).await.expect("applied");
    lab.until_last("scrape_body_size_bytes", "-1").await;
    // Those that are not wanted any more end, and the others go on.
    config.limits.body_bytes_max = None;
    config.extra_metrics = false;
    lab.handle.reload(vec![config]).await.expect("applied");
    lab.until_last("scrape_body_size_bytes", "stale").await;
    lab.until_last("scrape_sample_limit", "stale").await;
    lab.until_last("up", "1").await;
}

#[tokio::test]
async fn failed_scrapes_are_written_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("failed.log");
    let target = Target::text("bad{ 1\n").await;
    let mut config = job(&[&target]);
    config.failure_log = Some(path.clone());
    let lab = Lab::start(vec![config.clone()]);
    lab.until("two lines", |_| {
        fs::read_to_string(&path).is_ok_and(|text| text.lines().count() > 1)
    })
    .await;
    lab.stop().await;
    let text = fs::read_to_string(&path).expect("written");
    let line: serde_json::Value =
        serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!((&line["level"], &line["job_name"]), (&"ERROR".into(), &"j".into()));
    assert!(line["msg"].as_str().is_some_and(|it| it.contains("a label name expected")), "{line}");
    assert_eq!(line["target"], format!("http://{}/metrics", target.addr));
    config.failure_log = Some(folder.path().join("no/failed.log"));
    assert!(matches!(Lab::try_start(vec![config]), Err(ScrapeError::FailureLog { .. })));
}

#[tokio::test]
async fn only_classic_names_are_taken_when_told_so() {
    let target = Target::text("{\"a.b\"} 1\n").await;
    let mut config = job(&[&target]);
    config.names.classic_only = true;
    let lab = Lab::start(vec![config]);
    lab.until_error("has the name \"a.b\", which is not of classic form").await;
    target.says("a_b{\"c.d\"=\"e\"} 1\n");
    lab.until_error("has the label \"c.d\"").await;
    target.says("a_b{c_d=\"e.f\"} 1\n");
    lab.until_last("up", "1").await;
}

#[tokio::test]
async fn a_label_without_a_name_is_not_stored() {
    let target = Target::text("a{x=\"y\"} 1\n").await;
    let mut config = job(&[&target]);
    // What follows the prefix becomes the name, and may be nothing
    let spec = RuleSpec {
        regex: Some("x(.*)".to_owned()),
        action: Action::LabelMap,
        ..RuleSpec::default()
    };
    config.metric_relabel = vec![Rule::new(spec).expect("valid")];
    let lab = Lab::start(vec![config]);
    lab.until_error("has a label without a name").await;
    target.says("a{xz=\"y\"} 1\n");
    lab.until_last("up", "1").await;
}

#[tokio::test]
async fn series_with_times_of_their_own_end_when_told_so() {
    let now = SystemClock::new().now().0;
    let target = Target::text(&format!("a 1 {now}\nb 1\n")).await;
    let mut config = job(&[&target]);
    config.track_timestamps_staleness = true;
    let lab = Lab::start(vec![config]);
    lab.until_last("a", "1").await;
    target.says("b 1\n");
    lab.until_last("a", "stale").await;
}

#[tokio::test]
async fn a_label_of_a_target_asks_for_native_histograms() {
    let target = Target::text("a 1\n").await;
    let mut config = job(&[&target]);
    let label = ("__scrape_native_histograms__".to_owned(), "true".to_owned());
    config.static_groups[0].labels.extend([label]);
    let lab = Lab::start(vec![config]);
    lab.until_last("up", "1").await;
    let (_, headers) = target.request();
    let accept = headers["accept"].to_str().expect("text");
    assert!(accept.starts_with("application/vnd.google.protobuf"), "{accept}");
}

#[tokio::test]
async fn headers_of_the_configuration_are_sent() {
    let target = Target::text("a 1\n").await;
    let mut config = job(&[&target]);
    config.client.headers = vec![ExtraHeader {
        name: settable("X-Scope-OrgID").expect("free"),
        values: vec![Secret::Text("team".to_owned())],
    }];
    let lab = Lab::start(vec![config]);
    lab.until_last("up", "1").await;
    assert_eq!(target.request().1["x-scope-orgid"], "team");
}
