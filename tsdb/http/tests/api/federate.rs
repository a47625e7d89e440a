//! `/federate`: newest samples in the text format.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use swell_model::{
    Batch, HistogramSample, Labels, NativeHistogram, SampleSink as _, Span, TimestampMs, stale_nan,
};

use crate::lab::{Lab, NOW_S};

const PATH: &str = "/federate";

#[tokio::test]
async fn the_newest_samples_come_by_name_with_times_and_this_servers_labels() {
    let lab = Lab::new();
    let selectors = [("match[]", "{job=~\".+\"}"), ("match[]", "up")];
    let answer = lab.get(PATH, &selectors).await;
    let ms = NOW_S * 1000;
    let expected = format!(
        "# TYPE requests_total untyped\n\
         requests_total{{cluster=\"east\",http_code=\"200\",instance=\"\",job=\"a\"}} 30 {ms}\n\
         # TYPE up untyped\n\
         up{{cluster=\"east\",instance=\"x\",job=\"a\"}} 1 {ms}\n\
         up{{cluster=\"east\",instance=\"y\",job=\"b\"}} 0 {ms}\n"
    );
    assert_eq!((answer.code, &answer.text), (200, &expected));
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let all = lab.get(PATH, &[("match[]", "{__name__=~\".*\"}")]).await;
    assert_eq!((all.code, all.text), (200, answer.text));

    let request = Request::get("/federate?match[]=requests_total")
        .header("accept", "text/plain;version=0.0.4;escaping=allow-utf-8;q=0.5,*/*;q=0.1")
        .body(Body::empty())
        .expect("a request");
    let answer = lab.answer(request).await;
    let type_of = answer.headers["content-type"].to_str().expect("a text");
    assert!(type_of.ends_with("escaping=allow-utf-8"), "{type_of}");
    assert!(answer.text.contains("\"http.code\"=\"200\""), "{}", answer.text);
    let none = lab.get(PATH, &[("match[]", "{}")]).await;
    assert_eq!((none.code, none.text.as_str()), (200, ""), "no matcher selects nothing");
}

#[tokio::test]
async fn stale_and_old_series_are_left_out() {
    let lab = Lab::new();
    let stale = Labels::from_pairs([("__name__", "gone"), ("job", "a")]);
    lab.store(&stale, [(NOW_S - 30, 1.0), (NOW_S - 15, stale_nan())]);
    let old = Labels::from_pairs([("__name__", "old"), ("job", "a")]);
    lab.store(&old, [(NOW_S - 300, 1.0)]);
    let fresh = Labels::from_pairs([("__name__", "fresh"), ("cluster", "own"), ("job", "a")]);
    lab.store(&fresh, [(NOW_S - 299, 1.0)]);
    let answer = lab.get(PATH, &[("match[]", "{__name__=~\"gone|old|fresh\"}")]).await;
    let ms = (NOW_S - 299) * 1000;
    let line = format!("fresh{{cluster=\"own\",instance=\"\",job=\"a\"}} 1 {ms}\n");
    assert_eq!(answer.text, format!("# TYPE fresh untyped\n{line}"));
}

#[tokio::test]
async fn histograms_with_bounds_of_their_own_are_classic_ones() {
    let lab = Lab::new();
    let histogram = NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        custom_bounds: vec![0.5, 1.0],
        positive_spans: vec![Span { offset: 0, length: 3 }],
        positive_buckets: vec![2.0, 0.0, 1.0],
        count: 3.0,
        sum: 4.5,
        ..NativeHistogram::default()
    };
    let labels = Labels::from_pairs([("__name__", "latency"), ("instance", "x")]);
    let series = lab.db.resolve(&labels).expect("good labels");
    let sample = HistogramSample {
        series,
        timestamp: TimestampMs(NOW_S * 1000),
        value: Arc::new(histogram),
        start_ms: 0,
    };
    lab.db.append(&Batch { histograms: vec![sample], ..Batch::default() }).expect("stored");
    let answer = lab.get(PATH, &[("match[]", "latency")]).await;
    let ms = NOW_S * 1000;
    let expected = format!(
        "# TYPE latency histogram\n\
         latency_bucket{{cluster=\"east\",instance=\"x\",le=\"0.5\"}} 2 {ms}\n\
         latency_bucket{{cluster=\"east\",instance=\"x\",le=\"1.0\"}} 2 {ms}\n\
         latency_bucket{{cluster=\"east\",instance=\"x\",le=\"+Inf\"}} 3 {ms}\n\
         latency_sum{{cluster=\"east\",instance=\"x\"}} 4.5 {ms}\n\
         latency_count{{cluster=\"east\",instance=\"x\"}} 3 {ms}\n"
    );
    assert_eq!(answer.text, expected);
}

#[tokio::test]
async fn nothing_selected_is_an_empty_answer_and_a_bad_selector_is_told() {
    let lab = Lab::new();
    let answer = lab.get(PATH, &[]).await;
    assert_eq!((answer.code, answer.text.as_str()), (200, ""));
    let answer = lab.get(PATH, &[("match[]", "up{")]).await;
    assert_eq!(answer.code, 400);
    assert!(answer.text.contains("parse error"), "{}", answer.text);
}
