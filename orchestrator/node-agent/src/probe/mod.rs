//! Probes: when they run, what they do, and what their results add up to.

mod check;
mod schedule;
mod tally;
mod task;

use std::time::Duration;

pub(crate) use check::{CheckTarget, run_check};
pub(crate) use task::{ProbeReport, ProbeTask, ProbeVerdict};

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// Holds back the other two until it succeeds once.
    Startup,
    /// Whether traffic may come.
    Readiness,
    /// Whether the container is restarted.
    Liveness,
}

impl ProbeKind {
    /// As the kubelet's events begin.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }

    /// In the middle of a sentence and as a metric label.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
        }
    }
}

/// A probe with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSpec {
    /// What is asked.
    pub check: Check,
    /// From the start of the container to the first probe.
    pub initial_delay: Duration,
    /// From one probe to the next.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Successes in a row that make a success.
    pub success_threshold: u32,
    /// Failures in a row that make a failure.
    pub failure_threshold: u32,
    /// Grace when the container is killed for this probe; the pod's when absent.
    pub termination_grace: Option<Duration>,
}

/// What is asked of a container, by a probe or a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// An HTTP GET that must be answered with a status from 200 to 399.
    Http(HttpCheck),
    /// A TCP connection that must be accepted.
    Tcp {
        /// Host; the pod's address when absent.
        host: Option<String>,
        /// Port.
        port: u16,
    },
    /// A command that must end with code 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// An HTTP GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// Host to connect to; the pod's address when absent.
    pub host: Option<String>,
    /// Port.
    pub port: u16,
    /// Path with query, beginning with a slash.
    pub path: String,
    /// Headers; a `Host` among them replaces the usual one.
    pub headers: Vec<(String, String)>,
}
