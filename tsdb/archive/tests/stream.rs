//! Arrow streams: whole, bounded, and ended when nobody reads.

mod common;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, TimestampMillisecondType};
use arrow_array::{Array as _, RecordBatch};
use arrow_ipc::reader::StreamReader;
use bytes::Bytes;
use common::{MemorySource, day, sample_series};
use swell_archive::{StreamError, StreamedSamples, write_arrow_stream};
use swell_model::{FloatColumn, Labels, MatchOp, Matcher, SeriesData, TimeRange};

fn pieces(
    source: &MemorySource,
    selectors: &[Vec<Matcher>],
    samples: StreamedSamples,
) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    write_arrow_stream(source, selectors, TimeRange::ALL, samples, &mut |piece| {
        pieces.push(piece);
        true
    })
    .expect("written");
    pieces
}

fn batches(pieces: &[Bytes]) -> Vec<RecordBatch> {
    let reader = StreamReader::try_new(std::io::Cursor::new(pieces.concat()), None);
    reader.expect("a stream").collect::<Result<_, _>>().expect("batches")
}

fn text(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let column = batch.column_by_name(column)?.as_dictionary::<Int32Type>();
    let key = column.keys().is_valid(row).then(|| column.keys().value(row))?;
    let values = column.values().as_string::<i32>();
    Some(values.value(usize::try_from(key).expect("a key")).to_owned())
}

#[test]
fn each_series_is_given_once_with_its_labels_and_bits() {
    let source = MemorySource(sample_series());
    let by_job = vec![Matcher::equal("job", "node")];
    let by_name = vec![Matcher::equal("__name__", "requests_total")];
    let pieces = pieces(&source, &[by_job, by_name], StreamedSamples::Floats);
    let mut found = Vec::new();
    for batch in batches(&pieces) {
        let times = batch.column_by_name("timestamp").expect("times");
        let times = times.as_primitive::<TimestampMillisecondType>().clone();
        let values =
            batch.column_by_name("value").expect("values").as_primitive::<Float64Type>().clone();
        for row in 0..batch.num_rows() {
            let labels = ["metric", "job", "instance", "code"]
                .map(|column| text(&batch, column, row).unwrap_or_default());
            found.push((labels, times.value(row), values.value(row).to_bits()));
        }
    }
    let mut expected = Vec::new();
    for series in source.0.iter().filter(|it| it.labels.get("job") == Some("node")) {
        let labels = ["__name__", "job", "instance", "code"]
            .map(|name| series.labels.get(name).unwrap_or_default().to_owned());
        for (at, value) in series.floats.timestamps.iter().zip(series.floats.values.iter()) {
            expected.push((labels.clone(), *at, value.to_bits()));
        }
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn native_histograms_have_a_stream_of_their_own() {
    let source = MemorySource(sample_series());
    let all = vec![Matcher::new("__name__", MatchOp::Regex, ".+").expect("valid")];
    let batches = batches(&pieces(&source, &[all], StreamedSamples::Histograms));
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let expected: usize = source.0.iter().map(|it| it.histograms.values.len()).sum();
    assert_eq!(rows, expected);
    let column = batches[0].column_by_name("histogram").expect("the column").as_struct();
    let counts = column.column_by_name("count").expect("a field").as_primitive::<Float64Type>();
    assert_eq!(counts.value(2), 6.0);
    assert!(batches[0].column_by_name("value").is_none());
}

fn long_series(rows: i64) -> MemorySource {
    let times: Vec<i64> = (0..rows).map(|at| day(0).0 + at * 1000).collect();
    let values = vec![1.0; times.len()];
    let floats = FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
    let labels = Labels::from_pairs([("__name__", "long")]);
    MemorySource(vec![SeriesData { labels, floats, ..SeriesData::default() }])
}

#[test]
fn a_long_series_comes_in_pieces_and_none_is_made_for_nobody() {
    let source = long_series(500_000);
    let all = vec![vec![Matcher::equal("__name__", "long")]];
    let pieces = pieces(&source, &all, StreamedSamples::Floats);
    assert!(pieces.len() >= 8, "{} pieces", pieces.len());
    assert!(pieces.iter().all(|piece| piece.len() < 4 << 20), "none is large");
    assert_eq!(batches(&pieces).iter().map(RecordBatch::num_rows).sum::<usize>(), 500_000);

    let mut given = 0;
    let outcome =
        write_arrow_stream(&source, &all, TimeRange::ALL, StreamedSamples::Floats, &mut |_| {
            given += 1;
            given < 3
        });
    assert!(matches!(outcome, Err(StreamError::Gone)), "{outcome:?}");
    assert_eq!(given, 3, "the third was refused, and no more were made");
}
