//! Alerts as the notifier has them, and what happens when one is reported again.

use std::collections::BTreeMap;
use std::fmt;

use swell_model::{Labels, TimestampMs};

/// Identity of a label set: FNV-1a over the sorted pairs, as Alertmanager's API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of a label set.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let mut hash = OFFSET;
        let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        for (name, value) in labels.iter() {
            name.bytes().for_each(&mut add);
            add(0xff);
            value.bytes().for_each(&mut add);
            add(0xff);
        }
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An alert.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identity.
    pub labels: Labels,
    /// Texts for people.
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    pub starts_at: TimestampMs,
    /// When it ends or ended: once this is reached the alert counts as resolved.
    pub ends_at: TimestampMs,
    /// When it was last reported.
    pub updated_at: TimestampMs,
    /// Where it comes from.
    pub generator_url: String,
    /// Whether `ends_at` was made up because the sender named none.
    pub timeout: bool,
}

impl Alert {
    /// Whether the alert is over.
    #[must_use]
    pub fn is_resolved(&self, now: TimestampMs) -> bool {
        self.ends_at <= now
    }

    /// Identity of the labels.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.labels)
    }

    /// Puts a later report on top of this one: the earliest start counts, and the later report's end and
    /// annotations, but a made-up end never shortens one that was named.
    #[must_use]
    pub fn merged(&self, later: &Self, now: TimestampMs) -> Self {
        if later.updated_at < self.updated_at {
            return later.merged(self, now);
        }
        let mut merged = later.clone();
        merged.starts_at = self.starts_at.min(later.starts_at);
        let ends_later = self.ends_at > later.ends_at;
        let keep_end = if later.is_resolved(now) { self.is_resolved(now) } else { !self.timeout };
        if ends_later && keep_end {
            merged.ends_at = self.ends_at;
        }
        merged
    }

    fn overlaps(&self, later: &Self) -> bool {
        let inside = |at: TimestampMs| at > self.starts_at && at < self.ends_at;
        inside(later.ends_at) || inside(later.starts_at)
    }
}

/// All alerts that are known, by label set.
#[derive(Clone, Debug, Default)]
pub struct AlertStore {
    alerts: BTreeMap<Labels, Alert>,
}

impl AlertStore {
    /// Takes a report; gives the alert as it is now.
    pub fn put(&mut self, report: Alert, now: TimestampMs) -> Alert {
        let alert = match self.alerts.get(&report.labels) {
            Some(known) if known.overlaps(&report) => known.merged(&report, now),
            _ => report,
        };
        self.alerts.insert(alert.labels.clone(), alert.clone());
        alert
    }

    /// Forgets alerts that are over.
    pub fn forget_resolved(&mut self, now: TimestampMs) {
        self.alerts.retain(|_, alert| !alert.is_resolved(now));
    }

    /// All alerts, by label set.
    pub fn iter(&self) -> impl Iterator<Item = &Alert> + Clone {
        self.alerts.values()
    }

    /// Number of alerts.
    #[must_use]
    pub fn len(&self) -> usize {
        self.alerts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.alerts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(starts_at: i64, ends_at: i64, updated_at: i64, timeout: bool) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: BTreeMap::from([("n".to_owned(), updated_at.to_string())]),
            starts_at: TimestampMs(starts_at),
            ends_at: TimestampMs(ends_at),
            updated_at: TimestampMs(updated_at),
            generator_url: String::new(),
            timeout,
        }
    }

    #[test]
    fn fingerprints_are_those_of_alertmanager() {
        let labels = Labels::from_pairs([
            ("alertname", "InstanceDown"),
            ("instance", "10.0.0.5:9100"),
            ("job", "node"),
            ("severity", "critical"),
        ]);
        assert_eq!(Fingerprint::of(&labels).to_string(), "9f32c3d5664383c5");
    }

    #[test]
    fn reports_that_overlap_are_merged() {
        for (first, second, now, expected) in [
            // A firing alert reported again: earliest start, later end.
            (alert(0, 100, 1, false), alert(10, 200, 2, false), 50, (0, 200)),
            // Resolved by name.
            (alert(0, 100, 1, false), alert(0, 40, 2, false), 50, (0, 40)),
            // A made-up end that comes later gives way to nothing; one that comes sooner does not shorten.
            (alert(0, 100, 1, false), alert(10, 60, 2, true), 50, (0, 100)),
            // After the end: a new occurrence.
            (alert(0, 100, 1, false), alert(150, 300, 2, false), 160, (150, 300)),
        ] {
            let mut store = AlertStore::default();
            store.put(first, TimestampMs(now));
            let known = store.put(second, TimestampMs(now));
            assert_eq!((known.starts_at.0, known.ends_at.0), expected);
            assert_eq!(known.annotations["n"], "2");
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut store = AlertStore::default();
        store.put(alert(0, 100, 1, false), TimestampMs(0));
        store.forget_resolved(TimestampMs(99));
        assert_eq!(store.len(), 1);
        store.forget_resolved(TimestampMs(100));
        assert!(store.is_empty());
    }
}
