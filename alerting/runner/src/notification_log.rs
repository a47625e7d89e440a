//! What each integration was last told about each group, on disk; and the latest deliveries, for people.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use swell_model::{DurationMs, Labels, TimestampMs};
use swell_route::{Fingerprint, LogEntry, NotifyReason};

/// Name of the file.
pub(crate) const FILE: &str = "notifications";
/// First word of the file.
pub(crate) const MAGIC: &str = "SWELLNOTIFY";
/// Deliveries that are remembered for people: some hours of a busy server, below a megabyte.
const DELIVERIES_MAX: usize = 500;

/// One integration of one receiver, for one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogKey {
    pub(crate) group_key: String,
    pub(crate) receiver: String,
    pub(crate) integration: &'static str,
    /// Position among the receiver's integrations.
    pub(crate) idx: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    told: LogEntry,
    expires_at: TimestampMs,
}

/// How a notification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// The service has it.
    Delivered,
    /// It was not taken; the group is tried again at its next interval.
    Failed,
}

impl DeliveryState {
    /// As the API and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

/// A notification that was sent, or was to be.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// When the group was due.
    pub at: TimestampMs,
    /// Name of the receiver.
    pub receiver: String,
    /// Kind of integration.
    pub integration: &'static str,
    /// Position among the receiver's integrations.
    pub integration_idx: usize,
    /// Key of the group.
    pub group_key: String,
    /// Labels of the group.
    pub group_labels: Labels,
    /// Why it was sent.
    pub reason: NotifyReason,
    /// Number of alerts that fired.
    pub firing: usize,
    /// Number of alerts that were resolved.
    pub resolved: usize,
    /// How it ended.
    pub state: DeliveryState,
    /// Attempts made.
    pub attempts: u32,
    /// From the group being due to the end.
    pub latency: DurationMs,
    /// What went wrong last, without secrets.
    pub error: Option<String>,
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct NotificationLog {
    entries: BTreeMap<LogKey, Entry>,
    deliveries: VecDeque<Delivery>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedLog {
    entries: Vec<SavedEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedEntry {
    group_key: String,
    receiver: String,
    integration: String,
    idx: usize,
    timestamp_ms: i64,
    expires_at_ms: i64,
    firing: BTreeSet<u64>,
    resolved: BTreeSet<u64>,
}

impl NotificationLog {
    /// What was last said, if it is remembered.
    pub(crate) fn last(&self, key: &LogKey) -> Option<&LogEntry> {
        self.entries.get(key).map(|entry| &entry.told)
    }

    /// Notes what was said.
    pub(crate) fn tell(&mut self, key: LogKey, told: LogEntry, expires_at: TimestampMs) {
        self.entries.insert(key, Entry { told, expires_at });
    }

    /// Notes how a notification ended.
    pub(crate) fn note(&mut self, delivery: Delivery) {
        if self.deliveries.len() == DELIVERIES_MAX {
            self.deliveries.pop_front();
        }
        self.deliveries.push_back(delivery);
    }

    /// The latest deliveries, newest first.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.deliveries.iter().rev()
    }

    /// Drops entries whose time is up.
    pub(crate) fn expire(&mut self, now: TimestampMs) {
        self.entries.retain(|_, entry| entry.expires_at > now);
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries as JSON.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        let fingerprints =
            |set: &BTreeSet<Fingerprint>| set.iter().map(|fingerprint| fingerprint.0).collect();
        let entries = self.entries.iter().map(|(key, entry)| SavedEntry {
            group_key: key.group_key.clone(),
            receiver: key.receiver.clone(),
            integration: key.integration.to_owned(),
            idx: key.idx,
            timestamp_ms: entry.told.timestamp.0,
            expires_at_ms: entry.expires_at.0,
            firing: fingerprints(&entry.told.firing),
            resolved: fingerprints(&entry.told.resolved),
        });
        serde_json::to_vec(&SavedLog { entries: entries.collect() })
    }

    /// The entries out of JSON; those of integrations that are not known (any more) are left out.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let saved: SavedLog = serde_json::from_slice(bytes)?;
        let fingerprints = |set: BTreeSet<u64>| set.into_iter().map(Fingerprint).collect();
        let mut log = Self::default();
        for entry in saved.entries {
            let Some(integration) =
                INTEGRATIONS.into_iter().find(|known| *known == entry.integration)
            else {
                continue;
            };
            let key = LogKey {
                group_key: entry.group_key,
                receiver: entry.receiver,
                integration,
                idx: entry.idx,
            };
            let told = LogEntry {
                timestamp: TimestampMs(entry.timestamp_ms),
                firing: fingerprints(entry.firing),
                resolved: fingerprints(entry.resolved),
            };
            log.tell(key, told, TimestampMs(entry.expires_at_ms));
        }
        Ok(log)
    }
}

/// Kinds of [`swell_route::Integration`].
const INTEGRATIONS: [&str; 4] = ["webhook", "slack", "pagerduty", "dingtalk"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_survives_its_file() {
        let key = |idx| LogKey {
            group_key: "{}:{}".into(),
            receiver: "r".into(),
            integration: "webhook",
            idx,
        };
        let told = LogEntry {
            timestamp: TimestampMs(5),
            firing: [Fingerprint(u64::MAX)].into(),
            resolved: [Fingerprint(1)].into(),
        };
        let mut log = NotificationLog::default();
        log.tell(key(0), told.clone(), TimestampMs(10));
        log.tell(key(1), told.clone(), TimestampMs(20));
        let mut again = NotificationLog::decode(&log.encode().expect("JSON")).expect("JSON");
        assert_eq!(again.last(&key(0)), Some(&told));
        again.expire(TimestampMs(10));
        assert_eq!((again.len(), again.last(&key(0))), (1, None));
        assert!(NotificationLog::decode(b"{").is_err());
    }
}
