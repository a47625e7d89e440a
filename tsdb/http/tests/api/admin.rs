//! Deletion, snapshots and blocks of imports over HTTP.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use swell_engine::{Config, Db};
use swell_env::{Dir as _, ManualClock, MemDir, read_whole};
use swell_model::{FloatColumn, Labels, SeriesData, TimestampMs};
use swell_telemetry::Registry;
use swell_tsdb_http::ApiConfig;

use super::lab::{Answer, Lab, NOW_S, config};

const DELETE: &str = "/api/v1/admin/tsdb/delete_series";
const CLEAN: &str = "/api/v1/admin/tsdb/clean_tombstones";
const SNAPSHOT: &str = "/api/v1/admin/tsdb/snapshot";
const ADOPT: &str = "/api/swell/v1/tsdb/adopt";

fn lab() -> Lab {
    Lab::with(ApiConfig { admin_api: true, ..config() })
}

async fn series_of(lab: &Lab, name: &str) -> usize {
    let params = [("query", name), ("time", &NOW_S.to_string())];
    let answer = lab.get("/api/v1/query", &params).await;
    answer.data()["result"].as_array().expect("a vector").len()
}

async fn send(lab: &Lab, method: Method, uri: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    lab.answer(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_admin_api_is_off_unless_asked_for() {
    let lab = Lab::new();
    for path in [DELETE, CLEAN, SNAPSHOT, ADOPT] {
        let answer = lab.post(path, &[("match[]", "up")]).await;
        answer.is_error(500, "unavailable", "admin APIs disabled");
    }
    assert_eq!(series_of(&lab, "up").await, 2);
}

#[tokio::test]
async fn deleted_series_are_gone_at_once_and_others_stay() {
    let lab = lab();
    let answer = lab.post(DELETE, &[("match[]", "up{job=\"a\"}"), ("match[]", "nothing")]).await;
    assert_eq!((answer.code, answer.text.as_str()), (204, ""));
    assert_eq!((series_of(&lab, "up").await, series_of(&lab, "requests_total").await), (1, 1));
    let listed = lab.get("/api/v1/series", &[("match[]", "up")]).await.data();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    let answer = send(&lab, Method::PUT, &format!("{DELETE}?match[]=up"), &[]).await;
    assert_eq!(answer.code, 204, "{}", answer.text);
    assert_eq!(series_of(&lab, "up").await, 0);
    let up = Labels::from_pairs([("__name__", "up"), ("job", "a"), ("instance", "x")]);
    lab.store(&up, [(NOW_S + 15, 1.0)]);
    let later = [("query", "up"), ("time", &(NOW_S + 15).to_string())];
    let answer = lab.get("/api/v1/query", &later).await.data();
    assert_eq!(answer["result"][0]["value"][1], json!("1"), "new samples are not deleted");
    assert_eq!(lab.post(CLEAN, &[]).await.code, 204);
}

#[tokio::test]
async fn a_range_deletes_its_samples_only() {
    let lab = lab();
    let (start, end) = ((NOW_S - 45).to_string(), (NOW_S - 15).to_string());
    let params = [("match[]", "requests_total"), ("start", &*start), ("end", &*end)];
    assert_eq!(lab.post(DELETE, &params).await.code, 204);
    let query = [("query", "requests_total[5m]"), ("time", &*NOW_S.to_string())];
    let answer = lab.get("/api/v1/query", &query).await.data();
    let values = answer["result"][0]["values"].clone();
    assert_eq!(values, json!([[NOW_S - 60, "10"], [NOW_S, "30"]]));
}

#[tokio::test]
async fn wrong_deletions_are_told_why_and_delete_nothing() {
    let lab = lab();
    lab.post(DELETE, &[]).await.is_error(400, "bad_data", "no match[] parameter");
    lab.post(DELETE, &[("match[]", "up{")]).await.is_error(400, "bad_data", "match[]");
    let backwards = [("match[]", "up"), ("start", "20"), ("end", "10")];
    lab.post(DELETE, &backwards).await.is_error(400, "bad_data", "end timestamp");
    lab.post(DELETE, &[("match[]", "up"), ("match[]", "{}")]).await.is_error(
        400,
        "bad_data",
        "without matchers deletes nothing",
    );
    assert_eq!(lab.get(DELETE, &[("match[]", "up")]).await.code, 405);
    lab.post(SNAPSHOT, &[("skip_head", "maybe")]).await.is_error(400, "bad_data", "skip_head");
    assert_eq!(series_of(&lab, "up").await, 2);
}

#[tokio::test]
async fn all_series_may_be_deleted() {
    let lab = lab();
    assert_eq!(lab.post(DELETE, &[("match[]", "{job=~\".*\"}")]).await.code, 204);
    assert_eq!((series_of(&lab, "up").await, series_of(&lab, "requests_total").await), (0, 0));
}

#[tokio::test]
async fn pages_of_other_origins_may_not_delete() {
    let lab = lab();
    let uri = format!("{DELETE}?match[]=up");
    let foreign = [("origin", "https://evil.example"), ("host", "127.0.0.1:9090")];
    let answer = send(&lab, Method::POST, &uri, &foreign).await;
    answer.is_error(403, "bad_data", "https://evil.example");
    assert_eq!(answer.headers.get("access-control-allow-origin"), None);
    assert_eq!(series_of(&lab, "up").await, 2);
    // A foreign name that resolves to this host.
    let rebound = [("origin", "http://evil.example:9090"), ("host", "evil.example:9090")];
    send(&lab, Method::POST, &uri, &rebound).await.is_error(403, "bad_data", "evil.example");
    let own = [("origin", "http://127.0.0.1:9090"), ("host", "127.0.0.1:9090")];
    assert_eq!(send(&lab, Method::POST, &uri, &own).await.code, 204);
    assert_eq!(series_of(&lab, "up").await, 0);
}

#[tokio::test]
async fn a_snapshot_is_named_and_holds_a_database() {
    let lab = lab();
    let name = lab.post(SNAPSHOT, &[]).await.data()["name"].as_str().expect("a name").to_owned();
    assert!(name.starts_with("20231114T221320Z-") && name.len() == 33, "{name}");
    let wal = lab.dir.list(&format!("snapshots/{name}/wal")).expect("a log");
    assert_eq!(wal.len(), 1);
    let other = lab.post(SNAPSHOT, &[("skip_head", "T")]).await.data();
    let other = other["name"].as_str().expect("a name").to_owned();
    assert_ne!(name, other);
    assert_eq!(lab.dir.list(&format!("snapshots/{other}/wal")).expect("a folder"), []);
}

/// A block with a sample of `old` each second from a time on, in milliseconds.
fn block(first_ms: i64, count: i64) -> Vec<u8> {
    let elsewhere = MemDir::new();
    let clock = Arc::new(ManualClock::new(TimestampMs(NOW_S * 1000)));
    let dir = Arc::new(elsewhere.clone());
    let db = Db::open(dir, Config::standard(), clock, &Registry::new()).expect("opens");
    let floats = FloatColumn {
        timestamps: (0..count).map(|nr| first_ms + nr * 1000).collect(),
        values: (0..count).map(|nr| nr as f64).collect(),
        starts: None,
    };
    let labels = Labels::from_pairs([("__name__", "old")]);
    db.import(vec![SeriesData { labels, floats, ..SeriesData::default() }]).expect("imported");
    read_whole(&elsewhere, "blocks/00000001.blk", u64::MAX).expect("a block")
}

#[tokio::test]
async fn a_block_of_an_import_is_taken_in() {
    let lab = lab();
    let place = "incoming/new/blocks";
    for folder in ["incoming", "incoming/new", place] {
        lab.dir.create_folder(folder).expect("made");
    }
    let file = lab.dir.create(&format!("{place}/00000001.blk")).expect("made");
    let first_ms = (NOW_S - 3600) * 1000;
    file.append(&block(first_ms, 10)).expect("written");
    let adopt = |folder: &'static str, block: &'static str| {
        let lab = &lab;
        async move { lab.post(ADOPT, &[("folder", folder), ("block", block)]).await }
    };
    let told = adopt("new", "00000001.blk").await.data();
    assert_eq!(
        (&told["series"], &told["samples"], &told["leftOut"]),
        (&json!(1), &json!(10), &json!(0))
    );
    assert_eq!((&told["fromMs"], &told["toMs"]), (&json!(first_ms), &json!(first_ms + 9000)));
    assert_eq!((&told["memoryFromMs"], &told["aggregateBlocks"]), (&json!(null), &json!(0)));
    let params = [("query", "sum_over_time(old[1m])"), ("time", &*(NOW_S - 3590).to_string())];
    let answer = lab.get("/api/v1/query", &params).await.data();
    assert_eq!(answer["result"][0]["value"][1], json!("45"));
    adopt("new", "00000002.blk").await.is_error(404, "not_found", "00000002.blk");
    adopt("../new", "00000001.blk").await.is_error(404, "not_found", "../new");
    lab.post(ADOPT, &[("folder", "new")]).await.is_error(400, "bad_data", "block");
    let deleted = lab.dir.create(&format!("{place}/00000001.tomb")).expect("made");
    drop(deleted);
    adopt("new", "00000001.blk").await.is_error(400, "bad_data", "deleted");
}
