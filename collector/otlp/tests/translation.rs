//! Requests in JSON, as the standard shows them, and the samples that they become.

use swell_model::{LabelledBatch, is_stale_nan};
use swell_otlp::{Deltas, Encoding, Promotion, Settings, Strategy, Translation, read, translate};

/// A request of one resource and one library with these metrics.
fn request(metrics: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"shop"}}}},
            {{"key":"service.namespace","value":{{"stringValue":"web"}}}},
            {{"key":"service.instance.id","value":{{"stringValue":"i-1"}}}},
            {{"key":"host.name","value":{{"stringValue":"h1"}}}}]}},
          "scopeMetrics":[{{"scope":{{"name":"lib","version":"1.2","attributes":[{{"key":"k","value":{{"intValue":"3"}}}}]}},
            "metrics":[{metrics}]}}]}}]}}"#
    )
}

#[track_caller]
fn translated(metrics: &str, settings: &Settings, deltas: Deltas) -> Translation {
    let request = read(request(metrics).as_bytes(), Encoding::Json).expect("a good request");
    translate(&request, settings, deltas).expect("it is small")
}

/// One line a sample, without `target_info`.
fn lines(batch: &LabelledBatch) -> Vec<String> {
    let mut lines = Vec::new();
    for float in &batch.floats {
        let labels = &batch.series[float.series as usize];
        if labels.metric_name() != Some("target_info") {
            let value = if is_stale_nan(float.value) {
                "stale".to_owned()
            } else {
                float.value.to_string()
            };
            let start = if float.start_ms == 0 {
                String::new()
            } else {
                format!(" since {}", float.start_ms)
            };
            lines.push(format!("{labels} {value} @{}{start}", float.timestamp.0));
        }
    }
    for histogram in &batch.histograms {
        let labels = &batch.series[histogram.series as usize];
        let value = &histogram.value;
        lines.push(format!(
            "{labels} schema={} count={} sum={} {:?} bounds={:?} @{} since {}",
            value.schema,
            value.count,
            value.sum,
            value.buckets().iter().map(|it| (it.upper, it.count)).collect::<Vec<_>>(),
            value.custom_bounds,
            histogram.timestamp.0,
            histogram.start_ms
        ));
    }
    for (series, exemplar) in &batch.exemplars {
        let labels = &batch.series[*series as usize];
        lines.push(format!("{labels} # {} {}", exemplar.labels, exemplar.value));
    }
    lines
}

#[track_caller]
fn check(metrics: &str, settings: &Settings, expected: &[&str]) {
    let translation = translated(metrics, settings, Deltas::Refused);
    assert!(translation.refused.is_empty(), "{:?}", translation.refused);
    assert_eq!(lines(&translation.cumulative), expected);
}

const TIMES: &str = r#""startTimeUnixNano":"1000000000","timeUnixNano":"2000000000""#;

fn histogram() -> String {
    format!(
        r#"{{"name":"req.dur","unit":"s","histogram":{{"aggregationTemporality":2,"dataPoints":[{{{TIMES},
        "attributes":[{{"key":"http.method","value":{{"stringValue":"GET"}}}}],
        "count":"6","sum":3.5,"bucketCounts":["1","2","3"],"explicitBounds":[0.5,10],
        "exemplars":[{{"timeUnixNano":"1500000000","asDouble":0.7,"traceId":"0102","spanId":"0000"}}]}}]}}}}"#
    )
}

#[test]
fn gauges_and_sums_become_floats() {
    let metrics = format!(
        r#"{{"name":"cpu.load","unit":"1","gauge":{{"dataPoints":[{{{TIMES},"asDouble":0.25}},{{"timeUnixNano":"3000000000","flags":1}}]}}}},
           {{"name":"io","unit":"By","description":"bytes read","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[
             {{{TIMES},"asInt":"7","exemplars":[{{"timeUnixNano":"1500000000","asInt":"3","traceId":"0a","filteredAttributes":[{{"key":"user.id","value":{{"stringValue":"u"}}}}]}}]}}]}}}},
           {{"name":"queue","sum":{{"aggregationTemporality":2,"dataPoints":[{{{TIMES},"asInt":-2}}]}}}}"#
    );
    check(
        &metrics,
        &Settings::default(),
        &[
            r#"cpu_load_ratio{instance="i-1", job="web/shop"} 0.25 @2000"#,
            r#"cpu_load_ratio{instance="i-1", job="web/shop"} stale @3000"#,
            r#"io_bytes_total{instance="i-1", job="web/shop"} 7 @2000 since 1000"#,
            r#"queue{instance="i-1", job="web/shop"} -2 @2000 since 1000"#,
            r#"io_bytes_total{instance="i-1", job="web/shop"} # {trace_id="0a", "user.id"="u"} 3"#,
        ],
    );
    let batch = translated(&metrics, &Settings::default(), Deltas::Refused).cumulative;
    let described: Vec<String> = batch
        .descriptions
        .iter()
        .map(|it| {
            format!(
                "{} {:?} {:?} {:?}",
                it.metric_name, it.metadata.kind, it.metadata.unit, it.metadata.help
            )
        })
        .collect();
    assert_eq!(
        described,
        [
            r#"cpu_load_ratio Gauge "" """#,
            r#"io_bytes_total Counter "bytes" "bytes read""#,
            r#"queue Gauge "" """#,
            r#"target_info Gauge "" "Target metadata""#,
        ]
    );
}

#[test]
fn histograms_become_classic_or_native_ones() {
    check(
        &histogram(),
        &Settings::default(),
        &[
            r#"req_dur_seconds_sum{http_method="GET", instance="i-1", job="web/shop"} 3.5 @2000 since 1000"#,
            r#"req_dur_seconds_count{http_method="GET", instance="i-1", job="web/shop"} 6 @2000 since 1000"#,
            r#"req_dur_seconds_bucket{http_method="GET", instance="i-1", job="web/shop", le="0.5"} 1 @2000 since 1000"#,
            r#"req_dur_seconds_bucket{http_method="GET", instance="i-1", job="web/shop", le="10"} 3 @2000 since 1000"#,
            r#"req_dur_seconds_bucket{http_method="GET", instance="i-1", job="web/shop", le="+Inf"} 6 @2000 since 1000"#,
            r#"req_dur_seconds_bucket{http_method="GET", instance="i-1", job="web/shop", le="10"} # {trace_id="0102"} 0.7"#,
        ],
    );
    check(
        &histogram(),
        &Settings { nhcb: true, ..Settings::default() },
        &[
            r#"req_dur_seconds{http_method="GET", instance="i-1", job="web/shop"} schema=-53 count=6 sum=3.5 [(0.5, 1.0), (10.0, 2.0), (inf, 3.0)] bounds=[0.5, 10.0] @2000 since 1000"#,
            r#"req_dur_seconds{http_method="GET", instance="i-1", job="web/shop"} # {trace_id="0102"} 0.7"#,
        ],
    );
}

#[test]
fn exponential_histograms_and_summaries() {
    let metrics = format!(
        r#"{{"name":"e","exponentialHistogram":{{"aggregationTemporality":"AGGREGATION_TEMPORALITY_CUMULATIVE","dataPoints":[{{{TIMES},
             "count":5,"sum":9,"scale":0,"zeroCount":"1","positive":{{"offset":1,"bucketCounts":["3"]}},"negative":{{"offset":0,"bucketCounts":[1]}}}}]}}}},
           {{"name":"s","unit":"ms","summary":{{"dataPoints":[{{{TIMES},"count":"4","sum":2,"quantileValues":[{{"quantile":0.5,"value":0.4}},{{"quantile":1,"value":1.5}}]}}]}}}}"#
    );
    check(
        &metrics,
        &Settings::default(),
        &[
            r#"s_milliseconds_sum{instance="i-1", job="web/shop"} 2 @2000 since 1000"#,
            r#"s_milliseconds_count{instance="i-1", job="web/shop"} 4 @2000 since 1000"#,
            r#"s_milliseconds{instance="i-1", job="web/shop", quantile="0.5"} 0.4 @2000 since 1000"#,
            r#"s_milliseconds{instance="i-1", job="web/shop", quantile="1"} 1.5 @2000 since 1000"#,
            r#"e{instance="i-1", job="web/shop"} schema=0 count=5 sum=9 [(-1.0, 1.0), (1e-128, 1.0), (4.0, 3.0)] bounds=[] @2000 since 1000"#,
        ],
    );
}

#[test]
fn names_and_labels_follow_the_settings() {
    let gauge = format!(
        r#"{{"name":"a.b","unit":"s","gauge":{{"dataPoints":[{{{TIMES},"asInt":1,"attributes":[{{"key":"x.y","value":{{"boolValue":true}}}}]}}]}}}}"#
    );
    let one = |settings: Settings| {
        lines(&translated(&gauge, &settings, Deltas::Refused).cumulative).concat()
    };
    let of = |strategy| Settings { strategy, ..Settings::default() };
    let same = r#"instance="i-1", job="web/shop""#;
    assert_eq!(
        one(of(Strategy::UnderscoreEscapingWithoutSuffixes)),
        format!(r#"a_b{{{same}, x_y="true"}} 1 @2000"#)
    );
    assert_eq!(
        one(of(Strategy::NoUtf8EscapingWithSuffixes)),
        format!(r#"{{"a.b_seconds", {same}, "x.y"="true"}} 1 @2000"#)
    );
    assert_eq!(
        one(of(Strategy::NoTranslation)),
        format!(r#"{{"a.b", {same}, "x.y"="true"}} 1 @2000"#)
    );
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let promoted =
        Settings { promotion: Promotion::Only(names(&["host.name"])), ..Settings::default() };
    assert_eq!(
        one(promoted),
        format!(r#"a_b_seconds{{host_name="h1", {same}, x_y="true"}} 1 @2000"#)
    );
    let all = Promotion::AllBut(names(&["host.name", "service.name"]));
    assert_eq!(
        one(Settings { promotion: all, ..Settings::default() }),
        format!(
            r#"a_b_seconds{{{same}, service_instance_id="i-1", service_namespace="web", x_y="true"}} 1 @2000"#
        )
    );
    assert_eq!(
        one(Settings { promote_scope: true, ..Settings::default() }),
        format!(
            r#"a_b_seconds{{{same}, otel_scope_k="3", otel_scope_name="lib", otel_scope_version="1.2", x_y="true"}} 1 @2000"#
        )
    );
}

#[test]
fn target_info_spans_the_time_of_the_points() {
    let gauge = r#"{"name":"a","gauge":{"dataPoints":[{"timeUnixNano":"1000000000000","asInt":1},{"timeUnixNano":"1400000000000","asInt":1}]}}"#;
    let batch = translated(gauge, &Settings::default(), Deltas::Refused).cumulative;
    let info: Vec<i64> = batch
        .floats
        .iter()
        .filter(|it| batch.series[it.series as usize].metric_name() == Some("target_info"))
        .map(|it| it.timestamp.0)
        .collect();
    assert_eq!(info, [1_000_000, 1_150_000, 1_300_000, 1_400_000]);
    // However long it is.
    let long = gauge.replace("1000000000000", "1");
    let batch = translated(
        &long,
        &Settings { target_info_interval_ms: 1, ..Settings::default() },
        Deltas::Refused,
    )
    .cumulative;
    assert!(batch.floats.len() < 100, "{}", batch.floats.len());
}

#[test]
fn what_cannot_be_stored_is_refused_and_the_rest_is_not() {
    let metrics = format!(
        r#"{{"name":"d","sum":{{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{{{TIMES},"asInt":1}},{{{TIMES},"asInt":2}}]}}}},
           {{"name":"none","sum":{{"dataPoints":[{{{TIMES},"asInt":1}}]}}}},
           {{"name":"","gauge":{{"dataPoints":[{{{TIMES},"asInt":1}}]}}}},
           {{"name":"empty","gauge":{{"dataPoints":[{{{TIMES}}}]}}}},
           {{"name":"blank","gauge":{{"dataPoints":[{{{TIMES},"asInt":1,"attributes":[{{"key":""}}]}}]}}}},
           {{"name":"coarse","exponentialHistogram":{{"aggregationTemporality":2,"dataPoints":[{{{TIMES},"scale":-5}}]}}}},
           {{"name":"good","gauge":{{"dataPoints":[{{{TIMES},"asInt":1}}]}}}},
           {{"name":"unused","gauge":{{}}}}"#
    );
    let translation = translated(&metrics, &Settings::default(), Deltas::Refused);
    assert_eq!(lines(&translation.cumulative), [r#"good{instance="i-1", job="web/shop"} 1 @2000"#]);
    assert_eq!(translation.refused.points(), 7);
    let told = translation.refused.text();
    for part in [
        "\"d\": delta temporality",
        "otlp-deltatocumulative",
        "\"none\": its temporality",
        "no value",
    ] {
        assert!(told.contains(part), "{part} in {told}");
    }
    let taken = translated(&metrics, &Settings::default(), Deltas::SummedUp);
    assert_eq!(taken.delta.floats.len(), 2);
    assert_eq!(taken.refused.points(), 5);
}

#[test]
fn deltas_may_be_stored_as_they_are() {
    let metrics = format!(
        r#"{{"name":"d","unit":"s","sum":{{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{{{TIMES},"asInt":1}}]}}}},
           {{"name":"h","exponentialHistogram":{{"aggregationTemporality":1,"dataPoints":[{{{TIMES},"scale":0,"count":"1","sum":2,
             "positive":{{"offset":0,"bucketCounts":["1"]}}}}]}}}},
           {{"name":"c","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{{{TIMES},"asInt":1}}]}}}}"#
    );
    let settings = Settings { type_and_unit_labels: true, ..Settings::default() };
    let translation = translated(&metrics, &settings, Deltas::AsTheyAre);
    assert_eq!(translation.delta.sample_count(), 0);
    let batch = translation.cumulative;
    let found = lines(&batch);
    let same = r#"instance="i-1", job="web/shop""#;
    // Of unknown type and without a start; running totals beside them keep both.
    assert_eq!(found[0], format!(r#"d_seconds_total{{__unit__="seconds", {same}}} 1 @2000"#));
    assert_eq!(found[1], format!(r#"c_total{{__type__="counter", {same}}} 1 @2000 since 1000"#));
    assert!(found[2].ends_with("since 0"), "{}", found[2]);
    assert_eq!(batch.histograms[0].value.reset_hint, swell_model::CounterResetHint::Gauge);
    let kinds = batch.descriptions.iter().map(|it| it.metadata.kind.as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["unknown", "unknown", "counter", "gauge"]);
}

#[test]
fn types_and_units_may_be_labels() {
    let metrics = format!(
        r#"{{"name":"a","unit":"By/s","gauge":{{"dataPoints":[{{{TIMES},"asInt":1,
             "attributes":[{{"key":"__type__","value":{{"stringValue":"mine"}}}},{{"key":"__unit__","value":{{"stringValue":"mine"}}}}]}}]}}}},
           {{"name":"c","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{{{TIMES},"asInt":1}}]}}}},
           {{"name":"h","unit":"1","histogram":{{"aggregationTemporality":2,"dataPoints":[{{{TIMES},"count":"1","sum":2,"bucketCounts":["1"]}}]}}}},
           {{"name":"s","unit":"{{jobs}}","summary":{{"dataPoints":[{{{TIMES},"count":"1","sum":2}}]}}}}"#
    );
    let settings = Settings { type_and_unit_labels: true, ..Settings::default() };
    let batch = translated(&metrics, &settings, Deltas::Refused).cumulative;
    let labels: Vec<String> = batch.series.iter().map(ToString::to_string).collect();
    let same = r#"instance="i-1", job="web/shop""#;
    let mut expected = vec![
        format!(r#"a_bytes_per_second{{__type__="gauge", __unit__="bytes_per_second", {same}}}"#),
        format!(r#"c_total{{__type__="counter", {same}}}"#),
        format!(r#"h_sum{{__type__="histogram", {same}}}"#),
        format!(r#"h_count{{__type__="histogram", {same}}}"#),
        format!(r#"h_bucket{{__type__="histogram", {same}, le="+Inf"}}"#),
        format!(r#"s_sum{{__type__="summary", {same}}}"#),
        format!(r#"s_count{{__type__="summary", {same}}}"#),
    ];
    // As in Prometheus, `target_info` is labelled with neither.
    expected.push(format!(r#"target_info{{host_name="h1", {same}}}"#));
    assert_eq!(labels, expected);
}

#[test]
fn what_a_request_becomes_is_bounded() {
    // One long attribute of the resource in the labels of each series.
    let value = "x".repeat(1 << 20);
    let points = vec![r#"{"timeUnixNano":"1","asInt":1}"#; 200].join(",");
    let body = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"k","value":{{"stringValue":"{value}"}}}}]}},
            "scopeMetrics":[{{"metrics":[{{"name":"a","gauge":{{"dataPoints":[{points}]}}}}]}}]}}]}}"#
    );
    let request = read(body.as_bytes(), Encoding::Json).expect("a good request");
    let promotion = Promotion::AllBut(std::collections::BTreeSet::new());
    let error =
        translate(&request, &Settings { promotion, ..Settings::default() }, Deltas::Refused);
    assert!(error.expect_err("too much").to_string().contains("smaller batches"));
    assert!(translate(&request, &Settings::default(), Deltas::Refused).is_ok());
}
