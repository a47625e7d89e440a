//! Targets that come, go and change.

use std::fs;

use swell_discovery::{DiscoveryConfig, FileConfig};
use swell_model::DurationMs;
use swell_relabel::{Action, Rule, RuleSpec};

use super::lab::{Answer, Lab, Target, job};
use crate::{Limits, ScrapeConfig, ScrapeError};

#[tokio::test]
async fn a_removed_target_ends_all_its_series() {
    let target = Target::text("a 1\n").await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("up", "1").await;
    lab.handle.reload(Vec::new()).await.expect("applied");
    lab.until_last("a", "stale").await;
    lab.until_last("up", "stale").await;
    lab.until_last("scrape_duration_seconds", "stale").await;
    assert!(lab.handle.targets().is_empty());
    lab.stop().await;
}

/// A job with an interval that no pause between two steps of a test comes near.
fn slow_job(target: &Target) -> ScrapeConfig {
    let mut config = job(&[target]);
    (config.interval, config.timeout) = (DurationMs(3000), DurationMs(3000));
    config
}

#[tokio::test]
async fn a_target_that_comes_back_in_time_leaves_no_gap() {
    let target = Target::text("a 1\n").await;
    let config = slow_job(&target);
    let lab = Lab::start(vec![config.clone()]);
    lab.until_last("a", "1").await;
    lab.handle.reload(Vec::new()).await.expect("applied");
    assert!(lab.handle.targets().is_empty());
    target.says("a 2\n");
    lab.handle.reload(vec![config]).await.expect("applied");
    lab.until_last("a", "2").await;
    for name in ["a", "up"] {
        let values = lab.memory.values(&format!(r#"{name}{{instance="i", job="j"}}"#));
        assert!(!values.contains(&"stale".to_owned()), "{name}: {values:?}");
    }
    lab.stop().await;
}

#[tokio::test]
async fn shutdown_does_not_end_what_went_shortly_before() {
    let target = Target::text("a 1\n").await;
    let lab = Lab::start(vec![slow_job(&target)]);
    lab.until_last("a", "1").await;
    let memory = lab.memory.clone();
    lab.handle.reload(Vec::new()).await.expect("applied");
    lab.stop().await;
    assert_eq!(memory.last(r#"a{instance="i", job="j"}"#).as_deref(), Some("1"));
}

#[tokio::test]
async fn a_reload_keeps_the_series_of_targets_that_stay() {
    let target = Target::text("a 1\nb 1\n").await;
    let mut config = job(&[&target]);
    // A scrape that takes too long would end them, too.
    (config.interval, config.timeout) = (DurationMs(500), DurationMs(500));
    let lab = Lab::start(vec![config.clone()]);
    lab.until_last("b", "1").await;
    config.metric_relabel = vec![
        Rule::new(RuleSpec {
            source_labels: Some(vec!["__name__".to_owned()]),
            regex: Some("b".to_owned()),
            action: Action::Drop,
            ..RuleSpec::default()
        })
        .expect("valid"),
    ];
    lab.handle.reload(vec![config]).await.expect("applied");
    lab.until_last("b", "stale").await;
    target.says("a 2\nb 2\n");
    lab.until_last("a", "2").await;
    lab.until_last("scrape_samples_post_metric_relabeling", "1").await;
    for name in ["a", "up"] {
        let values = lab.memory.values(&format!(r#"{name}{{instance="i", job="j"}}"#));
        assert!(!values.contains(&"stale".to_owned()), "{name}: {values:?}");
    }
}

#[tokio::test]
async fn shutdown_ends_no_series() {
    let target = Target::text("a 1\n").await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("a", "1").await;
    let memory = lab.memory.clone();
    lab.stop().await;
    assert_eq!(memory.last(r#"a{instance="i", job="j"}"#).as_deref(), Some("1"));
}

#[tokio::test]
async fn target_files_are_followed() {
    let dir = tempfile::tempdir().expect("a folder");
    let target = Target::text("a 1\n").await;
    let mut config = job(&[]);
    config.discoveries = vec![DiscoveryConfig::File(FileConfig {
        patterns: vec![dir.path().join("*.json")],
        refresh: DurationMs::from_secs(300),
    })];
    let lab = Lab::start(vec![config]);
    let file = dir.path().join("t.json");
    let list = format!(r#"[{{"targets": ["{}"], "labels": {{"instance": "i"}}}}]"#, target.addr);
    fs::write(&file, &list).expect("written");
    lab.until_last("a", "1").await;
    let state = lab.target();
    let path = file.display().to_string();
    assert_eq!(state.discovered.get("__meta_filepath"), Some(path.as_str()));
    // Labels that make no other target of it are shown as they are told now.
    fs::write(&file, list.replace("{\"instance\"", "{\"__meta_rack\": \"7\", \"instance\""))
        .expect("written");
    lab.until("the new label", |lab| lab.target().discovered.get("__meta_rack") == Some("7")).await;
    // A file that breaks keeps its targets; one that is gone loses them.
    fs::write(&file, "[{").expect("written");
    lab.until("a failure", |lab| {
        let families = lab.registry.gather();
        let failures =
            families.iter().find(|family| family.name() == "prometheus_sd_file_read_errors_total");
        failures.is_some_and(|family| family.get_metric()[0].get_counter().get_value() > 0.0)
    })
    .await;
    assert_eq!(lab.handle.targets().len(), 1);
    fs::remove_file(&file).expect("removed");
    lab.until("no targets", |lab| lab.handle.targets().is_empty()).await;
    lab.until_last("a", "stale").await;
}

#[tokio::test]
async fn dropped_and_faulty_targets_are_shown() {
    let target = Target::text("a 1\n").await;
    let mut config = job(&[&target]);
    config.static_groups[0].targets.push("gone:1".to_owned());
    config.static_groups[0].targets.push("a/b".to_owned());
    config.relabel = vec![
        Rule::new(RuleSpec {
            source_labels: Some(vec!["__address__".to_owned()]),
            regex: Some("gone.*".to_owned()),
            action: Action::Drop,
            ..RuleSpec::default()
        })
        .expect("valid"),
    ];
    let lab = Lab::start(vec![config]);
    lab.until_last("up", "1").await;
    let states = lab.handle.targets();
    let dropped: Vec<_> = states.iter().filter(|state| state.dropped).collect();
    assert_eq!((states.len(), dropped.len()), (3, 2));
    assert_eq!(dropped[0].discovered.get("__address__"), Some("gone:1"));
    assert!(dropped[1].last_error.contains("host:port"), "{}", dropped[1].last_error);
}

#[tokio::test]
async fn more_targets_than_allowed_all_fail() {
    let (one, other) = (Target::text("a 1\n").await, Target::start(Answer::Silence).await);
    let mut config = job(&[&one, &other]);
    config.limits = Limits { targets_max: Some(1), ..Limits::default() };
    let lab = Lab::start(vec![config.clone()]);
    lab.until_error("more than the limit of 1 targets").await;
    assert!(!one.asked() && !other.asked());
    config.static_groups[0].targets.pop();
    lab.handle.reload(vec![config]).await.expect("applied");
    lab.until_last("up", "1").await;
}

#[tokio::test]
async fn a_job_given_twice_is_refused() {
    let target = Target::text("a 1\n").await;
    let refused = Lab::try_start(vec![job(&[&target]), job(&[&target])]);
    assert!(matches!(refused, Err(ScrapeError::RepeatedJob { .. })));
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("up", "1").await;
    let refused = lab.handle.reload(vec![job(&[]), job(&[])]).await;
    assert!(matches!(refused, Err(ScrapeError::RepeatedJob { .. })));
    let handle = lab.handle.clone();
    assert_eq!(handle.targets().len(), 1, "targets stay as they were");
    lab.stop().await;
    assert!(matches!(handle.reload(Vec::new()).await, Err(ScrapeError::Ended)));
}

/// How many series each target shares with others, and how many there are of these.
fn shared(lab: &Lab) -> (Vec<usize>, f64) {
    let families = lab.registry.gather();
    let family = families.iter().find(|it| it.name() == "swell_scrape_shared_series");
    let count = family.expect("registered").get_metric()[0].get_gauge().get_value();
    (lab.handle.targets().iter().map(|target| target.shared_series).collect(), count)
}

#[tokio::test]
async fn series_that_two_targets_give_are_counted_until_one_gives_them_no_more() {
    let body = "a{instance=\"x\"} 1\nb{instance=\"x\"} 1\nc 1\n";
    let (first, second) = (Target::text(body).await, Target::text(body).await);
    let mut configs = vec![job(&[&first]), job(&[&second])];
    configs[1].job_name = "k".to_owned();
    for config in &mut configs {
        // Each has labels of its own, and none of them is in what the targets tell.
        config.static_groups[0].labels.insert("job".to_owned(), "j".to_owned());
        config.honor_labels = true;
    }
    configs[1].static_groups[0].labels.insert("instance".to_owned(), "k".to_owned());
    let lab = Lab::start(configs.clone());
    lab.until("both shared series", |lab| shared(lab) == (vec![2, 2], 2.0)).await;
    second.says("b{instance=\"x\"} 1\n");
    lab.until("one less", |lab| shared(lab) == (vec![1, 1], 1.0)).await;
    second.answers(Answer::Status(axum::http::StatusCode::NOT_FOUND));
    lab.until("none of a target that is down", |lab| shared(lab) == (vec![0, 0], 0.0)).await;
    second.says(body);
    lab.until("both again", |lab| shared(lab) == (vec![2, 2], 2.0)).await;
    // Targets with equal labels share all, which `up` stands for.
    configs[1].static_groups[0].labels.insert("instance".to_owned(), "i".to_owned());
    lab.handle.reload(configs.clone()).await.expect("applied");
    lab.until("up as well", |lab| shared(lab) == (vec![3, 3], 3.0)).await;
    configs.pop();
    lab.handle.reload(configs).await.expect("applied");
    lab.until("one target is left", |lab| shared(lab) == (vec![0], 0.0)).await;
    lab.stop().await;
}
