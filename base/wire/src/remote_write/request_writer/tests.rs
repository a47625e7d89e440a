use proptest::prelude::*;
use swell_model::{CounterResetHint, Span, TimestampMs, stale_nan};

use super::*;
use crate::remote_write::{Item, Message, Part, SeriesMessage, items, read_symbols};

/// A series as it was sent, or as it was read back.
#[derive(Clone, Debug, Default)]
struct Series {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<(i64, i64, NativeHistogram)>,
    exemplars: Vec<Exemplar>,
    metadata: Option<MetricMetadata>,
}

impl Series {
    fn content<'a>(
        &'a self,
        histograms: &'a mut Vec<SentHistogram<'a>>,
        exemplars: &'a mut Vec<&'a Exemplar>,
    ) -> SeriesContent<'a, 'a> {
        histograms.extend(self.histograms.iter().map(|(timestamp_ms, start_ms, value)| {
            SentHistogram { timestamp_ms: *timestamp_ms, start_ms: *start_ms, value }
        }));
        exemplars.extend(&self.exemplars);
        SeriesContent { samples: &self.samples, histograms, exemplars }
    }

    /// Debug text: equal for equal bits but those of NaNs, whose payload the marker's test looks at.
    fn text(&self) -> String {
        format!("{self:?}")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn read(message: &[u8], version: Message) -> Vec<Series> {
    let mut symbols = Vec::new();
    if version == Message::V2 {
        read_symbols(message, &mut symbols).expect("good");
        assert_eq!(symbols[0], b"", "the first symbol");
    }
    let labels_of = |series: &SeriesMessage<'_>| {
        let mut pairs = Vec::new();
        match version {
            Message::V1 => {
                series.each_label(|name, value| pairs.push((text(name), text(value)))).expect("ok");
            }
            Message::V2 => {
                let mut refs = Vec::new();
                series.label_refs(&mut refs).expect("good");
                let at = |number: u32| text(symbols[number as usize]);
                pairs.extend(refs.chunks(2).map(|pair| (at(pair[0]), at(pair[1]))));
            }
        }
        Labels::from_pairs(pairs)
    };
    let mut read = Vec::new();
    for item in items(message, version) {
        let Item::Series(message) = item.expect("good") else { continue };
        let mut series = Series { labels: labels_of(&message), ..Series::default() };
        for part in message.parts(message.labels_len().expect("good")) {
            match part.expect("good") {
                Part::Sample(sample) => series.samples.push(sample),
                Part::Histogram(histogram) => {
                    let it = histogram.read().expect("a good histogram");
                    series.histograms.push((it.timestamp_ms, it.start_ms, it.value));
                }
                Part::Exemplar(exemplar) => {
                    let mut pairs = Vec::new();
                    match version {
                        Message::V1 => exemplar
                            .each_label(|name, value| pairs.push((text(name), text(value))))
                            .expect("good"),
                        Message::V2 => {
                            let mut refs = Vec::new();
                            exemplar.label_refs(&mut refs).expect("good");
                            let at = |number: u32| text(symbols[number as usize]);
                            pairs.extend(refs.chunks(2).map(|pair| (at(pair[0]), at(pair[1]))));
                        }
                    }
                    series.exemplars.push(Exemplar {
                        labels: Labels::from_pairs(pairs),
                        value: exemplar.value,
                        timestamp: TimestampMs(exemplar.timestamp_ms),
                    });
                }
                Part::Metadata(refs) => {
                    series.metadata = Some(MetricMetadata {
                        kind: refs.kind,
                        help: text(symbols[refs.help as usize]),
                        unit: text(symbols[refs.unit as usize]),
                    });
                }
                Part::LateLabels => panic!("labels come first"),
            }
        }
        read.push(series);
    }
    read
}

fn written(all: &[Series], version: Message) -> Vec<u8> {
    let mut held: Vec<_> = all.iter().map(|_| (Vec::new(), Vec::new())).collect();
    match version {
        Message::V1 => {
            let mut request = RequestV1::default();
            for (series, (histograms, exemplars)) in all.iter().zip(&mut held) {
                let content = series.content(histograms, exemplars);
                request.put_series(&encode_labels(&series.labels), &content);
            }
            request.finish()
        }
        Message::V2 => {
            let mut request = RequestV2::default();
            for (series, (histograms, exemplars)) in all.iter().zip(&mut held) {
                let content = series.content(histograms, exemplars);
                request.put_series(&series.labels, &content, series.metadata.as_ref());
            }
            request.finish()
        }
    }
}

/// What is sent comes back; 1.0 has no starts and no metadata in its series.
#[track_caller]
fn check(all: &[Series]) {
    for version in Message::ALL {
        let mut expected = all.to_vec();
        if version == Message::V1 {
            for series in &mut expected {
                series.metadata = None;
                series.samples.iter_mut().for_each(|sample| sample.start_ms = 0);
                series.histograms.iter_mut().for_each(|histogram| histogram.1 = 0);
            }
        }
        let back = read(&written(all, version), version);
        assert_eq!(
            back.iter().map(Series::text).collect::<Vec<_>>(),
            expected.iter().map(Series::text).collect::<Vec<_>>(),
            "{version:?}"
        );
    }
}

fn histogram(is_whole: bool) -> NativeHistogram {
    let part = if is_whole { 0.0 } else { 0.5 };
    NativeHistogram {
        schema: 2,
        reset_hint: CounterResetHint::NotReset,
        zero_threshold: 1e-128,
        zero_count: 3.0 + part,
        count: 15.0 + part,
        sum: -7.25,
        positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 4, length: 1 }],
        positive_buckets: vec![7.0, 1.0, 3.0],
        negative_spans: vec![Span { offset: 1, length: 1 }],
        negative_buckets: vec![1.0],
        ..NativeHistogram::default()
    }
}

#[test]
fn whole_counts_go_as_integers_and_others_as_floats() {
    let bytes = |value: &NativeHistogram| {
        let mut out = Vec::new();
        put_histogram((1, 0), value, Counts::WholeIfWhole, &mut out);
        out
    };
    assert_eq!(bytes(&histogram(true))[..2], [varint_tag(1), 15]);
    assert_eq!(bytes(&histogram(false))[0], fixed64_tag(2));
    // Receivers refuse an integer histogram whose buckets hold another number than its count.
    let uneven = NativeHistogram { count: 16.0, ..histogram(true) };
    assert_eq!(bytes(&uneven)[0], fixed64_tag(2));
    let with_nans = NativeHistogram { sum: f64::NAN, ..uneven };
    assert_eq!(bytes(&with_nans)[0], varint_tag(1));
    let huge = NativeHistogram { count: 1e17, zero_count: 1e17 - 12.0, ..histogram(true) };
    assert_eq!(bytes(&huge)[0], fixed64_tag(2));
}

#[test]
fn everything_that_a_series_has_comes_back() {
    let custom = NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        count: 3.0,
        sum: 1.5,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        custom_bounds: vec![0.5, 2.5],
        ..NativeHistogram::default()
    };
    let exemplar = |id: &str| Exemplar {
        labels: Labels::from_pairs([("trace_id", id)]),
        value: 0.25,
        timestamp: TimestampMs(1_700_000_000_001),
    };
    let metadata = MetricMetadata {
        kind: MetricKind::Histogram,
        help: "What it is.".to_owned(),
        unit: "seconds".to_owned(),
    };
    check(&[
        Series {
            labels: Labels::from_pairs([("__name__", "m"), ("a", "b")]),
            samples: vec![
                Sample { timestamp_ms: 1_700_000_000_000, value: 0.5, start_ms: 1_600_000_000_000 },
                Sample { timestamp_ms: -5, value: -0.0, start_ms: 0 },
            ],
            exemplars: vec![exemplar("x"), exemplar("b")],
            metadata: Some(metadata),
            ..Series::default()
        },
        Series {
            labels: Labels::from_pairs([("__name__", "h"), ("a", "b")]),
            histograms: vec![(1, 0, histogram(true)), (2, 1, histogram(false)), (3, 0, custom)],
            metadata: Some(MetricMetadata::default()),
            ..Series::default()
        },
        Series { labels: Labels::from_pairs([("__name__", "none")]), ..Series::default() },
    ]);
    check(&[]);
}

#[test]
fn the_staleness_marker_keeps_its_bits() {
    let stale = NativeHistogram { sum: stale_nan(), ..NativeHistogram::default() };
    let series = Series {
        labels: Labels::from_pairs([("__name__", "m")]),
        samples: vec![Sample { timestamp_ms: 1, value: stale_nan(), start_ms: 0 }],
        histograms: vec![(2, 0, stale)],
        ..Series::default()
    };
    for version in Message::ALL {
        let back = read(&written(std::slice::from_ref(&series), version), version);
        let sum = back[0].histograms[0].2.sum;
        for value in [back[0].samples[0].value, sum] {
            assert_eq!(value.to_bits(), stale_nan().to_bits(), "{version:?}");
        }
    }
}

#[test]
fn metadata_of_families_comes_back() {
    let metadata =
        MetricMetadata { kind: MetricKind::Info, help: "h".to_owned(), unit: "u".to_owned() };
    let mut request = RequestV1::default();
    request.put_metadata("family", &metadata);
    let message = request.finish();
    let Some(Ok(Item::Metadata(read))) = items(&message, Message::V1).next() else {
        panic!("metadata")
    };
    assert_eq!((read.kind, read.metric_name), (MetricKind::Info, &b"family"[..]));
    assert_eq!((read.help, read.unit), (&b"h"[..], &b"u"[..]));
}

proptest! {
    #[test]
    fn any_floats_come_back(
        all in prop::collection::vec(
            (
                prop::collection::btree_map("[a-z]{1,3}", "[a-z]{1,4}", 1..5),
                prop::collection::vec((any::<i64>(), -1e300f64..1e300, any::<i64>()), 0..4),
            ),
            0..6,
        ),
    ) {
        let all: Vec<Series> = all
            .into_iter()
            .map(|(pairs, samples)| Series {
                labels: Labels::from_pairs(pairs),
                samples: samples
                    .into_iter()
                    .map(|(timestamp_ms, value, start_ms)| Sample { timestamp_ms, value, start_ms })
                    .collect(),
                ..Series::default()
            })
            .collect();
        check(&all);
    }
}
