//! Against messages that another implementation of protocol buffers wrote.

use proptest::prelude::*;
use prost::Message as _;
use swell_model::{CounterResetHint, MetricKind, NativeHistogram, STALE_NAN_BITS, Span};

use super::*;

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SampleV1 {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExemplarV1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Count {
    #[prost(uint64, tag = "1")]
    Int(u64),
    #[prost(double, tag = "2")]
    Float(f64),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Histogram {
    #[prost(oneof = "Count", tags = "1, 2")]
    count: Option<Count>,
    #[prost(double, tag = "3")]
    sum: f64,
    #[prost(sint32, tag = "4")]
    schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    #[prost(uint64, tag = "6")]
    zero_count_int: u64,
    #[prost(double, tag = "7")]
    zero_count_float: f64,
    #[prost(message, repeated, tag = "8")]
    negative_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "9")]
    negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    positive_spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "12")]
    positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    reset_hint: i32,
    #[prost(int64, tag = "15")]
    timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    custom_values: Vec<f64>,
    #[prost(int64, tag = "17")]
    start_timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeriesV1 {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<SampleV1>,
    #[prost(message, repeated, tag = "3")]
    exemplars: Vec<ExemplarV1>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
    #[prost(string, tag = "99")]
    from_the_future: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetadataV1 {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    family: String,
    #[prost(string, tag = "4")]
    help: String,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV1 {
    #[prost(message, repeated, tag = "1")]
    series: Vec<TimeSeriesV1>,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<MetadataV1>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SampleV2 {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExemplarV2 {
    #[prost(uint32, repeated, tag = "1")]
    refs: Vec<u32>,
    #[prost(double, tag = "2")]
    value: f64,
    #[prost(int64, tag = "3")]
    timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MetadataV2 {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help: u32,
    #[prost(uint32, tag = "4")]
    unit: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeriesV2 {
    #[prost(uint32, repeated, tag = "1")]
    refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<SampleV2>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    #[prost(message, repeated, tag = "4")]
    exemplars: Vec<ExemplarV2>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<MetadataV2>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestV2 {
    #[prost(string, repeated, tag = "4")]
    symbols: Vec<String>,
    #[prost(message, repeated, tag = "5")]
    series: Vec<TimeSeriesV2>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the writer wrote UTF-8")
}

fn read_v1(bytes: &[u8]) -> Result<RequestV1, WireError> {
    let mut out = RequestV1::default();
    for item in items(bytes, Message::V1) {
        match item? {
            Item::Metadata(metadata) => out.metadata.push(MetadataV1 {
                kind: metadata.kind as i32,
                family: text(metadata.metric_name),
                help: text(metadata.help),
                unit: text(metadata.unit),
            }),
            Item::Series(series) => {
                let mut read = TimeSeriesV1::default();
                series.each_label(|name, value| {
                    read.labels.push(Label { name: text(name), value: text(value) });
                })?;
                let labels_len = series.labels_len()?;
                assert!(series.ends_labels_at(labels_len));
                for part in series.parts(labels_len) {
                    match part? {
                        Part::Sample(sample) => read
                            .samples
                            .push(SampleV1 { value: sample.value, timestamp: sample.timestamp_ms }),
                        Part::Exemplar(exemplar) => {
                            let mut labels = Vec::new();
                            exemplar.each_label(|name, value| {
                                labels.push(Label { name: text(name), value: text(value) });
                            })?;
                            read.exemplars.push(ExemplarV1 {
                                labels,
                                value: exemplar.value,
                                timestamp: exemplar.timestamp_ms,
                            });
                        }
                        Part::Histogram(_) => read.histograms.push(Histogram::default()),
                        Part::Metadata(_) | Part::LateLabels => panic!("not in this message"),
                    }
                }
                out.series.push(read);
            }
        }
    }
    Ok(out)
}

fn read_v2(bytes: &[u8]) -> Result<RequestV2, WireError> {
    let mut symbols = Vec::new();
    read_symbols(bytes, &mut symbols)?;
    let mut out = RequestV2 { symbols: symbols.into_iter().map(text).collect(), series: vec![] };
    for item in items(bytes, Message::V2) {
        let Item::Series(series) = item? else { panic!("2.0 has metadata in its series") };
        let mut read = TimeSeriesV2::default();
        let labels_len = series.leading_label_refs(&mut read.refs)?;
        for part in series.parts(labels_len) {
            match part? {
                Part::Sample(sample) => read.samples.push(SampleV2 {
                    value: sample.value,
                    timestamp: sample.timestamp_ms,
                    start: sample.start_ms,
                }),
                Part::Exemplar(exemplar) => {
                    let mut refs = Vec::new();
                    exemplar.label_refs(&mut refs)?;
                    let (value, timestamp) = (exemplar.value, exemplar.timestamp_ms);
                    read.exemplars.push(ExemplarV2 { refs, value, timestamp });
                }
                Part::Metadata(metadata) => {
                    read.metadata = Some(MetadataV2 {
                        kind: metadata.kind as i32,
                        help: metadata.help,
                        unit: metadata.unit,
                    });
                }
                Part::Histogram(_) => read.histograms.push(Histogram::default()),
                Part::LateLabels => panic!("the writer writes labels first"),
            }
        }
        out.series.push(read);
    }
    Ok(out)
}

fn any_float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("prost's messages compare by value", |value| !value.is_nan()),
        Just(0.0),
        Just(1.0)
    ]
}

fn any_label() -> impl Strategy<Value = Label> {
    (".{0,12}", ".{0,200}").prop_map(|(name, value)| Label { name, value })
}

prop_compose! {
    fn any_v1()(
        labels in prop::collection::vec(any_label(), 0..6),
        samples in prop::collection::vec((any_float(), any::<i64>()), 0..4),
        exemplars in prop::collection::vec((prop::collection::vec(any_label(), 0..3), any_float(), any::<i64>()), 0..2),
        histogram_count in 0_usize..2,
        from_the_future in ".{0,3}",
    ) -> TimeSeriesV1 {
        TimeSeriesV1 {
            labels,
            samples: samples.into_iter().map(|(value, timestamp)| SampleV1 { value, timestamp }).collect(),
            exemplars: exemplars.into_iter().map(|(labels, value, timestamp)| ExemplarV1 { labels, value, timestamp }).collect(),
            histograms: vec![Histogram::default(); histogram_count],
            from_the_future,
        }
    }
}

prop_compose! {
    fn any_v2()(
        refs in prop::collection::vec(any::<u32>(), 0..12),
        samples in prop::collection::vec((any_float(), any::<i64>(), any::<i64>()), 0..4),
        exemplars in prop::collection::vec((prop::collection::vec(any::<u32>(), 0..4), any_float(), any::<i64>()), 0..2),
        metadata in prop::option::of((0..8, any::<u32>(), any::<u32>())),
        histogram_count in 0_usize..2,
    ) -> TimeSeriesV2 {
        TimeSeriesV2 {
            refs,
            samples: samples.into_iter().map(|(value, timestamp, start)| SampleV2 { value, timestamp, start }).collect(),
            exemplars: exemplars.into_iter().map(|(refs, value, timestamp)| ExemplarV2 { refs, value, timestamp }).collect(),
            histograms: vec![Histogram::default(); histogram_count],
            metadata: metadata.map(|(kind, help, unit)| MetadataV2 { kind, help, unit }),
        }
    }
}

fn kinds(kind: i32) -> i32 {
    // The model's order is its own; the numbers on the wire are what is compared.
    let order = [
        MetricKind::Unknown,
        MetricKind::Counter,
        MetricKind::Gauge,
        MetricKind::Histogram,
        MetricKind::GaugeHistogram,
        MetricKind::Summary,
        MetricKind::Info,
        MetricKind::StateSet,
    ];
    usize::try_from(kind).ok().and_then(|kind| order.get(kind)).copied().unwrap_or_default() as i32
}

proptest! {
    #[test]
    fn what_another_writer_wrote_is_read(
        series in prop::collection::vec(any_v1(), 0..4),
        metadata in prop::collection::vec((0..9, ".{0,9}", ".{0,9}", ".{0,9}"), 0..3),
    ) {
        let metadata = metadata.into_iter().map(|(kind, family, help, unit)| MetadataV1 { kind, family, help, unit }).collect();
        let mut request = RequestV1 { series, metadata };
        let read = read_v1(&request.encode_to_vec()).expect("a good message");
        request.series.iter_mut().for_each(|series| series.from_the_future.clear());
        request.metadata.iter_mut().for_each(|metadata| metadata.kind = kinds(metadata.kind));
        prop_assert_eq!(read, request);
    }

    #[test]
    fn what_another_writer_wrote_as_2_0_is_read(
        symbols in prop::collection::vec(".{0,20}", 0..9),
        series in prop::collection::vec(any_v2(), 0..4),
    ) {
        let mut request = RequestV2 { symbols, series };
        let read = read_v2(&request.encode_to_vec()).expect("a good message");
        for metadata in request.series.iter_mut().filter_map(|series| series.metadata.as_mut()) {
            metadata.kind = kinds(metadata.kind);
        }
        prop_assert_eq!(read, request);
    }

    #[test]
    fn a_cut_or_changed_message_is_an_error_or_another_message(
        series in prop::collection::vec(any_v1(), 1..3),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = RequestV1 { series, metadata: vec![] }.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let cut = &bytes[..at.index(bytes.len())];
        if let Err(error) = read_lossy(cut) {
            prop_assert!(error.offset <= cut.len());
        }
        let at = at.index(bytes.len());
        bytes[at] = byte;
        for bytes in [&bytes[..], &bytes[at..]] {
            if let Err(error) = read_lossy(bytes) {
                prop_assert!(error.offset <= bytes.len());
            }
        }
    }
}

/// Reads everything there is, as both messages, whatever the bytes.
fn read_lossy(bytes: &[u8]) -> Result<(), WireError> {
    for message in [Message::V1, Message::V2] {
        for item in items(bytes, message) {
            let Item::Series(series) = item? else { continue };
            series.each_label(|_, _| {})?;
            series.label_refs(&mut Vec::new())?;
            for part in series.parts(series.labels_len()?) {
                if let Part::Histogram(histogram) = part?
                    && let Err(ReadHistogramError::Wire(error)) = histogram.read()
                {
                    return Err(error);
                }
            }
        }
    }
    read_symbols(bytes, &mut Vec::new())
}

fn read_histogram(histogram: &Histogram) -> Result<WireHistogram, ReadHistogramError> {
    let series = TimeSeriesV1 { histograms: vec![histogram.clone()], ..TimeSeriesV1::default() };
    let bytes = RequestV1 { series: vec![series], metadata: vec![] }.encode_to_vec();
    let item = items(&bytes, Message::V1).next().expect("one series").expect("a good message");
    let Item::Series(series) = item else { panic!("no metadata") };
    match series.parts(0).next().expect("one part").expect("a good message") {
        Part::Histogram(histogram) => histogram.read(),
        other => panic!("{other:?}"),
    }
}

fn spans(spans: &[(i32, u32)]) -> Vec<BucketSpan> {
    spans.iter().map(|(offset, length)| BucketSpan { offset: *offset, length: *length }).collect()
}

fn integer() -> Histogram {
    Histogram {
        count: Some(Count::Int(13)),
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count_int: 2,
        negative_spans: spans(&[(0, 2)]),
        negative_deltas: vec![2, 2],
        positive_spans: spans(&[(0, 2), (1, 2)]),
        positive_deltas: vec![1, 1, -1, 0],
        reset_hint: 3,
        timestamp: 1_700_000_000_000,
        start_timestamp: 1_699_999_000_000,
        ..Histogram::default()
    }
}

fn custom() -> Histogram {
    Histogram {
        count: Some(Count::Float(9.5)),
        sum: 20.0,
        schema: -53,
        positive_spans: spans(&[(0, 2), (1, 1)]),
        positive_counts: vec![2.0, 3.0, 4.5],
        custom_values: vec![0.5, 1.0, 5.0],
        ..Histogram::default()
    }
}

#[test]
fn histograms_become_absolute_counts() {
    let read = read_histogram(&integer()).expect("valid");
    assert_eq!((read.timestamp_ms, read.start_ms), (1_700_000_000_000, 1_699_999_000_000));
    let expected = NativeHistogram {
        schema: 1,
        reset_hint: CounterResetHint::Gauge,
        zero_threshold: 0.001,
        zero_count: 2.0,
        count: 13.0,
        sum: 18.4,
        positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.0, 1.0, 1.0],
        negative_spans: vec![Span { offset: 0, length: 2 }],
        negative_buckets: vec![2.0, 4.0],
        custom_bounds: vec![],
    };
    assert_eq!(read.value, expected);
    let read = read_histogram(&custom()).expect("valid");
    assert_eq!((read.value.count, read.value.custom_bounds), (9.5, vec![0.5, 1.0, 5.0]));
    assert_eq!(read.value.positive_buckets, [2.0, 3.0, 4.5]);
}

#[test]
fn a_stale_histogram_keeps_its_marker_at_any_schema() {
    for schema in [0, 8, 9, 52] {
        let stale = Histogram {
            count: Some(Count::Int(3)),
            sum: f64::from_bits(STALE_NAN_BITS),
            schema,
            positive_spans: spans(&[(7, 2)]),
            positive_deltas: vec![1, 1],
            ..Histogram::default()
        };
        let read = read_histogram(&stale).expect("valid");
        assert_eq!(read.value.sum.to_bits(), STALE_NAN_BITS);
        assert_eq!(read.value.schema, schema.min(8));
        assert_eq!(read.value.positive_buckets.iter().sum::<f64>(), 3.0);
    }
}

#[track_caller]
fn refuses(histogram: &Histogram, expected: &str) {
    let error = read_histogram(histogram).expect_err("against a rule");
    assert!(matches!(error, ReadHistogramError::Invalid(_)));
    assert_eq!(error.to_string(), format!("invalid histogram: {expected}"));
}

#[test]
fn histograms_against_the_rules_are_refused() {
    refuses(
        &Histogram { count: Some(Count::Int(12)), ..integer() },
        "buckets hold 13 observations, the count says 12",
    );
    refuses(
        &Histogram { sum: f64::NAN, count: Some(Count::Int(12)), ..integer() },
        "buckets hold 13 observations, the count says 12",
    );
    refuses(
        &Histogram { positive_spans: spans(&[(0, 2), (1, 3)]), ..integer() },
        "spans have 5 buckets, the histogram has 4",
    );
    refuses(
        &Histogram { positive_spans: spans(&[(0, 2), (-1, 2)]), ..integer() },
        "span 1 has the negative offset -1",
    );
    refuses(
        &Histogram { positive_spans: spans(&[(i32::MAX, 4)]), ..integer() },
        "bucket index 2147483647 is out of range",
    );
    refuses(
        &Histogram { positive_deltas: vec![1, -2, 3, 0], ..integer() },
        "a bucket has the negative count -1",
    );
    refuses(
        &Histogram { schema: 60, ..integer() },
        "schema 60 is not known: exponential ones are -4 to 52, custom bounds -53",
    );
    refuses(
        &Histogram { custom_values: vec![1.0], ..integer() },
        "exponential buckets have no custom bounds",
    );
    refuses(
        &Histogram { custom_values: vec![1.0, 0.5, 5.0], ..custom() },
        "custom bound 0.5 does not rise above 1",
    );
    refuses(
        &Histogram { custom_values: vec![1.0, f64::NAN, 5.0], ..custom() },
        "custom bound NaN does not rise above 1",
    );
    refuses(
        &Histogram { custom_values: vec![1.0, 2.0, f64::INFINITY], ..custom() },
        "the bound +Inf must not be given",
    );
    refuses(
        &Histogram { custom_values: vec![0.5, 1.0], ..custom() },
        "4 custom buckets need more than 2 bounds",
    );
    refuses(&Histogram { zero_count_float: 1.0, ..custom() }, "custom buckets have no zero bucket");
    refuses(
        &Histogram { positive_spans: spans(&[(-1, 3)]), ..custom() },
        "span 0 has the negative offset -1",
    );
    // Observations of NaN are in no bucket.
    let with_nan = Histogram { sum: f64::NAN, count: Some(Count::Int(14)), ..integer() };
    assert!(read_histogram(&with_nan).is_ok());
}

#[test]
fn labels_behind_other_parts_are_noticed() {
    let labels = TimeSeriesV1 {
        labels: vec![Label { name: "a".into(), value: "b".into() }],
        ..TimeSeriesV1::default()
    };
    let sample = TimeSeriesV1 {
        samples: vec![SampleV1 { value: 1.0, timestamp: 2 }],
        ..TimeSeriesV1::default()
    };
    let mut series = sample.encode_to_vec();
    series.extend(labels.encode_to_vec());
    let mut bytes = vec![1 << 3 | 2, u8::try_from(series.len()).expect("short")];
    bytes.extend(series);
    let item = items(&bytes, Message::V1).next().expect("one series").expect("a good message");
    let Item::Series(series) = item else { panic!("no metadata") };
    assert_eq!(series.labels_len(), Ok(0));
    assert!(series.parts(0).any(|part| matches!(part, Ok(Part::LateLabels))));
    let mut found = 0;
    series
        .each_label(|name, value| found += usize::from((name, value) == (b"a", b"b")))
        .expect("good");
    assert_eq!(found, 1);
}

#[test]
fn errors_say_where() {
    let bytes = [1 << 3 | 2, 3, 1 << 3 | 2, 200, 1];
    let error = items(&bytes, Message::V1).next().expect("a field");
    let Ok(Item::Series(series)) = error else { panic!("the series itself is whole") };
    let error = series.labels_len().expect_err("its label is cut short");
    assert_eq!(error.to_string(), "byte 5 of the message: a length reaches beyond the end");
}

/// Found by fuzzing: a number that does not end was met again and again.
#[test]
fn a_fault_is_told_once() {
    for (bytes, message) in
        [(&[0x85][..], Message::V1), (&[0x0a, 1, 0x85], Message::V1), (&[0x2a], Message::V2)]
    {
        let told: Vec<_> = items(bytes, message).take(10).collect();
        assert_eq!(told.len(), 1, "{bytes:?}: {told:?}");
        if let Ok(Item::Series(series)) = &told[0] {
            assert_eq!(series.parts(0).take(10).filter(Result::is_err).count(), 1, "{bytes:?}");
        }
    }
}
