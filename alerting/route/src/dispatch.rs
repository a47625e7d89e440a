//! Alerts in groups, and when each group is looked at (spec 2.7).

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_model::{DurationMs, Labels, TimestampMs};

use crate::alert::{Alert, Fingerprint};
use crate::tree::{Route, RouteId, RouteTree};

/// A look at a group gets at least so long for its notifications.
const FLUSH_DEADLINE_MIN: DurationMs = DurationMs::from_secs(10);

/// Identity of a group: where it is routed, and the labels its alerts share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupId {
    /// Node of the tree.
    pub route: RouteId,
    /// Values of the `group_by` labels.
    pub labels: Labels,
}

/// Alerts that are told of together.
#[derive(Clone, Debug)]
pub struct Group {
    alerts: BTreeMap<Fingerprint, Alert>,
    next_flush: TimestampMs,
    flushed_before: bool,
    in_flight: bool,
}

impl Group {
    /// When it is to be looked at. A time far beyond what its route lets it wait comes from a clock that was ahead and has
    /// been set back: it is not waited for.
    fn due_at(&self, route: &Route, now: TimestampMs) -> TimestampMs {
        let longest = route.group_wait.max(route.group_interval);
        if self.next_flush.since(now) > longest + longest { now } else { self.next_flush }
    }
}

/// A group that is due, with its alerts as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct Flush {
    /// Which group.
    pub id: GroupId,
    /// Its key, for the notification log and for paging systems.
    pub key: String,
    /// Alerts, by fingerprint.
    pub alerts: Vec<Alert>,
    /// When the group was found due.
    pub at: TimestampMs,
    /// How long notifying may take.
    pub deadline: DurationMs,
}

/// A group as the API shows it.
#[derive(Clone, Debug)]
pub struct GroupView<'a> {
    /// Which group.
    pub id: &'a GroupId,
    /// When it is looked at next.
    pub next_flush: TimestampMs,
    /// Its alerts, by fingerprint.
    pub alerts: Vec<&'a Alert>,
}

/// All groups.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    tree: Arc<RouteTree>,
    groups: BTreeMap<GroupId, Group>,
}

impl Dispatcher {
    /// No groups yet.
    #[must_use]
    pub fn new(tree: Arc<RouteTree>) -> Self {
        Self { tree, groups: BTreeMap::new() }
    }

    /// The routes.
    #[must_use]
    pub fn tree(&self) -> &Arc<RouteTree> {
        &self.tree
    }

    /// Takes an alert, new or changed, into the groups of its routes. An alert that is over makes no new group.
    pub fn ingest(&mut self, alert: &Alert, now: TimestampMs) {
        for route_id in self.tree.matches(&alert.labels) {
            let route = self.tree.route(route_id);
            let id = GroupId { route: route_id, labels: route.group_labels(&alert.labels) };
            let wait = route.group_wait;
            if alert.is_resolved(now) && !self.groups.contains_key(&id) {
                // The log may hold it as firing (a restart in between), so it is looked at, once.
                let alerts = BTreeMap::new();
                let group =
                    Group { alerts, next_flush: now, flushed_before: true, in_flight: false };
                self.groups.insert(id.clone(), group);
            }
            let group = self.groups.entry(id).or_insert_with(|| Group {
                alerts: BTreeMap::new(),
                next_flush: now + wait,
                flushed_before: false,
                in_flight: false,
            });
            group.alerts.insert(alert.fingerprint(), alert.clone());
            if !group.flushed_before && alert.starts_at + wait < now {
                group.next_flush = group.next_flush.min(now);
            }
        }
    }

    /// Groups that are due, each once: it is in flight until [`Dispatcher::finish`], and not due before the next interval.
    pub fn due(&mut self, now: TimestampMs) -> Vec<Flush> {
        let mut flushes = Vec::new();
        for (id, group) in &mut self.groups {
            let route = self.tree.route(id.route);
            if group.in_flight || group.due_at(route, now) > now {
                continue;
            }
            group.next_flush = now + route.group_interval;
            group.flushed_before = true;
            group.in_flight = true;
            flushes.push(Flush {
                id: id.clone(),
                key: route.group_key(&id.labels),
                alerts: group.alerts.values().cloned().collect(),
                at: now,
                deadline: route.group_interval.max(FLUSH_DEADLINE_MIN),
            });
        }
        flushes
    }

    /// When the next group is due; `None` while there are none or all are in flight.
    #[must_use]
    pub fn next_due(&self, now: TimestampMs) -> Option<TimestampMs> {
        let waiting = self.groups.iter().filter(|(_, group)| !group.in_flight);
        waiting.map(|(id, group)| group.due_at(self.tree.route(id.route), now)).min()
    }

    /// Ends a flush. When all was said, alerts that were over in it and have not changed since are dropped, and an
    /// empty group with them.
    pub fn finish(&mut self, flush: &Flush, all_said: bool) {
        let Some(group) = self.groups.get_mut(&flush.id) else { return };
        group.in_flight = false;
        if all_said {
            for told in flush.alerts.iter().filter(|alert| alert.is_resolved(flush.at)) {
                let fingerprint = told.fingerprint();
                if group.alerts.get(&fingerprint) == Some(told) {
                    group.alerts.remove(&fingerprint);
                }
            }
        }
        if group.alerts.is_empty() {
            self.groups.remove(&flush.id);
        }
    }

    /// All groups, by route and labels.
    pub fn groups(&self) -> impl Iterator<Item = GroupView<'_>> {
        self.groups.iter().map(|(id, group)| GroupView {
            id,
            next_flush: group.next_flush,
            alerts: group.alerts.values().collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::parse_config;

    fn dispatcher() -> Dispatcher {
        let config = parse_config(
            "route: {receiver: r, group_by: [alertname], group_wait: 10s, group_interval: 30s}\nreceivers: [{name: r}]\n",
        )
        .expect("the configuration is valid");
        Dispatcher::new(Arc::new(config.route))
    }

    fn alert(name: &str, host: &str, starts_s: i64, ends_s: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name), ("host", host)]),
            annotations: BTreeMap::new(),
            starts_at: TimestampMs(starts_s * 1000),
            ends_at: TimestampMs(ends_s * 1000),
            updated_at: TimestampMs(starts_s * 1000),
            generator_url: String::new(),
            timeout: false,
        }
    }

    /// Seconds at which the group is due, and with how many alerts, when looked at each second up to `until_s`.
    fn flushes(
        dispatcher: &mut Dispatcher,
        alerts: &[(i64, Alert)],
        until_s: i64,
    ) -> Vec<(i64, usize)> {
        let mut seen = Vec::new();
        for second in 0..=until_s {
            let now = TimestampMs(second * 1000);
            for (_, alert) in alerts.iter().filter(|(at, _)| *at == second) {
                dispatcher.ingest(alert, now);
            }
            for flush in dispatcher.due(now) {
                seen.push((second, flush.alerts.len()));
                dispatcher.finish(&flush, true);
            }
        }
        seen
    }

    #[test]
    fn groups_wait_then_go_by_the_interval() {
        let alerts = [
            (0, alert("A", "a", 0, 999)),
            (5, alert("A", "b", 5, 999)),
            (20, alert("A", "c", 20, 999)),
        ];
        assert_eq!(flushes(&mut dispatcher(), &alerts, 75), [(10, 2), (40, 3), (70, 3)]);
    }

    #[test]
    fn an_old_alert_does_not_wait() {
        let alerts = [(60, alert("A", "a", 0, 999))];
        assert_eq!(flushes(&mut dispatcher(), &alerts, 70), [(60, 1)]);
    }

    #[test]
    fn what_is_over_leaves_after_it_was_told() {
        let alerts = [(0, alert("A", "a", 0, 20))];
        let mut dispatcher = dispatcher();
        assert_eq!(flushes(&mut dispatcher, &alerts, 200), [(10, 1), (40, 1)]);
        assert_eq!(dispatcher.groups().count(), 0);
    }

    #[test]
    fn what_could_not_be_told_stays() {
        let mut dispatcher = dispatcher();
        dispatcher.ingest(&alert("A", "a", 0, 1), TimestampMs(0));
        let flush = dispatcher.due(TimestampMs(20_000)).remove(0);
        assert!(dispatcher.due(TimestampMs(90_000)).is_empty(), "a group in flight is not due");
        dispatcher.finish(&flush, false);
        assert_eq!(dispatcher.next_due(TimestampMs(21_000)), Some(TimestampMs(50_000)));
        assert_eq!(dispatcher.due(TimestampMs(50_000)).len(), 1);
    }

    #[test]
    fn a_clock_that_was_ahead_is_not_waited_for() {
        const YEAR_S: i64 = 365 * 86_400;
        let mut dispatcher = dispatcher();
        let ahead = TimestampMs(YEAR_S * 1000);
        dispatcher.ingest(&alert("A", "a", YEAR_S, 2 * YEAR_S), ahead);
        let flush = dispatcher.due(ahead + DurationMs(10_000)).remove(0);
        dispatcher.finish(&flush, true);
        dispatcher.ingest(&alert("B", "a", YEAR_S, 2 * YEAR_S), ahead + DurationMs(10_000));
        // Set right: the group that was told is looked at, and the one that was not.
        let now = TimestampMs(20_000);
        assert_eq!(dispatcher.next_due(now), Some(now));
        let flushes = dispatcher.due(now);
        assert_eq!(flushes.len(), 2);
        flushes.iter().for_each(|flush| dispatcher.finish(flush, true));
        // A small step is no reason to hurry.
        let stepped = now - DurationMs(20_000);
        assert_eq!(dispatcher.next_due(stepped), Some(now + DurationMs(30_000)));
    }

    #[test]
    fn an_alert_that_came_back_during_the_flush_stays() {
        let mut dispatcher = dispatcher();
        dispatcher.ingest(&alert("A", "a", 0, 1), TimestampMs(0));
        let flush = dispatcher.due(TimestampMs(20_000)).remove(0);
        dispatcher.ingest(&alert("A", "a", 21, 999), TimestampMs(21_000));
        dispatcher.finish(&flush, true);
        assert_eq!(dispatcher.groups().count(), 1);
    }

    proptest! {
        /// The order in which alerts come within a second does not matter to what is told when.
        #[test]
        fn the_order_of_alerts_does_not_matter(picks in proptest::collection::vec((0_usize..3, 0_usize..4), 1..12)) {
            let alerts: Vec<(i64, Alert)> = picks
                .iter()
                .map(|(name, host)| (0, alert(["A", "B", "C"][*name], ["a", "b", "c", "d"][*host], 0, 999)))
                .collect();
            let reversed: Vec<(i64, Alert)> = alerts.iter().rev().cloned().collect();
            prop_assert_eq!(flushes(&mut dispatcher(), &alerts, 45), flushes(&mut dispatcher(), &reversed, 45));
        }
    }
}
