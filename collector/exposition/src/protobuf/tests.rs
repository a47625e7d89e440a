use proptest::prelude::*;
use prost::Message as _;
use swell_model::Labels;

use super::messages::{
    BucketSpan, ClassicBucket, Counter, Exemplar as WireExemplar, Histogram, LabelPair, Metric,
    MetricType, Quantile, Single, Summary, Timestamp,
};
use super::*;
use crate::document::{BodyFormat, visit_body};

/// A whole family, as a target sends it.
#[derive(Clone, PartialEq, prost::Message)]
struct Family {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<Metric>,
    #[prost(string, tag = "5")]
    unit: String,
}

fn family(name: &str, kind: MetricType, metrics: Vec<Metric>) -> Family {
    Family { name: name.to_owned(), kind: kind.into(), metrics, ..Family::default() }
}

fn pair(name: &str, value: &str) -> LabelPair {
    LabelPair { name: name.to_owned(), value: value.to_owned() }
}

fn gauge(labels: Vec<LabelPair>, value: f64) -> Metric {
    Metric { labels, gauge: Some(Single { value }), ..Metric::default() }
}

fn with_histogram(histogram: Histogram) -> Metric {
    Metric { histogram: Some(Box::new(histogram)), ..Metric::default() }
}

fn body(families: &[Family]) -> Vec<u8> {
    families.iter().flat_map(|family| family.encode_length_delimited_to_vec()).collect()
}

/// What a body says, an entry a line.
fn shown(body: &[u8], options: HistogramOptions) -> Result<Vec<String>, BodyFault> {
    let mut lines = Vec::new();
    visit_body(body, BodyFormat::Protobuf, &options, &mut |entry| {
        let labels = |series: SeriesText<'_>| match series.to_labels() {
            Ok(labels) => labels.to_string(),
            Err(error) => error.to_string(),
        };
        let example = |one: &Exemplar<'_>| {
            format!(" # {} {} {:?}", Labels::from_pairs(one.pairs()), one.value, one.timestamp)
        };
        lines.push(match entry {
            Entry::Sample(sample) => format!(
                "{} {}{}",
                labels(sample.series),
                sample.value,
                sample.exemplar.iter().map(example).collect::<String>()
            ),
            Entry::Histogram(sample) => format!(
                "{} native {} {:?}{}",
                labels(sample.series),
                sample.value.count,
                sample.value.positive_buckets,
                sample.exemplars.iter().map(example).collect::<String>()
            ),
            Entry::Type { family, word, .. } => format!("type {family} {word}"),
            Entry::Help { family, text } => format!("help {family} {text}"),
            Entry::Unit { family, unit } => format!("unit {family} {unit}"),
        });
        Ok::<(), BodyFault>(())
    })?;
    Ok(lines)
}

fn check(families: &[Family], options: HistogramOptions, expected: &[&str]) {
    assert_eq!(shown(&body(families), options).expect("a good body"), expected);
}

fn refuses(families: &[Family], expected: &str) {
    let options = HistogramOptions { native: true, ..HistogramOptions::default() };
    let fault = shown(&body(families), options).expect_err("against a rule");
    assert_eq!(fault.to_string(), expected);
}

const NATIVE: HistogramOptions =
    HistogramOptions { native: true, always_classic: false, classic_as_custom: false };

fn histogram() -> Histogram {
    Histogram {
        sample_count: 6,
        sample_sum: 9.5,
        schema: 0,
        positive_spans: vec![BucketSpan { offset: 0, length: 2 }],
        positive_deltas: vec![2, 2],
        buckets: vec![
            ClassicBucket { cumulative_count: 2, upper_bound: 1.0, ..ClassicBucket::default() },
            ClassicBucket { cumulative_count: 5, upper_bound: 1e6, ..ClassicBucket::default() },
        ],
        ..Histogram::default()
    }
}

#[test]
fn names_and_labels_of_any_kind_come_back() {
    let odd = vec![pair("a.b", "1"), pair("path", "\"\\\n"), pair("empty", "")];
    let mut temperature = family("room_celsius", MetricType::Gauge, vec![gauge(odd, 1.5)]);
    temperature.help = "How warm.\nReally.".to_owned();
    temperature.unit = "celsius".to_owned();
    let dotted = family("http.requests", MetricType::Untyped, vec![Metric::default()]);
    let nothing = family("nothing", MetricType::Counter, Vec::new());
    check(
        &[temperature, nothing, dotted],
        NATIVE,
        &[
            "help room_celsius How warm.\nReally.",
            "unit room_celsius celsius",
            "type room_celsius gauge",
            r#"room_celsius{"a.b"="1", path="\"\\\n"} 1.5"#,
            "help http.requests ",
            "type http.requests unknown",
            r#"{"http.requests"} 0"#,
        ],
    );
}

#[test]
fn parts_of_summaries_and_histograms_are_series_of_their_own() {
    let summary = Summary {
        sample_count: 3,
        sample_sum: 4.5,
        quantiles: vec![Quantile { quantile: 1.0, value: 2.0 }],
        ..Summary::default()
    };
    let summary = Metric { summary: Some(summary), ..Metric::default() };
    let http = family("http.wait", MetricType::Summary, vec![summary]);
    let sizes = family("size", MetricType::Histogram, vec![with_histogram(histogram())]);
    check(
        &[http, sizes],
        HistogramOptions::default(),
        &[
            "help http.wait ",
            "type http.wait summary",
            r#"{"http.wait_count"} 3"#,
            r#"{"http.wait_sum"} 4.5"#,
            r#"{"http.wait", quantile="1.0"} 2"#,
            "help size ",
            "type size histogram",
            "size_count 6",
            "size_sum 9.5",
            r#"size_bucket{le="1.0"} 2"#,
            r#"size_bucket{le="1e+06"} 5"#,
            r#"size_bucket{le="+Inf"} 6"#,
        ],
    );
}

#[test]
fn histograms_are_native_classic_or_both_as_asked_for() {
    let sizes = [family("size", MetricType::GaugeHistogram, vec![with_histogram(histogram())])];
    let head = ["help size ", "type size gaugehistogram"];
    let classic = [
        "size_count 6",
        "size_sum 9.5",
        r#"size_bucket{le="1.0"} 2"#,
        r#"size_bucket{le="1e+06"} 5"#,
        r#"size_bucket{le="+Inf"} 6"#,
    ];
    let native = ["size native 6 [2.0, 4.0]"];
    check(&sizes, NATIVE, &[&head[..], &native].concat());
    let both = HistogramOptions { always_classic: true, ..NATIVE };
    check(&sizes, both, &[&head[..], &native, &classic].concat());
    let custom = HistogramOptions { classic_as_custom: true, ..HistogramOptions::default() };
    check(&sizes, custom, &[&head[..], &["size native 6 [2.0, 3.0, 1.0]"]].concat());
    let all = HistogramOptions { always_classic: true, ..custom };
    check(&sizes, all, &[&head[..], &["size native 6 [2.0, 3.0, 1.0]"], &classic].concat());
}

#[test]
fn exemplars_of_native_histograms_need_a_time() {
    let timed = WireExemplar {
        labels: vec![pair("trace", "a\"b")],
        value: 0.5,
        timestamp: Some(Timestamp { seconds: 2, nanos: 1_999_999 }),
    };
    let untimed = WireExemplar { timestamp: None, ..timed.clone() };
    let mut with_own = histogram();
    with_own.exemplars = vec![untimed.clone(), timed.clone()];
    with_own.buckets[0].exemplar = Some(WireExemplar { value: 7.0, ..timed.clone() });
    let mut of_buckets = histogram();
    of_buckets.buckets[0].exemplar = Some(untimed.clone());
    of_buckets.buckets[1].exemplar = Some(timed);
    let counter = Counter { value: 4.0, exemplar: Some(untimed), created: None };
    let counter = Metric { counter: Some(counter), ..Metric::default() };
    check(
        &[
            family("own", MetricType::Histogram, vec![with_histogram(with_own)]),
            family("lent", MetricType::Histogram, vec![with_histogram(of_buckets)]),
            family("jobs_total", MetricType::Counter, vec![counter]),
        ],
        NATIVE,
        &[
            "help own ",
            "type own histogram",
            r#"own native 6 [2.0, 4.0] # {trace="a\"b"} 0.5 Some(TimestampMs(2001))"#,
            "help lent ",
            "type lent histogram",
            r#"lent native 6 [2.0, 4.0] # {trace="a\"b"} 0.5 Some(TimestampMs(2001))"#,
            "help jobs_total ",
            "type jobs_total counter",
            r#"jobs_total 4 # {trace="a\"b"} 0.5 None"#,
        ],
    );
}

#[test]
fn what_breaks_a_rule_is_refused_with_its_place() {
    let one = || vec![gauge(Vec::new(), 1.0)];
    refuses(&[family("", MetricType::Gauge, one())], "family 1 of the body has no name");
    let mut unit = family("speed", MetricType::Gauge, one());
    unit.unit = "metres".to_owned();
    refuses(&[unit], "unit \"metres\" is not the suffix of \"speed\"");
    let mut kind = family("g", MetricType::Gauge, one());
    kind.kind = 9;
    refuses(&[kind], "family \"g\" has the unknown type 9");
    let mut short = histogram();
    short.positive_deltas.pop();
    refuses(
        &[family("h", MetricType::Histogram, vec![with_histogram(short)])],
        "a histogram of family \"h\": spans have 2 buckets, the histogram has 1",
    );
    let large = gauge(vec![pair("a", &"x".repeat(METRIC_BYTES_MAX))], 1.0);
    let fault = shown(&body(&[family("g", MetricType::Gauge, vec![large])]), NATIVE);
    let told = fault.expect_err("too large").to_string();
    assert!(told.contains("at most 262144 are read"), "{told}");
    let mut cut = body(&[family("g", MetricType::Gauge, one())]);
    cut.pop();
    let fault = shown(&cut, NATIVE).expect_err("cut");
    assert_eq!(fault.to_string(), "family 1 of the body is cut short");
    let twice = gauge(vec![pair("a", "1"), pair("a", "2")], 1.0);
    let lines = shown(&body(&[family("g", MetricType::Gauge, vec![twice])]), NATIVE);
    let told = "label \"a\" is given more than once in g{a=\"1\",a=\"2\"}";
    assert_eq!(lines.expect("told for the sample")[2], format!("{told} 1"));
}

proptest! {
    #[test]
    fn labels_come_back_as_they_were_sent(
        name in "[a-z_:][a-z0-9_:]{0,5}|\\PC{1,6}",
        labels in proptest::collection::btree_map("[a-z_]{1,4}|\\PC{1,5}", "(?s).{0,8}", 0..4),
    ) {
        let labels: Vec<_> = labels.into_iter().filter(|(name, _)| name != "__name__").collect();
        let pairs = labels.iter().map(|(name, value)| pair(name, value)).collect();
        let sent = body(&[family(&name, MetricType::Gauge, vec![gauge(pairs, 1.0)])]);
        let expected = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let expected = Labels::from_pairs(expected.chain([("__name__", name.as_str())]));
        let mut found = None;
        let outcome = visit_body(&sent, BodyFormat::Protobuf, &NATIVE, &mut |entry| {
            if let Entry::Sample(sample) = entry {
                found = Some(sample.series.to_labels());
            }
            Ok::<(), BodyFault>(())
        });
        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(found, Some(Ok(expected)));
    }

    #[test]
    fn changed_and_cut_bodies_end_without_a_panic(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut bytes = body(&[
            family("size", MetricType::Histogram, vec![with_histogram(histogram())]),
            family("g", MetricType::Gauge, vec![gauge(vec![pair("a", "b")], 1.0)]),
        ]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(keep.index(bytes.len() + 1));
        drop(shown(&bytes, HistogramOptions { always_classic: true, ..NATIVE }));
    }
}
