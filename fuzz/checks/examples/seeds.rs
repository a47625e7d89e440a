//! Writes the first inputs of the targets whose bytes only our writers can make: `cargo run -p swell-fuzz-checks --example
//! seeds -- FOLDER`. Those of text stand in the repository as they are.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use prometheus::Registry;
use swell_archive::{Archive, Location, Store, Window, export_window};
use swell_engine::{Config, Db, WalSync};
use swell_env::{ManualClock, MemDir, read_whole};
use swell_model::{
    Batch, Exemplar, ExemplarSample, HistogramSample, Labels, NativeHistogram, Row,
    SampleSink as _, Span, TimeRange, TimestampMs,
};
use swell_wire::remote_read::{
    ReadAnswer, chunked_series, float_chunks, histogram_chunks, put_frame, samples_message,
};
use swell_wire::remote_write::encode_labels;

type Fallible<T> = Result<T, Box<dyn Error>>;

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 500_000 * HOUR_MS;

fn main() -> Fallible<()> {
    let root = PathBuf::from(std::env::args().nth(1).ok_or("name a folder")?);
    let put = |target: &str, name: &str, bytes: &[u8]| -> Fallible<()> {
        fs::create_dir_all(root.join(target))?;
        Ok(fs::write(root.join(target).join(name), bytes)?)
    };
    let dir = MemDir::new();
    let db = open(&dir, 0)?;
    fill(&db, 12)?;
    let wal = |dir: &MemDir| read_whole(dir, "wal/00000001.wal", 1 << 20);
    put("log_segment", "batches", &wal(&dir)?)?;
    db.delete_series(&[swell_model::Matcher::equal("pod", "p1")], TimeRange::ALL)?;
    db.close()?;
    let mut tombstones = vec![2];
    tombstones.extend(read_whole(&dir, "blocks/head.tomb", 1 << 20)?);
    put("small_files", "head_tombstones", &tombstones)?;
    for (which, file) in [(0, "blocks/manifest"), (1, "metadata")] {
        if let Ok(bytes) = read_whole(&dir, file, 1 << 20) {
            let name = file.rsplit('/').next().unwrap_or(file);
            put("small_files", name, &[&[which], &bytes[..]].concat())?;
        }
    }

    let dir = MemDir::new();
    let db = open(&dir, 1)?;
    fill(&db, 12)?;
    db.close()?;
    let log = wal(&dir)?;
    let len = u16::try_from(log.len())?.to_le_bytes();
    let labels = read_whole(&dir, "labels-00000001", 1 << 20)?;
    let checkpoint = read_whole(&dir, "checkpoint", 1 << 20)?;
    put("checkpoint", "head_and_labels", &[&len[..], &log, &labels, &checkpoint].concat())?;

    let dir = MemDir::new();
    let db = open(&dir, 0)?;
    fill(&db, 40)?;
    db.maintain(TimestampMs(START_MS + 48 * HOUR_MS))?;
    put("block", "window", &read_whole(&dir, "blocks/00000001.blk", 1 << 20)?)?;
    archive(&db, &put)?;
    remote_read(&put)?;
    prometheus(&put)
}

/// Answers in both forms, each behind a byte that names it.
fn remote_read(put: Put<'_>) -> Fallible<()> {
    let labels = Labels::from_pairs([("__name__", "m"), ("a", "b")]);
    let floats: Vec<(i64, f64)> =
        (0..20_i32).map(|nr| (START_MS + i64::from(nr) * 15_000, f64::from(nr) * 0.1)).collect();
    let value = NativeHistogram {
        count: 3.0,
        sum: 2.5,
        positive_spans: vec![Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.0],
        ..NativeHistogram::default()
    };
    let answer = ReadAnswer {
        labels: labels.clone(),
        floats: &floats,
        histograms: vec![(START_MS, &value)],
    };
    put("remote_read_answer", "samples", &[&[0], &samples_message(&[vec![answer]])[..]].concat())?;
    let (times, values): (Vec<i64>, Vec<f64>) = floats.into_iter().unzip();
    let mut chunks: Vec<_> = float_chunks(&times, &values).collect();
    chunks.extend(histogram_chunks([(START_MS - 1, &value)].into_iter()));
    let mut frame = vec![1];
    put_frame(&chunked_series(&encode_labels(&labels), &chunks, 0), &mut frame);
    put("remote_read_answer", "chunks", &frame)
}

fn open(dir: &MemDir, checkpoint_log_bytes: u64) -> Fallible<Db> {
    let config = Config {
        wal_sync: WalSync::Never,
        background: None,
        reserve_bytes: 0,
        checkpoint_log_bytes,
        ..Config::standard()
    };
    let clock = Arc::new(ManualClock::new(TimestampMs(START_MS + 48 * HOUR_MS)));
    Ok(Db::open(Arc::new(dir.clone()), config, clock, &Registry::new())?)
}

/// Rows of three pods, ten minutes apart, with starts, histograms and exemplars.
fn fill(db: &Db, row_count: i64) -> Fallible<()> {
    for nr in 0..row_count {
        let timestamp = TimestampMs(START_MS + nr * HOUR_MS / 6 + nr * nr % 37);
        let mut row = Row { timestamp, ..Row::default() };
        for pod in ["p0", "p1", "p2"] {
            let labels = Labels::from_pairs([("__name__", "up"), ("job", "node"), ("pod", pod)]);
            row.series.push(db.resolve(&labels)?);
            row.values.push(f64::from(u32::try_from(nr)?) * 1.5);
            row.starts.push(START_MS - 1000);
        }
        let series = db.resolve(&Labels::from_pairs([("__name__", "latency_seconds")]))?;
        let value = Arc::new(NativeHistogram {
            schema: 3,
            count: 3.0,
            sum: 1.5,
            positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 2 }],
            positive_buckets: vec![1.0, 1.0, 1.0],
            ..NativeHistogram::default()
        });
        let histograms = vec![HistogramSample { series, timestamp, value, start_ms: START_MS }];
        let exemplar =
            Exemplar { labels: Labels::from_pairs([("trace_id", "abc")]), value: 1.0, timestamp };
        let exemplars = vec![ExemplarSample { series: row.series[0], exemplar }];
        db.append(&Batch { histograms, exemplars, ..Batch::of_rows(vec![row]) })?;
    }
    Ok(())
}

type Put<'p> = &'p dyn Fn(&str, &str, &[u8]) -> Fallible<()>;

fn archive(db: &Db, put: Put<'_>) -> Fallible<()> {
    let folder = tempfile::tempdir()?;
    let store = Store::open(&Location::Folder(folder.path().into()))?;
    let clock = Arc::new(ManualClock::new(TimestampMs(START_MS)));
    let archive = Archive::new(store, clock, usize::MAX);
    let window = Window { start: TimestampMs(START_MS), end: TimestampMs(START_MS + 24 * HOUR_MS) };
    export_window(&archive, db, &[], window, &mut |_| {})?.ok_or("nothing to export")?;
    each_file(folder.path(), &mut |path| {
        let bytes = fs::read(path)?;
        match path.extension().and_then(|it| it.to_str()) {
            Some("json") => put("archive_list", "upload", &bytes),
            Some("parquet") => put("parquet", "samples", &bytes),
            _ => Ok(()),
        }
    })
}

fn each_file(folder: &Path, act: &mut dyn FnMut(&Path) -> Fallible<()>) -> Fallible<()> {
    let mut paths = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() { each_file(&path, act)? } else { act(&path)? }
    }
    Ok(())
}

/// A small block that promtool makes.
fn prometheus(put: Put<'_>) -> Fallible<()> {
    let folder = tempfile::tempdir()?;
    let mut text = String::new();
    for metric in ["a", "b"] {
        text.push_str(&format!("# TYPE {metric} gauge\n"));
        for nr in 0..20_i64 {
            let at = START_MS / 1000 + nr * 15;
            text.push_str(&format!("{metric}{{job=\"x\"}} {}.5 {at}\n", nr * nr));
        }
    }
    text.push_str("# EOF\n");
    let (input, blocks) = (folder.path().join("input.txt"), folder.path().join("blocks"));
    fs::write(&input, text)?;
    let made = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&input, &blocks])
        .output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
    }
    for entry in fs::read_dir(&blocks)? {
        let block = entry?.path();
        if !block.join("index").is_file() {
            continue;
        }
        let index = fs::read(block.join("index"))?;
        let tombstones = fs::read(block.join("tombstones")).unwrap_or_default();
        let chunks = fs::read(block.join("chunks/000001"))?;
        let mut bytes = Vec::new();
        for len in [index.len(), tombstones.len()] {
            bytes.extend(u16::try_from(len)?.to_le_bytes());
        }
        put("prometheus_block", "floats", &[bytes, index, tombstones, chunks].concat())?;
    }
    Ok(())
}
