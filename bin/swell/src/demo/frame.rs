//! What the demo shows, as plain values: the screen and the event lines are pure functions of these.

use std::time::Duration;

/// Which way a decision went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// More replicas.
    Up,
    /// Fewer replicas.
    Down,
    /// The same number.
    Held,
}

/// One phase of the run.
#[derive(Clone, Debug)]
pub(crate) struct PhaseProgress {
    /// Its name.
    pub(crate) name: &'static str,
    /// How long it lasts in all.
    pub(crate) length: Duration,
    /// How much of it has passed.
    pub(crate) passed: Duration,
}

/// One quantity over time.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    /// Its name.
    pub(crate) name: &'static str,
    /// Role, for the colour.
    pub(crate) role: TrackRole,
    /// Current value with its unit, ready to print.
    pub(crate) value: String,
    /// One value a second, oldest first; `None` where no sample came.
    pub(crate) history: Vec<Option<f64>>,
    /// Remark behind the sparkline.
    pub(crate) note: String,
}

/// What a track is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TrackRole {
    /// Requests per second.
    Load,
    /// Latency.
    Latency,
    /// CPU against the target; coloured above this value.
    Cpu {
        /// Upper end of the tolerance, in per cent.
        tolerated_max: f64,
    },
    /// Replicas.
    Replicas,
}

/// One decision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecisionLine {
    /// Time since the start of the demo.
    pub(crate) at: Duration,
    /// Which way.
    pub(crate) direction: Direction,
    /// `1 to 4`, or the count that was held.
    pub(crate) change: String,
    /// The reason in a sentence.
    pub(crate) sentence: String,
}

/// State of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodState {
    /// Serves requests.
    Ready,
    /// Not ready yet.
    Starting,
    /// Being stopped.
    Stopping,
}

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct PodLine {
    /// Name.
    pub(crate) name: String,
    /// CPU in per cent of its request, if a sample came.
    pub(crate) cpu_percent: Option<f64>,
    /// Requests per second, if a sample came.
    pub(crate) requests_per_s: Option<f64>,
    /// State.
    pub(crate) state: PodState,
    /// From the creation of the pod to ready, for pods that were started by a decision.
    pub(crate) ready_in: Option<Duration>,
}

/// One alert.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AlertLine {
    /// Name.
    pub(crate) name: String,
    /// Whether it still fires.
    pub(crate) firing: bool,
    /// What happened, in words.
    pub(crate) text: String,
}

/// The whole screen.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Time since the start of the load.
    pub(crate) elapsed: Duration,
    /// Address of the web UI.
    pub(crate) url: String,
    /// Phases in order.
    pub(crate) phases: Vec<PhaseProgress>,
    /// Tracks from top to bottom.
    pub(crate) tracks: Vec<Track>,
    /// When the next decision comes and what it may do.
    pub(crate) next_decision: String,
    /// Decisions that changed something, and the latest.
    pub(crate) decisions: Vec<DecisionLine>,
    /// Pods.
    pub(crate) pods: Vec<PodLine>,
    /// Alerts.
    pub(crate) alerts: Vec<AlertLine>,
    /// One line of help or of an answer to a key.
    pub(crate) footer: String,
}

/// Minutes and seconds: `00:48`.
pub(crate) fn clock(time: Duration) -> String {
    format!("{:02}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// Minutes, seconds and tenths: `00:24.2`.
pub(crate) fn clock_tenths(time: Duration) -> String {
    format!("{}.{}", clock(time), time.subsec_millis() / 100)
}
