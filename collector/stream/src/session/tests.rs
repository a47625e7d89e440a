//! A session on its own, and spool and session together under cuts, restarts and overflow.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use swell_model::{Batch, METRIC_NAME, Pass, PassDelta};

use super::*;
use crate::spool::Spool;

/// A storage that keeps samples by labels and time, and forgets references on demand.
#[derive(Default)]
struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    by_labels: BTreeMap<Labels, SeriesRef>,
    samples: BTreeMap<(Labels, i64), Vec<u64>>,
    is_read_only: bool,
}

impl Memory {
    fn forget_references(&self) {
        self.state.lock().unwrap().by_labels.clear();
    }

    fn samples(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        let show = |((labels, at), values): (&(Labels, i64), &Vec<u64>)| {
            let values: Vec<f64> = values.iter().map(|bits| f64::from_bits(*bits)).collect();
            format!("{labels}@{at} {values:?}")
        };
        state.samples.iter().map(show).collect()
    }
}

impl SampleSink for Memory {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let mut state = self.state.lock().unwrap();
        if labels.metric_name() == Some("refused") {
            return Err(AppendError::Refused {
                series: labels.to_string(),
                reason: "a test says so".to_owned(),
            });
        }
        let next = SeriesRef(state.next);
        let series = *state.by_labels.entry(labels.clone()).or_insert(next);
        state.next += 1;
        Ok(series)
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let mut state = self.state.lock().unwrap();
        if state.is_read_only {
            return Err(AppendError::ReadOnly { reason: "a test says so".to_owned() });
        }
        let names: BTreeMap<SeriesRef, Labels> =
            state.by_labels.iter().map(|(labels, series)| (*series, labels.clone())).collect();
        for row in &batch.rows {
            let mut seen = HashSet::new();
            for series in &row.series {
                assert!(seen.insert(*series), "a series stands twice in a row");
                if !names.contains_key(series) {
                    return Err(AppendError::UnknownSeries(*series));
                }
            }
            for (series, value) in row.series.iter().zip(&row.values) {
                let key = (names[series].clone(), row.timestamp.0);
                state.samples.entry(key).or_default().push(value.to_bits());
            }
        }
        Ok(AppendReport { stored: batch.sample_count(), ..AppendReport::default() })
    }
}

fn series(number: u32, name: &str) -> wire::Series {
    wire::Series::new(number, &Labels::from_pairs([(METRIC_NAME, name)]))
}

fn batch(sequence: u64, announced: &[(u32, &str)], samples: &[(u32, f64)]) -> wire::Batch {
    wire::Batch {
        sequence,
        timestamp_ms: i64::try_from(sequence).unwrap(),
        announced: announced.iter().map(|(number, name)| series(*number, name)).collect(),
        numbers: samples.iter().map(|(number, _)| *number).collect(),
        values: samples.iter().map(|(_, value)| *value).collect(),
        retired: Vec::new(),
    }
}

#[test]
fn batches_are_stored_once() {
    let (memory, mut session) = (Memory::default(), Session::default());
    let first = batch(1, &[(0, "a"), (1, "b")], &[(0, 1.0), (1, 2.0)]);
    assert_eq!(session.apply(&first, &memory).unwrap().report.stored, 2);
    assert!(session.apply(&first, &memory).unwrap().is_duplicate);
    session.apply(&batch(3, &[], &[(0, 3.0)]), &memory).unwrap();
    assert!(session.apply(&batch(2, &[], &[(0, 9.0)]), &memory).unwrap().is_duplicate);
    assert_eq!(memory.samples(), ["a@1 [1.0]", "a@3 [3.0]", "b@1 [2.0]"]);
    assert_eq!(session.acknowledged(), 3);
}

#[test]
fn forgotten_series_are_resolved_again() {
    let (memory, mut session) = (Memory::default(), Session::default());
    session.apply(&batch(1, &[(0, "a")], &[(0, 1.0)]), &memory).unwrap();
    memory.forget_references();
    session.apply(&batch(2, &[], &[(0, 2.0)]), &memory).unwrap();
    assert_eq!(memory.samples(), ["a@1 [1.0]", "a@2 [2.0]"]);
}

#[test]
fn refused_series_do_not_hold_up_the_others() {
    let (memory, mut session) = (Memory::default(), Session::default());
    let first = batch(1, &[(0, "refused"), (1, "b")], &[(0, 1.0), (1, 2.0)]);
    let applied = session.apply(&first, &memory).unwrap();
    assert_eq!((applied.refused_samples, applied.report.stored), (1, 1));
    assert_eq!(applied.refusal, "refused: a test says so");
    assert_eq!(memory.samples(), ["b@1 [2.0]"]);
}

#[test]
fn a_storage_that_takes_nothing_acknowledges_nothing() {
    let (memory, mut session) = (Memory::default(), Session::default());
    let first = batch(1, &[(0, "a")], &[(0, 1.0)]);
    memory.state.lock().unwrap().is_read_only = true;
    assert!(matches!(session.apply(&first, &memory), Err(ApplyError::Storage { sequence: 1, .. })));
    assert_eq!(session.acknowledged(), 0);
    memory.state.lock().unwrap().is_read_only = false;
    session.apply(&first, &memory).unwrap();
    assert_eq!(memory.samples(), ["a@1 [1.0]"]);
}

#[test]
fn a_broken_protocol_is_named() {
    let check = |batch: wire::Batch, expected: &str| {
        let (memory, mut session) = (Memory::default(), Session::default());
        session.apply(&super::tests::batch(1, &[(0, "a")], &[(0, 1.0)]), &memory).unwrap();
        let error = session.apply(&batch, &memory).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(batch(2, &[], &[(7, 1.0)]), "batch 2: series 7 was not announced");
    let mut uneven = batch(2, &[], &[(0, 1.0)]);
    uneven.values.clear();
    check(uneven, "batch 2: 1 numbers, 0 values");
    check(batch(2, &[(0, "other")], &[]), "batch 1: series 0 is announced with other labels");
    let mut unsorted = batch(2, &[(5, "a")], &[]);
    unsorted.announced[0].labels.push("odd".to_owned());
    check(unsorted, "batch 1: the labels of series 5 are not sorted pairs");
}

#[test]
fn a_series_that_ends_and_returns_in_one_batch_keeps_its_value() {
    let (memory, mut session) = (Memory::default(), Session::default());
    session.apply(&batch(1, &[(0, "a")], &[(0, 1.0)]), &memory).unwrap();
    let mut both = batch(2, &[(1, "a")], &[(1, 5.0), (0, swell_model::stale_nan())]);
    both.retired = vec![0];
    session.apply(&both, &memory).unwrap();
    assert_eq!(memory.samples(), ["a@1 [1.0]", "a@2 [5.0]"]);
}

/// What may happen between agent and server.
#[derive(Clone, Debug)]
enum Event {
    /// A tick with some of the series.
    Tick(Vec<u8>),
    /// The agent sends, the server stores, the acknowledgement arrives.
    Deliver,
    /// The same, but the acknowledgement is lost with the connection.
    Cut,
    /// The server starts anew and remembers no session.
    Restart,
    /// The storage forgets its references.
    Forget,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => prop::collection::vec(0_u8..5, 0..5).prop_map(Event::Tick),
        6 => Just(Event::Deliver),
        2 => Just(Event::Cut),
        1 => Just(Event::Restart),
        1 => Just(Event::Forget),
    ];
    prop::collection::vec(event, 1..80)
}

proptest! {
    /// Whatever happens, each sample the agent did not drop is stored exactly once, under its labels.
    #[test]
    fn nothing_is_lost_or_doubled(events in events(), spool_bytes in prop_oneof![Just(400_usize), Just(1 << 20)]) {
        let memory = Memory::default();
        let (mut pass, mut spool, mut session) = (Pass::new(), Spool::new(spool_bytes), Session::default());
        let (mut offered, mut dropped, mut at) = (BTreeMap::new(), 0, 0);
        let connect = |spool: &mut Spool, session: &mut Session| {
            for announce in spool.welcome(session.acknowledged(), session.knows_series()) {
                session.announce(&announce.series).unwrap();
            }
        };
        let one = |spool: &mut Spool, session: &mut Session, is_acknowledged: bool| {
            if let Some(waiting) = spool.next_to_send() {
                let batch = waiting.to_wire();
                session.apply(&batch, &memory).unwrap();
                if is_acknowledged {
                    spool.acknowledge(batch.sequence);
                }
            }
        };
        connect(&mut spool, &mut session);
        for event in events {
            match event {
                Event::Tick(names) => {
                    at += 1;
                    for name in names {
                        let labels = Labels::from_pairs([(METRIC_NAME, format!("s{name}"))]);
                        pass.record_labels(&labels, f64::from(at));
                        offered.insert((labels, i64::from(at)), f64::from(at).to_bits());
                    }
                    let delta: PassDelta = pass.finish(TimestampMs(i64::from(at)));
                    dropped += spool.push(delta).batches;
                }
                Event::Deliver => one(&mut spool, &mut session, true),
                Event::Cut => {
                    one(&mut spool, &mut session, false);
                    connect(&mut spool, &mut session);
                }
                Event::Restart => {
                    session = Session::default();
                    connect(&mut spool, &mut session);
                }
                Event::Forget => memory.forget_references(),
            }
        }
        while !spool.is_empty() {
            one(&mut spool, &mut session, true);
        }
        let stored = &memory.state.lock().unwrap().samples;
        for (key, values) in stored {
            let is_repeat = values.iter().all(|value| *value == values[0]);
            prop_assert!(is_repeat, "{:?} has {:?}", key, values);
            if !is_stale_nan(f64::from_bits(values[0])) {
                prop_assert_eq!(offered.get(key), Some(&values[0]));
            }
        }
        if dropped == 0 {
            for (key, value) in &offered {
                prop_assert_eq!(stored.get(key).map(|values| values[0]), Some(*value), "{:?}", key);
            }
        }
    }
}
