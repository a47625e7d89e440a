//! Clocks that are ahead for a while and are then set right: what was stored meanwhile stays where it is, and nothing that
//! is good is refused for it, neither while the clock is wrong nor after.

#[expect(dead_code, reason = "each test file uses its part")]
mod common;

use std::sync::Arc;

use common::{HOUR, Model, append, config, labels, read_all};
use prometheus::Registry;
use swell_engine::{Config, Db, WalSync};
use swell_env::{Clock as _, Fault, FaultDir, ManualClock, MemDir};
use swell_model::{DurationMs, SelectHints, SeriesSource as _, TimeRange, TimestampMs};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * HOUR;
const START: i64 = 10_000 * DAY;
/// Series of targets that the server scrapes, with the clock that jumps.
const OWN: [usize; 3] = [0, 1, 2];
/// A series that is sent by somebody whose clock is right.
const SENT: usize = 10;

struct World {
    disk: MemDir,
    settings: Config,
    clock: Arc<ManualClock>,
    registry: Registry,
    db: Option<Db>,
    /// What the clock is ahead by.
    ahead_ms: i64,
    has_sender: bool,
    model: Model,
}

/// The value that a series has at a time, whoever says it.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
const fn value(at_ms: i64) -> f64 {
    (at_ms / 1000) as f64
}

impl World {
    fn new(ahead_ms: i64, has_sender: bool, settings: Config) -> Self {
        let clock = Arc::new(ManualClock::new(TimestampMs(START + ahead_ms)));
        let mut world = Self {
            disk: MemDir::new(),
            settings,
            clock,
            registry: Registry::new(),
            db: None,
            ahead_ms,
            has_sender,
            model: Model::new(),
        };
        world.restart();
        world
    }

    fn restart(&mut self) {
        self.db = None;
        self.registry = Registry::new();
        let disk = Arc::new(self.disk.clone());
        let db = Db::open(disk, self.settings.clone(), self.clock.clone(), &self.registry);
        self.db = Some(db.expect("opens"));
    }

    fn db(&self) -> &Db {
        self.db.as_ref().expect("open")
    }

    fn jump(&mut self, ahead_ms: i64) {
        self.clock.jump(DurationMs(ahead_ms - self.ahead_ms));
        self.ahead_ms = ahead_ms;
    }

    /// Scrapes and is sent to once a minute; all is taken. Gives how many samples came late.
    fn run(&mut self, minutes: i64) -> usize {
        let mut late_count = 0;
        for _ in 0..minutes {
            self.clock.advance(DurationMs(MINUTE));
            let now = self.clock.now().0;
            late_count += self.take(now, &OWN);
            if self.has_sender {
                late_count += self.take(now - self.ahead_ms, &[SENT]);
            }
            self.db().maintain(self.clock.now()).expect("maintains");
        }
        late_count
    }

    fn take(&mut self, at_ms: i64, series: &[usize]) -> usize {
        let samples: Vec<(usize, f64)> = series.iter().map(|nr| (*nr, value(at_ms))).collect();
        let report = append(self.db(), at_ms, &samples).expect("appends");
        assert_eq!(report.dropped(), 0, "{} ms ahead: {report:?}", self.ahead_ms);
        for nr in series {
            self.model.entry(labels(*nr)).or_default().insert(at_ms, value(at_ms).to_bits());
        }
        report.stored_late
    }

    fn check(&self, when: &str) {
        assert_eq!(read_all(self.db()), self.model, "{when}");
        let now = self.clock.now();
        let range = TimeRange { start_incl: now - DurationMs(5 * MINUTE), end_incl: now };
        let hints = SelectHints { newest_only: true, ..SelectHints::range(range) };
        let mut count = 0;
        for series in self.db().select(&[], &hints).expect("selects") {
            let series = series.expect("reads");
            let newest = self.model[&series.labels].range(range.start_incl.0..=now.0).next_back();
            let (at, bits) = newest.expect("selected for a sample");
            assert_eq!(series.floats.timestamps.last(), Some(at), "{when}: {}", series.labels);
            assert_eq!(series.floats.values.last().map(|it| it.to_bits()), Some(*bits), "{when}");
            count += 1;
        }
        assert!(count >= OWN.len(), "{when}: only {count} series have a newest sample");
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).expect("registered");
        let metric = &family.get_metric()[0];
        metric.get_counter().get_value() + metric.get_gauge().get_value()
    }
}

fn settings() -> Config {
    Config { out_of_order_window: DurationMs(HOUR), ..config(WalSync::Never) }
}

#[test]
fn a_clock_that_is_ahead_for_a_while_shuts_out_nothing() {
    for ahead_ms in [20 * MINUTE, 3 * HOUR, 3 * DAY, 3653 * DAY] {
        for minutes in [3, 200] {
            for has_sender in [false, true] {
                let case = format!("{ahead_ms} ms ahead for {minutes} minutes, {has_sender}");
                let mut world = World::new(0, has_sender, settings());
                assert_eq!(world.run(200), 0, "{case}");
                world.jump(ahead_ms);
                world.run(minutes);
                world.check(&format!("{case}: wrong"));
                world.jump(0);
                world.run(2);
                world.check(&format!("{case}: just set right"));
                world.run(25);
                world.check(&format!("{case}: set right for a while"));
                // From then on all is as if it had always been right.
                assert_eq!(world.run(5 * 60), 0, "{case}: in order");
                world.check(&format!("{case}: set right for long"));
                let returns = world.metric("swell_tsdb_clock_returns_total");
                assert!(returns == 1.0 || ahead_ms < HOUR, "{case}: {returns}");
                assert!(world.db().status().wal.segment_count < 8, "{case}: the log is trimmed");
                world.restart();
                world.check(&format!("{case}: restarted"));
                world.run(60);
                world.check(&format!("{case}: an hour later"));
            }
        }
    }
}

#[test]
fn a_clock_that_is_ahead_at_start_shuts_out_nothing_and_is_forgotten() {
    for ahead_ms in [3 * HOUR, 3653 * DAY] {
        for has_sender in [false, true] {
            let mut world = World::new(ahead_ms, false, settings());
            world.run(5);
            world.jump(0);
            world.has_sender = has_sender;
            world.run(20);
            world.check("set right");
            assert_eq!(world.run(3 * 60), 0, "in order: {ahead_ms} ms, {has_sender}");
            world.check("hours later");
            let beyond = world.clock.now().0 + 10 * MINUTE + 1;
            assert_eq!(append(world.db(), beyond, &[(3, 1.0)]).expect("refused").too_new, 1);
        }
    }
}

/// They would hold the log, below a floor that has come down, until their times come.
#[test]
fn late_samples_of_times_ahead_hold_no_log() {
    let window = DurationMs(3 * HOUR);
    let mut world = World::new(0, false, Config { out_of_order_window: window, ..settings() });
    world.run(200);
    world.jump(10 * DAY);
    world.run(300);
    let now = world.clock.now().0;
    let late = (1..18).map(|nr| world.take(now - nr * 10 * MINUTE + 1, &[11])).sum::<usize>();
    assert!(late > 0, "some came late");
    world.jump(0);
    world.run(8 * 60);
    world.check("set right");
    assert_eq!(world.metric("swell_tsdb_clock_returns_total"), 1.0);
    let segment_count = world.db().status().wal.segment_count;
    assert!(segment_count < 8, "{segment_count} segments are kept");
    world.restart();
    world.check("restarted");
}

/// A machine that slept: its clock is right, and only the monotonic one did not go on.
#[test]
fn a_jump_that_is_right_costs_nothing() {
    let mut world = World::new(0, false, settings());
    world.run(200);
    world.clock.jump(DurationMs(8 * HOUR));
    assert_eq!(world.run(5 * 60), 0, "all in order");
    world.check("after it slept");
    assert!(world.db().status().blocks.block_count >= 3);
    assert_eq!(world.metric("swell_tsdb_clock_returns_total"), 0.0);
    // Hours ago is too late again, for whoever sends it.
    let late = world.clock.now().0 - 2 * HOUR;
    assert_eq!(append(world.db(), late, &[(0, 1.0)]).expect("refused").dropped(), 1);
}

/// Without a window nothing comes late, so that all has to be taken in order.
#[test]
fn without_a_window_the_present_is_taken_in_order_again() {
    let settings = Config { out_of_order_window: DurationMs(0), ..settings() };
    let mut world = World::new(0, true, settings);
    world.run(30);
    world.jump(DAY);
    world.run(5);
    world.jump(0);
    world.db().maintain(world.clock.now()).expect("maintains");
    assert_eq!(world.run(4 * 60), 0);
    world.check("set right");
}

#[test]
fn what_lies_ahead_is_no_measure_of_age() {
    let settings = Config { retention_time: DurationMs(6 * HOUR), ..settings() };
    let mut world = World::new(0, true, settings);
    world.run(10 * 60);
    let oldest = |world: &World| *read_all(world.db())[&labels(SENT)].keys().next().expect("some");
    let before = oldest(&world);
    // Less than the retention, and many times it.
    for ahead_ms in [5 * HOUR, 3653 * DAY] {
        world.jump(ahead_ms);
        world.run(5);
        assert_eq!(oldest(&world), before, "nothing is old for a clock that is ahead");
        world.jump(0);
    }
    world.run(2);
    assert_eq!(world.metric("swell_tsdb_retention_held_back"), 0.0);
    world.run(10 * 60);
    let age = (world.clock.now().0 - oldest(&world)) / HOUR;
    assert!((6..=10).contains(&age), "retention goes on: the oldest sample is {age} hours old");
    let ahead = *read_all(world.db())[&labels(OWN[0])].keys().next_back().expect("some");
    assert!(ahead > START + 3653 * DAY, "what lies ahead is still there");
}

/// Kills the work at each operation on the disk, also while the head comes back to the present: what was acknowledged is
/// there, once.
#[test]
fn coming_back_may_be_cut_at_every_operation() {
    // Steps of half an hour; six of them three days ahead.
    let ahead_ms = |step: i64| if (8..14).contains(&step) { 3 * DAY } else { 0 };
    let at = |step: i64| START + step * HOUR / 2 + ahead_ms(step);
    let settings = || Config { checkpoint_log_bytes: 1, ..settings() };
    let open = |dir: Arc<FaultDir>, clock: &Arc<ManualClock>| {
        Db::open(dir, settings(), clock.clone(), &Registry::new())
    };
    let run = |op: u64| -> (FaultDir, i64) {
        let dir = FaultDir::new();
        dir.fail(op, u64::MAX, Fault::Io);
        let clock = Arc::new(ManualClock::new(TimestampMs(at(0))));
        let Ok(db) = open(Arc::new(dir.clone()), &clock) else { return (dir, 0) };
        for step in 0..20 {
            if append(&db, at(step), &[(0, value(at(step)))]).is_err() {
                return (dir, step);
            }
            if db.maintain(clock.now()).is_err() {
                return (dir, step + 1);
            }
            clock.advance(DurationMs(HOUR / 2));
            clock.jump(DurationMs(ahead_ms(step + 1) - ahead_ms(step)));
        }
        (dir, 20)
    };
    let (dir, done) = run(u64::MAX);
    assert_eq!(done, 20);
    for op in 0..dir.op_count() {
        let (dir, done) = run(op);
        let clock = Arc::new(ManualClock::new(TimestampMs(at(20))));
        let image = FaultDir::over(dir.disk().after_kill());
        let db = open(Arc::new(image), &clock).expect("opens");
        for when in ["opened", "maintained"] {
            let found = read_all(&db).remove(&labels(0)).unwrap_or_default();
            let is_of = |steps: i64| -> bool {
                let expected = (0..steps).map(|step| (at(step), value(at(step)).to_bits()));
                found == expected.collect()
            };
            assert!(is_of(done) || is_of(done + 1), "operation {op}, {when}: {done} in {found:?}");
            db.maintain(clock.now()).expect("maintains");
        }
        assert_eq!(db.status().damage, [], "operation {op}");
        let taken = append(&db, at(20), &[(0, 1.0)]).expect("taken");
        assert_eq!((taken.stored, taken.stored_late), (1, 0), "operation {op}");
    }
}
