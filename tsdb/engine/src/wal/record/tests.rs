use proptest::prelude::*;
use swell_model::{ExemplarSample, HistogramSample, MetricKind, MetricMetadata, Row, SeriesRef};

use swell_model::Labels;

use super::super::definitions::tests::definitions;
use super::*;

fn any_labels() -> impl Strategy<Value = Labels> {
    prop::collection::btree_map("[a-c]", "[x-z]{1,3}", 0..4).prop_map(Labels::from_pairs)
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<i32>().prop_map(|v| f64::from(v) / 4.0),
        any::<f64>().prop_filter("NaN differs from itself", |v| !v.is_nan()),
    ]
}

fn any_row() -> impl Strategy<Value = Row> {
    let sample = (any::<u32>(), any_value(), any::<i64>());
    (any::<i64>(), prop::collection::vec(sample, 0..20), any::<bool>()).prop_map(
        |(at, samples, has_starts)| {
            let timestamp = TimestampMs(at);
            let mut row = Row { timestamp, ..Row::default() };
            for (id, value, start) in samples {
                row.series.push(SeriesRef(u64::from(id)));
                row.values.push(value);
                if has_starts {
                    row.starts.push(start);
                }
            }
            row
        },
    )
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let histogram = (any::<u32>(), any::<i64>(), any::<u32>(), 0i64..3).prop_map(
        |(id, at, count, start_ms)| HistogramSample {
            series: SeriesRef(u64::from(id)),
            timestamp: TimestampMs(at),
            value: Arc::new(NativeHistogram {
                count: f64::from(count),
                ..NativeHistogram::default()
            }),
            start_ms,
        },
    );
    let exemplar = (any::<u32>(), any_labels(), any_value(), any::<i64>()).prop_map(
        |(id, labels, value, at)| ExemplarSample {
            series: SeriesRef(u64::from(id)),
            exemplar: Exemplar { labels, value, timestamp: TimestampMs(at) },
        },
    );
    let description = ("[a-z]{1,5}", ".{0,10}").prop_map(|(metric_name, help)| MetricDescription {
        metric_name,
        metadata: MetricMetadata { kind: MetricKind::Summary, help, unit: "s".to_owned() },
    });
    (
        prop::collection::vec(any_row(), 0..4),
        prop::collection::vec(histogram, 0..300),
        prop::collection::vec(exemplar, 0..5),
        prop::collection::vec(description, 0..3),
    )
        .prop_map(|(rows, histograms, exemplars, descriptions)| Batch {
            rows,
            histograms,
            exemplars,
            descriptions,
            is_whole: false,
            in_order_only: false,
        })
}

/// The numbers of all series in the batch, which are their references here.
fn ids_of(batch: &Batch) -> Vec<LocalId> {
    let rows = batch.rows.iter().flat_map(|row| row.series.iter().copied());
    let histograms = batch.histograms.iter().map(|sample| sample.series);
    let exemplars = batch.exemplars.iter().map(|sample| sample.series);
    let all = rows.chain(histograms).chain(exemplars);
    all.map(|series| u32::try_from(series.0).expect("small")).collect()
}

fn expected<'p>(batch: &Batch, first_id: LocalId, defined: DefinedSeries<'p>) -> BatchRecord<'p> {
    let id = |series: SeriesRef| u32::try_from(series.0).expect("small");
    BatchRecord {
        first_id,
        defined,
        rows: batch
            .rows
            .iter()
            .map(|row| RecordRow {
                timestamp: row.timestamp,
                series: row.series.iter().map(|series| id(*series)).collect(),
                values: row.values.clone(),
                starts: row.starts.clone(),
            })
            .collect(),
        histograms: batch
            .histograms
            .iter()
            .map(|sample| RecordHistogram {
                series: id(sample.series),
                timestamp: sample.timestamp,
                value: Arc::clone(&sample.value),
                start_ms: sample.start_ms,
            })
            .collect(),
        exemplars: batch
            .exemplars
            .iter()
            .map(|sample| (id(sample.series), sample.exemplar.clone()))
            .collect(),
        descriptions: batch.descriptions.clone(),
    }
}

proptest! {
    #[test]
    fn any_batch_comes_back(batches in prop::collection::vec((any_batch(), prop::collection::vec(any_labels(), 0..10)), 1..4)) {
        let (mut writing, mut reading) = (Bases::default(), Bases::default());
        for (batch, defined) in &batches {
            let mut bytes = Vec::new();
            let defined = definitions(defined);
            put_batch(batch, (5, &defined), &ids_of(batch), &mut writing, &mut bytes);
            let record = read(&bytes, &mut reading).expect("decodes");
            let mut definition_bytes = Vec::new();
            defined.put(&mut definition_bytes);
            let defined = DefinedSeries::read(&mut Cursor::new(&definition_bytes)).expect("decodes");
            prop_assert_eq!(record, Record::Batch(expected(batch, 5, defined)));
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Record::Batch(record)) = read(&bytes, &mut Bases::default()) {
            prop_assert!(record.rows.len() <= bytes.len());
        }
    }
}

#[test]
fn a_mark_comes_back() {
    let mark = FlushMark {
        from: TimestampMs::MIN,
        below: TimestampMs(7),
        upto: Position { segment_nr: 3, record_nr: 9 },
    };
    let mut bytes = Vec::new();
    put_flushed(&mark, &mut bytes);
    assert_eq!(read(&bytes, &mut Bases::default()).expect("decodes"), Record::Flushed(mark));
}

#[test]
fn a_row_that_repeats_costs_half_a_byte_a_sample() {
    let series: Vec<SeriesRef> = (0..500).map(SeriesRef).collect();
    let values: Vec<f64> = (0..500).map(f64::from).collect();
    let row = |at| Batch::of_rows(vec![Row::new(TimestampMs(at), series.clone(), values.clone())]);
    let labels = vec![Labels::from_pairs([("a", "b")]); 500];
    let mut bases = Bases::default();
    let mut bytes = Vec::new();
    let first = row(1_700_000_000_000);
    let defined = definitions(&labels);
    put_batch(&first, (0, &defined), &ids_of(&first), &mut bases, &mut bytes);
    bytes.clear();
    let none = Definitions::default();
    put_batch(&row(1_700_000_001_000), (500, &none), &ids_of(&first), &mut bases, &mut bytes);
    assert!(bytes.len() < 275, "{} bytes", bytes.len());
}
