//! Follows where the Alertmanagers outside are, and tells alerting.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use swell_alert_runner::{AlertingHandle, AlertmanagerSet, Forwarding};
use swell_discovery::{Discovery, DiscoveryDeps};
use swell_http_client::HttpClient;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::adapters::{addresses, relabelling};
use crate::config::alerting::{AlertingSettings, AlertmanagerSettings};
use crate::shutdown::Tasks;

/// Sources that tell more often than this are listened to this often.
const DISCOVERY_PAUSE: Duration = Duration::from_millis(250);
/// A reload waits for the one before it.
const RELOAD_QUEUE_LEN: usize = 1;

/// Settings whose clients and sources can be set up.
pub(super) struct Prepared {
    settings: AlertingSettings,
    clients: Vec<Arc<HttpClient>>,
}

struct Reload {
    prepared: Prepared,
    done: oneshot::Sender<()>,
}

/// The way to give other settings.
#[derive(Clone)]
pub(super) struct Alertmanagers {
    deps: DiscoveryDeps,
    reloads: mpsc::Sender<Reload>,
}

/// One entry of the configuration.
struct Set {
    settings: AlertmanagerSettings,
    client: Arc<HttpClient>,
    discovery: Discovery,
}

struct Finder {
    alerting: AlertingHandle,
    deps: DiscoveryDeps,
    /// Rung by sources whose addresses changed.
    changed: Arc<Notify>,
    sets: Vec<Set>,
    settings: AlertingSettings,
    reloads: mpsc::Receiver<Reload>,
}

/// Starts to follow what the configuration names.
pub(super) fn start(
    settings: &AlertingSettings,
    alerting: AlertingHandle,
    deps: DiscoveryDeps,
    tasks: &Tasks,
) -> anyhow::Result<Alertmanagers> {
    let deps = DiscoveryDeps { metrics: deps.metrics.for_purpose("notify"), ..deps };
    let (sender, reloads) = mpsc::channel(RELOAD_QUEUE_LEN);
    let alertmanagers = Alertmanagers { deps: deps.clone(), reloads: sender };
    let prepared = alertmanagers.prepare(settings)?;
    let finder = Finder {
        alerting,
        deps,
        changed: Arc::default(),
        sets: Vec::new(),
        settings: AlertingSettings::default(),
        reloads,
    };
    let stop = tasks.stop_token();
    tasks.spawn("who finds Alertmanagers", finder.run(prepared, stop));
    Ok(alertmanagers)
}

impl Alertmanagers {
    /// Checks what can be wrong beyond the text, such as certificates; changes nothing.
    pub(super) fn prepare(&self, settings: &AlertingSettings) -> anyhow::Result<Prepared> {
        let entries = settings.alertmanagers.iter().enumerate();
        let clients = entries.map(|(idx, entry)| {
            let place = || format!("alerting.alertmanagers[{idx}]");
            Discovery::check(&entry.discoveries, &self.deps).with_context(place)?;
            let client = HttpClient::new(entry.client.clone()).with_context(place)?;
            anyhow::Ok(Arc::new(client))
        });
        Ok(Prepared { clients: clients.collect::<Result<_, _>>()?, settings: settings.clone() })
    }

    /// Puts other settings in force.
    pub(super) async fn reload(&self, prepared: Prepared) -> anyhow::Result<()> {
        let (done, applied) = oneshot::channel();
        let ended = "who finds Alertmanagers has ended";
        self.reloads.send(Reload { prepared, done }).await.ok().context(ended)?;
        applied.await.context(ended)
    }
}

impl Finder {
    async fn run(mut self, prepared: Prepared, stop: CancellationToken) {
        self.adopt(prepared);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                reload = self.reloads.recv() => {
                    let Some(Reload { prepared, done }) = reload else { break };
                    self.adopt(prepared);
                    if done.send(()).is_err() {
                        info!("whoever asked for the reload has gone");
                    }
                }
                () = self.changed.notified() => {
                    self.tell();
                    tokio::time::sleep(DISCOVERY_PAUSE).await;
                }
            }
        }
    }

    /// Goes on with other settings. Sources that stay go on undisturbed, wherever their entry stands.
    fn adopt(&mut self, prepared: Prepared) {
        let mut before: Vec<Option<Set>> =
            std::mem::take(&mut self.sets).into_iter().map(Some).collect();
        let kept = {
            let sources = |set: &Option<Set>| {
                set.as_ref().map(|set| set.settings.discoveries.clone()).unwrap_or_default()
            };
            let ran: Vec<_> = before.iter().map(sources).collect();
            let entries = prepared.settings.alertmanagers.iter();
            let wanted: Vec<_> = entries.map(|entry| entry.discoveries.clone()).collect();
            kept(&ran, &wanted)
        };
        let entries = prepared.settings.alertmanagers.iter().zip(prepared.clients).enumerate();
        for (idx, (settings, client)) in entries {
            let name = format!("config-{idx}");
            let kept = kept[idx].and_then(|idx| before[idx].take());
            let mut discovery = kept.map_or_else(
                || Discovery::new(&name, self.deps.clone(), Arc::clone(&self.changed)),
                |set| set.discovery,
            );
            discovery.rename(&name);
            discovery.run(&settings.discoveries);
            self.sets.push(Set { settings: settings.clone(), client, discovery });
        }
        // Before all are counted anew: another may have the place of one that goes.
        drop(before);
        self.settings = prepared.settings;
        self.tell();
    }

    /// Tells alerting who the Alertmanagers are now.
    fn tell(&self) {
        let sets = self.sets.iter().enumerate().map(|(idx, set)| {
            let told = set.discovery.groups();
            let groups =
                set.settings.static_groups.iter().chain(told.iter().flat_map(|it| it.iter()));
            let found = addresses(&set.settings, groups);
            for why in &found.faulty {
                warn!(entry = idx, why, "an entry of alerting.alertmanagers names what is none");
            }
            AlertmanagerSet {
                client: Arc::clone(&set.client),
                timeout: set.settings.timeout,
                relabel: relabelling(set.settings.alert_relabel.clone()),
                active: found.active,
                dropped: found.dropped,
            }
        });
        let relabel = relabelling(self.settings.relabel.clone());
        self.alerting.forward_to(Forwarding { relabel, sets: sets.collect() });
    }
}

/// Which of the sources that ran each entry goes on with, by place: the same ones; and where an entry has others than before, those
/// of its old place, so that of these too goes on what stays.
fn kept<S: PartialEq>(ran: &[Vec<S>], wanted: &[Vec<S>]) -> Vec<Option<usize>> {
    let mut is_free = vec![true; ran.len()];
    let mut kept: Vec<Option<usize>> = vec![None; wanted.len()];
    for (place, sources) in kept.iter_mut().zip(wanted) {
        *place = (0..ran.len()).find(|idx| is_free[*idx] && ran[*idx] == *sources);
        if let Some(idx) = *place {
            is_free[idx] = false;
        }
    }
    for (idx, place) in kept.iter_mut().enumerate() {
        if place.is_none() && is_free.get(idx) == Some(&true) {
            is_free[idx] = false;
            *place = Some(idx);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ran: &[&str], wanted: &[&str], expected: &[Option<usize>]) {
        let sources = |all: &[&str]| -> Vec<Vec<char>> {
            all.iter().map(|text| text.chars().collect()).collect()
        };
        assert_eq!(kept(&sources(ran), &sources(wanted)), expected, "{ran:?} {wanted:?}");
    }

    #[test]
    fn sources_are_kept_by_what_they_are_and_then_by_place() {
        check(&[], &["a", "b"], &[None, None]);
        check(&["a", "b"], &["a", "b"], &[Some(0), Some(1)]);
        // One in front of the others.
        check(&["a", "b"], &["x", "a", "b"], &[None, Some(0), Some(1)]);
        check(&["a", "b", "c"], &["c", "a"], &[Some(2), Some(0)]);
        check(&["ab", "c"], &["abx", "c"], &[Some(0), Some(1)]);
        check(&["a", "a"], &["a", "a", "a"], &[Some(0), Some(1), None]);
        check(&["a", "b"], &["b", "x"], &[Some(1), None]);
    }
}
