//! Watches the demo and keeps what the screen and the summary show.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Pod;
use swell_client::{Cache, ListParams};
use swell_decide::{DecisionRecord, Direction as Way};
use swell_model::TimestampMs;
use tokio_util::sync::CancellationToken;

use super::facts::{self, PodHistory};
use super::frame::{
    AlertLine, DecisionLine, Direction, Frame, PhaseProgress, PodLine, PodState, Track, TrackRole,
};
use super::load::{LoadFigures, Phase};
use super::webhook::WebhookReceiver;
use crate::server::Running;

/// CPU target of the demo's HPA, in per cent of the request.
pub(crate) const TARGET_PERCENT: f64 = 50.0;
/// Upper end of Kubernetes' default tolerance round the target.
pub(crate) const TOLERATED_MAX_PERCENT: f64 = TARGET_PERCENT * 1.1;
/// CPU request of the demo's pods, in cores.
const REQUEST_CORES: f64 = 0.2;
/// Most replicas of the demo's HPA.
const REPLICAS_MAX: i32 = 6;
/// Seconds that a track keeps.
const HISTORY_S: usize = 120;
/// Index of the surge among the phases.
pub(crate) const SURGE: usize = 1;

/// A quantity, one value a second.
#[derive(Debug, Default)]
struct History(VecDeque<Option<f64>>);

impl History {
    fn push(&mut self, value: Option<f64>) {
        if self.0.len() == HISTORY_S {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    fn to_vec(&self) -> Vec<Option<f64>> {
        self.0.iter().copied().collect()
    }
}

/// What is known at the moment.
pub(crate) struct Observer {
    pods_cache: Cache<Pod>,
    hpas: Cache<HorizontalPodAutoscaler>,
    webhook: WebhookReceiver,
    figures: LoadFigures,
    phases: Vec<Phase>,
    /// When the load began.
    pub(crate) start: TimestampMs,
    /// When each phase began.
    pub(crate) phase_starts: Vec<TimestampMs>,
    /// All pods seen.
    pub(crate) pods: PodHistory,
    /// All decisions.
    pub(crate) decisions: Vec<DecisionRecord>,
    /// Most pods that were ready at once.
    pub(crate) replicas_max: usize,
    /// Pods that were ready when the surge began.
    pub(crate) replicas_before: usize,
    /// When CPU was back inside the tolerance after the surge.
    pub(crate) target_reached_ms: Option<i64>,
    cpu: History,
    replicas: History,
    cpu_by_pod: BTreeMap<String, f64>,
    requests_by_pod: BTreeMap<String, f64>,
    announced: usize,
    alerts_announced: usize,
}

/// Something worth a line.
pub(crate) type Line = (Duration, String);

impl Observer {
    /// Starts watching the objects.
    pub(crate) fn start(
        running: &Running,
        webhook: WebhookReceiver,
        figures: LoadFigures,
        phases: Vec<Phase>,
        shutdown: &CancellationToken,
    ) -> Self {
        let client = &running.client;
        Self {
            pods_cache: Cache::start(client.clone(), None, ListParams::default(), shutdown.clone()),
            hpas: Cache::start(client.clone(), None, ListParams::default(), shutdown.clone()),
            webhook,
            figures,
            phases,
            start: running.clock.now(),
            phase_starts: Vec::new(),
            pods: PodHistory::default(),
            decisions: Vec::new(),
            replicas_max: 0,
            replicas_before: 0,
            target_reached_ms: None,
            cpu: History::default(),
            replicas: History::default(),
            cpu_by_pod: BTreeMap::new(),
            requests_by_pod: BTreeMap::new(),
            announced: 0,
            alerts_announced: 0,
        }
    }

    /// Wakes when a pod or the autoscaler changed.
    pub(crate) fn changes(
        &self,
    ) -> (tokio::sync::watch::Receiver<u64>, tokio::sync::watch::Receiver<u64>) {
        (self.pods_cache.changed(), self.hpas.changed())
    }

    /// The load enters another phase.
    pub(crate) fn phase_begins(&mut self, now: TimestampMs) -> Line {
        let phase_idx = self.phase_starts.len();
        if phase_idx == 0 {
            self.start = now;
        }
        self.phase_starts.push(now);
        if phase_idx == SURGE {
            self.replicas_before = self.pods.ready_count();
        }
        let phase = &self.phases[phase_idx];
        let text = format!(
            "{}: {} requests a second for {} s",
            phase.name,
            phase.rate_per_s,
            phase.length.as_secs()
        );
        (facts::since(self.start, now.0), text)
    }

    /// When the surge began.
    pub(crate) fn surge_start(&self) -> Option<TimestampMs> {
        self.phase_starts.get(SURGE).copied()
    }

    /// Takes over the state of the pods.
    pub(crate) fn look_at_pods(&mut self, now: TimestampMs) -> Vec<Line> {
        let newly_ready = self.pods.update(&self.pods_cache, now);
        self.replicas_max = self.replicas_max.max(self.pods.ready_count());
        let at = facts::since(self.start, now.0);
        newly_ready.into_iter().map(|name| (at, format!("pod {name} is ready"))).collect()
    }

    /// Takes over what the autoscaler says.
    pub(crate) fn look_at_hpa(&mut self, now: TimestampMs) {
        let grew = self.first_growth().is_some();
        let measured = facts::measured_percent(&self.hpas);
        let inside = measured.is_some_and(|percent| f64::from(percent) <= TOLERATED_MAX_PERCENT);
        if grew && inside && self.pods.ready_count() > self.replicas_before {
            self.target_reached_ms.get_or_insert(now.0);
        }
    }

    /// The first decision of the surge to grow.
    pub(crate) fn first_growth(&self) -> Option<&DecisionRecord> {
        let surge = self.surge_start()?;
        self.decisions
            .iter()
            .find(|decision| decision.direction == Way::Out && decision.at_ms >= surge.0)
    }

    /// Whether the workload is back at the size it had before the surge, after having grown.
    pub(crate) fn is_back(&self) -> bool {
        let present = self.pods.iter().filter(|(_, facts)| !facts.is_gone && !facts.is_deleting);
        self.replicas_max > self.replicas_before && present.count() <= self.replicas_before
    }

    /// Reads decisions, CPU and requests anew; once a second.
    pub(crate) async fn look_at_the_rest(
        &mut self,
        running: &Running,
    ) -> anyhow::Result<Vec<Line>> {
        let now = running.clock.now();
        self.decisions = facts::decisions(&running.router).await?;
        self.cpu_by_pod =
            facts::query_by(&running.db, &facts::cpu_by_pod_query(), "pod", now).await?;
        self.requests_by_pod =
            facts::query_by(&running.db, &facts::requests_by_pod_query(), "pod", now).await?;
        self.figures.close_second();
        let used: f64 = self.cpu_by_pod.values().sum();
        #[expect(clippy::cast_precision_loss, reason = "a handful of pods")]
        let share = (!self.cpu_by_pod.is_empty())
            .then(|| used / (self.cpu_by_pod.len() as f64 * REQUEST_CORES) * 100.0);
        self.cpu.push(share);
        #[expect(clippy::cast_precision_loss, reason = "a handful of pods")]
        self.replicas.push(Some(self.pods.ready_count() as f64));
        Ok(self.news())
    }

    /// Decisions and alerts that were not told yet.
    fn news(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let changes: Vec<&DecisionRecord> =
            self.decisions.iter().filter(|it| it.direction != Way::Hold).collect();
        for decision in changes.iter().skip(self.announced) {
            lines.push((facts::since(self.start, decision.at_ms), decision.brief.clone()));
        }
        self.announced = changes.len();
        let received = self.webhook.received();
        for notification in received.iter().skip(self.alerts_announced) {
            let names = notification.alerts.join(", ");
            lines.push((
                facts::since(self.start, notification.at.0),
                format!("alert {names} {}: arrived at the webhook", notification.status),
            ));
        }
        self.alerts_announced = received.len();
        lines
    }

    /// The screen at this moment.
    pub(crate) fn frame(&self, now: TimestampMs, url: &str, footer: &str) -> Frame {
        Frame {
            elapsed: facts::since(self.start, now.0),
            url: url.to_owned(),
            phases: self.phase_progress(now),
            tracks: self.tracks(),
            next_decision: self.next_decision(now),
            decisions: self.decision_lines(),
            pods: self.pod_lines(),
            alerts: self.alert_lines(),
            footer: footer.to_owned(),
        }
    }

    fn phase_progress(&self, now: TimestampMs) -> Vec<PhaseProgress> {
        self.phases
            .iter()
            .enumerate()
            .map(|(idx, phase)| PhaseProgress {
                name: phase.name,
                length: phase.length,
                passed: self
                    .phase_starts
                    .get(idx)
                    .map_or(Duration::ZERO, |start| facts::since(*start, now.0).min(phase.length)),
            })
            .collect()
    }

    fn tracks(&self) -> Vec<Track> {
        let load = self.figures.history();
        #[expect(clippy::cast_precision_loss, reason = "requests of one second")]
        let rates: Vec<Option<f64>> = load.iter().map(|it| Some(it.requests as f64)).collect();
        let latency: Vec<Option<f64>> =
            load.iter().map(|it| it.p95.map(|p95| p95.as_secs_f64() * 1000.0)).collect();
        let worst = latency.iter().flatten().copied().fold(0.0_f64, f64::max);
        let last = |history: &[Option<f64>]| history.last().copied().flatten();
        let show = |value: Option<f64>, unit: &str| {
            value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.0} {unit}"))
        };
        let ready = self.pods.ready_count();
        let wanted = facts::wanted_replicas(&self.hpas)
            .map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        vec![
            Track {
                name: "Load",
                role: TrackRole::Load,
                value: show(last(&rates), "req/s"),
                history: rates,
                note: "open loop".to_owned(),
            },
            Track {
                name: "Latency",
                role: TrackRole::Latency,
                value: last(&latency)
                    .map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1} ms p95")),
                history: latency,
                note: format!("worst {worst:.0} ms"),
            },
            Track {
                name: "CPU",
                role: TrackRole::Cpu { tolerated_max: TOLERATED_MAX_PERCENT },
                value: show(last(&self.cpu.to_vec()), "%"),
                history: self.cpu.to_vec(),
                note: "target 50 % (45 to 55)".to_owned(),
            },
            Track {
                name: "Replicas",
                role: TrackRole::Replicas,
                value: format!("{ready} of {wanted}"),
                history: self.replicas.to_vec(),
                note: String::new(),
            },
        ]
    }

    fn next_decision(&self, now: TimestampMs) -> String {
        let Some(latest) = self.decisions.last() else {
            return "The first decision comes with the first samples.".to_owned();
        };
        let grow = &latest.next.grow;
        let up = if grow.to > latest.replicas {
            format!("Can grow to {} now", grow.to)
        } else if latest.replicas >= REPLICAS_MAX {
            "Cannot grow, the maximum is reached".to_owned()
        } else {
            "Cannot grow now".to_owned()
        };
        let shrink = &latest.next.shrink;
        let down = if shrink.to < latest.replicas {
            match shrink.not_before_ms.map(|at| at - now.0).filter(|wait| *wait > 0) {
                Some(wait) => format!("can shrink in {} s at the earliest", (wait + 999) / 1000),
                None => format!(
                    "can shrink once fewer are asked for during {} s",
                    shrink.window_ms / 1000
                ),
            }
        } else {
            "cannot shrink further".to_owned()
        };
        format!("Next decision with the next sample. {up}; {down}.")
    }

    fn decision_lines(&self) -> Vec<DecisionLine> {
        let mut lines: Vec<DecisionLine> = self
            .decisions
            .iter()
            .filter(|it| it.direction != Way::Hold)
            .map(|it| self.decision_line(it))
            .collect();
        if let Some(last) = self.decisions.last().filter(|it| it.direction == Way::Hold) {
            lines.push(self.decision_line(last));
        }
        lines
    }

    fn decision_line(&self, decision: &DecisionRecord) -> DecisionLine {
        let (direction, change) = match (decision.direction, decision.from) {
            (Way::Out, Some(from)) => (Direction::Up, format!("{from} to {}", decision.replicas)),
            (Way::In, Some(from)) => (Direction::Down, format!("{from} to {}", decision.replicas)),
            _ => (Direction::Held, decision.replicas.to_string()),
        };
        DecisionLine {
            at: facts::since(self.start, decision.at_ms),
            direction,
            change,
            sentence: decision.sentence.clone(),
        }
    }

    fn pod_lines(&self) -> Vec<PodLine> {
        let surge = self.surge_start();
        self.pods
            .iter()
            .filter(|(_, facts)| !facts.is_gone)
            .map(|(name, pod)| PodLine {
                name: name.to_owned(),
                cpu_percent: self.cpu_by_pod.get(name).map(|cores| cores / REQUEST_CORES * 100.0),
                requests_per_s: self.requests_by_pod.get(name).copied(),
                state: if pod.is_deleting {
                    PodState::Stopping
                } else if pod.is_ready {
                    PodState::Ready
                } else {
                    PodState::Starting
                },
                ready_in: pod
                    .ready_ms
                    .filter(|_| surge.is_some_and(|surge| pod.seen_ms >= surge.0))
                    .map(|ready| facts::since(TimestampMs(pod.seen_ms), ready)),
            })
            .collect()
    }

    fn alert_lines(&self) -> Vec<AlertLine> {
        let mut fired: BTreeMap<String, (Duration, Option<Duration>)> = BTreeMap::new();
        for notification in self.webhook.received() {
            let at = facts::since(self.start, notification.at.0);
            for name in &notification.alerts {
                let entry = fired.entry(name.clone()).or_insert((at, None));
                match notification.status.as_str() {
                    "resolved" => entry.1 = Some(at),
                    _ => *entry = (at, None),
                }
            }
        }
        fired
            .into_iter()
            .map(|(name, (since, resolved))| AlertLine {
                name,
                firing: resolved.is_none(),
                text: match resolved {
                    Some(resolved) => {
                        let length = resolved.saturating_sub(since).as_secs();
                        format!("resolved after {length} s   webhook delivered")
                    }
                    None => {
                        format!("fires since {}   webhook delivered", super::frame::clock(since))
                    }
                },
            })
            .collect()
    }

    /// The sentence of the latest decision, for the key that asks.
    pub(crate) fn explain_last(&self) -> String {
        self.decisions
            .iter()
            .rev()
            .find(|it| it.direction != Way::Hold)
            .or(self.decisions.last())
            .map_or_else(|| "no decision was made yet".to_owned(), |it| it.sentence.clone())
    }

    /// Handle for the alerts that arrived.
    pub(crate) fn received_count(&self) -> u64 {
        self.webhook.received().len() as u64
    }
}
