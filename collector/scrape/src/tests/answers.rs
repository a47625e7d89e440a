//! What becomes of each kind of answer.

use axum::http::StatusCode;

use super::lab::{Answer, Lab, TEXT, Target, job};
use crate::Health;

#[tokio::test]
async fn a_good_target_is_up_and_tells_about_its_scrapes() {
    let target = Target::text("a 1\nb 2\n").await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("up", "1").await;
    lab.until_last("a", "1").await;
    lab.until_last("scrape_samples_scraped", "2").await;
    lab.until_last("scrape_samples_post_metric_relabeling", "2").await;
    lab.until_last("scrape_series_added", "0").await;
    let added = lab.memory.values(r#"scrape_series_added{instance="i", job="j"}"#);
    assert_eq!(added[0], "2");
    let state = lab.target();
    assert_eq!(state.health, Health::Up);
    assert_eq!(state.last_error, "");
    assert!(state.last_scrape.is_some());
    assert_eq!(state.url, format!("http://{}/metrics", target.addr));
    assert_eq!(state.labels.to_string(), r#"{instance="i", job="j"}"#);
    assert_eq!(state.discovered.get("__address__"), Some(target.addr.to_string().as_str()));
    let (uri, headers) = target.request();
    assert_eq!(uri, "/metrics");
    assert!(headers["accept"].to_str().expect("text").starts_with("application/openmetrics-text"));
    assert_eq!(headers["accept-encoding"], "gzip");
    assert_eq!(headers["x-prometheus-scrape-timeout-seconds"], "0.05");
    let at_grid = lab.memory.samples(r#"up{instance="i", job="j"}"#);
    let report = lab.memory.samples(r#"a{instance="i", job="j"}"#);
    assert_eq!(at_grid[0].0, report[0].0, "a scrape has one time");
    let families = lab.registry.gather();
    assert!(families.iter().any(|family| family.name() == "swell_scrape_samples_total"));
    lab.stop().await;
}

#[tokio::test]
async fn an_error_status_is_down_and_ends_the_series() {
    let target = Target::text("a 1\n").await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("a", "1").await;
    target.answers(Answer::Status(StatusCode::INTERNAL_SERVER_ERROR));
    lab.until_error("server returned HTTP status 500 Internal Server Error").await;
    lab.until_last("a", "stale").await;
    lab.until_last("scrape_samples_scraped", "0").await;
    target.says("a 2\n");
    lab.until_last("a", "2").await;
    lab.until_last("up", "1").await;
    let values = lab.memory.values(r#"a{instance="i", job="j"}"#);
    assert_eq!(values.iter().filter(|value| *value == "stale").count(), 1);
}

#[tokio::test]
async fn a_silent_target_is_down_and_does_not_hold_up_the_end() {
    let target = Target::start(Answer::Silence).await;
    let mut config = job(&[&target]);
    config.interval.0 = 100;
    let lab = Lab::start(vec![config]);
    lab.until_error("no complete answer within 50ms").await;
    lab.stop().await;
    // One that would wait for an hour.
    let mut config = job(&[&target]);
    config.static_groups[0].labels.insert("__scrape_interval__".to_owned(), "50ms".to_owned());
    config.static_groups[0].labels.insert("__scrape_timeout__".to_owned(), "50ms".to_owned());
    config.timeout.0 = 3_600_000;
    config.interval.0 = 3_600_000;
    let lab = Lab::start(vec![config]);
    lab.until("a request", |_| target.asked()).await;
    lab.stop().await;
}

#[tokio::test]
async fn a_target_that_is_not_there_is_down() {
    let target = Target::text("a 1\n").await;
    let mut config = job(&[&target]);
    config.static_groups[0].targets = vec!["127.0.0.1:1".to_owned()];
    let lab = Lab::start(vec![config]);
    lab.until_error("ask 127.0.0.1:1").await;
    assert!(lab.target().last_error.contains("refused"), "{}", lab.target().last_error);
}

#[tokio::test]
async fn garbage_is_told_with_its_line_and_nothing_of_it_is_stored() {
    let target = Target::text("good 1\nb{ 2\n").await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_error("line 2: a label name expected").await;
    assert_eq!(lab.memory.values(r#"good{instance="i", job="j"}"#), [""; 0]);
    target.says("<html></html>");
    lab.until_error("line 1: a metric name").await;
    for (content_type, shown) in [("text/html", "text/html"), ("", "\"\"")] {
        target.answers(Answer::Body(content_type, "a 1\n".to_owned()));
        lab.until_error(&format!("Content-Type {}", shown.replace("text/html", "\"text/html\"")))
            .await;
    }
    target.answers(Answer::Body("application/openmetrics-text", "a 1\n".to_owned()));
    lab.until_error("no `# EOF` at the end").await;
    target.answers(Answer::Body("application/openmetrics-text", "a 1\n# EOF\n".to_owned()));
    lab.until_last("a", "1").await;
}

#[tokio::test]
async fn bodies_may_be_compressed_and_never_exceed_their_limit() {
    let target = Target::start(Answer::Gzip("a 1\n".to_owned())).await;
    let mut config = job(&[&target]);
    config.limits.body_bytes_max = Some(1000);
    let lab = Lab::start(vec![config]);
    lab.until_last("a", "1").await;
    let large = format!("a 1\n#{}\n", "x".repeat(1_000_000));
    target.answers(Answer::Gzip(large.clone()));
    lab.until_error("exceeds the limit of 1000 bytes").await;
    target.says("a 2\n");
    lab.until_last("a", "2").await;
    target.says(&large);
    lab.until_error("exceeds the limit of 1000 bytes").await;
    target.answers(Answer::FalseGzip("a 1\n".to_owned()));
    lab.until_error("decompress the body").await;
}

#[tokio::test]
async fn zstd_is_asked_for_where_it_is_switched_on() {
    let target = Target::start(Answer::Zstd("a 1\n".to_owned(), 1.0)).await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_error("an encoding that was not asked for: \"zstd\"").await;
    assert_eq!(target.request().1["accept-encoding"], "gzip");
    lab.stop().await;
    let mut config = job(&[&target]);
    config.zstd = true;
    config.limits.body_bytes_max = Some(1000);
    let lab = Lab::start(vec![config]);
    lab.until_last("a", "1").await;
    assert_eq!(target.request().1["accept-encoding"], "zstd, gzip;q=0.9");
    let large = format!("a 1\n#{}\n", "x".repeat(1_000_000));
    target.answers(Answer::Zstd(large, 1.0));
    lab.until_error("exceeds the limit of 1000 bytes").await;
    target.answers(Answer::Gzip("a 2\n".to_owned()));
    lab.until_last("a", "2").await;
    target.answers(Answer::Zstd("a 3\n".to_owned(), 0.6));
    lab.until_error("decompress the body").await;
    lab.until_last("a", "stale").await;
}

#[tokio::test]
async fn compression_can_be_switched_off() {
    let target = Target::text("a 1\n").await;
    let mut config = job(&[&target]);
    config.compression = false;
    let lab = Lab::start(vec![config]);
    lab.until_last("a", "1").await;
    assert_eq!(target.request().1["accept-encoding"], "identity");
}

#[tokio::test]
async fn redirects_are_followed_unless_switched_off() {
    let other = Target::text("a 1\n").await;
    let target = Target::start(Answer::Redirect(format!("http://{}/x?y=1", other.addr))).await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("a", "1").await;
    assert_eq!(other.request().0, "/x?y=1");
    lab.stop().await;
    let mut config = job(&[&target]);
    config.client.follow_redirects = false;
    let lab = Lab::start(vec![config]);
    lab.until_error("server returned HTTP status 302 Found").await;
    lab.stop().await;
    let lab = Lab::start(vec![job(&[&target])]);
    target.answers(Answer::Redirect("/again".to_owned()));
    lab.until_error("more than 10 redirects").await;
    target.answers(Answer::Redirect("ftp://x/".to_owned()));
    lab.until_error("a redirect to \"ftp://x/\"").await;
}

#[tokio::test]
async fn a_storage_that_takes_nothing_shows_on_the_target() {
    let target = Target::start(Answer::Body(TEXT, "a 1\n".to_owned())).await;
    let lab = Lab::start(vec![job(&[&target])]);
    lab.until_last("a", "1").await;
    lab.memory.read_only();
    lab.until("an error", |lab| lab.target().last_error.contains("no space")).await;
    assert_eq!(lab.target().health, Health::Down);
}

/// Sum of a family's values; of a summary, how often it was observed.
fn metric(lab: &Lab, name: &str) -> f64 {
    let families = lab.registry.gather();
    let Some(family) = families.iter().find(|family| family.name() == name) else { return -1.0 };
    let metrics = family.get_metric().iter();
    metrics
        .map(|it| {
            let count = f64::from(u32::try_from(it.get_summary().sample_count()).expect("few"));
            it.get_counter().get_value() + it.get_gauge().get_value() + count
        })
        .sum()
}

#[tokio::test]
async fn scrapes_are_counted_under_prometheus_names() {
    let target = Target::text("# TYPE a gauge\n# HELP b B.\na 1\na 2\n").await;
    let lab = Lab::start(vec![job(&[&target])]);
    let of = |name: &str| format!("prometheus_target_{name}");
    lab.until("a sample that comes twice", |lab| {
        metric(lab, &of("scrapes_sample_duplicate_timestamp_total")) > 0.0
    })
    .await;
    lab.until("two families", |lab| (metric(lab, &of("metadata_cache_entries")) - 2.0).abs() < 0.1)
        .await;
    lab.until("an interval", |lab| metric(lab, &of("interval_length_seconds")) > 0.0).await;
    let families = lab.registry.gather();
    let lengths = families.iter().find(|it| it.name() == of("interval_length_seconds"));
    assert_eq!(lengths.expect("registered").get_metric()[0].get_label()[0].value(), "50ms");
    for (name, expected) in [
        ("scrape_pool_targets", 1.0),
        ("scrape_pool_sync_total", 1.0),
        ("sync_length_seconds", 1.0),
        ("sync_failed_total", 0.0),
        ("scrapes_exceeded_sample_limit_total", 0.0),
        ("scrapes_sample_out_of_order_total", 0.0),
    ] {
        let value = metric(&lab, &of(name));
        assert!((value - expected).abs() < 0.1, "{name}: {value}");
    }
    lab.handle.reload(Vec::new()).await.expect("an empty configuration");
    lab.until("the job to go", |lab| metric(lab, &of("scrape_pool_sync_total")) < 0.0).await;
    lab.stop().await;
}

#[tokio::test]
async fn limits_that_are_hit_are_counted_under_prometheus_names() {
    let target = Target::text("a{b=\"1\",c=\"2\"} 1\na{b=\"2\",c=\"2\"} 1\n").await;
    type SetsLimit = fn(&mut crate::Limits);
    let limited: [(&str, SetsLimit); 4] = [
        ("scrapes_exceeded_sample_limit_total", |limits| limits.samples_max = Some(1)),
        ("scrapes_exceeded_body_size_limit_total", |limits| limits.body_bytes_max = Some(8)),
        ("scrape_pool_exceeded_label_limits_total", |limits| limits.labels_max = Some(2)),
        ("scrape_pool_exceeded_target_limit_total", |limits| limits.targets_max = Some(1)),
    ];
    for (name, limit) in limited {
        let other = Target::text("a 1\n").await;
        let mut config = job(&[&target, &other]);
        limit(&mut config.limits);
        let lab = Lab::start(vec![config]);
        let name = format!("prometheus_target_{name}");
        lab.until(&name, |lab| metric(lab, &name) > 0.0).await;
        for (counted, _) in limited {
            let counted = format!("prometheus_target_{counted}");
            assert!(counted == name || metric(&lab, &counted) < 1.0, "{counted} with {name}");
        }
        lab.stop().await;
    }
}
