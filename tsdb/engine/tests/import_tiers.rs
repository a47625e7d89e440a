//! Samples imported into days that are aggregated get into their aggregates; what is known of samples that are gone stays.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{HOUR, append, config, histogram, labels, open};
use swell_engine::{Config, Db, Tier, WalSync};
use swell_env::{Fault, FaultDir, MemDir};
use swell_model::{
    Aggregate, DurationMs, FloatColumn, HistogramColumn, Labels, NativeHistogram, SeriesData,
    TimeRange, TimestampMs, by_stretch, histogram_runs,
};

const DAY: i64 = 24 * HOUR;
const MINUTE: i64 = 60_000;

fn settings(retention_d: i64) -> Config {
    let tier = |resolution_ms| Tier {
        resolution: DurationMs(resolution_ms),
        retention: DurationMs(1000 * DAY),
    };
    Config {
        retention_time: DurationMs(retention_d * DAY),
        tiers: vec![tier(5 * MINUTE), tier(HOUR)],
        ..config(WalSync::Never)
    }
}

fn maintain(db: &Db) {
    loop {
        let report = db.maintain(TimestampMs(0)).expect("maintains");
        let done = report.compacted_block_count
            + report.downsampled_block_count
            + report.rewritten_block_count
            + report.retired_block_count
            + report.flushed_block_count;
        if done == 0 {
            break;
        }
    }
}

type Samples = BTreeMap<usize, Vec<(i64, f64)>>;

/// Series 0 and 1, a sample every two minutes, with a gap in series 1 on the second day.
fn store(db: &Db, days: i64) -> Samples {
    let mut all = Samples::new();
    for step in 0..days * DAY / (2 * MINUTE) {
        let at = step * 2 * MINUTE + 7;
        let gap = (DAY + 3 * HOUR..DAY + 6 * HOUR).contains(&at);
        let row: Vec<(usize, f64)> = [(0, at as f64), (1, (step % 11) as f64)]
            .into_iter()
            .take(if gap { 1 } else { 2 })
            .collect();
        append(db, at, &row).expect("appends");
        for (nr, value) in row {
            all.entry(nr).or_default().push((at, value));
        }
        if step % 60 == 0 {
            maintain(db);
        }
    }
    maintain(db);
    all
}

/// What fills the gap of series 1, and series 2 and 3 that were not there, the last one of histograms.
fn import(db: &Db, all: &mut Samples) -> TimeRange {
    let times: Vec<i64> = (0..90).map(|nr| DAY + 3 * HOUR + nr * 2 * MINUTE + 9).collect();
    let column = |nr: usize| -> Vec<(i64, f64)> {
        times.iter().map(|at| (*at, (at / MINUTE) as f64 + nr as f64)).collect()
    };
    let series = [1, 2].map(|nr| {
        let samples = column(nr);
        SeriesData {
            labels: labels(nr),
            floats: FloatColumn {
                timestamps: samples.iter().map(|it| it.0).collect(),
                values: samples.iter().map(|it| it.1).collect(),
                starts: None,
            },
            ..SeriesData::default()
        }
    });
    let histograms =
        HistogramColumn { timestamps: times.clone(), values: imported_histograms(), starts: None };
    let of_histograms = SeriesData { labels: labels(3), histograms, ..SeriesData::default() };
    db.import(series.into_iter().chain([of_histograms]).collect()).expect("imported");
    for nr in [1, 2] {
        let of_it = all.entry(nr).or_default();
        of_it.extend(column(nr));
        of_it.sort_by_key(|it| it.0);
    }
    TimeRange { start_incl: TimestampMs(times[0]), end_incl: TimestampMs(times[89]) }
}

fn imported_histograms() -> Vec<Arc<NativeHistogram>> {
    (0..90).map(|nr| histogram(f64::from(nr))).collect()
}

fn stored(db: &Db, resolution_ms: i64) -> BTreeMap<Labels, Vec<Aggregate>> {
    let found = db.aggregates(DurationMs(resolution_ms)).expect("readable");
    let found = found.map(|it| it.expect("readable")).map(|it| (it.labels, it.aggregates));
    found.filter(|it| !it.1.is_empty()).collect()
}

/// What is kept of the histograms of series 3: when the last of each run was, how many it has, and the count of all of them.
fn stored_runs(db: &Db, resolution_ms: i64) -> Vec<(i64, u64, f64)> {
    let mut found = db.aggregates(DurationMs(resolution_ms)).expect("readable");
    let of_it = found.find_map(|it| it.ok().filter(|it| it.labels == labels(3)));
    let runs = of_it.map(|it| it.histogram_runs).unwrap_or_default();
    runs.iter().map(|run| (run.last_ms, run.count, run.sum.count)).collect()
}

fn expected(all: &Samples, resolution_ms: i64, upto_ms: i64) -> BTreeMap<Labels, Vec<Aggregate>> {
    let fold = |(nr, samples): (&usize, &Vec<(i64, f64)>)| {
        let samples = samples.iter().filter(|it| it.0 <= upto_ms);
        let (times, values): (Vec<i64>, Vec<f64>) = samples.copied().unzip();
        (labels(*nr), by_stretch(&times, &values, resolution_ms))
    };
    all.iter().map(fold).collect()
}

#[test]
fn imported_samples_get_into_the_aggregates_of_their_day() {
    let dir = MemDir::new();
    let db = open(Arc::new(dir.clone()), settings(900)).expect("opens");
    let mut all = store(&db, 4);
    let before = stored(&db, HOUR);
    assert!(!before.contains_key(&labels(2)) && before.len() == 2);
    let range = import(&db, &mut all);
    assert_eq!(stored(&db, HOUR), before, "importing alone does not change them");
    let upto_ms = before[&labels(0)].last().expect("some").last_ms;
    let made = db.aggregate_anew(range).expect("made anew");
    assert!(made >= 2, "one block of each resolution at least: {made}");
    for resolution_ms in [5 * MINUTE, HOUR] {
        let upto_ms = upto_ms.div_euclid(HOUR) * HOUR + HOUR;
        assert_eq!(stored(&db, resolution_ms), expected(&all, resolution_ms, upto_ms));
        let times: Vec<i64> = all[&2].iter().map(|it| it.0).collect();
        let runs = histogram_runs(&times, &imported_histograms(), resolution_ms, 4096);
        let runs: Vec<_> = runs.iter().map(|run| (run.last_ms, run.count, run.sum.count)).collect();
        assert_eq!(stored_runs(&db, resolution_ms), runs);
    }
    maintain(&db);
    let reopened = {
        db.close().expect("closes");
        open(Arc::new(dir), settings(900)).expect("opens")
    };
    let upto_ms = upto_ms.div_euclid(HOUR) * HOUR + HOUR;
    assert_eq!(stored(&reopened, HOUR), expected(&all, HOUR, upto_ms));
    // Nothing to do where there are no aggregates.
    let later = TimeRange { start_incl: TimestampMs(40 * DAY), end_incl: TimestampMs(41 * DAY) };
    assert_eq!(reopened.aggregate_anew(later).expect("nothing to do"), 0);
}

#[test]
fn what_is_known_of_samples_that_are_gone_stays() {
    let dir = MemDir::new();
    let db = open(Arc::new(dir), settings(2)).expect("opens");
    let mut all = store(&db, 8);
    let before = stored(&db, HOUR);
    let range = import(&db, &mut all);
    db.aggregate_anew(range).expect("made anew");
    let after = stored(&db, HOUR);
    assert_eq!(after[&labels(0)], before[&labels(0)], "its samples of that day are gone");
    // Three hours of series 1 had no samples at all, but for those on their edges; series 2 is new.
    let count = |of: &[Aggregate]| of.iter().map(|it| it.count).sum::<u64>();
    assert!(count(&after[&labels(1)]) >= count(&before[&labels(1)]) + 60);
    assert_eq!(count(&after[&labels(2)]), 90);
    let runs = stored_runs(&db, HOUR);
    assert_eq!(runs.iter().map(|run| run.1).sum::<u64>(), 90);
    // The same once more is no news, and less than is known takes nothing away.
    let at = TimestampMs(runs[0].0);
    db.aggregate_anew(TimeRange { start_incl: at, end_incl: at }).expect("made anew");
    assert_eq!(stored_runs(&db, HOUR), runs);
}

#[test]
fn making_anew_may_be_cut_at_every_operation() {
    let dir = MemDir::new();
    let db = open(Arc::new(dir.clone()), settings(900)).expect("opens");
    let mut all = store(&db, 3);
    let range = import(&db, &mut all);
    db.close().expect("closes");
    let image = dir.after_kill();
    let whole = {
        let db = open(Arc::new(image.after_kill()), settings(900)).expect("opens");
        db.aggregate_anew(range).expect("made anew");
        stored(&db, HOUR)
    };
    let mut cut = 0;
    loop {
        let disk = FaultDir::over(image.after_kill());
        let db = open(Arc::new(disk.clone()), settings(900)).expect("opens");
        disk.fail(disk.op_count() + cut, u64::MAX, Fault::Io);
        let done = db.aggregate_anew(range).is_ok();
        drop(db);
        for image in [disk.disk().after_kill(), disk.disk().after_power_cut(cut)] {
            let db = open(Arc::new(image), settings(900)).expect("opens");
            assert_eq!(db.status().damage, [], "cut at operation {cut}");
            db.aggregate_anew(range).expect("tried again");
            assert_eq!(stored(&db, HOUR), whole, "cut at operation {cut}");
        }
        if done {
            break;
        }
        cut += 1;
    }
    assert!(cut > 5, "{cut} operations");
}
