//! Background work keeps to its share of the machine, and takes no less than that.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, config, float_batch};
use prometheus::Registry;
use swell_engine::{BackgroundShare, Config, Db, WalSync};
use swell_env::{ManualClock, MemDir};
use swell_model::{DurationMs, SampleSink, TimestampMs};

/// Seconds that merging has paused.
fn paused(registry: &Registry) -> f64 {
    let families = registry.gather();
    let name = "swell_tsdb_background_pauses_seconds_total";
    let family = families.iter().find(|family| family.name() == name).expect("registered");
    family.get_metric()[0].get_counter().get_value()
}

#[test]
fn a_merge_does_not_pause_for_the_time_since_the_last_one() {
    let share = BackgroundShare { cpu_percent: 25, bytes_per_second: 1 << 30 };
    let settings = Config { background: Some(share), ..config(WalSync::Never) };
    let clock = Arc::new(ManualClock::new(TimestampMs(10_000 * 24 * HOUR)));
    let registry = Registry::new();
    let disk = Arc::new(MemDir::new());
    let db = Db::open(disk, settings, clock.clone(), &registry).expect("opens");
    let mut merged = 0;
    for step in 0..29 * 4 {
        // Long enough to be seen, short enough that the test ends when it is paused for.
        clock.advance(DurationMs(20));
        let at = i64::from(step) * HOUR / 4;
        db.append(&float_batch(&db, at, &[(0, 1.0), (1, 2.0)]).expect("resolves"))
            .expect("appends");
        merged += db.maintain(TimestampMs(at)).expect("maintains").compacted_block_count;
    }
    assert!(merged > 0);
    assert!(paused(&registry) < 0.01, "{} s", paused(&registry));
}
