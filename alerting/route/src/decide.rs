//! Whether a due group is notified, and why: compared with what was last said (spec 2.8).

use std::collections::BTreeSet;

use swell_model::{DurationMs, TimestampMs};

use crate::alert::Fingerprint;

/// What one integration was last told about a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// When.
    pub timestamp: TimestampMs,
    /// Alerts that were firing then.
    pub firing: BTreeSet<Fingerprint>,
    /// Alerts that were resolved then.
    pub resolved: BTreeSet<Fingerprint>,
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotifyReason {
    /// The first one about this group, or about it firing again.
    FirstNotification,
    /// An alert fires that the last one did not name.
    NewAlerts,
    /// Nothing fires any more.
    AllResolved,
    /// An alert is resolved that was not when the last one was sent.
    SomeResolved,
    /// Nothing changed, and the last one was long ago.
    RepeatInterval,
}

impl NotifyReason {
    /// As payloads and logs have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstNotification => "first_notification",
            Self::NewAlerts => "new_alerts_in_group",
            Self::AllResolved => "all_alerts_resolved",
            Self::SomeResolved => "some_alerts_resolved",
            Self::RepeatInterval => "repeat_interval_elapsed",
        }
    }
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The group never fired for this integration.
    NeverFired,
    /// What came and went was never told of.
    NothingToldNothingFires,
    /// Nothing changed since the last notification, which is not long ago.
    Unchanged,
}

/// What to do about a due group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send a notification.
    Send(NotifyReason),
    /// The integration does not want to hear of resolved alerts: write the log as if it had been told.
    LogOnly(NotifyReason),
    /// Do nothing.
    Skip(SkipReason),
}

/// Compares a group with what was last said about it.
#[must_use]
pub fn decide(
    firing: &BTreeSet<Fingerprint>,
    resolved: &BTreeSet<Fingerprint>,
    last: Option<&LogEntry>,
    send_resolved: bool,
    repeat_interval: DurationMs,
    now: TimestampMs,
) -> Decision {
    let Some(last) = last else {
        return if firing.is_empty() {
            Decision::Skip(SkipReason::NeverFired)
        } else {
            Decision::Send(NotifyReason::FirstNotification)
        };
    };
    if !firing.is_subset(&last.firing) {
        return Decision::Send(if last.firing.is_empty() {
            NotifyReason::FirstNotification
        } else {
            NotifyReason::NewAlerts
        });
    }
    if firing.is_empty() {
        return match (last.firing.is_empty(), send_resolved) {
            (true, _) => Decision::Skip(SkipReason::NothingToldNothingFires),
            (false, true) => Decision::Send(NotifyReason::AllResolved),
            (false, false) => Decision::LogOnly(NotifyReason::AllResolved),
        };
    }
    if send_resolved && !resolved.is_subset(&last.resolved) {
        return Decision::Send(NotifyReason::SomeResolved);
    }
    // A clock that was ahead then, and was set right since, does not hold it up for longer than one that was not.
    if now.since(last.timestamp).0.abs() > repeat_interval.0 {
        return Decision::Send(NotifyReason::RepeatInterval);
    }
    Decision::Skip(SkipReason::Unchanged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REPEAT: DurationMs = DurationMs(1000);

    fn set(members: &[u64]) -> BTreeSet<Fingerprint> {
        members.iter().map(|member| Fingerprint(*member)).collect()
    }

    fn entry(firing: &[u64], resolved: &[u64]) -> LogEntry {
        LogEntry { timestamp: TimestampMs(0), firing: set(firing), resolved: set(resolved) }
    }

    #[test]
    fn each_row_of_the_table() {
        use Decision::{LogOnly, Send, Skip};
        for (firing, resolved, last, send_resolved, now, expected) in [
            (&[1][..], &[][..], None, true, 0, Send(NotifyReason::FirstNotification)),
            (&[], &[1], None, true, 0, Skip(SkipReason::NeverFired)),
            (&[1, 2], &[], Some(entry(&[1], &[])), true, 1, Send(NotifyReason::NewAlerts)),
            (&[1], &[], Some(entry(&[], &[1])), true, 1, Send(NotifyReason::FirstNotification)),
            (&[], &[1], Some(entry(&[1], &[])), true, 1, Send(NotifyReason::AllResolved)),
            (&[], &[1], Some(entry(&[1], &[])), false, 1, LogOnly(NotifyReason::AllResolved)),
            (&[], &[1], Some(entry(&[], &[2])), true, 1, Skip(SkipReason::NothingToldNothingFires)),
            (&[1], &[2], Some(entry(&[1, 2], &[])), true, 1, Send(NotifyReason::SomeResolved)),
            (&[1], &[2], Some(entry(&[1, 2], &[])), false, 1, Skip(SkipReason::Unchanged)),
            (&[1], &[], Some(entry(&[1], &[])), true, 1000, Skip(SkipReason::Unchanged)),
            (&[1], &[], Some(entry(&[1], &[])), true, 1001, Send(NotifyReason::RepeatInterval)),
        ] {
            let decision = decide(
                &set(firing),
                &set(resolved),
                last.as_ref(),
                send_resolved,
                REPEAT,
                TimestampMs(now),
            );
            assert_eq!(
                decision, expected,
                "{firing:?} {resolved:?} {last:?} {send_resolved} {now}"
            );
        }
    }

    proptest! {
        /// Once said and logged, the same group is not said again before the repeat interval.
        #[test]
        fn saying_it_once_is_enough(
            firing in proptest::collection::btree_set(0_u64..6, 0..4),
            resolved in proptest::collection::btree_set(6_u64..12, 0..4),
            had_entry in any::<bool>(),
            old in proptest::collection::btree_set(0_u64..12, 0..4),
            send_resolved in any::<bool>(),
        ) {
            let firing: BTreeSet<Fingerprint> = firing.into_iter().map(Fingerprint).collect();
            let resolved: BTreeSet<Fingerprint> = resolved.into_iter().map(Fingerprint).collect();
            let last = had_entry.then(|| LogEntry {
                timestamp: TimestampMs(0), firing: old.into_iter().map(Fingerprint).collect(), resolved: BTreeSet::new(),
            });
            let now = TimestampMs(5000);
            if let Decision::Send(_) | Decision::LogOnly(_) = decide(&firing, &resolved, last.as_ref(), send_resolved, REPEAT, now) {
                let said = LogEntry { timestamp: now, firing: firing.clone(), resolved: resolved.clone() };
                let again = decide(&firing, &resolved, Some(&said), send_resolved, REPEAT, now + REPEAT);
                prop_assert!(matches!(again, Decision::Skip(_)), "{again:?}");
            }
        }
    }
}
