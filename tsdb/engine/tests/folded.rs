//! Windows whose figures are folded where samples are decoded, or known of whole chunks, have the values that their
//! samples give: to the last bit, for each function, over blocks and what is in memory, with late and deleted samples.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;
#[path = "common/plain.rs"]
mod plain;

use std::sync::Arc;

use common::{Choices, HOUR, config, float_batch, open};
use plain::Plain;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Dir, FaultDir, MemDir};
use swell_model::{
    Coarse, DurationMs, Matcher, SampleSink as _, SelectHints, SeriesSource, TimeRange,
    TimestampMs, stale_nan,
};
use swell_promql::testing::FOLDED_FUNCTIONS;
use swell_promql::{Budget, EvalParams, Features, evaluate};
use swell_promql_syntax::parse;

/// The same storage without figures.
fn plain(db: &Db) -> Plain<'_> {
    Plain { db, hints: |hints| SelectHints { coarse: Coarse::Refused, ..*hints } }
}

/// Rows 13 to 17 s apart, a day and a bit of them.
const ROWS: u32 = 6_200;

/// The value of a series at a row; `state` is what it carries along.
fn value(nr: usize, row: u32, state: &mut f64, choices: &mut Choices) -> Option<f64> {
    let number = |choices: &mut Choices, bound: u64| {
        f64::from(u32::try_from(choices.below(bound)).expect("small"))
    };
    Some(match nr {
        0 => number(choices, 1000),
        1 => number(choices, 100_000) / 1000.0 - 30.0,
        2 | 3 => {
            // A counter of whole numbers, one of fractions, begun anew now and then.
            let step = number(choices, 5000);
            let rise = if nr == 2 { step } else { step / 1000.0 };
            let begins = choices.below(if row < 3000 { 5000 } else { 300 }) == 0;
            *state = if begins { rise } else { *state + rise };
            *state
        }
        4 if row < 4500 => 7.25,
        4 => f64::from(row / 400),
        5 if row % 700 > 600 => return None,
        5 => number(choices, 10),
        6 if row % 500 == 499 => stale_nan(),
        6 => number(choices, 100) / 8.0,
        7 => [f64::NAN, f64::INFINITY, -0.0, 0.0, 1e300, 1e-300, 3.5, 3.5, 1.0, -2.0]
            [usize::try_from(choices.below(10)).expect("small")],
        8 => f64::from_bits(choices.next()),
        9 => (f64::from(row) / 50.0).sin(),
        10 if row < 2000 => f64::from(row),
        10 if row == 2000 => stale_nan(),
        10 => return None,
        // What a counter of measured seconds looks like: decimals but for rounding.
        _ => {
            *state += number(choices, 1_000_000) / 1e6;
            *state
        }
    })
}

/// Rows with all series, upkeep in between.
fn filled(seed: u64, settings: Config) -> (Db, i64) {
    filled_in(Arc::new(MemDir::new()), seed, settings)
}

fn filled_in(dir: Arc<dyn Dir>, seed: u64, settings: Config) -> (Db, i64) {
    let db = open(dir, settings).expect("opens");
    let mut choices = Choices(seed);
    let mut states = [0.0; 12];
    let mut at = 20 * 24 * HOUR + i64::try_from(choices.below(86_400_000)).expect("small");
    for row in 0..ROWS {
        at += 13_000 + i64::try_from(choices.below(4_000)).expect("small");
        let samples: Vec<(usize, f64)> = (0..12)
            .filter_map(|nr| Some((nr, value(nr, row, &mut states[nr], &mut choices)?)))
            .collect();
        db.append(&float_batch(&db, at, &samples).expect("resolves")).expect("appends");
        if row % 100 == 0 {
            while db.maintain(TimestampMs(at)).expect("maintains").compacted_block_count > 0 {}
        }
    }
    (db, at)
}

fn below(choices: &mut Choices, bound: i64) -> i64 {
    i64::try_from(choices.below(bound.unsigned_abs())).expect("small")
}

fn one_of<const N: usize>(choices: &mut Choices, options: [i64; N]) -> i64 {
    options[usize::try_from(choices.below(N as u64)).expect("small")]
}

/// Asks for windows of all lengths, at single times and at several that may overlap or not.
fn compare(db: &Db, end: i64, seed: u64, count: usize) {
    let mut choices = Choices(seed);
    // The last one reads samples whatever the storage has.
    let functions = [&FOLDED_FUNCTIONS[..], &["stddev_over_time"]].concat();
    for _ in 0..count {
        let function = functions[usize::try_from(below(&mut choices, 16)).expect("small")];
        let longest = one_of(&mut choices, [60_000, HOUR, 10 * HOUR, 30 * HOUR]);
        let range = 1 + below(&mut choices, longest);
        let metric = below(&mut choices, 3);
        let call = format!("{function}(metric_{metric}[{range}ms])");
        let query = match below(&mut choices, 4) {
            0 => format!("sum by (pod) ({call})"),
            1 => format!("max without (pod) ({call} * 2)"),
            _ => call,
        };
        let at = end + HOUR - below(&mut choices, 30 * HOUR);
        let params = if below(&mut choices, 3) == 0 {
            let step = one_of(&mut choices, [range, range + 5000, range / 2 + 1]);
            let (start, step) = (TimestampMs(at - 20 * step), DurationMs(step));
            EvalParams::range(start, TimestampMs(at), step)
        } else {
            EvalParams::instant(TimestampMs(at))
        };
        let features = Features { experimental_functions: true, ..Features::default() };
        let params = EvalParams { features, ..params };
        let expr = parse(&query).expect("parses");
        let answer = |source: &dyn SeriesSource| {
            let it = evaluate(&expr, source, &params, &Budget::default()).expect("evaluates");
            format!("{:?} {:?} {:?} {}", it.value, it.infos, it.warnings, it.stats.samples_total)
        };
        assert_eq!(answer(db), answer(&plain(db)), "{query} at {at}");
    }
}

#[test]
fn windows_over_blocks_and_memory_are_folded_as_their_samples_are() {
    for seed in 0..3 {
        let (db, end) = filled(seed, config(WalSync::Never));
        assert!(db.status().blocks.sample_count > 20_000, "most is in blocks");
        compare(&db, end, seed, 300);
    }
}

/// What figures are for: of chunks that lie in a window as a whole nothing is read.
#[test]
fn figures_of_chunks_save_the_reads_of_their_samples() {
    let dir = FaultDir::new();
    // So short that flushed blocks wait for their day: few chunks lie in one frame, which is read as a whole.
    let settings = Config { retention_time: DurationMs(40 * HOUR), ..config(WalSync::Never) };
    let (db, _) = filled_in(Arc::new(dir.clone()), 5, settings);
    let last = db.block_range().expect("blocks").end_incl;
    let read_bytes = |source: &dyn SeriesSource, query: &str| {
        let before = dir.read_bytes();
        let params = EvalParams::instant(last);
        let expr = parse(query).expect("parses");
        let answer = evaluate(&expr, source, &params, &Budget::default()).expect("evaluates");
        (dir.read_bytes() - before, format!("{:?}", answer.value))
    };
    let mut total = (0, 0);
    for (pod, function) in [
        (0, "avg_over_time"),
        (0, "max_over_time"),
        (1, "sum_over_time"),
        (2, "increase"),
        (3, "rate"),
        (9, "min_over_time"),
        (9, "last_over_time"),
    ] {
        let series = format!("metric_{}{{pod=\"pod-{pod}\"}}", pod % 3);
        let query = format!("{function}({series}[18h])");
        // Directories and indices are read once, whoever asks.
        read_bytes(&db, &query);
        let (samples_bytes, expected) = read_bytes(&plain(&db), &query);
        let (bytes, found) = read_bytes(&db, &query);
        assert_eq!(found, expected, "{query}");
        assert!(bytes < samples_bytes, "{query}: {bytes} bytes in place of {samples_bytes}");
        total = (total.0 + bytes, total.1 + samples_bytes);
    }
    // Times are read either way, and so are the frames of chunks that a window cuts.
    assert!(total.0 * 4 < total.1 * 3, "{total:?} bytes");
}

#[test]
fn late_and_deleted_samples_count() {
    let settings = Config { out_of_order_window: DurationMs(40 * HOUR), ..config(WalSync::Never) };
    let (db, end) = filled(10, settings);
    let mut choices = Choices(11);
    for nr in 0..6 {
        let back = i64::try_from(choices.below(86_400_000)).expect("small");
        let late = float_batch(&db, end - back, &[(nr, 12.5)]).expect("resolves");
        db.append(&late).expect("appends");
    }
    compare(&db, end, 12, 150);
    let matchers = [Matcher::equal("__name__", "metric_1")];
    let range = TimeRange {
        start_incl: TimestampMs(end - 9 * HOUR),
        end_incl: TimestampMs(end - 4 * HOUR),
    };
    db.delete_series(&matchers, range).expect("deletes");
    compare(&db, end, 13, 150);
    db.maintain(TimestampMs(end)).expect("maintains");
    compare(&db, end, 14, 150);
}
