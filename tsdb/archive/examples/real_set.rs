//! Archives a recorded set of series and tells what it takes:
//! `cargo run --release -p swell-archive --example real_set -- SERIES.parquet SAMPLES.parquet [EVERY_NTH_SAMPLE]`.
//!
//! `SERIES.parquet`: `series_id` int32, `labels` a JSON object with `__name__`. `SAMPLES.parquet`: `series_id` int32,
//! `ts_ms` int64, `value` double, sorted by series, then time.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::fs::File;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::time::{ClockId, clock_gettime};
use swell_archive::{Archive, Location, Store, Window, export_window, parquet_files};
use swell_env::SystemClock;
use swell_model::{
    FloatColumn, Labels, METRIC_NAME, Matcher, SelectError, SelectHints, SeriesData, SeriesIter,
    SeriesSource, TimeRange, TimestampMs,
};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// Series in memory, by metric.
struct Recorded(HashMap<String, Vec<SeriesData>>);

impl SeriesSource for Recorded {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        _hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let metric = matchers.iter().find(|it| it.name == METRIC_NAME);
        let found = metric.and_then(|it| self.0.get(&it.value)).map_or(&[][..], Vec::as_slice);
        Ok(Box::new(found.iter().cloned().map(Ok)))
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let names: BTreeSet<&String> = self.0.keys().collect();
        Ok(names.into_iter().cloned().collect())
    }
}

fn main() -> Fallible<()> {
    let mut args = std::env::args().skip(1);
    let series = args.next().ok_or("name the series")?;
    let samples = args.next().ok_or("name the samples")?;
    let nth: usize = args.next().map_or(Ok(1), |nth| nth.parse())?;
    let labels = read_labels(&series)?;
    let recorded = read_samples(&samples, &labels, nth)?;
    let all = || recorded.0.values().flatten();
    let count: usize = all().map(|it| it.floats.timestamps.len()).sum();
    println!("{count} samples, {} series, {} metrics", all().count(), recorded.0.len());
    let first = all().filter_map(|it| it.floats.timestamps.first()).min().ok_or("no samples")?;
    let last = all().filter_map(|it| it.floats.timestamps.last()).max().ok_or("no samples")?;

    let folder = tempfile::tempdir()?;
    let clock = Arc::new(SystemClock::new());
    let store = Store::open(&Location::Folder(folder.path().into()))?;
    let archive = Archive::new(store, clock, usize::MAX).without_deadline();
    let window = Window { start: TimestampMs(*first), end: TimestampMs(last + 1) };
    let began = cpu_seconds();
    let done = export_window(&archive, &recorded, &[], window, &mut |_| {})?.ok_or("nothing")?;
    let wrote = cpu_seconds() - began;
    let bytes_in = |name: &str| -> Fallible<u64> {
        let entries = std::fs::read_dir(folder.path().join("_swell").join(name))?;
        let lens = entries.map(|entry| Ok(entry?.metadata()?.len()));
        Ok(lens.sum::<std::io::Result<u64>>()?)
    };
    let (lists, indices) = (bytes_in("uploads")?, bytes_in("series")?);
    println!(
        "{:.3} bytes per sample in Parquet files, {:.3} with the upload's list, {:.3} with the index of series",
        ratio(done.size_bytes, count),
        ratio(done.size_bytes + lists, count),
        ratio(done.size_bytes + lists + indices, count)
    );
    println!(
        "written, read back and compared: {:.1} M samples a second of CPU",
        ratio(count as u64, 1) / wrote / 1e6
    );

    for (what, source) in [
        ("all, by the list", &archive as &dyn SeriesSource),
        ("all, without the list", &parquet_files(folder.path())? as &dyn SeriesSource),
    ] {
        let began = cpu_seconds();
        let mut found = 0;
        for series in source.select(&[], &SelectHints::range(TimeRange::ALL))? {
            found += series?.floats.timestamps.len();
        }
        let read = cpu_seconds() - began;
        println!(
            "read {what}: {found} samples, {:.1} M samples a second of CPU",
            ratio(found as u64, 1) / read / 1e6
        );
    }
    let mut checked = 0;
    for series in archive.select(&[], &SelectHints::range(TimeRange::ALL))? {
        let series = series?;
        let metric = series.labels.metric_name().unwrap_or_default();
        let expected = recorded.0[metric].iter().find(|it| it.labels == series.labels);
        let expected = expected.ok_or("a series that was not there")?;
        let bits =
            |it: &SeriesData| it.floats.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        if series.floats.timestamps != expected.floats.timestamps || bits(&series) != bits(expected)
        {
            return Err(format!("{} differs", series.labels).into());
        }
        checked += 1;
    }
    println!("{checked} series came back bit for bit");
    Ok(())
}

/// CPU time of all threads so far: on a machine with other work it says more than time on the wall.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ratio(amount: u64, count: usize) -> f64 {
    amount as f64 / count as f64
}

fn read_labels(path: &str) -> Fallible<HashMap<i32, Labels>> {
    let mut all = HashMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        let ids = batch.column(0).as_primitive::<Int32Type>();
        let texts = batch.column(1).as_string::<i32>();
        for (id, text) in ids.values().iter().zip(texts.iter()) {
            let pairs: HashMap<String, String> = serde_json::from_str(text.ok_or("labels")?)?;
            all.insert(*id, Labels::from_pairs(&pairs));
        }
    }
    Ok(all)
}

fn read_samples(path: &str, labels: &HashMap<i32, Labels>, nth: usize) -> Fallible<Recorded> {
    let mut columns: HashMap<i32, (Vec<i64>, Vec<f64>)> = HashMap::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.build()? {
        let batch = batch?;
        let ids = batch.column(0).as_primitive::<Int32Type>().values();
        let times = batch.column(1).as_primitive::<Int64Type>().values();
        let values = batch.column(2).as_primitive::<Float64Type>().values();
        for ((id, at), value) in ids.iter().zip(times).zip(values) {
            let (times, values) = columns.entry(*id).or_default();
            times.push(*at);
            values.push(*value);
        }
    }
    let mut by_metric: HashMap<String, Vec<SeriesData>> = HashMap::new();
    for (id, (times, values)) in columns {
        let labels = labels.get(&id).ok_or("a series without labels")?.clone();
        let metric = labels.metric_name().unwrap_or_default().to_owned();
        let floats = FloatColumn {
            timestamps: times.into_iter().step_by(nth).collect(),
            values: values.into_iter().step_by(nth).collect(),
            starts: None,
        };
        by_metric.entry(metric).or_default().push(SeriesData {
            labels,
            floats,
            ..SeriesData::default()
        });
    }
    Ok(Recorded(by_metric))
}
