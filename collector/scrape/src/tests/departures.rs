//! Targets that go: when their series end, and when they do not.

use std::sync::Arc;

use swell_env::{Clock as _, ManualClock};
use swell_exposition::{BodyFormat, Format};
use swell_model::{AppendError, Batch, DurationMs, Labels, Row, SampleSink as _, TimestampMs};

use super::memory::Memory;
use crate::claims::Claimed;
use crate::config::ScrapeConfig;
use crate::departed::Departures;
use crate::described::{Described, FamilyCatalog};
use crate::ingest::{Ingested, TargetSeries};
use crate::report::ScrapeReport;
use crate::schedule;
use crate::target::Target;

const INTERVAL: DurationMs = DurationMs(10_000);
const SERIES: &str = r#"a{job="j"}"#;

/// A target that was scraped once, and goes a second later.
struct Bench {
    memory: Memory,
    clock: ManualClock,
    target: Target,
    departures: Departures,
    /// When it would have been scraped next.
    next: TimestampMs,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::default();
        let clock = ManualClock::new(TimestampMs(1_000_000));
        let labels = Labels::from_pairs([("job", "j")]);
        let target = Target {
            discovered: labels.clone(),
            labels,
            url: "http://h:1/metrics".parse().expect("a URL"),
            interval: INTERVAL,
            timeout: INTERVAL,
            histograms: ScrapeConfig::new("j", INTERVAL, INTERVAL).histograms,
        };
        let mut series = new_series(&target);
        let last = clock.now();
        scrape(&mut series, "a 1\n", last, &memory);
        clock.advance(DurationMs(1000));
        let mut departures = Departures::default();
        departures.add("j", &target, series, Some(last), clock.now());
        let next = schedule::next(clock.now(), INTERVAL, target.spread(), Some(last));
        Self { memory, clock, target, departures, next }
    }

    /// Moves the clock to a time, and ends what is due then.
    fn end_due_at(&mut self, at: TimestampMs) -> usize {
        self.clock.advance(at.since(self.clock.now()));
        let due = self.departures.take_due(self.clock.now());
        let count = due.len();
        for departed in due {
            departed.end(&self.memory).expect("the storage takes markers");
        }
        count
    }

    fn due(&self) -> TimestampMs {
        self.departures.next_due().expect("one has gone")
    }
}

fn new_series(target: &Target) -> TargetSeries {
    let described = Described::new(&Arc::new(FamilyCatalog::new()));
    TargetSeries::new(target.labels.clone(), Claimed::alone(), described)
}

fn scrape(series: &mut TargetSeries, body: &str, at: TimestampMs, memory: &Memory) {
    let config = ScrapeConfig::new("j", INTERVAL, INTERVAL);
    let format = BodyFormat::Text(Format::Text);
    series.ingest(body.as_bytes(), format, at, &config, memory).expect("a good body");
    let ingested = Ingested::default();
    let report = ScrapeReport { up: true, duration_seconds: 0.5, ingested, extra: None };
    series.report(at, &report, memory).expect("stored");
}

#[test]
fn series_end_two_intervals_after_their_target_went_at_the_time_of_its_next_scrape() {
    let mut bench = Bench::new();
    let due = bench.due();
    assert_eq!(due, bench.next + INTERVAL + DurationMs(1000));
    assert_eq!(bench.end_due_at(due - DurationMs(1)), 0);
    assert_eq!(bench.memory.values(SERIES), ["1"]);
    assert_eq!(bench.end_due_at(due), 1);
    for (series, value) in
        [(SERIES, "1"), (r#"up{job="j"}"#, "1"), (r#"scrape_duration_seconds{job="j"}"#, "0.5")]
    {
        assert_eq!(bench.memory.values(series), [value, "stale"], "{series}");
        assert_eq!(bench.memory.samples(series)[1].0, bench.next.0, "{series}");
    }
    assert_eq!(bench.departures.next_due(), None);
}

#[test]
fn a_target_that_comes_back_goes_on_without_a_gap() {
    let mut bench = Bench::new();
    let due = bench.due();
    assert!(bench.departures.take_back("other", bench.target.identity()).is_none());
    let mut series =
        bench.departures.take_back("j", bench.target.identity()).expect("what is known of it");
    assert_eq!(bench.end_due_at(due), 0);
    scrape(&mut series, "a 2\n", bench.clock.now(), &bench.memory);
    assert_eq!(bench.memory.values(SERIES), ["1", "2"]);
    // What it gives no more ends as ever.
    bench.clock.advance(INTERVAL);
    scrape(&mut series, "b 2\n", bench.clock.now(), &bench.memory);
    assert_eq!(bench.memory.values(SERIES), ["1", "2", "stale"]);
}

#[test]
fn what_others_went_on_with_does_not_end() {
    let mut bench = Bench::new();
    let due = bench.due();
    let labels = Labels::from_pairs([("__name__", "a"), ("job", "j")]);
    let series = bench.memory.resolve(&labels).expect("known");
    let row = Row::new(due - DurationMs(1), vec![series], vec![5.0]);
    bench.memory.append(&Batch::of_rows(vec![row])).expect("stored");
    assert_eq!(bench.end_due_at(due), 1);
    assert_eq!(bench.memory.values(SERIES), ["1", "5"]);
    assert_eq!(bench.memory.values(r#"up{job="j"}"#), ["1", "stale"]);
}

#[test]
fn that_it_was_up_ends_also_where_its_series_are_not_known_any_more() {
    let mut bench = Bench::new();
    bench.memory.forget_named("a");
    bench.clock.advance(bench.due().since(bench.clock.now()));
    let due = bench.departures.take_due(bench.clock.now());
    let outcomes: Vec<_> = due.into_iter().map(|it| it.end(&bench.memory)).collect();
    assert!(matches!(outcomes.as_slice(), [Err(AppendError::UnknownSeries(_))]), "{outcomes:?}");
    assert_eq!(bench.memory.values(r#"up{job="j"}"#), ["1", "stale"]);
}

#[test]
fn a_target_that_was_never_scraped_has_nothing_to_end() {
    let mut bench = Bench::new();
    let due = bench.due();
    assert_eq!(bench.end_due_at(due), 1);
    let series = new_series(&bench.target);
    bench.departures.add("j", &bench.target, series, None, bench.clock.now());
    assert_eq!(bench.departures.next_due(), None);
}
