//! What is to be said about a group of alerts.

use std::collections::BTreeMap;

use swell_model::{Labels, TimestampMs};
use swell_route::{Alert, NotifyReason};

/// A group of alerts that is due to be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The group's key; its hash is what paging systems deduplicate by.
    pub group_key: String,
    /// Name of the receiver.
    pub receiver: String,
    /// Values of the `group_by` labels.
    pub group_labels: Labels,
    /// Labels of the route; the values are templates.
    pub route_labels: BTreeMap<String, String>,
    /// Alerts, resolved ones included.
    pub alerts: Vec<Alert>,
    /// Where users reach this server.
    pub external_url: String,
    /// Why it is sent; `None` outside the pipeline.
    pub reason: Option<NotifyReason>,
    /// When it is sent: decides which alerts are resolved.
    pub at: TimestampMs,
}

impl Notification {
    /// Whether anything fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.alerts.iter().any(|alert| !alert.is_resolved(self.at))
    }

    /// `firing` or `resolved`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.is_firing() { "firing" } else { "resolved" }
    }

    /// Labels that all alerts have with the same value.
    #[must_use]
    pub fn common_labels(&self) -> BTreeMap<String, String> {
        common(self.alerts.iter().map(|alert| {
            alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        }))
    }

    /// Annotations that all alerts have with the same value.
    #[must_use]
    pub fn common_annotations(&self) -> BTreeMap<String, String> {
        common(self.alerts.iter().map(|alert| alert.annotations.clone()))
    }

    /// The receiver's name as payloads and templates have it: quoted for a regular expression.
    #[must_use]
    pub fn quoted_receiver(&self) -> String {
        let mut quoted = String::with_capacity(self.receiver.len());
        for c in self.receiver.chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted
    }
}

fn common(mut sets: impl Iterator<Item = BTreeMap<String, String>>) -> BTreeMap<String, String> {
    let Some(mut common) = sets.next() else { return BTreeMap::new() };
    for set in sets {
        common.retain(|name, value| set.get(name) == Some(value));
    }
    common
}
