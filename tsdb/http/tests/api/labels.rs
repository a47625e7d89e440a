//! `/series`, `/labels`, `/label/…/values`, `/metadata`.

use serde_json::json;

use super::lab::{Lab, NOW_S, described};

#[tokio::test]
async fn series_match_one_of_the_selectors() {
    let lab = Lab::new();
    let path = "/api/v1/series";
    let one = json!({"__name__": "up", "instance": "x", "job": "a"});
    let other = json!({"__name__": "up", "instance": "y", "job": "b"});
    let params = [("match[]", "up{job=\"a\"}"), ("match[]", "{instance=~\"x|y\"}")];
    for answer in [lab.get(path, &params).await, lab.post(path, &params).await] {
        assert_eq!(answer.data(), json!([one, other]));
    }
    assert_eq!(lab.get(path, &[("match[]", "nothing")]).await.data(), json!([]));
    let cut = lab.get(path, &[("match[]", "up"), ("limit", "1")]).await;
    assert_eq!(cut.data(), json!([one]));
    assert_eq!(cut.json()["warnings"], json!(["results truncated due to limit"]));
    let long_ago = [("match[]", "up"), ("start", "0"), ("end", "1000")];
    assert_eq!(lab.get(path, &long_ago).await.data(), json!([]));
}

#[tokio::test]
async fn selectors_that_match_anything_are_refused() {
    let lab = Lab::new();
    for (params, part) in [
        (&[][..], "no match[] parameter provided"),
        (&[("match[]", "")], "match[]"),
        (&[("match[]", "{}")], "non-empty matcher"),
        (&[("match[]", "{a=~\".*\"}")], "non-empty matcher"),
        (&[("match[]", "{a!=\"x\"}")], "non-empty matcher"),
        (&[("match[]", "up offset 5m")], "parse error"),
        (&[("match[]", "up[5m]")], "parse error"),
        (&[("match[]", "up"), ("match[]", "sum(up)")], "parse error"),
        (&[("match[]", "up"), ("start", "x")], "invalid parameter \"start\""),
        (&[("match[]", "up"), ("limit", "x")], "invalid parameter \"limit\""),
    ] {
        lab.get("/api/v1/series", params).await.is_error(400, "bad_data", part);
    }
    for path in ["/api/v1/labels", "/api/v1/label/job/values"] {
        let told =
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher";
        lab.get(path, &[("match[]", "{}")]).await.is_error(400, "bad_data", told);
    }
}

#[tokio::test]
async fn a_range_that_ends_before_it_begins_has_nothing() {
    let lab = Lab::new();
    let backwards = [("match[]", "up"), ("start", "2"), ("end", "1")];
    let all_of_time = [
        ("match[]", "up"),
        ("start", "-292273086-05-16T16:47:06Z"),
        ("end", "292277025-08-18T07:12:54.999999999Z"),
    ];
    for (path, found) in [("series", 2), ("labels", 3), ("label/job/values", 2)] {
        let path = format!("/api/v1/{path}");
        assert_eq!(lab.get(&path, &backwards).await.data(), json!([]), "{path}");
        let all = lab.get(&path, &all_of_time).await.data();
        assert_eq!(all.as_array().map(Vec::len), Some(found), "{path} {all}");
    }
}

#[tokio::test]
async fn label_names_and_values_are_sorted() {
    let lab = Lab::new();
    let path = "/api/v1/labels";
    let all = json!(["__name__", "http.code", "instance", "job"]);
    assert_eq!(lab.get(path, &[]).await.data(), all);
    assert_eq!(lab.post(path, &[]).await.data(), all);
    let up = lab.get(path, &[("match[]", "up")]).await.data();
    assert_eq!(up, json!(["__name__", "instance", "job"]));
    let cut = lab.get(path, &[("limit", "2")]).await;
    assert_eq!(cut.data(), json!(["__name__", "http.code"]));
    assert_eq!(cut.json()["warnings"], json!(["results truncated due to limit"]));
    for (name, params, expected) in [
        ("job", &[][..], json!(["a", "b"])),
        ("job", &[("match[]", "requests_total")], json!(["a"])),
        ("U__http_2e_code", &[], json!(["200"])),
        ("http.code", &[], json!(["200"])),
        ("nothing", &[], json!([])),
        ("job", &[("limit", "1")], json!(["a"])),
    ] {
        let answer = lab.get(&format!("/api/v1/label/{name}/values"), params).await;
        assert_eq!(answer.data(), expected, "{name} {params:?}");
    }
    let bad = lab.get("/api/v1/label/U__a_zz_/values", &[]).await;
    bad.is_error(400, "bad_data", "invalid label name");
    let end = (NOW_S - 3600).to_string();
    let early = lab.get("/api/v1/label/job/values", &[("start", "0"), ("end", &end)]).await;
    assert_eq!(early.data(), json!([]));
}

#[tokio::test]
async fn metadata_tells_type_and_help() {
    let lab = Lab::new();
    let path = "/api/v1/metadata";
    let requests = json!([{"type": "counter", "help": "Requests.", "unit": ""}]);
    let all = lab.get(path, &[]).await.data();
    assert_eq!(all["requests_total"], requests);
    assert_eq!(all["up"][0]["type"], "gauge");
    let one = lab.get(path, &[("metric", "requests_total")]).await.data();
    assert_eq!(one, json!({"requests_total": requests}));
    assert_eq!(lab.get(path, &[("metric", "x")]).await.data(), json!({}));
    for (limit, count) in [("1", 1), ("0", 0), ("-1", 2)] {
        let cut = lab.get(path, &[("limit", limit)]).await.data();
        assert_eq!(cut.as_object().map(serde_json::Map::len), Some(count), "{limit}");
    }
    lab.get(path, &[("limit", "x")]).await.is_error(400, "bad_data", "\"limit\"");
    lab.get(path, &[("limit_per_metric", "x")]).await.is_error(400, "bad_data", "limit_per_metric");
}

#[tokio::test]
async fn metadata_tells_what_each_target_says() {
    let lab = Lab::new();
    let path = "/api/v1/metadata";
    *lab.targets.described.lock() = vec![
        described("a", &[("requests_total", "Requests."), ("up", "Whether it is up.")]),
        described("b", &[("requests_total", "Other requests.")]),
    ];
    let entry = |help: &str| json!({"type": "counter", "help": help, "unit": ""});
    let both = json!({"requests_total": [entry("Other requests."), entry("Requests.")]});
    let metric = ("metric", "requests_total");
    assert_eq!(lab.get(path, &[metric]).await.data(), both);
    let one = lab.get(path, &[metric, ("limit_per_metric", "1")]).await.data();
    assert_eq!(one, json!({"requests_total": [entry("Other requests.")]}));
    assert_eq!(lab.get(path, &[metric, ("limit_per_metric", "0")]).await.data(), both);
    let all = lab.get(path, &[]).await.data();
    assert_eq!(all["up"].as_array().map(Vec::len), Some(2), "what was pushed is there as well");
}
