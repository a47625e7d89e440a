//! Searches for names.

use serde_json::{Value, json};
use swell_model::Labels;
use swell_tsdb_http::ApiConfig;

use super::lab::{Lab, NOW_S, config};

fn lab() -> Lab {
    let lab = Lab::with(ApiConfig { search_api: true, search_limit_max: 1000, ..config() });
    for name in ["http_requests_in_flight", "go_requests", "node_requests_total"] {
        let labels = Labels::from_pairs([("__name__", name), ("job", "c")]);
        lab.store(&labels, [(NOW_S - 30, 1.0)]);
    }
    let old = Labels::from_pairs([("__name__", "requests_of_old"), ("job", "d")]);
    lab.store(&old, [(NOW_S - 3599, 1.0)]);
    lab
}

/// The lines of an answer.
async fn lines(lab: &Lab, path: &str, params: &[(&str, &str)]) -> Vec<Value> {
    let answer = lab.get(&format!("/api/v1/search/{path}"), params).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson; charset=utf-8");
    assert!(answer.text.ends_with('\n'));
    answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Names in their order, and whether there are more.
async fn names(lab: &Lab, path: &str, params: &[(&str, &str)]) -> (String, bool) {
    let mut lines = lines(lab, path, params).await;
    let last = lines.pop().expect("a last line");
    assert_eq!(last["status"], "success");
    let results = lines.iter().flat_map(|line| line["results"].as_array().expect("a list"));
    let names: Vec<&str> = results.map(|one| one["name"].as_str().expect("a name")).collect();
    (names.join(" "), last["has_more"].as_bool().expect("a truth"))
}

#[tokio::test]
async fn metric_names_are_searched_and_ordered() {
    let lab = lab();
    for (params, expected) in [
        (
            &[("search[]", "requests")][..],
            "go_requests http_requests_in_flight node_requests_total requests_of_old requests_total",
        ),
        (
            &[("search[]", "requests"), ("sort_by", "alpha"), ("sort_dir", "dsc")],
            "requests_total requests_of_old node_requests_total http_requests_in_flight go_requests",
        ),
        // What begins with the term comes first, then what has less around it.
        (
            &[("search[]", "requests"), ("sort_by", "score")],
            "requests_of_old requests_total go_requests node_requests_total http_requests_in_flight",
        ),
        (&[("search[]", "nrt")], "node_requests_total"),
        (&[("search[]", "nrt"), ("fuzz_alg", "jarowinkler")], ""),
        (
            &[("search[]", "go_reqests"), ("fuzz_alg", "jarowinkler"), ("fuzz_threshold", "90")],
            "go_requests",
        ),
        (&[("search[]", "UP")], ""),
        (&[("search[]", "UP"), ("case_sensitive", "false")], "up"),
        (&[("search[]", "up"), ("search[]", "go_")], "go_requests up"),
        (&[("match[]", "{job=\"a\"}")], "requests_total up"),
        (
            &[("match[]", "{job=\"c\"}"), ("match[]", "{job=\"b\"}"), ("search[]", "u")],
            "go_requests http_requests_in_flight node_requests_total up",
        ),
    ] {
        assert_eq!(
            names(&lab, "metric_names", params).await,
            (expected.to_owned(), false),
            "{params:?}"
        );
    }
}

#[tokio::test]
async fn answers_come_in_lines_and_say_whether_there_is_more() {
    let lab = lab();
    let found = lines(
        &lab,
        "metric_names",
        &[("limit", "4"), ("batch_size", "3"), ("include_score", "true")],
    )
    .await;
    assert_eq!(
        found,
        [
            json!({"results": [
                {"name": "go_requests", "score": 1.0},
                {"name": "http_requests_in_flight", "score": 1.0},
                {"name": "node_requests_total", "score": 1.0},
            ]}),
            json!({"results": [{"name": "requests_of_old", "score": 1.0}]}),
            json!({"status": "success", "has_more": true}),
        ]
    );
    let none = lines(&lab, "metric_names", &[("search[]", "xyz")]).await;
    assert_eq!(none, [json!({"results": []}), json!({"status": "success", "has_more": false})]);
    let told =
        [("search[]", "requests_t"), ("include_metadata", "true"), ("fuzz_threshold", "100")];
    let told = lines(&lab, "metric_names", &told).await;
    let expected = json!([{"name": "requests_total", "type": "counter", "help": "Requests."}]);
    assert_eq!(told[0]["results"], expected);
}

#[tokio::test]
async fn label_names_and_values_are_searched_too() {
    let lab = lab();
    assert_eq!(names(&lab, "label_names", &[("search[]", "o")]).await.0, "http.code job");
    let params = [("label", "job"), ("sort_by", "alpha"), ("sort_dir", "dsc"), ("limit", "2")];
    assert_eq!(names(&lab, "label_values", &params).await, ("d c".to_owned(), true));
    let posted =
        lab.post("/api/v1/search/label_values", &[("label", "job"), ("search[]", "a")]).await;
    assert!(posted.text.starts_with("{\"results\":[{\"name\":\"a\"}]}\n"), "{}", posted.text);
}

#[tokio::test]
async fn odd_searches_are_refused() {
    let lab = lab();
    let many: Vec<(&str, &str)> = (0..33).map(|_| ("search[]", "a")).collect();
    for (params, part) in [
        (&[("sort_dir", "asc")][..], "sort_by"),
        (&[("sort_by", "score")], "search[]"),
        (&[("sort_by", "score"), ("search[]", "a"), ("sort_dir", "asc")], "best"),
        (&[("sort_by", "size")], "alpha"),
        (&[("sort_by", "alpha"), ("sort_dir", "desc")], "dsc"),
        (&[("fuzz_alg", "soundex")], "jarowinkler"),
        (&[("fuzz_threshold", "101")], "100"),
        (&[("case_sensitive", "maybe")], "maybe"),
        (&[("limit", "1001")], "1000"),
        (&[("batch_size", "-1")], "batch_size"),
        (&[("match[]", "{}")], "match[]"),
        (&[("start", "20"), ("end", "10")], "end"),
        (&many, "32"),
    ] {
        lab.get("/api/v1/search/metric_names", params).await.is_error(400, "bad_data", part);
    }
    lab.get("/api/v1/search/label_values", &[]).await.is_error(400, "bad_data", "label");
    let closed = Lab::new();
    let answer = closed.get("/api/v1/search/metric_names", &[]).await;
    answer.is_error(500, "unavailable", "search-api");
}
