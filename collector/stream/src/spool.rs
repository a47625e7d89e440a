//! What an agent keeps until the server has stored it: decisions only, no IO.
//!
//! Batches wait in order until they are acknowledged. Beside them stands the table of series as it is
//! *before* the first waiting batch; a server that knows nothing of the session gets that table first,
//! and every waiting batch after it. When the spool is full the oldest batch goes, and what it said about
//! series moves into the next one: the server then misses samples but no series, and a series that
//! ended meanwhile still gets its staleness marker.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use swell_model::{Labels, PassDelta, TimestampMs, stale_nan};

use crate::wire;

/// Batches sent and not acknowledged; more would only fill the buffers of a slow server.
const IN_FLIGHT_MAX: usize = 8;

/// Series in one announcement after a reconnect.
const ANNOUNCE_SERIES_MAX: usize = 2000;

/// Bytes a sample takes in a waiting batch.
const SAMPLE_BYTES: usize = size_of::<u32>() + size_of::<f64>();

/// A tick that waits.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) sequence: u64,
    pub(crate) timestamp: TimestampMs,
    pub(crate) announced: Vec<(u32, Labels)>,
    pub(crate) numbers: Vec<u32>,
    pub(crate) values: Vec<f64>,
    pub(crate) retired: Vec<u32>,
}

impl Waiting {
    fn new(sequence: u64, delta: PassDelta) -> Self {
        let number = |series: swell_model::SeriesNumber| series.0;
        Self {
            sequence,
            timestamp: delta.timestamp,
            announced: delta
                .announced
                .into_iter()
                .map(|(series, labels)| (number(series), labels))
                .collect(),
            numbers: delta.samples.iter().map(|(series, _)| number(*series)).collect(),
            values: delta.samples.iter().map(|(_, value)| *value).collect(),
            retired: delta.retired.into_iter().map(number).collect(),
        }
    }

    fn bytes(&self) -> usize {
        let text: usize = self.announced.iter().map(|(_, labels)| labels.text_bytes()).sum();
        size_of::<Self>() + text + self.numbers.len() * SAMPLE_BYTES
    }

    pub(crate) fn to_wire(&self) -> wire::Batch {
        wire::Batch {
            sequence: self.sequence,
            timestamp_ms: self.timestamp.0,
            announced: self
                .announced
                .iter()
                .map(|(number, labels)| wire::Series::new(*number, labels))
                .collect(),
            numbers: self.numbers.clone(),
            values: self.values.clone(),
            retired: self.retired.clone(),
        }
    }

    /// Takes over what a dropped batch before this one said about series.
    fn inherit(&mut self, dropped: Self) {
        let ended: BTreeSet<u32> = dropped.retired.iter().copied().collect();
        let born: BTreeSet<u32> = dropped.announced.iter().map(|(number, _)| *number).collect();
        let lives_on = dropped.announced.into_iter().filter(|(number, _)| !ended.contains(number));
        let own = std::mem::take(&mut self.announced);
        self.announced = lives_on.chain(own).collect();
        for number in ended.difference(&born) {
            self.retired.push(*number);
            self.numbers.push(*number);
            self.values.push(stale_nan());
        }
    }
}

/// What was given up because the spool was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) batches: u64,
    pub(crate) samples: u64,
}

/// Everything an agent has not got an acknowledgement for.
#[derive(Debug)]
pub(crate) struct Spool {
    /// Series live before the first waiting batch.
    base: BTreeMap<u32, Labels>,
    waiting: VecDeque<Waiting>,
    bytes: usize,
    bytes_max: usize,
    next_sequence: u64,
    /// Last batch given to the present connection.
    sent: u64,
}

impl Spool {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            base: BTreeMap::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            bytes_max,
            next_sequence: 1,
            sent: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a tick, and drops the oldest ones when there is no room; the newest always stays.
    pub(crate) fn push(&mut self, delta: PassDelta) -> Dropped {
        let waiting = Waiting::new(self.next_sequence, delta);
        self.next_sequence += 1;
        self.bytes += waiting.bytes();
        self.waiting.push_back(waiting);
        let mut dropped = Dropped::default();
        while self.bytes > self.bytes_max && self.waiting.len() > 1 {
            let Some(oldest) = self.waiting.pop_front() else { break };
            dropped.batches += 1;
            dropped.samples += oldest.numbers.len() as u64;
            self.bytes -= oldest.bytes();
            if let Some(next) = self.waiting.front_mut() {
                self.bytes -= next.bytes();
                next.inherit(oldest);
                self.bytes += next.bytes();
            }
        }
        dropped
    }

    /// A connection was welcomed: what to announce before the batches.
    pub(crate) fn welcome(&mut self, acknowledged: u64, knows_series: bool) -> Vec<wire::Announce> {
        self.acknowledge(acknowledged);
        self.sent = 0;
        if knows_series {
            return Vec::new();
        }
        let series: Vec<wire::Series> =
            self.base.iter().map(|(number, labels)| wire::Series::new(*number, labels)).collect();
        let chunks = series.chunks(ANNOUNCE_SERIES_MAX);
        chunks.map(|series| wire::Announce { series: series.to_vec() }).collect()
    }

    /// The next batch for the present connection; `None` when all are sent or enough are on their way.
    pub(crate) fn next_to_send(&mut self) -> Option<&Waiting> {
        let sent = self.sent;
        let idx = self.waiting.partition_point(|waiting| waiting.sequence <= sent);
        if idx >= IN_FLIGHT_MAX {
            return None;
        }
        let waiting = self.waiting.get(idx)?;
        self.sent = waiting.sequence;
        Some(waiting)
    }

    /// Whether batches were sent that are not acknowledged.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.waiting.front().is_some_and(|waiting| waiting.sequence <= self.sent)
    }

    /// All batches up to `sequence` are stored.
    pub(crate) fn acknowledge(&mut self, sequence: u64) {
        let stored = self.waiting.partition_point(|waiting| waiting.sequence <= sequence);
        for waiting in self.waiting.drain(..stored) {
            self.bytes -= waiting.bytes();
            self.base.extend(waiting.announced);
            for number in waiting.retired {
                self.base.remove(&number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use swell_model::Pass;

    use super::*;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn tick(pass: &mut Pass, at: i64, names: &[&str]) -> PassDelta {
        for name in names {
            pass.record_labels(&labels(name), 1.0);
        }
        pass.finish(TimestampMs(at))
    }

    #[test]
    fn batches_wait_until_acknowledged_and_are_sent_again_after_a_reconnect() {
        let (mut pass, mut spool) = (Pass::new(), Spool::new(1 << 20));
        for at in 1..=3 {
            assert_eq!(spool.push(tick(&mut pass, at, &["a"])), Dropped::default());
        }
        assert!(spool.welcome(0, false).is_empty(), "nothing is known before the first batch");
        let sent: Vec<u64> = std::iter::from_fn(|| Some(spool.next_to_send()?.sequence)).collect();
        assert_eq!(sent, [1, 2, 3]);
        assert!(spool.is_in_flight());
        spool.acknowledge(1);

        // the server remembers
        assert!(spool.welcome(2, true).is_empty());
        assert_eq!(spool.next_to_send().map(|waiting| waiting.sequence), Some(3));
        // it does not
        let announced = spool.welcome(0, false);
        assert_eq!(announced[0].series, [wire::Series::new(0, &labels("a"))]);
        assert_eq!(spool.next_to_send().map(|waiting| waiting.sequence), Some(3));
        spool.acknowledge(3);
        assert!(spool.is_empty() && !spool.is_in_flight());
        assert_eq!(spool.bytes, 0);
    }

    #[test]
    fn only_so_many_are_on_their_way() {
        let (mut pass, mut spool) = (Pass::new(), Spool::new(1 << 20));
        for at in 1..=20 {
            spool.push(tick(&mut pass, at, &["a"]));
        }
        spool.welcome(0, false);
        let sent = std::iter::from_fn(|| Some(spool.next_to_send()?.sequence)).count();
        assert_eq!(sent, IN_FLIGHT_MAX);
        spool.acknowledge(3);
        let sent: Vec<u64> = std::iter::from_fn(|| Some(spool.next_to_send()?.sequence)).collect();
        assert_eq!(sent, [9, 10, 11]);
    }

    #[test]
    fn a_full_spool_drops_the_oldest_samples_but_no_series() {
        let (mut pass, mut spool) = (Pass::new(), Spool::new(0));
        spool.push(tick(&mut pass, 1, &["a", "b"]));
        spool.acknowledge(1);
        spool.push(tick(&mut pass, 2, &["a", "b", "c", "d"]));
        let second = spool.push(tick(&mut pass, 3, &["c"]));
        assert_eq!(second, Dropped { batches: 1, samples: 4 });
        let third = spool.push(tick(&mut pass, 4, &["c", "e"]));
        // a tick that holds one sample and the markers of a, b and d
        assert_eq!(third, Dropped { batches: 1, samples: 4 });
        let left = spool.next_to_send().unwrap().clone();
        let announced: Vec<&str> =
            left.announced.iter().filter_map(|(_, labels)| labels.metric_name()).collect();
        assert_eq!(announced, ["c", "e"], "d came and went unheard");
        assert_eq!((left.sequence, spool.len()), (4, 1));
        let mut ended = left.retired.clone();
        ended.sort_unstable();
        assert_eq!(ended, [0, 1], "a and b ended in a batch that was dropped");
        let stale = left.values.iter().filter(|value| swell_model::is_stale_nan(**value)).count();
        assert_eq!((left.numbers.len(), stale), (4, 2));
    }
}
