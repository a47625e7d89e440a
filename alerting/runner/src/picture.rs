//! What the notifier knows, copied at once, and the picture that the API shows of it. The picture is made by whoever asks for it:
//! each alert is held against all others and all silences, which the notifier has no time for.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use swell_model::{Labels, TimestampMs};
use swell_route::{Alert, Fingerprint, Route, RouteId, Silences, inhibited_by, is_inside};

use crate::config::Notifier;
use crate::notification_log::Delivery;

/// What needs no picture.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) config: Arc<Notifier>,
    pub(crate) silences: Silences,
    /// The latest notifications, newest first.
    pub(crate) deliveries: Vec<Delivery>,
}

/// A group as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct GroupCopy {
    pub(crate) labels: Labels,
    pub(crate) route: RouteId,
    pub(crate) alerts: Vec<Fingerprint>,
}

/// A copy of all that a picture is made of.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: TimestampMs,
    pub(crate) config: Arc<Notifier>,
    /// Those that are not over.
    pub(crate) alerts: Vec<Alert>,
    pub(crate) groups: Vec<GroupCopy>,
    pub(crate) silences: Silences,
    /// Where the server is, for time intervals that say so.
    pub(crate) local: TimeZone,
}

/// A group as the API shows it.
#[derive(Clone, Debug)]
pub(crate) struct AlertGroupView {
    pub(crate) labels: Labels,
    pub(crate) receiver: String,
    /// Indices of its alerts in the picture.
    pub(crate) alerts: Vec<usize>,
    /// Time intervals by which nobody is told now.
    pub(crate) muted_by: Vec<String>,
}

/// An alert as the API shows it.
#[derive(Clone, Debug)]
pub(crate) struct AlertView {
    pub(crate) alert: Alert,
    pub(crate) receivers: Vec<String>,
    pub(crate) inhibited_by: Option<Fingerprint>,
    pub(crate) silenced_by: Vec<String>,
    /// Time intervals by which nobody is told of it now: none while one of its routes tells.
    pub(crate) muted_by: Vec<String>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) alerts: Vec<AlertView>,
    pub(crate) groups: Vec<AlertGroupView>,
}

impl Snapshot {
    /// Makes the picture; not for a thread that serves connections.
    pub(crate) fn picture(self) -> Picture {
        let config = &self.config.config;
        let (tree, rules) = (&config.route, &config.inhibit_rules);
        let muted = |id: RouteId| muted_by(config, tree.route(id), self.at, &self.local);
        let alerts: Vec<AlertView> = self
            .alerts
            .iter()
            .map(|alert| {
                let routes = tree.matches(&alert.labels);
                let muting: Vec<Vec<String>> = routes.iter().map(|id| muted(*id)).collect();
                let is_told = muting.iter().any(Vec::is_empty);
                AlertView {
                    receivers: routes.iter().map(|id| tree.route(*id).receiver.clone()).collect(),
                    inhibited_by: inhibited_by(rules, &alert.labels, self.alerts.iter()),
                    silenced_by: self.silences.muting(&alert.labels, self.at),
                    muted_by: if is_told { Vec::new() } else { distinct(muting) },
                    alert: alert.clone(),
                }
            })
            .collect();
        let places: HashMap<Fingerprint, usize> =
            self.alerts.iter().enumerate().map(|(idx, it)| (it.fingerprint(), idx)).collect();
        let groups = self.groups.iter().map(|group| AlertGroupView {
            labels: group.labels.clone(),
            receiver: tree.route(group.route).receiver.clone(),
            muted_by: muted(group.route),
            alerts: group.alerts.iter().filter_map(|it| places.get(it).copied()).collect(),
        });
        let groups = groups.collect();
        Picture { alerts, groups }
    }
}

/// Each name once, in order.
fn distinct(names: Vec<Vec<String>>) -> Vec<String> {
    let mut names = names.concat();
    names.sort();
    names.dedup();
    names
}

/// Names of the time intervals by which a route tells nobody now: those that mute it, or those outside of which it is
/// mute when it is inside of none.
pub(crate) fn muted_by(
    config: &swell_route::Config,
    route: &Route,
    now: TimestampMs,
    local: &TimeZone,
) -> Vec<String> {
    let inside = |name: &&String| {
        config.intervals.get(*name).is_some_and(|intervals| is_inside(intervals, now, local))
    };
    let muting: Vec<String> = route.muted_in.iter().filter(inside).cloned().collect();
    let is_awake = route.active_in.is_empty() || route.active_in.iter().any(|name| inside(&name));
    if is_awake { muting } else { muting.into_iter().chain(route.active_in.clone()).collect() }
}

#[cfg(test)]
mod tests {
    use swell_route::{AlertStore, Dispatcher};

    use super::*;
    use crate::config::load_notifier;

    const CONFIG: &str = r#"
time_intervals:
  - {name: always, time_intervals: [{years: ["2000:2100"]}]}
  - {name: ever, time_intervals: [{years: ["2000:2100"]}]}
  - {name: never, time_intervals: [{years: ["1990:1991"]}]}
route:
  receiver: a
  routes:
    - {receiver: b, matchers: [kind="mute"], mute_time_intervals: [always], continue: true}
    - {receiver: c, matchers: [kind="mute"], mute_time_intervals: [always, ever], continue: true}
    - {receiver: d, matchers: [kind="mute", told="yes"], mute_time_intervals: [never]}
receivers: [{name: a}, {name: b}, {name: c}, {name: d}]
"#;

    #[test]
    fn an_alert_is_mute_when_nobody_is_told_and_a_group_when_its_route_is() {
        let notifier = load_notifier("test", CONFIG, &[], "/".into());
        let notifier = notifier.expect("valid");
        let at = TimestampMs(1_700_000_000_000);
        let mut dispatcher = Dispatcher::new(Arc::new(notifier.config.route.clone()));
        let mut store = AlertStore::default();
        for told in ["no", "yes"] {
            let alert = store.put(
                Alert {
                    labels: Labels::from_pairs([("kind", "mute"), ("told", told)]),
                    annotations: std::collections::BTreeMap::new(),
                    starts_at: at,
                    ends_at: TimestampMs(at.0 + 60_000),
                    updated_at: at,
                    generator_url: String::new(),
                    timeout: true,
                },
                at,
            );
            dispatcher.ingest(&alert, at);
        }
        let groups = dispatcher.groups().map(|group| GroupCopy {
            labels: group.id.labels.clone(),
            route: group.id.route,
            alerts: group.alerts.iter().map(|alert| alert.fingerprint()).collect(),
        });
        let snapshot = Snapshot {
            at,
            groups: groups.collect(),
            config: Arc::new(notifier),
            alerts: store.iter().cloned().collect(),
            silences: Silences::default(),
            local: TimeZone::UTC,
        };
        let picture = snapshot.picture();
        let mut alerts: Vec<(&str, String)> = picture
            .alerts
            .iter()
            .map(|it| (it.alert.labels.get("told").expect("a label"), it.muted_by.join(" ")))
            .collect();
        alerts.sort();
        assert_eq!(alerts, [("no", "always ever".to_owned()), ("yes", String::new())]);
        let mut groups: Vec<(&str, String, usize)> = picture
            .groups
            .iter()
            .map(|it| (it.receiver.as_str(), it.muted_by.join(" "), it.alerts.len()))
            .collect();
        groups.sort();
        assert_eq!(
            groups,
            [
                ("b", "always".to_owned(), 2),
                ("c", "always ever".to_owned(), 2),
                ("d", String::new(), 1)
            ]
        );
    }
}
