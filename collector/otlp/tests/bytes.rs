//! Any request, and any bytes: an answer, within bounds, and both encodings alike.

use proptest::prelude::*;
use prost::Message as _;
use swell_model::TimestampMs;
use swell_otlp::message::{
    AnyValue, Buckets, ExponentialHistogram, ExponentialPoint, ExportRequest, Gauge, Histogram,
    HistogramPoint, KeyValue, Metric, NumberPoint, Resource, ResourceMetrics, ScopeMetrics, Sum,
};
use swell_otlp::{
    Accumulator, Deltas, Encoding, Refused, Settings, Strategy as Naming, read, translate,
};

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let value = prop_oneof![
        "[a-z]{0,3}".prop_map(|text| AnyValue { string_value: Some(text), ..AnyValue::default() }),
        any::<i64>().prop_map(|it| AnyValue { int_value: Some(it), ..AnyValue::default() }),
        any::<f64>().prop_map(|it| AnyValue { double_value: Some(it), ..AnyValue::default() }),
    ];
    let key =
        prop_oneof!["[a-c._]{0,3}", Just("service.name".to_owned()), Just("__name__".to_owned())];
    prop::collection::vec((key, prop::option::of(value)), 0..4)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| KeyValue { key, value }).collect())
}

fn number() -> impl Strategy<Value = NumberPoint> {
    let value = (prop::option::of(any::<f64>()), prop::option::of(any::<i64>()));
    (attributes(), any::<u64>(), any::<u64>(), value, 0u32..3).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, (as_double, as_int), flags)| {
            NumberPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                as_double,
                as_int,
                flags,
                exemplars: Vec::new(),
            }
        },
    )
}

fn metric() -> impl Strategy<Value = Metric> {
    let numbers = prop::collection::vec(number(), 0..4);
    let histogram = (
        any::<u64>(),
        prop::collection::vec(0u64..5, 0..5),
        prop::collection::vec(any::<f64>(), 0..4),
    )
        .prop_map(|(time_unix_nano, bucket_counts, explicit_bounds)| HistogramPoint {
            time_unix_nano,
            count: bucket_counts.iter().sum(),
            bucket_counts,
            explicit_bounds,
            ..HistogramPoint::default()
        });
    let exponential = (-6i32..22, any::<i32>(), prop::collection::vec(0u64..3, 0..9)).prop_map(
        |(scale, offset, bucket_counts)| ExponentialPoint {
            scale,
            count: bucket_counts.iter().sum(),
            positive: Some(Buckets { offset, bucket_counts }),
            ..ExponentialPoint::default()
        },
    );
    let (temporality, name) = (0i32..4, "[a-z._0-9]{0,6}");
    (name, 0..4u8, numbers, histogram, exponential, temporality, any::<bool>()).prop_map(
        |(
            name,
            kind,
            data_points,
            histogram,
            exponential,
            aggregation_temporality,
            is_monotonic,
        )| {
            let base = Metric { name, unit: "By/s".to_owned(), ..Metric::default() };
            match kind {
                0 => Metric { gauge: Some(Gauge { data_points }), ..base },
                1 => Metric {
                    sum: Some(Sum { data_points, aggregation_temporality, is_monotonic }),
                    ..base
                },
                2 => Metric {
                    histogram: Some(Histogram {
                        data_points: vec![histogram],
                        aggregation_temporality,
                    }),
                    ..base
                },
                _ => Metric {
                    exponential_histogram: Some(ExponentialHistogram {
                        data_points: vec![exponential],
                        aggregation_temporality,
                    }),
                    ..base
                },
            }
        },
    )
}

fn request() -> impl Strategy<Value = ExportRequest> {
    (attributes(), prop::collection::vec(metric(), 0..5)).prop_map(|(attributes, metrics)| {
        ExportRequest {
            resource_metrics: vec![ResourceMetrics {
                resource: Some(Resource { attributes }),
                scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            }],
        }
    })
}

proptest! {
    #[test]
    fn a_request_is_read_as_it_was_written_and_all_its_points_are_accounted_for(request in request()) {
        let bytes = request.encode_to_vec();
        let read = read(&bytes, Encoding::Protobuf).expect("what was written");
        prop_assert_eq!(read.encode_to_vec(), bytes);
        for strategy in Naming::ALL {
            for nhcb in [false, true] {
                let settings = Settings { strategy, nhcb, ..Settings::default() };
                let mut found = translate(&request, &settings, Deltas::SummedUp).expect("small");
                let points: usize = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics).map(|scope| {
                    scope.metrics.iter().map(|it| {
                        it.gauge.as_ref().map_or(0, |it| it.data_points.len())
                            + it.sum.as_ref().map_or(0, |it| it.data_points.len())
                            + usize::from(it.histogram.is_some())
                            + usize::from(it.exponential_histogram.is_some())
                    }).sum::<usize>()
                }).sum();
                let stored = found.cumulative.sample_count() + found.delta.sample_count();
                prop_assert!(found.refused.points() <= points);
                prop_assert!(stored + found.refused.points() >= points);
                for batch in [&found.cumulative, &found.delta] {
                    prop_assert!(batch.series.iter().all(|labels| labels.metric_name().is_some()));
                    prop_assert!(batch.floats.iter().all(|it| it.start_ms <= it.timestamp.0));
                }
                let mut sums = Accumulator::default();
                let before = found.delta.clone();
                let undo = sums.sum_up(&mut found.delta, TimestampMs(0), &mut Refused::default());
                prop_assert!(found.delta.sample_count() <= before.sample_count());
                sums.undo(undo);
                prop_assert!(sums.is_empty());
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            if let Ok(request) = read(&bytes, encoding) {
                prop_assert!(translate(&request, &Settings::default(), Deltas::SummedUp).is_ok());
            }
        }
    }

    #[test]
    fn damaged_requests_are_answered(request in request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = request.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(request) = read(&bytes, Encoding::Protobuf) {
                prop_assert!(translate(&request, &Settings::default(), Deltas::SummedUp).is_ok());
            }
        }
    }
}
