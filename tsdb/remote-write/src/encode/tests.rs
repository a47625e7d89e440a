use swell_model::{MetricKind, NativeHistogram, TimestampMs};
use swell_wire::remote_write::{Item, Part, items, read_symbols};

use super::*;

fn series(name: &str, message: Message) -> Arc<Series> {
    let labels = Labels::from_pairs([(METRIC_NAME, name)]);
    Arc::new(Series::new(&labels, labels.clone(), message))
}

fn float(series: &Arc<Series>, at: i64) -> Point {
    Point {
        series: Arc::clone(series),
        timestamp_ms: at,
        start_ms: 0,
        value: Value::Float(1.0),
        exemplars: None,
    }
}

fn histogram(series: &Arc<Series>, at: i64) -> Point {
    Point { value: Value::Histogram(Arc::new(NativeHistogram::default())), ..float(series, at) }
}

fn exemplar(series: &Arc<Series>, at: i64) -> Point {
    let labels = Labels::from_pairs([("trace_id", "x")]);
    let exemplar = Exemplar { labels, value: 1.0, timestamp: TimestampMs(at) };
    Point { value: Value::Absent, exemplars: Some(Box::new([exemplar])), ..float(series, at) }
}

/// Each entry of the request in words: the name's first letter, then `f`, `h` or `e` with its time.
fn shown(encoded: &Encoded, message: Message) -> Vec<String> {
    let bytes = snap::raw::Decoder::new().decompress_vec(&encoded.body).expect("unpacks");
    let mut symbols = Vec::new();
    read_symbols(&bytes, &mut symbols).expect("good");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let mut all = Vec::new();
    for item in items(&bytes, message) {
        let Item::Series(series) = item.expect("good") else { panic!("only series") };
        let mut name = String::new();
        match message {
            Message::V1 => series.each_label(|_, value| name = text(value)).expect("good"),
            Message::V2 => {
                let mut refs = Vec::new();
                series.label_refs(&mut refs).expect("good");
                name = text(symbols[refs[1] as usize]);
            }
        }
        let mut entry = name;
        for part in series.parts(series.labels_len().expect("good")) {
            let (kind, at) = match part.expect("good") {
                Part::Sample(sample) => ('f', sample.timestamp_ms),
                Part::Histogram(histogram) => ('h', histogram.read().expect("good").timestamp_ms),
                Part::Exemplar(exemplar) => ('e', exemplar.timestamp_ms),
                Part::Metadata(metadata) => {
                    entry.push_str(&format!(" {}", text(symbols[metadata.help as usize])));
                    continue;
                }
                Part::LateLabels => panic!("labels come first"),
            };
            entry.push_str(&format!(" {kind}{at}"));
        }
        all.push(entry);
    }
    all
}

fn encoded(points: &[Point], message: Message, oldest_ms: Option<i64>) -> Encoded {
    encode(points, &Encoding { message, oldest_ms, families: &Families::new() })
}

#[test]
fn a_series_stands_once_unless_its_kind_changes() {
    for message in Message::ALL {
        let (a, b) = (series("a", message), series("b", message));
        let points = [
            float(&a, 1),
            float(&b, 1),
            exemplar(&a, 1),
            float(&a, 2),
            histogram(&b, 2),
            float(&b, 3),
            float(&a, 3),
        ];
        let request = encoded(&points, message, None);
        let counts = Counts { samples: 5, histograms: 1, exemplars: 1 };
        assert_eq!((request.counts, request.newest_ms), (counts, Some(3)));
        let expected = ["a f1 f2 f3 e1", "b f1", "b h2", "b f3"];
        assert_eq!(shown(&request, message), expected, "{message:?}");
    }
}

#[test]
fn what_is_too_old_is_left_out() {
    let a = series("a", Message::V1);
    let points = [float(&a, 1), exemplar(&a, 1), histogram(&a, 5), float(&a, 9)];
    let request = encoded(&points, Message::V1, Some(6));
    assert_eq!(shown(&request, Message::V1), ["a f9"]);
    assert_eq!(request.too_old, Counts { samples: 1, histograms: 1, exemplars: 1 });
    let nothing = encoded(&points, Message::V1, Some(10));
    assert_eq!((nothing.body.len(), nothing.counts), (0, Counts::default()));
}

/// Receivers of 2.0 refuse a series without a sample.
#[test]
fn exemplars_alone_are_sent_in_1_0_only() {
    for (message, expected) in [(Message::V1, vec!["a e1", "b f1"]), (Message::V2, vec!["b f1"])] {
        let (a, b) = (series("a", message), series("b", message));
        let request = encoded(&[exemplar(&a, 1), float(&b, 1)], message, None);
        assert_eq!(shown(&request, message), expected);
        assert_eq!(request.lone_exemplars, u64::from(message == Message::V2));
    }
}

#[test]
fn metadata_is_that_of_the_family() {
    let metadata = |help: &str| MetricMetadata {
        kind: MetricKind::Histogram,
        help: help.to_owned(),
        unit: String::new(),
    };
    let families =
        Families::from([("a".to_owned(), metadata("A")), ("a_sum".to_owned(), metadata("S"))]);
    let all = ["a_bucket", "a_sum", "a", "b_sum"].map(|name| series(name, Message::V2));
    let points: Vec<Point> = all.iter().map(|series| float(series, 1)).collect();
    let encoding = Encoding { message: Message::V2, oldest_ms: None, families: &families };
    let expected = ["a_bucket f1 A", "a_sum f1 S", "a f1 A", "b_sum f1"];
    assert_eq!(shown(&encode(&points, &encoding), Message::V2), expected);
}
