//! `/query`, `/query_range`, `/format_query`, `/query_exemplars`.

use serde_json::{Value, json};

use swell_model::{Batch, Exemplar, ExemplarSample, Labels, SampleSink as _, TimestampMs};
use swell_tsdb_http::ApiConfig;

use super::lab::{Lab, NOW_S, config};

const QUERY: &str = "/api/v1/query";
const RANGE: &str = "/api/v1/query_range";

fn seconds(offset: i64) -> String {
    (NOW_S + offset).to_string()
}

#[tokio::test]
async fn an_instant_query_answers_at_its_time() {
    let lab = Lab::new();
    let vector = json!({"resultType": "vector", "result": [
        {"metric": {"__name__": "requests_total", "http.code": "200", "job": "a"}, "value": [NOW_S, "30"]},
    ]});
    let params = [("query", "requests_total")];
    assert_eq!(lab.get(QUERY, &params).await.data(), vector);
    assert_eq!(lab.post(QUERY, &params).await.data(), vector);
    for (time, value) in [
        (seconds(-30), "20"),
        ("2023-11-14T22:12:50Z".to_owned(), "20"),
        ("2023-11-14T23:12:50+01:00".to_owned(), "20"),
        (format!("{}.5", NOW_S - 31), "15"),
    ] {
        let params = [("query", "requests_total"), ("time", time.as_str())];
        let data = lab.get(QUERY, &params).await.data();
        assert_eq!(data["result"][0]["value"][1], value, "{time}");
    }
    let later = seconds(400);
    let gone = lab.get(QUERY, &[("query", "up"), ("time", &later)]).await.data();
    assert_eq!(gone, json!({"resultType": "vector", "result": []}));
    let params = [("query", "sum(up)"), ("time", &later), ("lookback_delta", "10m")];
    let kept = lab.get(QUERY, &params).await.data();
    assert_eq!(kept["result"][0]["value"][1], "1");
    for none in ["0", "0s", "-1"] {
        let params = [("query", "sum(up)"), ("lookback_delta", none)];
        let answer = lab.get(QUERY, &params).await;
        assert_eq!(answer.data()["result"][0]["value"][1], "1", "{none}");
    }
}

#[tokio::test]
async fn each_kind_of_value_has_its_form() {
    let lab = Lab::new();
    for (query, expected) in [
        ("1.5", json!({"resultType": "scalar", "result": [NOW_S, "1.5"]})),
        ("1/0", json!({"resultType": "scalar", "result": [NOW_S, "+Inf"]})),
        ("\"x\\n\"", json!({"resultType": "string", "result": [NOW_S, "x\n"]})),
        (
            "up{job=\"a\"}[20s]",
            json!({"resultType": "matrix", "result": [{
                "metric": {"__name__": "up", "instance": "x", "job": "a"},
                "values": [[NOW_S - 15, "1"], [NOW_S, "1"]],
            }]}),
        ),
    ] {
        assert_eq!(lab.get(QUERY, &[("query", query)]).await.data(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_range_query_answers_at_each_step() {
    let lab = Lab::new();
    let (start, end) = (seconds(-30), seconds(0));
    let params =
        [("query", "requests_total * 2"), ("start", &*start), ("end", &*end), ("step", "15s")];
    let expected = json!({"resultType": "matrix", "result": [{
        "metric": {"http.code": "200", "job": "a"},
        "values": [[NOW_S - 30, "40"], [NOW_S - 15, "50"], [NOW_S, "60"]],
    }]});
    assert_eq!(lab.get(RANGE, &params).await.data(), expected);
    assert_eq!(lab.post(RANGE, &params).await.data(), expected);
    let half = [("query", "vector(1)"), ("start", "0"), ("end", "1"), ("step", "0.5")];
    let data = lab.get(RANGE, &half).await.data();
    assert_eq!(data["result"][0]["values"], json!([[0, "1"], [0.5, "1"], [1, "1"]]));
}

#[tokio::test]
async fn parameters_that_make_no_sense_are_named() {
    let lab = Lab::new();
    for (params, part) in [
        (&[][..], "invalid parameter \"query\""),
        (&[("query", "")], "no expression found"),
        (&[("query", "up{")], "invalid parameter \"query\": 1:4: parse error"),
        (&[("query", "up[1m/0]")], "invalid parameter \"query\": 3:7: division by zero"),
        (&[("query", "up"), ("time", "noon")], "invalid parameter \"time\": cannot parse \"noon\""),
        (&[("query", "up"), ("timeout", "soon")], "invalid parameter \"timeout\""),
        (&[("query", "up"), ("lookback_delta", "x")], "invalid parameter \"lookback_delta\""),
        (&[("query", "up"), ("limit", "-1")], "invalid parameter \"limit\""),
        (&[("query", "up"), ("limit", "many")], "invalid parameter \"limit\""),
    ] {
        lab.get(QUERY, params).await.is_error(400, "bad_data", part);
        lab.post(QUERY, params).await.is_error(400, "bad_data", part);
    }
    let good = [("query", "up"), ("start", "0"), ("end", "10"), ("step", "1")];
    for (name, value, part) in [
        ("start", "", "invalid parameter \"start\": cannot parse \"\" to a valid timestamp"),
        ("end", "", "invalid parameter \"end\": cannot parse \"\" to a valid timestamp"),
        ("step", "", "invalid parameter \"step\": cannot parse \"\" to a valid duration"),
        ("end", "-1", "end timestamp must not be before start time"),
        ("step", "0", "zero or negative query resolution step widths are not accepted"),
        ("step", "-1", "zero or negative query resolution step widths are not accepted"),
        ("step", "1x", "invalid parameter \"step\""),
        (
            "query",
            "up[5m]",
            "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector",
        ),
        ("query", "\"text\"", "invalid expression type \"string\" for range query"),
    ] {
        let params = good.map(|(key, other)| (key, if key == name { value } else { other }));
        lab.get(RANGE, &params).await.is_error(400, "bad_data", part);
    }
}

#[tokio::test]
async fn eleven_thousand_points_and_no_more() {
    let lab = Lab::new();
    let ask = async |end: &str| {
        let params = [("query", "vector(1)"), ("start", "0"), ("end", end), ("step", "1")];
        lab.get(RANGE, &params).await
    };
    let most = ask("11000").await.data();
    assert_eq!(most["result"][0]["values"].as_array().map(Vec::len), Some(11_001));
    ask("11001").await.is_error(
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)",
    );
}

#[tokio::test]
async fn a_query_that_cannot_be_evaluated_is_an_execution_error() {
    let lab = Lab::new();
    let answer = lab.get(QUERY, &[("query", "up * on(nothing) up")]).await;
    answer.is_error(422, "execution", "many-to-many");
}

#[tokio::test]
async fn limits_cut_series_with_a_warning() {
    let lab = Lab::new();
    let cut = lab.get(QUERY, &[("query", "up"), ("limit", "1")]).await;
    assert_eq!(cut.data()["result"].as_array().map(Vec::len), Some(1));
    assert_eq!(cut.json()["warnings"], json!(["results truncated due to limit"]));
    for limit in ["0", "2", "3"] {
        let whole = lab.get(QUERY, &[("query", "up"), ("limit", limit)]).await;
        assert_eq!(whole.data()["result"].as_array().map(Vec::len), Some(2), "{limit}");
        assert_eq!(whole.json().get("warnings"), None, "{limit}");
    }
}

#[tokio::test]
async fn remarks_come_with_their_position() {
    let lab = Lab::new();
    let answer = lab.get(QUERY, &[("query", "rate(up[1m])")]).await.json();
    let info = answer["infos"][0].as_str().expect("an info");
    assert!(info.contains("might not be a counter") && info.contains("(1:6)"), "{info}");
    assert_eq!(answer.get("warnings"), None);
    let answer = lab.get(QUERY, &[("query", "quantile(2, up)")]).await.json();
    let warning = answer["warnings"][0].as_str().expect("a warning");
    assert!(warning.contains("quantile value should be between 0 and 1"), "{warning}");
}

#[tokio::test]
async fn stats_come_when_asked_for() {
    let lab = Lab::new();
    let none = lab.get(QUERY, &[("query", "up")]).await.data();
    assert_eq!(none.get("stats"), None);
    let answer = lab.get(QUERY, &[("query", "up"), ("stats", "true")]).await;
    let samples = &answer.data()["stats"]["samples"];
    assert_eq!(samples["totalQueryableSamples"], 2, "{}", answer.text);
    assert_eq!(samples["samplesRead"], 2);
    let timings = answer.data()["stats"]["timings"].take();
    for time in [
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    ] {
        assert!(timings[time].is_number(), "{time}: {timings}");
    }
    let odd = lab.get(QUERY, &[("query", "up"), ("stats", "yes")]).await.json();
    assert!(odd["data"]["stats"].is_object());
    assert!(odd["warnings"][0].as_str().is_some_and(|it| it.contains("\"yes\"")), "{odd}");
}

#[tokio::test]
async fn stats_come_step_by_step_where_that_is_switched_on() {
    let per_step = "totalQueryableSamplesPerStep";
    let (start, end) = (seconds(-30), seconds(0));
    let window = "sum(rate(requests_total[31s]))";
    let range = [("query", window), ("start", &*start), ("end", &*end), ("step", "15s")];
    let half = [("query", "1"), ("start", "0"), ("end", "1"), ("step", "0.5")];
    let lab = Lab::with(ApiConfig { per_step_stats: true, ..config() });
    for (path, params, expected) in [
        (QUERY, &[("query", "up")][..], json!([[NOW_S, 2]])),
        (RANGE, &range[..], json!([[NOW_S - 30, 3], [NOW_S - 15, 3], [NOW_S, 3]])),
        (RANGE, &half[..], json!([[0, 0], [0.5, 0], [1, 0]])),
    ] {
        for (asked, expected) in [("all", &expected), ("true", &Value::Null)] {
            let params = [params, &[("stats", asked)]].concat();
            let data = lab.get(path, &params).await.data();
            assert_eq!(&data["stats"]["samples"][per_step], expected, "{params:?}");
        }
    }
    let all = [("query", "up"), ("stats", "all")];
    let stats = Lab::new().get(QUERY, &all).await.data()["stats"].take();
    assert_eq!(stats["samples"]["totalQueryableSamples"], 2, "{stats}");
    assert_eq!(stats["samples"].get(per_step), None, "not switched on: {stats}");
}

#[tokio::test]
async fn a_query_is_explained() {
    let lab = Lab::new();
    let path = "/api/swell/v1/explain";
    let asked = [("query", "sum(rate(requests_total{job=\"a\"}[5m]))"), ("time", "1700000000")];
    let data = lab.get(path, &asked).await.data();
    assert_eq!((&data["operation"], &data["steps"]), (&json!("aggregate sum"), &json!(1)));
    assert_eq!(data["operands"][0]["operation"], "call rate");
    assert_eq!(
        data["operands"][0]["operands"][0],
        json!({
            "operation": "range selector",
            "text": "requests_total{job=\"a\"}[5m]",
            "type": "range vector",
            "steps": 1,
            "reads": {
                "matchers": ["__name__=\"requests_total\"", "job=\"a\""],
                "start": "2023-11-14T22:08:20.001Z",
                "end": "2023-11-14T22:13:20Z",
                "countsAndSumsOnly": false,
            },
        })
    );
    let range = [("query", "up"), ("start", "0"), ("end", "600"), ("step", "60")];
    assert_eq!(lab.post(path, &range).await.data()["steps"], 11);
    lab.get(path, &[("query", "sum(")]).await.is_error(400, "bad_data", "parse error");
    lab.get(path, &[("query", "up"), ("step", "1")]).await.is_error(400, "bad_data", "start");
}

#[tokio::test]
async fn names_outside_the_classic_alphabet_are_quoted() {
    let lab = Lab::new();
    let data =
        lab.get(QUERY, &[("query", "{\"requests_total\",\"http.code\"=\"200\"}")]).await.data();
    assert_eq!(data["result"][0]["metric"]["http.code"], "200");
}

#[tokio::test]
async fn expressions_are_formatted() {
    let lab = Lab::new();
    let path = "/api/v1/format_query";
    let params = [("query", "sum by(job)(rate(  up[5m] ))")];
    let expected = Value::from("sum by (job) (rate(up[5m]))");
    assert_eq!(lab.get(path, &params).await.data(), expected);
    assert_eq!(lab.post(path, &params).await.data(), expected);
    lab.get(path, &[("query", "sum(")]).await.is_error(400, "bad_data", "parse error");
}

#[tokio::test]
async fn exemplars_are_found_by_the_selectors_of_a_query() {
    let lab = Lab::new();
    let path = "/api/v1/query_exemplars";
    assert_eq!(lab.get(path, &[("query", "up")]).await.data(), json!([]));
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "web")]);
    let series = lab.db.resolve(&labels).expect("good labels");
    let exemplar = |seconds: i64| Exemplar {
        labels: Labels::from_pairs([("trace_id", seconds.to_string().as_str())]),
        value: 0.5,
        timestamp: TimestampMs(seconds * 1000),
    };
    let exemplars =
        [NOW_S - 10, NOW_S].map(|at| ExemplarSample { series, exemplar: exemplar(at) }).to_vec();
    lab.db.append(&Batch { exemplars, ..Batch::default() }).expect("stored");
    let asked = [
        ("query", "sum(rate(up[5m])) + up"),
        ("start", &(NOW_S - 5).to_string()),
        ("end", &NOW_S.to_string()),
    ];
    let expected = json!([{
        "seriesLabels": {"__name__": "up", "job": "web"},
        "exemplars": [{
            "labels": {"trace_id": NOW_S.to_string()}, "value": "0.5", "timestamp": NOW_S,
        }],
    }]);
    assert_eq!(lab.get(path, &asked).await.data(), expected);
    lab.get(path, &[("query", "up{")]).await.is_error(400, "bad_data", "parse error");
    assert_eq!(lab.get(path, &[("query", "1")]).await.data(), json!([]), "no selector");
    let backwards = [("query", "up"), ("start", "2"), ("end", "1")];
    lab.get(path, &backwards).await.is_error(400, "bad_data", "before start");
}
