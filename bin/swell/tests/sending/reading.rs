//! What others have is read from them: Debian's Prometheus, and another Swell.

use serde_json::Value;
use swell_lab::tools;

use super::peers::{now_ms, push_row, start_prometheus};
use super::{encoded, matrix, value};
use crate::harness::{Folder, Server, get, wait_for};

/// A whole answer to an instant query.
fn answer(server: &Server, query: &str) -> Value {
    let (status, body) = get(server.http, &format!("/api/v1/query?query={}", encoded(query)));
    assert_eq!(status, 200, "{query}: {body}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn samples_of_debians_prometheus_are_answered_as_it_does() {
    let Some(program) = tools::program("prometheus", "prometheus") else { return };
    let folder = Folder::new();
    let scraping = "scrape_configs: [{job_name: own, scrape_interval: 1s, static_configs: [{targets: ['localhost:PORT']}]}]\n";
    // It scrapes another one, since its own port is known only when it runs.
    let (target, target_at) = start_prometheus(&program, &folder, "global: {}\n");
    let far_folder = Folder::new();
    let scraping = scraping.replace("PORT", &target_at.port().to_string());
    let (peer, far) = start_prometheus(&program, &far_folder, &scraping);
    let config = folder.file(
        "swell.yaml",
        &format!(
            "swell: {{self_metrics: false, lifecycle_api: true}}\n\
             remote_read: [{{url: 'http://{far}/api/v1/read', read_recent: true}}]\n"
        ),
    );
    let near = Server::start(&folder.join("near"), &["--config", &config]);
    let count = r#"count_over_time(up{job="own"}[1h])"#;
    wait_for("six scrapes", || value(far, count).filter(|count| *count >= 6.0));
    let at = value(far, r#"timestamp(up{job="own"}) - 1"#).expect("a time").to_string();
    let everything = r#"{job="own"}[1h]"#;
    let (ours, theirs) =
        (matrix(near.http, everything, &at, &[]), matrix(far, everything, &at, &[]));
    assert!(ours.len() > 300, "only {} series", ours.len());
    assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
    for (series, points) in &ours {
        assert_eq!(theirs.get(series), Some(points), "{series}");
    }
    // What is not read any more is not known.
    folder.file("swell.yaml", "swell: {self_metrics: false, lifecycle_api: true}\n");
    assert_eq!(near.post("/-/reload").0, 200);
    assert!(value(near.http, r#"up{job="own"}"#).is_none());
    assert_eq!(near.stop(), 0);
    assert_eq!(peer.stop(), 0);
    assert_eq!(target.stop(), 0);
}

#[test]
fn another_swell_is_read_histograms_and_all_and_asked_only_for_what_it_is_there_for() {
    let folder = Folder::new();
    let far_config = folder.file(
        "far.yaml",
        "global: {external_labels: {cluster: eu}}\nswell: {self_metrics: false}\n",
    );
    let far = Server::start(&folder.join("far"), &["--config", &far_config]);
    let now = now_ms(&far);
    for nr in 1..=5 {
        push_row(&far, (now - 5000, now + i64::from(nr) * 10), nr, true);
    }
    let config = folder.file(
        "near.yaml",
        &format!(
            "global: {{external_labels: {{cluster: eu}}}}\n\
             swell: {{self_metrics: false}}\n\
             remote_read:\n\
             - {{name: far, url: 'http://{}/api/v1/read', read_recent: true, required_matchers: {{job: pushed}}}}\n",
            far.http
        ),
    );
    let near = Server::start(&folder.join("near"), &["--config", &config]);
    // Behind all rows, also where the second is nearly over.
    let at = (now / 1000 + 2).to_string();
    let all = r#"{job="pushed"}[1h]"#;
    let (ours, theirs) = (matrix(near.http, all, &at, &[]), matrix(far.http, all, &at, &[]));
    assert_eq!(ours.len(), 4);
    // The label that was asked for on behalf of the reader is none of the answer.
    assert_eq!(ours, theirs);
    assert!(value(near.http, "rich_total").is_none(), "the matcher that is required is not there");
    let total = r#"rich_total{job="pushed"}"#;
    assert_eq!(value(near.http, total), Some(5.0));
    // What is here and there is one series: rows that are newer here continue those of there.
    push_row(&near, (now - 5000, now + 60), 6, false);
    let joined = matrix(near.http, &format!("{total}[1h]"), &at, &[]);
    let points = joined.values().next().expect("a series");
    assert_eq!(points.len(), 6, "{points:?}");
    assert_eq!(value(near.http, &format!("sum({total})")), Some(6.0));
    // Those who read here get what is here: two that read from each other do not ask on and on.
    assert_eq!(far.stop(), 0);
    let one = answer(&near, total);
    assert_eq!(one["data"]["result"][0]["value"][1], "6");
    let warning = one["warnings"][0].as_str().expect("a warning");
    assert!(warning.starts_with("remote_read far: ask 127.0.0.1:"), "{warning}");
    // Others are not warned of times that are not theirs.
    let (status, body) = get(near.http, "/api/v1/query?query=rich_total&time=1000");
    assert!(status == 200 && !body.contains("warnings"), "{body}");
    assert_eq!(near.stop(), 0);
}

#[test]
fn a_query_whose_time_is_up_leaves_its_turn_though_a_server_never_answers() {
    // It takes connections and what comes over them, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let far = silent.local_addr().expect("bound");
    let folder = Folder::new();
    let config = folder.file(
        "swell.yaml",
        &format!(
            "swell: {{self_metrics: false, query: {{max_concurrency: 1}}}}\n\
             remote_read:\n\
             - {{url: 'http://{far}/api/v1/read', read_recent: true, remote_timeout: 1h, required_matchers: {{job: far}}}}\n",
        ),
    );
    let server = Server::start(&folder.join("near"), &["--config", &config]);
    let far_ones = encoded(r#"up{job="far"}"#);
    for path in [
        format!("/api/v1/query?query={far_ones}&timeout=300ms"),
        format!("/api/v1/query_range?query={far_ones}&start=0&end=60&step=60&timeout=300ms"),
    ] {
        let (status, body) = server.get(&path);
        assert!(status == 503 && body.contains("timed out"), "{status}: {body}");
    }
    // The only turn is free again for what is read here, and is on a thread of queries.
    let subquery = encoded("count_over_time(up[5m:1s])");
    let (status, body) = server.get(&format!("/api/v1/query?query={subquery}"));
    assert_eq!(status, 200, "{body}");
    assert_eq!(server.stop(), 0);
}
