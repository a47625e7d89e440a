//! Makes the data directory of `tests/fixtures`: `cargo run -p swell-engine --example make_fixture -- DIR`.
//! Run it once for each released format version, and keep what it made. `v1` was made before there were checkpoints,
//! and those before `v3` without the frequent series.

use std::path::Path;
use std::sync::Arc;

use prometheus::Registry;
use swell_engine::{Config, Db, Tier};
use swell_env::{FsDir, ManualClock};
use swell_model::{
    Batch, DurationMs, Exemplar, ExemplarSample, HistogramSample, Labels, Matcher,
    MetricDescription, MetricKind, MetricMetadata, NativeHistogram, Row, SampleSink, Span,
    TimeRange, TimestampMs, stale_nan,
};

/// Two samples an hour.
const STEP_MS: i64 = 1_800_000;
const STEPS: i64 = 60;
/// Rows between two of the first steps.
const FREQUENT_ROWS: i64 = 300;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name the directory to make")?;
    let dir = Arc::new(FsDir::open(Path::new(&path))?);
    let clock = Arc::new(ManualClock::new(TimestampMs(STEPS * STEP_MS)));
    let hourly = Tier { resolution: DurationMs(3_600_000), retention: DurationMs(i64::MAX) };
    let config = Config { reserve_bytes: 0, tiers: vec![hourly], ..Config::standard() };
    let db = Db::open(dir, config, clock, &Registry::new())?;
    let series = |name: &str| db.resolve(&Labels::from_pairs([("__name__", name), ("job", "f")]));
    let names = ["constant", "counter", "decimal", "noise", "goes_away"];
    for step in 0..STEPS {
        let timestamp = TimestampMs(step * STEP_MS);
        let x = f64::from(i32::try_from(step)?);
        let last = if step < 20 { x } else { stale_nan() };
        let values = vec![7.0, x * 1000.0, (x * 37.0 % 100.0) / 10.0, x.sqrt(), last];
        let kept = if step <= 20 { 5 } else { 4 };
        let row = Row {
            timestamp,
            series: names.iter().take(kept).map(|n| series(n)).collect::<Result<_, _>>()?,
            values: values.into_iter().take(kept).collect(),
            // The counter has one, which moves once.
            starts: vec![0, if step < 30 { 1000 } else { 2000 }, 0, 0, 0][..kept].to_vec(),
        };
        let value = Arc::new(NativeHistogram {
            schema: 2,
            count: 3.0 * x,
            sum: x / 3.0,
            positive_spans: vec![Span { offset: 1, length: 2 }],
            positive_buckets: vec![x, 2.0 * x],
            ..NativeHistogram::default()
        });
        let sample =
            HistogramSample { series: series("histogram")?, timestamp, value, start_ms: 500 };
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", format!("t{step}"))]),
            value: x,
            timestamp,
        };
        let exemplar = ExemplarSample { series: series("counter")?, exemplar };
        let metadata = MetricMetadata {
            kind: MetricKind::Counter,
            help: "Counts.".to_owned(),
            unit: String::new(),
        };
        let description = MetricDescription { metric_name: "counter".to_owned(), metadata };
        db.append(&Batch {
            rows: vec![row],
            histograms: vec![sample],
            exemplars: vec![exemplar],
            descriptions: vec![description],
            is_whole: false,
            in_order_only: false,
        })?;
        // Enough in the first block that chunks carry their figures.
        for row in (0..FREQUENT_ROWS).filter(|_| step < 4) {
            let at = TimestampMs(step * STEP_MS + (row + 1) * 5000);
            let x = f64::from(i32::try_from(step * FREQUENT_ROWS + row)?);
            let series = vec![series("frequent")?, series("frequent_seconds")?];
            let values = vec![x * x % 977.0, (x * 125.0 + x % 7.0) / 1000.0];
            db.append(&Batch::of_rows(vec![Row::new(at, series, values)]))?;
        }
        if step % 20 == 19 {
            // Half an hour late.
            let late =
                Row::new(TimestampMs((step - 1) * STEP_MS + 1), vec![series("late")?], vec![x]);
            db.append(&Batch::of_rows(vec![late]))?;
        }
        // Not at the end, so that log is left behind the checkpoint.
        if step % 10 == 9 && step < 55 {
            db.maintain(timestamp)?;
        }
        if step == 55 {
            db.checkpoint()?;
        }
    }
    // Once more for the last merge, and for the aggregates that wait for it.
    for _ in 0..4 {
        db.maintain(TimestampMs(STEPS * STEP_MS))?;
    }
    // Deleted of a block, and of the log.
    for (name, first, last) in [("goes_away", 5, 7), ("noise", 59, 59)] {
        let range = TimeRange {
            start_incl: TimestampMs(first * STEP_MS),
            end_incl: TimestampMs(last * STEP_MS),
        };
        db.delete_series(&[Matcher::equal("__name__", name)], range)?;
    }
    // Without closing, which would write another one.
    db.sync()?;
    Ok(())
}
