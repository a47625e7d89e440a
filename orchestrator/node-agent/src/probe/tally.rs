//! Results in a row against thresholds.

use super::{ProbeKind, ProbeSpec};

/// What a probe has established so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    success_threshold: u32,
    failure_threshold: u32,
    run_ok: bool,
    run_len: u32,
    established: Option<bool>,
}

impl Tally {
    /// Before the first result. A container counts as alive until it is shown not to be, and as neither
    /// started nor ready until it is shown to be.
    /// An adopted container comes with what was established `before`.
    pub(super) fn new(kind: ProbeKind, spec: &ProbeSpec, before: Option<bool>) -> Self {
        Self {
            // Kubernetes has it at 1 for these two.
            success_threshold: if kind == ProbeKind::Readiness {
                spec.success_threshold
            } else {
                1
            },
            failure_threshold: spec.failure_threshold,
            run_ok: false,
            run_len: 0,
            established: before.or(match kind {
                ProbeKind::Liveness => Some(true),
                ProbeKind::Readiness => Some(false),
                ProbeKind::Startup => None,
            }),
        }
    }

    /// Counts a result; tells when what is established changes.
    pub(super) fn step(&mut self, ok: bool) -> Option<bool> {
        if ok == self.run_ok {
            self.run_len = self.run_len.saturating_add(1);
        } else {
            (self.run_ok, self.run_len) = (ok, 1);
        }
        let threshold = if ok { self.success_threshold } else { self.failure_threshold };
        if self.run_len < threshold.max(1) || self.established == Some(ok) {
            return None;
        }
        self.established = Some(ok);
        Some(ok)
    }

    /// Whether the probe has succeeded so far as to be left to its period.
    pub(super) fn is_up(&self) -> bool {
        self.established == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::probe::Check;

    fn check(kind: ProbeKind, thresholds: (u32, u32), results: &str, expected: &str) {
        let spec = ProbeSpec {
            check: Check::Exec { command: Vec::new() },
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: thresholds.0,
            failure_threshold: thresholds.1,
            termination_grace: None,
        };
        let mut tally = Tally::new(kind, &spec, None);
        let changes: String = results
            .chars()
            .map(|result| match tally.step(result == '+') {
                None => '.',
                Some(true) => '+',
                Some(false) => '-',
            })
            .collect();
        assert_eq!(changes, expected, "{kind:?} {thresholds:?} {results}");
    }

    #[test]
    fn what_was_established_before_is_not_told_again() {
        let spec = ProbeSpec {
            check: Check::Exec { command: Vec::new() },
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 2,
            termination_grace: None,
        };
        let mut tally = Tally::new(ProbeKind::Readiness, &spec, Some(true));
        assert!(tally.is_up());
        assert_eq!(
            [tally.step(true), tally.step(false), tally.step(false)],
            [None, None, Some(false)]
        );
    }

    #[test]
    fn only_runs_as_long_as_the_threshold_change_what_is_established() {
        check(ProbeKind::Readiness, (1, 3), "--+--+---+", "..+.....-+");
        check(ProbeKind::Readiness, (2, 1), "+-++-", "...+-");
        check(ProbeKind::Liveness, (1, 3), "++--+---", ".......-");
        check(ProbeKind::Startup, (1, 2), "-+", ".+");
        check(ProbeKind::Startup, (1, 2), "--", ".-");
    }
}
