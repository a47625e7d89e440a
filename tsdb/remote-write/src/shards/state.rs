//! Shards: what waits in each, what is under way, and where each stands in the log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::place::Place;

/// Bounds of batches and waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Points that a shard holds at most before no more are taken.
    pub(crate) capacity: usize,
    /// Points of a request.
    pub(crate) batch_max: usize,
    /// How long a point waits for others.
    pub(crate) batch_deadline: Duration,
    /// Waits after failures.
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

/// All shards. Times are those since the queue began.
///
/// Invariants: a shard has one batch under way at most, and its points leave in the order in which they came.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    limits: Limits,
    shards: Vec<Shard<T>>,
    /// Nothing waits for others.
    is_flushing: bool,
}

#[derive(Debug)]
struct Shard<T> {
    waiting: VecDeque<(Place, T)>,
    /// When the oldest of these came, or the last batch left.
    since: Duration,
    flight: Option<Flight<T>>,
    /// Everything up to here is settled.
    done: Place,
}

/// A batch that is not settled.
#[derive(Debug)]
struct Flight<T> {
    batch: Arc<Vec<T>>,
    last: Place,
    /// When it is tried again; `None` while it is under way.
    retry_at: Option<Duration>,
    backoff: Duration,
    attempt: u32,
}

/// A batch that is to be sent now.
#[derive(Debug)]
pub(crate) struct Start<T> {
    pub(crate) shard: usize,
    pub(crate) batch: Arc<Vec<T>>,
    /// 0 for the first try.
    pub(crate) attempt: u32,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It needs no other try.
    Settled,
    /// It is to be tried again, at the earliest after the time that the receiver names.
    Retry(Option<Duration>),
}

impl<T> Shards<T> {
    /// As many shards as there are places, each of which has settled all up to its place.
    ///
    /// # Panics
    /// Without a place.
    pub(crate) fn new(limits: Limits, places: &[Place]) -> Self {
        assert!(!places.is_empty(), "there is a shard");
        let shard = |done: &Place| Shard {
            waiting: VecDeque::new(),
            since: Duration::ZERO,
            flight: None,
            done: *done,
        };
        Self { limits, shards: places.iter().map(shard).collect(), is_flushing: false }
    }

    /// Number of shards.
    pub(crate) const fn count(&self) -> usize {
        self.shards.len()
    }

    /// Whether more points may be offered.
    pub(crate) fn has_room(&self) -> bool {
        self.shards.iter().all(|shard| shard.waiting.len() < self.limits.capacity)
    }

    /// Takes a point for the shard of its hash, unless that shard has settled it before; whether it did.
    pub(crate) fn offer(&mut self, hash: u32, at: Place, point: T, now: Duration) -> bool {
        let idx = hash as usize % self.shards.len();
        let shard = &mut self.shards[idx];
        if at <= shard.done {
            return false;
        }
        if shard.waiting.is_empty() {
            shard.since = now;
        }
        shard.waiting.push_back((at, point));
        true
    }

    /// What is to be sent now: batches that are full, that have waited long enough, or that are to be tried again.
    pub(crate) fn starts(&mut self, now: Duration) -> Vec<Start<T>> {
        let mut starts = Vec::new();
        for (idx, shard) in self.shards.iter_mut().enumerate() {
            match &mut shard.flight {
                Some(flight) if flight.retry_at.is_some_and(|at| at <= now) => {
                    flight.retry_at = None;
                    flight.attempt += 1;
                }
                Some(_) => continue,
                None => {
                    let is_due = shard.waiting.len() >= self.limits.batch_max
                        || self.is_flushing
                        || now >= shard.since + self.limits.batch_deadline;
                    if shard.waiting.is_empty() || !is_due {
                        continue;
                    }
                    let len = shard.waiting.len().min(self.limits.batch_max);
                    let last = shard.waiting[len - 1].0;
                    let batch = shard.waiting.drain(..len).map(|(_, point)| point).collect();
                    shard.since = now;
                    shard.flight = Some(Flight {
                        batch: Arc::new(batch),
                        last,
                        retry_at: None,
                        backoff: self.limits.backoff_min,
                        attempt: 0,
                    });
                }
            }
            let flight = shard.flight.as_ref().expect("there was one, or it was made");
            let (batch, attempt) = (Arc::clone(&flight.batch), flight.attempt);
            starts.push(Start { shard: idx, batch, attempt });
        }
        starts
    }

    /// Notes what became of the batch that a shard had under way.
    ///
    /// # Panics
    /// When it had none.
    pub(crate) fn answered(&mut self, shard: usize, outcome: Outcome, now: Duration) {
        let shard = &mut self.shards[shard];
        let flight = shard.flight.as_mut().expect("answers come to what was sent");
        assert!(flight.retry_at.is_none(), "answers come to what is under way");
        match outcome {
            Outcome::Settled => {
                shard.done = flight.last;
                shard.flight = None;
            }
            Outcome::Retry(asked) => {
                flight.retry_at = Some(now + asked.unwrap_or(flight.backoff));
                if asked.is_none() {
                    flight.backoff = (flight.backoff * 2).min(self.limits.backoff_max);
                }
            }
        }
    }

    /// When [`Shards::starts`] has something next, unless an answer comes before.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let due = |shard: &Shard<T>| match &shard.flight {
            Some(flight) => flight.retry_at,
            None if shard.waiting.is_empty() => None,
            None => Some(shard.since + self.limits.batch_deadline),
        };
        self.shards.iter().filter_map(due).min()
    }

    /// Sends what waits without waiting for more, from now on or no longer.
    pub(crate) const fn flush(&mut self, is_flushing: bool) {
        self.is_flushing = is_flushing;
    }

    /// Whether nothing waits or is under way.
    pub(crate) fn is_drained(&self) -> bool {
        self.shards.iter().all(|shard| shard.waiting.is_empty() && shard.flight.is_none())
    }

    /// Whether a batch waits for another try.
    pub(crate) fn has_failed(&self) -> bool {
        self.shards
            .iter()
            .any(|shard| shard.flight.as_ref().is_some_and(|flight| flight.retry_at.is_some()))
    }

    /// Up to where each shard has settled everything, when points up to `offered` were offered.
    pub(crate) fn places(&self, offered: Place) -> Vec<Place> {
        let place = |shard: &Shard<T>| match shard.waiting.is_empty() && shard.flight.is_none() {
            true => shard.done.max(offered),
            false => shard.done,
        };
        self.shards.iter().map(place).collect()
    }

    /// Whether no shard has settled more than up to `offered`. After a start some have, until what the others had not
    /// is read again; the number of shards cannot change before, since with other series in each shard nobody knew any
    /// more what is settled.
    pub(crate) fn are_level(&self, offered: Place) -> bool {
        self.shards.iter().all(|shard| shard.done <= offered)
    }

    /// Goes on with another number of shards, when points up to `offered` were offered.
    ///
    /// # Panics
    /// Unless drained and level, or with no shard: points would overtake each other, or come twice.
    pub(crate) fn reshard(&mut self, count: usize, offered: Place) {
        assert!(self.is_drained(), "what is under way belongs to a shard");
        assert!(self.are_level(offered), "what is settled belongs to a shard");
        *self = Self::new(self.limits, &vec![offered; count]);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
