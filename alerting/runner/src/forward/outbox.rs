//! What waits for one Alertmanager: the latest report of each alert, in the order in which alerts came. No clock, no
//! request.

use std::collections::{BTreeMap, HashMap};

use swell_model::{Labels, TimestampMs};
use swell_route::Alert;

use super::plan;

/// A queue that is bounded: beyond its capacity the oldest alerts go.
#[derive(Debug)]
pub(super) struct Outbox {
    capacity: usize,
    next: u64,
    /// By the number under which an alert came.
    waiting: BTreeMap<u64, Alert>,
    /// The numbers of what waits: an alert that is reported again keeps its place.
    places: HashMap<Labels, u64>,
}

/// Alerts that are being sent, with their numbers.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    alerts: Vec<(u64, Alert)>,
}

impl InFlight {
    pub(super) fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.alerts.iter().map(|(_, alert)| alert)
    }

    pub(super) fn len(&self) -> usize {
        self.alerts.len()
    }
}

impl Outbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, next: 0, waiting: BTreeMap::new(), places: HashMap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes reports; the latest of an alert counts. Says how many old ones had to go for them.
    pub(super) fn take(&mut self, alerts: Vec<Alert>) -> usize {
        for alert in alerts {
            let place = *self.places.entry(alert.labels.clone()).or_insert_with(|| {
                self.next += 1;
                self.next
            });
            self.waiting.insert(place, alert);
        }
        self.shed()
    }

    /// The next alerts to send, the oldest first. What ended too long ago is passed over; how many, comes second.
    pub(super) fn next_batch(&mut self, len_max: usize, now: TimestampMs) -> (InFlight, usize) {
        let (mut batch, mut stale) = (InFlight::default(), 0);
        while batch.len() < len_max {
            let Some((place, alert)) = self.waiting.pop_first() else { break };
            self.places.remove(&alert.labels);
            if plan::is_stale(&alert, now) {
                stale += 1;
            } else {
                batch.alerts.push((place, alert));
            }
        }
        (batch, stale)
    }

    /// Puts alerts that could not be sent back to their places, unless a later report waits already. Says how many had
    /// to go for want of room.
    pub(super) fn give_back(&mut self, batch: InFlight) -> usize {
        for (place, alert) in batch.alerts {
            if !self.places.contains_key(&alert.labels) {
                self.places.insert(alert.labels.clone(), place);
                self.waiting.insert(place, alert);
            }
        }
        self.shed()
    }

    /// Empties the queue; how many were in it.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.waiting.len();
        self.waiting.clear();
        self.places.clear();
        count
    }

    fn shed(&mut self) -> usize {
        let mut shed = 0;
        while self.waiting.len() > self.capacity {
            let Some((_, alert)) = self.waiting.pop_first() else { break };
            self.places.remove(&alert.labels);
            shed += 1;
        }
        shed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

    fn alert(name: &str, ends_at: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: BTreeMap::new(),
            starts_at: NOW,
            ends_at: TimestampMs(NOW.0 + ends_at),
            updated_at: NOW,
            generator_url: String::new(),
            timeout: false,
        }
    }

    fn shown(batch: &InFlight) -> String {
        let alerts = batch.alerts().map(|alert| {
            let name = alert.labels.get("alertname").unwrap_or_default();
            format!("{name}{}", alert.ends_at.0 - NOW.0)
        });
        alerts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_latest_report_of_an_alert_counts_and_keeps_its_place() {
        let mut outbox = Outbox::new(10);
        assert_eq!(outbox.take(vec![alert("a", 1), alert("b", 1)]), 0);
        assert_eq!(outbox.take(vec![alert("a", 2), alert("c", 1)]), 0);
        let (batch, stale) = outbox.next_batch(2, NOW);
        assert_eq!((shown(&batch).as_str(), stale), ("a2 b1", 0));
        assert_eq!(shown(&outbox.next_batch(2, NOW).0), "c1");
        assert_eq!(outbox.next_batch(2, NOW).0.len(), 0);
    }

    #[test]
    fn what_comes_back_gives_way_to_later_reports() {
        let mut outbox = Outbox::new(10);
        outbox.take(vec![alert("a", 1), alert("b", 1)]);
        let (batch, _) = outbox.next_batch(2, NOW);
        outbox.take(vec![alert("c", 1), alert("b", 0)]);
        assert_eq!(outbox.give_back(batch), 0);
        assert_eq!(shown(&outbox.next_batch(9, NOW).0), "a1 c1 b0");
    }

    #[test]
    fn beyond_the_capacity_the_oldest_go() {
        let mut outbox = Outbox::new(2);
        assert_eq!(outbox.take(vec![alert("a", 1), alert("b", 1), alert("c", 1)]), 1);
        let (batch, _) = outbox.next_batch(9, NOW);
        assert_eq!(shown(&batch), "b1 c1");
        assert_eq!(outbox.take(vec![alert("d", 1)]), 0);
        assert_eq!(outbox.give_back(batch), 1);
        assert_eq!((outbox.len(), outbox.clear(), outbox.len()), (2, 2, 0));
        outbox.take(vec![alert("a", 3)]);
        assert_eq!(shown(&outbox.next_batch(9, NOW).0), "a3");
    }

    #[test]
    fn what_ended_long_ago_is_passed_over() {
        let mut outbox = Outbox::new(9);
        outbox.take(vec![alert("a", -16 * 60_000), alert("b", -60_000)]);
        let (batch, stale) = outbox.next_batch(9, NOW);
        assert_eq!((shown(&batch).as_str(), stale), ("b-60000", 1));
    }
}
