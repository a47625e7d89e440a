//! When the next probe runs.
//!
//! The kubelet probes once a period. Until a container has come up we look more often, so that a pod is
//! ready some ten milliseconds after its program listens; those extra looks count when they succeed and
//! not when they fail, so that thresholds mean the time they mean in Kubernetes.

use std::time::Duration;

use super::{ProbeKind, ProbeSpec};

/// Pauses of the extra looks from the end of the initial delay on; the last is repeated.
const EARLY: [Duration; 7] = [
    Duration::from_millis(10),
    Duration::from_millis(15),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];
/// Commands cost a process each: the pauses begin here.
const EARLY_EXEC: usize = 4;
/// A container that is not up after so many extra looks is left to its period.
const EARLY_MAX: u32 = 40;

/// One probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// From the start of the container.
    pub(super) at: Duration,
    /// Whether a failure counts.
    pub(super) regular: bool,
}

/// Gives the times of the probes one after the other.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    initial_delay: Duration,
    period: Duration,
    regular_at: Duration,
    /// The next extra look; `None` when there are none any more.
    early_at: Option<Duration>,
    early_idx: usize,
    early_left: u32,
}

impl Schedule {
    pub(super) fn new(kind: ProbeKind, spec: &ProbeSpec) -> Self {
        let is_exec = matches!(spec.check, super::Check::Exec { .. });
        let early_idx = if is_exec { EARLY_EXEC } else { 0 };
        // A live container is no news: liveness has nothing to be early for.
        let early = kind != ProbeKind::Liveness;
        Self {
            initial_delay: spec.initial_delay,
            period: spec.period.max(Duration::from_millis(1)),
            regular_at: spec.initial_delay,
            early_at: early.then(|| spec.initial_delay + EARLY[early_idx]),
            early_idx,
            early_left: EARLY_MAX,
        }
    }

    /// The next probe, not before `now`. `up` ends the extra looks for good.
    pub(super) fn next(&mut self, now: Duration, up: bool) -> Slot {
        if up || self.early_left == 0 {
            self.early_at = None;
        }
        if let Some(early) = self.early_at {
            let at = early.max(now);
            if at < self.regular_at {
                self.early_idx = (self.early_idx + 1).min(EARLY.len() - 1);
                self.early_left -= 1;
                self.early_at = Some(at + EARLY[self.early_idx]);
                return Slot { at, regular: false };
            }
        }
        // As with a ticker of Go: one tick that was missed comes at once, then the rhythm goes on.
        let at = self.regular_at.max(now);
        let passed = at.saturating_sub(self.initial_delay).as_millis() / self.period.as_millis();
        let ticks = u32::try_from(passed).unwrap_or(u32::MAX - 1) + 1;
        self.regular_at = self.initial_delay + self.period.saturating_mul(ticks);
        Slot { at, regular: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Check;

    fn spec(initial_delay_ms: u64, period_ms: u64) -> ProbeSpec {
        ProbeSpec {
            check: Check::Tcp { host: None, port: 80 },
            initial_delay: Duration::from_millis(initial_delay_ms),
            period: Duration::from_millis(period_ms),
            timeout: Duration::from_secs(1),
            success_threshold: 1,
            failure_threshold: 3,
            termination_grace: None,
        }
    }

    /// The times in ms of the first probes of a container that comes up at `up_at_ms`; regular ones marked.
    fn times(kind: ProbeKind, spec: &ProbeSpec, up_at_ms: u64, count: usize) -> Vec<String> {
        let mut schedule = Schedule::new(kind, spec);
        let (mut now, mut up) = (Duration::ZERO, false);
        (0..count)
            .map(|_| {
                let slot = schedule.next(now, up);
                assert!(slot.at >= now);
                now = slot.at;
                up = now.as_millis() >= u128::from(up_at_ms);
                format!("{}{}", now.as_millis(), if slot.regular { "r" } else { "" })
            })
            .collect()
    }

    #[test]
    fn a_container_is_looked_at_often_until_it_is_up_and_then_each_period() {
        assert_eq!(
            times(ProbeKind::Readiness, &spec(0, 1000), 60, 8),
            ["0r", "10", "25", "50", "100", "1000r", "2000r", "3000r"]
        );
        assert_eq!(
            times(ProbeKind::Startup, &spec(500, 1000), 500, 3),
            ["500r", "1500r", "2500r"],
            "the initial delay is kept"
        );
        assert_eq!(times(ProbeKind::Liveness, &spec(0, 1000), 5000, 3), ["0r", "1000r", "2000r"]);
    }

    #[test]
    fn regular_probes_stay_in_their_rhythm_between_early_ones() {
        let all = times(ProbeKind::Readiness, &spec(0, 1000), u64::MAX, 100);
        let regular: Vec<&String> = all.iter().filter(|time| time.ends_with('r')).take(4).collect();
        assert_eq!(regular, ["0r", "1000r", "2000r", "3000r"]);
        assert_eq!(all.iter().filter(|time| !time.ends_with('r')).count(), EARLY_MAX as usize);
    }

    #[test]
    fn a_slow_answer_is_not_caught_up_on() {
        let mut schedule = Schedule::new(ProbeKind::Liveness, &spec(0, 1000));
        assert_eq!(schedule.next(Duration::ZERO, true).at, Duration::ZERO);
        let late = Duration::from_millis(3500);
        assert_eq!(schedule.next(late, true), Slot { at: late, regular: true });
        assert_eq!(schedule.next(late, true).at, Duration::from_secs(4));
    }
}
