//! What a queue knows and decides: when it reads, what it sends, where it stands, how many shards it has, when it is over.
//! Times are those since it began.

use std::time::Duration;

use crate::encode::Encoded;
use crate::place::Place;
use crate::point::{Counts, Point};
use crate::shards::{Limits, Outcome, Shards, Start, desired};

use super::rates::Rates;

/// At the end of the log: shortest and longest wait for more. Samples that come meanwhile share a look.
const READ_PAUSE: Duration = Duration::from_millis(100);
const READ_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a queue that stops may send what is there.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// A receiver that took nothing for so long gets no more connections.
const TAKING_PATIENCE: Duration = Duration::from_secs(10);

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) limits: Limits,
    pub(super) shards_min: usize,
    pub(super) shards_max: usize,
}

/// When the log is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// Not before.
    pub(super) at: Duration,
    /// At the end of the log: when something was stored, and at this time at the latest.
    pub(super) by: Option<Duration>,
}

/// Whether the number of shards is as the load asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Considered {
    /// What it asks for, by the calculation alone.
    pub(super) exact: f64,
    /// From how many to how many it changes.
    pub(super) change: Option<(usize, usize)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct State {
    bounds: Bounds,
    shards: Shards<Point>,
    /// Points up to here were offered to the shards.
    offered: Place,
    reading: Reading,
    /// What is stored is read up to here before a queue that stops ends.
    is_read_up: bool,
    /// What the file says.
    saved: Vec<Place>,
    /// How many shards there are to be once these are drained.
    reshard_to: Option<usize>,
    rates: Rates,
    /// When something was taken last.
    taken_at: Option<Duration>,
    /// Newest time of a point that was read.
    newest_read_ms: i64,
    /// Newest time that was taken.
    newest_sent_ms: i64,
    /// What waits or is under way.
    pending: Counts,
    /// When a queue that stops gives up.
    give_up_at: Option<Duration>,
}

impl State {
    /// A queue that goes on behind these places, one for each shard, after so many samples were stored.
    pub(super) fn new(bounds: Bounds, places: Vec<Place>, stored_before: u64) -> Self {
        Self {
            bounds,
            shards: Shards::new(bounds.limits, &places),
            offered: places.iter().min().copied().unwrap_or_default(),
            reading: Reading { at: Duration::ZERO, by: None },
            is_read_up: false,
            saved: places,
            reshard_to: None,
            rates: Rates::new(stored_before),
            taken_at: None,
            newest_read_ms: 0,
            newest_sent_ms: 0,
            pending: Counts::default(),
            give_up_at: None,
        }
    }

    pub(super) const fn shard_count(&self) -> usize {
        self.shards.count()
    }

    /// What waits or is under way.
    pub(super) const fn pending(&self) -> Counts {
        self.pending
    }

    /// Newest time of a point that was read and has a shard, in milliseconds; 0 before.
    pub(super) const fn newest_read_ms(&self) -> i64 {
        self.newest_read_ms
    }

    /// Newest time that was taken, in milliseconds; 0 before.
    pub(super) const fn newest_sent_ms(&self) -> i64 {
        self.newest_sent_ms
    }

    pub(super) const fn is_stopping(&self) -> bool {
        self.give_up_at.is_some()
    }

    /// It is to end: what is there is sent at once, for a while.
    pub(super) fn stop(&mut self, now: Duration) {
        self.give_up_at = Some(now + FLUSH_DEADLINE);
        self.shards.flush(true);
        self.reading = Reading { at: Duration::ZERO, by: None };
    }

    /// Whether a queue that stops has nothing left to do, or has to leave it.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let Some(give_up_at) = self.give_up_at else { return false };
        let is_done = self.is_read_up && self.shards.is_drained();
        // A receiver that fails is not waited for: what it lacks is in the log.
        is_done || self.shards.has_failed() || now >= give_up_at
    }

    /// When it has something to do although nothing happens.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        [self.shards.wake_at(), self.give_up_at].into_iter().flatten().min()
    }

    /// When the log is to be read on, if it is.
    pub(super) fn reading(&self) -> Option<Reading> {
        let may_read = self.reshard_to.is_none() && !self.is_read_up && self.shards.has_room();
        may_read.then_some(self.reading)
    }

    /// Whether it is to be read on now.
    pub(super) fn reads_now(&self, now: Duration) -> bool {
        self.reading().is_some_and(|reading| reading.by.is_none() && now >= reading.at)
    }

    /// Something was stored, or the wait for it is over.
    pub(super) const fn may_have_more(&mut self) {
        self.reading.by = None;
    }

    /// The log could not be read.
    pub(super) fn read_failed(&mut self, now: Duration) {
        self.reading.at = now + READ_PAUSE_MAX;
        // A queue that stops does not wait for a log that cannot be read.
        self.is_read_up = self.is_stopping();
    }

    /// So many points are not sent.
    pub(super) const fn left_out(&mut self, count: u64) {
        self.rates.dropped(count);
    }

    /// Takes points that were read, up to a place, which may be the end of the log. Whether there is no room for more since.
    pub(super) fn read(
        &mut self,
        points: Vec<(Place, Point)>,
        upto: Place,
        is_at_end: bool,
        now: Duration,
    ) -> bool {
        let had_room = self.shards.has_room();
        for (at, point) in points {
            let mut counts = Counts::default();
            counts.add(&point);
            let at_ms = point.timestamp_ms;
            if self.shards.offer(point.series.shard_hash, at, point, now) {
                self.pending = self.pending.zip(counts, u64::saturating_add);
                self.newest_read_ms = self.newest_read_ms.max(at_ms);
            }
        }
        self.offered = upto;
        if is_at_end {
            self.is_read_up = self.is_stopping();
            self.reading = Reading { at: now + READ_PAUSE, by: Some(now + READ_PAUSE_MAX) };
        }
        had_room && !self.shards.has_room()
    }

    /// Goes on with another number of shards, once the old ones are drained; tells how many they are then.
    pub(super) fn reshard(&mut self) -> Option<usize> {
        let count = self.reshard_to.filter(|_| self.shards.is_drained())?;
        self.reshard_to = None;
        self.shards.reshard(count, self.offered);
        self.shards.flush(self.is_stopping());
        Some(count)
    }

    /// What is to be sent now.
    pub(super) fn starts(&mut self, now: Duration) -> Vec<Start<Point>> {
        self.shards.starts(now)
    }

    /// A request went out and came back, or did not.
    pub(super) fn asked(&mut self, took: Duration) {
        self.rates.busy(took);
    }

    /// A request is to be sent again.
    pub(super) fn retry(&mut self, shard: usize, wait: Option<Duration>, now: Duration) {
        self.shards.answered(shard, Outcome::Retry(wait), now);
    }

    /// A request is not sent again; it was taken as a whole, or refused, or had nothing to send.
    pub(super) fn settled(
        &mut self,
        shard: usize,
        encoded: &Encoded,
        is_taken: bool,
        now: Duration,
    ) {
        let lone = Counts { exemplars: encoded.lone_exemplars, ..Counts::default() };
        for gone in [encoded.counts, encoded.too_old, lone] {
            self.pending = self.pending.zip(gone, u64::saturating_sub);
        }
        self.rates.sent(encoded.counts.values());
        self.rates.dropped(encoded.too_old.values());
        if is_taken {
            self.taken_at = Some(now);
            self.newest_sent_ms = self.newest_sent_ms.max(encoded.newest_ms.unwrap_or(0));
        }
        self.shards.answered(shard, Outcome::Settled, now);
    }

    /// Where each shard stands.
    pub(super) fn places(&self) -> Vec<Place> {
        self.shards.places(self.offered)
    }

    /// The same, where it is not what the file says.
    pub(super) fn unsaved(&self) -> Option<Vec<Place>> {
        Some(self.places()).filter(|places| *places != self.saved)
    }

    /// What the file says.
    pub(super) fn saved(&self) -> &[Place] {
        &self.saved
    }

    /// The oldest place in the file: what the log has before is needed no more.
    pub(super) fn settled_place(&self) -> Place {
        self.saved.iter().min().copied().unwrap_or_default()
    }

    /// The file was written, or could not be: the next change tries again, and more often would not help.
    pub(super) fn written(&mut self, places: Vec<Place>) {
        self.saved = places;
    }

    /// Looks, each ten seconds, whether the load asks for another number of shards: so many samples are stored in all, up to a
    /// time.
    pub(super) fn consider_shards(
        &mut self,
        stored: u64,
        newest_stored_ms: Option<i64>,
        now: Duration,
    ) -> Considered {
        let behind_ms = match newest_stored_ms {
            Some(newest) if self.newest_sent_ms > 0 => newest - self.newest_sent_ms,
            _ => 0,
        };
        let load = self.rates.read(stored, super::seconds(behind_ms.max(0)));
        let limits = (self.bounds.shards_min, self.bounds.shards_max);
        let count = self.shards.count();
        let found = desired(&load, count, limits);
        // More connections are no help to a receiver that takes nothing.
        let patience = TAKING_PATIENCE.max(self.bounds.limits.batch_deadline * 2);
        let is_taking = self.taken_at.is_some_and(|at| now.saturating_sub(at) <= patience);
        let may_change = is_taking && !self.is_stopping() && self.shards.are_level(self.offered);
        let change = (found.count != count && may_change).then_some((count, found.count));
        if change.is_some() {
            self.reshard_to = Some(found.count);
            self.shards.flush(true);
        }
        Considered { exact: found.exact, change }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
