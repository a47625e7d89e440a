//! Series with every oddity, a source over them, and a store that fails on demand.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod python;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult,
};
use swell_archive::{Archive, Location, Store};
use swell_env::ManualClock;
use swell_model::{
    CounterResetHint, FloatColumn, HistogramColumn, Labels, Matcher, NativeHistogram, SelectError,
    SelectHints, SeriesData, SeriesIter, SeriesSource, Span, TimeRange, TimestampMs, stale_nan,
};

/// Start of a day; the days of these tests are in 2026.
pub(crate) fn day(nr: i64) -> TimestampMs {
    TimestampMs((20_600 + nr) * 86_400_000)
}

/// An archive in a folder, with a clock that stands still.
pub(crate) fn archive_in(folder: &Path) -> Arc<Archive> {
    let store = Store::open(&Location::Folder(folder.to_owned())).expect("a store");
    Arc::new(Archive::new(store, Arc::new(ManualClock::new(day(9))), usize::MAX))
}

/// Three days of: floats of two targets with jitter, staleness markers, NaNs, infinities and −0; odd names of metrics and
/// labels; a series without a name; native histograms; a series that turns from float to histogram.
pub(crate) fn sample_series() -> Vec<SeriesData> {
    let mut series = Vec::new();
    let times = |seed: i64| -> Arc<[i64]> {
        (0..3 * 144)
            .map(|at| day(0).0 + at * 600_000 + (at * at * seed) % 997)
            .collect::<Vec<i64>>()
            .into()
    };
    for (instance, seed) in [("a", 3), ("b", 7)] {
        let times = times(seed);
        for code in ["200", "500"] {
            let labels = [
                ("__name__", "requests_total"),
                ("job", "node"),
                ("instance", instance),
                ("code", code),
            ];
            let values = (0..times.len()).map(|at| at as f64 * seed as f64 * 0.1);
            let mut counter = floats(&labels, &times, values.collect());
            // One of the counters tells when it began, and began anew once; a few samples do not say.
            let start = |at: usize| if at % 9 == 8 { 0 } else { day(0).0 - 5 + (at / 200) as i64 };
            counter.floats.starts = (code == "200").then(|| (0..times.len()).map(start).collect());
            series.push(counter);
        }
        let odd =
            [f64::NAN, f64::INFINITY, -0.0, stale_nan(), f64::from_bits(0xfff8_0000_0000_1234)];
        let values = (0..times.len()).map(|at| odd.get(at % 9).copied().unwrap_or(1.0)).collect();
        let labels = [("__name__", "up"), ("job", "node"), ("instance", instance)];
        series.push(floats(&labels, &times, values));
    }
    let times = times(11);
    let labels = [
        ("__name__", "odd:name/with space"),
        ("value", "7"),
        ("timestamp", "x"),
        ("date", "d"),
        ("Code", "A"),
        ("code", "b"),
        ("label_value", "c"),
        ("ünï", "日本"),
    ];
    series.push(floats(&labels, &times, vec![2.5; times.len()]));
    series.push(floats(&[("nameless", "yes")], &times, vec![-1e300; times.len()]));
    let histogram = |at: usize| {
        Arc::new(NativeHistogram {
            schema: 3,
            reset_hint: if at == 0 { CounterResetHint::Reset } else { CounterResetHint::NotReset },
            zero_threshold: 1e-128,
            zero_count: at as f64,
            count: 3.0 * at as f64,
            sum: at as f64 / 3.0,
            positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 3, length: 1 }],
            positive_buckets: vec![at as f64, at as f64],
            negative_spans: vec![],
            negative_buckets: vec![],
            custom_bounds: vec![],
        })
    };
    let labels = Labels::from_pairs([("__name__", "latency_seconds"), ("job", "node")]);
    let half = times.len() / 2;
    series.push(SeriesData {
        labels,
        floats: FloatColumn {
            timestamps: times[..half].into(),
            values: vec![1.0; half].into(),
            starts: None,
        },
        histograms: HistogramColumn {
            timestamps: times[half..].to_vec(),
            values: (0..times.len() - half).map(histogram).collect(),
            starts: Some(vec![day(0).0; times.len() - half]),
        },
        ..SeriesData::default()
    });
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

fn floats(labels: &[(&str, &str)], times: &Arc<[i64]>, values: Vec<f64>) -> SeriesData {
    SeriesData {
        labels: Labels::from_pairs(labels.iter().copied()),
        floats: FloatColumn { timestamps: times.clone(), values: values.into(), starts: None },
        ..SeriesData::default()
    }
}

/// Starts of some samples, if any of them has one.
fn known(starts: Option<&[i64]>, of: std::ops::Range<usize>) -> Option<Vec<i64>> {
    let starts = &starts?[of];
    starts.iter().any(|start| *start != 0).then(|| starts.to_vec())
}

/// Series in memory.
pub(crate) struct MemorySource(pub(crate) Vec<SeriesData>);

impl MemorySource {
    /// All series with their samples in a range; those without any are left out.
    pub(crate) fn within(&self, range: TimeRange) -> Vec<SeriesData> {
        let cut = |it: &SeriesData| {
            let bounds = |times: &[i64]| {
                let from = times.partition_point(|at| *at < range.start_incl.0);
                from..times.partition_point(|at| *at <= range.end_incl.0)
            };
            let (floats, histograms) =
                (bounds(&it.floats.timestamps), bounds(&it.histograms.timestamps));
            SeriesData {
                labels: it.labels.clone(),
                floats: FloatColumn {
                    timestamps: it.floats.timestamps[floats.clone()].into(),
                    values: it.floats.values[floats.clone()].into(),
                    starts: known(it.floats.starts.as_deref(), floats).map(Into::into),
                },
                histograms: HistogramColumn {
                    timestamps: it.histograms.timestamps[histograms.clone()].to_vec(),
                    values: it.histograms.values[histograms.clone()].to_vec(),
                    starts: known(it.histograms.starts.as_deref(), histograms),
                },
                ..SeriesData::default()
            }
        };
        let has_samples = |it: &SeriesData| {
            !it.floats.timestamps.is_empty() || !it.histograms.timestamps.is_empty()
        };
        self.0.iter().map(cut).filter(has_samples).collect()
    }

    fn matching(&self, matchers: &[Matcher], range: TimeRange) -> Vec<SeriesData> {
        let mut found = self.within(range);
        found.retain(|it| matchers.iter().all(|m| m.matches(it.labels.get(&m.name).unwrap_or(""))));
        found
    }
}

impl SeriesSource for MemorySource {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        Ok(Box::new(self.matching(matchers, hints.range).into_iter().map(Ok)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let found = self.matching(matchers, range);
        let names: std::collections::BTreeSet<String> =
            found.iter().flat_map(|it| it.labels.iter().map(|(name, _)| name.to_owned())).collect();
        Ok(names.into_iter().collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let found = self.matching(matchers, range);
        let values: std::collections::BTreeSet<String> =
            found.iter().filter_map(|it| it.labels.get(name).map(str::to_owned)).collect();
        Ok(values.into_iter().collect())
    }
}

/// Files in a folder with one of the endings, sorted.
pub(crate) fn files(folder: &Path, extensions: &[&str]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path, extensions));
        } else if extensions.iter().any(|it| path.extension().is_some_and(|end| end == *it)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Both have the same samples, bit for bit.
pub(crate) fn same(mut found: Vec<SeriesData>, expected: Vec<SeriesData>) {
    found.sort_by(|a, b| a.labels.cmp(&b.labels));
    let bits = |it: &SeriesData| -> Vec<(i64, u64)> {
        let values = it.floats.values.iter().map(|value| value.to_bits());
        it.floats.timestamps.iter().copied().zip(values).collect()
    };
    let labels = |all: &[SeriesData]| all.iter().map(|it| it.labels.clone()).collect::<Vec<_>>();
    assert_eq!(labels(&found), labels(&expected));
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(bits(found), bits(expected), "{}", found.labels);
        assert_eq!(found.histograms.timestamps, expected.histograms.timestamps, "{}", found.labels);
        assert_eq!(found.histograms.values, expected.histograms.values, "{}", found.labels);
        assert_eq!(found.floats.starts, expected.floats.starts, "{}", found.labels);
        assert_eq!(found.histograms.starts, expected.histograms.starts, "{}", found.labels);
    }
}

/// What a store does wrong.
#[derive(Clone, Debug)]
pub(crate) struct Fault(Arc<State>);

#[derive(Debug)]
struct State {
    writes_left: AtomicUsize,
    changes_writes: AtomicBool,
    fails_reads: AtomicBool,
    reads: AtomicUsize,
}

impl Fault {
    /// Writes and deletions fail after this many.
    pub(crate) fn new(writes: usize) -> Self {
        Self(Arc::new(State {
            writes_left: AtomicUsize::new(writes),
            changes_writes: AtomicBool::new(false),
            fails_reads: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
        }))
    }

    /// No write fails any more.
    pub(crate) fn heal(&self) {
        self.0.writes_left.store(usize::MAX, Ordering::SeqCst);
    }

    /// One bit of everything written from now on is another.
    pub(crate) fn change_writes(&self) {
        self.0.changes_writes.store(true, Ordering::SeqCst);
    }

    /// Whether reads fail.
    pub(crate) fn fail_reads(&self, fails: bool) {
        self.0.fails_reads.store(fails, Ordering::SeqCst);
    }

    /// Reads so far.
    pub(crate) fn read_count(&self) -> usize {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// The store with this fault over a folder.
    pub(crate) fn over(&self, folder: &Path) -> Arc<dyn ObjectStore> {
        let files = LocalFileSystem::new_with_prefix(folder).expect("a folder");
        Arc::new(FaultyStore { files, fault: self.clone() })
    }
}

/// An archive over a store that takes this many writes.
pub(crate) fn failing_archive(folder: &Path, writes: usize) -> (Arc<Archive>, Fault) {
    let fault = Fault::new(writes);
    let store = Store::over(fault.over(folder), "the store".to_owned()).expect("a store");
    let archive = Archive::new(store, Arc::new(ManualClock::new(day(9))), usize::MAX);
    (Arc::new(archive), fault)
}

#[derive(Debug)]
struct FaultyStore {
    files: LocalFileSystem,
    fault: Fault,
}

fn failure() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "it fails on demand".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &ObjectPath,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let state = &self.fault.0;
        if state.writes_left.load(Ordering::SeqCst) == 0 {
            return Err(failure());
        }
        state.writes_left.fetch_sub(1, Ordering::SeqCst);
        let payload = if state.changes_writes.load(Ordering::SeqCst) {
            let mut bytes: Vec<u8> = payload.iter().flatten().copied().collect();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            bytes.into()
        } else {
            payload
        };
        self.files.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &ObjectPath,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.files.put_multipart_opts(location, opts).await
    }

    async fn get_opts(
        &self,
        location: &ObjectPath,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.fault.0.reads.fetch_add(1, Ordering::SeqCst);
        if self.fault.0.fails_reads.load(Ordering::SeqCst) {
            return Err(failure());
        }
        self.files.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<ObjectPath>>,
    ) -> BoxStream<'static, object_store::Result<ObjectPath>> {
        let writes_left = &self.fault.0.writes_left;
        if writes_left.load(Ordering::SeqCst) == 0 {
            return Box::pin(futures::stream::once(async { Err(failure()) }));
        }
        writes_left.fetch_sub(1, Ordering::SeqCst);
        self.files.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&ObjectPath>,
    ) -> object_store::Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &ObjectPath,
        to: &ObjectPath,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}
