//! Data directories of each released format version are opened by today's code. `examples/make_fixture.rs` makes
//! them; what it stores is repeated here from its description.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;
use swell_engine::{Config, Db};
use swell_env::{FsDir, ManualClock};
use swell_model::{
    Aggregate, Coarse, DurationMs, Figures, HistogramRun, Matcher, NativeHistogram, SelectHints,
    SeriesSource, Span, TimeRange, TimestampMs, WindowGrid, by_stretch, histogram_runs, stale_nan,
};

const STEP_MS: i64 = 1_800_000;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// What the fixture's series `name` holds at a step.
fn expected(name: &str, step: i64) -> Option<f64> {
    let x = f64::from(i32::try_from(step).expect("few"));
    match name {
        "constant" => Some(7.0),
        "counter" => Some(x * 1000.0),
        "decimal" => Some((x * 37.0 % 100.0) / 10.0),
        "noise" if step == 59 => None,
        "goes_away" if (5..=7).contains(&step) => None,
        "noise" => Some(x.sqrt()),
        "goes_away" if step < 20 => Some(x),
        "goes_away" if step == 20 => Some(stale_nan()),
        _ => None,
    }
}

#[test]
fn version_1_opens() {
    let db = check("v1", false);
    assert_eq!(db.status().tiers, []);
}

#[test]
fn version_1_with_a_checkpoint_opens() {
    check("v1-checkpoint", true);
}

#[test]
fn version_2_opens() {
    let db = check("v2", false);
    let tiers = db.status().tiers;
    assert_eq!((tiers.len(), tiers[0].resolution), (1, DurationMs(3_600_000)));
    let mut found = Vec::new();
    for series in db.aggregates(tiers[0].resolution).expect("selects") {
        let series = series.expect("decodes");
        let name = series.labels.metric_name().expect("named").to_owned();
        let steps = (0..=48).filter_map(|step| Some((step * STEP_MS, expected(&name, step)?)));
        let (times, values): (Vec<i64>, Vec<f64>) = steps.unzip();
        let mut expected = by_stretch(&times, &values, 3_600_000);
        match name.as_str() {
            "late" => {
                let at = [18, 38].map(|step| step * STEP_MS + 1);
                expected = by_stretch(&at, &[19.0, 39.0], 3_600_000);
            }
            // The whole stretch of a deleted sample is gone.
            "goes_away" => expected.retain(|it| it.last_ms != 8 * STEP_MS),
            _ => {}
        }
        expected.iter_mut().for_each(|it| it.sum_lost = 0.0);
        assert_eq!(series.aggregates, expected, "{name}");
        found.push(name);
    }
    found.sort();
    assert_eq!(found, ["constant", "counter", "decimal", "goes_away", "late", "noise"]);
}

#[test]
fn version_3_opens() {
    let db = check("v3", false);
    // Not where stretches begin and end, which have aggregates of their own.
    let range = TimeRange { start_incl: TimestampMs(2), end_incl: TimestampMs(7_190_001) };
    let windows = WindowGrid {
        first_end: range.end_incl,
        step: DurationMs(1),
        count: 1,
        range: DurationMs(7_190_000),
    };
    for name in ["frequent", "frequent_seconds"] {
        let matchers = [Matcher::equal("__name__", name)];
        let read = |hints: &SelectHints| {
            let mut found = db.select(&matchers, hints).expect("selects");
            found.next().expect("is there").expect("decodes")
        };
        let samples = read(&SelectHints::range(range)).floats;
        let xs = (0..1200).map(f64::from);
        let expected: Vec<f64> = match name {
            "frequent" => xs.map(|x| x * x % 977.0).collect(),
            _ => xs.map(|x| (x * 125.0 + x % 7.0) / 1000.0).collect(),
        };
        assert_eq!(*samples.values, expected[..]);
        let whole = Aggregate::of_run(&samples.timestamps, &samples.values).expect("has samples");
        let coarse = Coarse::Folded(windows, Figures::Sums);
        let folded = read(&SelectHints { coarse, ..SelectHints::range(range) });
        assert_eq!(folded.floats.values.len(), 0, "figures stand for samples");
        let figures: Vec<_> =
            folded.aggregates.iter().map(|it| (it.count, it.sum, it.sum_lost)).collect();
        assert_eq!(figures, [(1200, whole.sum, whole.sum_lost)], "{name}");
    }
}

#[test]
fn version_3_with_labels_beside_its_checkpoint_opens() {
    check("v3-labels", true);
}

#[test]
fn version_4_opens() {
    let db = check("v4", true);
    let hour = db.status().tiers[0].resolution;
    let mut found = db.aggregates(hour).expect("selects").map(|series| series.expect("decodes"));
    let series =
        found.find(|it| it.labels.metric_name() == Some("histogram")).expect("has histograms");
    assert!(series.aggregates.is_empty());
    let times: Vec<i64> = (0..=48).map(|step| step * STEP_MS).collect();
    let values = (0..=48i32).map(|step| {
        let x = f64::from(step);
        Arc::new(NativeHistogram {
            schema: 2,
            count: 3.0 * x,
            sum: x / 3.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![x, 2.0 * x],
            ..NativeHistogram::default()
        })
    });
    let expected = histogram_runs(&times, &values.collect::<Vec<_>>(), hour.0, 4096);
    let shown = |runs: &[HistogramRun]| -> Vec<(i64, u64, f64, f64)> {
        runs.iter().map(|run| (run.last_ms, run.count, run.last.count, run.sum.sum)).collect()
    };
    assert_eq!(shown(&series.histogram_runs), shown(&expected));
}

#[test]
fn version_5_opens() {
    check("v5", true);
}

fn check(name: &str, has_checkpoint: bool) -> Db {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let root = tempfile::tempdir().expect("temporary directory");
    copy(&fixture, root.path());
    let dir = Arc::new(FsDir::open(root.path()).expect("made"));
    let clock = Arc::new(ManualClock::new(TimestampMs(60 * STEP_MS)));
    let db = Db::open(dir, Config::standard(), clock, &Registry::new()).expect("opens");
    let status = db.status();
    assert_eq!(status.damage, []);
    assert!(status.blocks.block_count >= 2, "merged and fresh blocks");
    // Of the newest directories all log is before the checkpoint.
    assert_eq!(
        status.wal.replayed_record_count > 0,
        !["v3-labels", "v4", "v5"].contains(&name),
        "a log"
    );
    assert_eq!(status.wal.began_at_checkpoint, has_checkpoint);
    assert_eq!(status.wal.checkpoint_fault, None);
    let mut names = Vec::new();
    for series in db.select(&[], &SelectHints::range(TimeRange::ALL)).expect("selects") {
        let series = series.expect("decodes");
        let name = series.labels.metric_name().expect("named").to_owned();
        if name.starts_with("frequent") {
            continue;
        }
        let floats = series.floats.timestamps.iter().zip(series.floats.values.iter());
        let found: Vec<(i64, u64)> = floats.map(|(at, v)| (*at, v.to_bits())).collect();
        let steps =
            (0..60).filter_map(|step| Some((step * STEP_MS, expected(&name, step)?.to_bits())));
        let late = (0..60i32).filter(|step| name == "late" && step % 20 == 19);
        let late =
            late.map(|step| ((i64::from(step) - 1) * STEP_MS + 1, f64::from(step).to_bits()));
        assert_eq!(found, steps.chain(late).collect::<Vec<_>>(), "{name}");
        let starts: Vec<i64> =
            series.floats.starts.iter().flat_map(|s| s.iter().copied()).collect();
        let counter_starts = (0..60).filter(|_| name == "counter");
        let counter_starts = counter_starts.map(|step| if step < 30 { 1000 } else { 2000 });
        assert_eq!(starts, counter_starts.collect::<Vec<_>>(), "{name}");
        if name == "histogram" {
            assert_eq!(series.histograms.values.len(), 60);
            assert_eq!(series.histograms.starts, Some(vec![500; 60]));
            for (step, value) in (0i32..).zip(&series.histograms.values) {
                let x = f64::from(step);
                assert_eq!((value.schema, value.count, value.sum), (2, 3.0 * x, x / 3.0));
                assert_eq!(value.positive_buckets, [x, 2.0 * x]);
            }
        }
        names.push(name);
    }
    names.sort();
    assert_eq!(
        names,
        ["constant", "counter", "decimal", "goes_away", "histogram", "late", "noise"]
    );
    let exemplars = db.exemplars(&[], TimeRange::ALL);
    assert_eq!(exemplars.len(), 1, "of the series that has some");
    assert_eq!(exemplars[0].exemplars.len() == 60, has_checkpoint, "the log has the newest only");
    let newest = exemplars[0].exemplars.last().expect("has some");
    assert_eq!((newest.value, newest.labels.get("trace_id")), (59.0, Some("t59")));
    assert_eq!(db.metadata()["counter"].help, "Counts.");
    db.maintain(TimestampMs(60 * STEP_MS)).expect("goes on from there");
    db
}
