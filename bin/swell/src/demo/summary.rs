//! What the demo found out, as one value: printed for people, as JSON for programs, and judged.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::load::Tally;

/// Share of requests that may fail in a demo that counts as good.
const FAILED_SHARE_MAX: f64 = 0.001;

/// Latency quantiles of one phase, in milliseconds; none when nothing was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct LatencyMs {
    /// Median.
    pub(crate) p50: Option<f64>,
    /// 95th percentile.
    pub(crate) p95: Option<f64>,
    /// 99th percentile.
    pub(crate) p99: Option<f64>,
}

impl LatencyMs {
    /// Quantiles of a phase.
    pub(crate) fn of(tally: &Tally) -> Self {
        let millis = |quantile| {
            tally.latency(quantile).map(|time| (time.as_secs_f64() * 100_000.0).round() / 100.0)
        };
        Self { p50: millis(0.50), p95: millis(0.95), p99: millis(0.99) }
    }
}

/// Latency before, during and after the surge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct LatencyByPhase {
    /// Before.
    pub(crate) calm: LatencyMs,
    /// During.
    pub(crate) surge: LatencyMs,
    /// After.
    pub(crate) after: LatencyMs,
}

/// The result of a run. Field names are part of the product's contract.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    /// Replicas rose above the number at the start.
    pub(crate) scaled_out: bool,
    /// Replicas fell back to it.
    pub(crate) scaled_in: bool,
    /// Replicas before the surge.
    pub(crate) replicas_min: i32,
    /// Most replicas that were ready at once.
    pub(crate) replicas_max: i32,
    /// From the start of the surge to the first decision to grow.
    pub(crate) surge_to_decision_ms: Option<u64>,
    /// From the start of the surge to the first new pod that was ready.
    pub(crate) surge_to_first_ready_ms: Option<u64>,
    /// From the start of the surge to CPU back inside the tolerance.
    pub(crate) surge_to_target_ms: Option<u64>,
    /// Latency as the load generator saw it.
    pub(crate) latency_ms: LatencyByPhase,
    /// Requests sent.
    pub(crate) requests: u64,
    /// Requests without a good answer.
    pub(crate) failed_requests: u64,
    /// Why the first of them failed.
    pub(crate) first_failure: Option<String>,
    /// New pods that were started.
    pub(crate) new_pods: usize,
    /// New pods that answered requests.
    pub(crate) new_pods_that_served: usize,
    /// Notifications handed to the receiver.
    pub(crate) alerts_sent: u64,
    /// Notifications that the receiver got.
    pub(crate) alerts_received: u64,
    /// Samples stored since the start.
    pub(crate) samples_stored: u64,
    /// Bytes on disk for each of them.
    pub(crate) bytes_per_sample: Option<f64>,
    /// Address of the web UI.
    pub(crate) http_url: String,
    /// Length of the run.
    pub(crate) duration_ms: u64,
    /// When the first decision to grow was made, for `swell explain --at`.
    pub(crate) first_decision_at: Option<String>,
}

impl Summary {
    /// What keeps this run from counting as good; empty when it does.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.scaled_out {
            faults.push("it did not scale out during the surge".to_owned());
        }
        if !self.scaled_in {
            faults.push("it did not scale in again after the surge".to_owned());
        }
        if self.alerts_received == 0 {
            faults.push("no alert arrived at the receiver".to_owned());
        }
        if self.new_pods_that_served < self.new_pods {
            faults.push(format!(
                "only {} of {} new pods served requests",
                self.new_pods_that_served, self.new_pods
            ));
        }
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let failed_share = self.failed_requests as f64 / (self.requests as f64).max(1.0);
        if failed_share > FAILED_SHARE_MAX || self.requests == 0 {
            let why = self.first_failure.as_deref().unwrap_or("nothing was sent");
            faults.push(format!(
                "{} of {} requests failed (first: {why})",
                self.failed_requests, self.requests
            ));
        }
        faults
    }

    /// The summary for a person.
    pub(crate) fn to_text(&self, stays_up: bool) -> String {
        let mut text = String::new();
        let mut line = |row: String| writeln!(text, "{row}").expect("writing to a string");
        let state = if stays_up { "still running" } else { "all stopped cleanly" };
        line(format!("swell demo        done in {} s, {state}", self.duration_ms / 1000));
        line(String::new());
        let seconds = |millis: Option<u64>| {
            millis.map_or("did not happen".to_owned(), |millis| {
                format!("{:.2} s", Duration::from_millis(millis).as_secs_f64())
            })
        };
        line(format!("  Surge to decision          {}", seconds(self.surge_to_decision_ms)));
        line(format!("  Surge to first new ready   {}", seconds(self.surge_to_first_ready_ms)));
        line(format!(
            "  Surge to target            {}     {} replicas, back inside the tolerance",
            seconds(self.surge_to_target_ms),
            self.replicas_max
        ));
        line(String::new());
        line("  Latency          p50       p95       p99".to_owned());
        for (name, latency) in [
            ("calm", self.latency_ms.calm),
            ("surge", self.latency_ms.surge),
            ("after", self.latency_ms.after),
        ] {
            let cell = |value: Option<f64>| {
                value.map_or("none".to_owned(), |value| format!("{value:.1} ms"))
            };
            line(format!(
                "  {name:<8}{:>12}{:>10}{:>10}",
                cell(latency.p50),
                cell(latency.p95),
                cell(latency.p99)
            ));
        }
        line(String::new());
        line(format!(
            "  Requests       {} sent, {} failed",
            thousands(self.requests),
            thousands(self.failed_requests)
        ));
        let bytes = self
            .bytes_per_sample
            .map_or("size not known yet".to_owned(), |bytes| format!("{bytes:.2} bytes each"));
        line(format!("  Samples        {} stored, {bytes}", thousands(self.samples_stored)));
        line(format!(
            "  Alerts         {} sent, {} delivered",
            self.alerts_sent, self.alerts_received
        ));
        line(String::new());
        for fault in self.faults() {
            line(format!("  Not as it should be: {fault}."));
        }
        if self.scaled_out && self.scaled_in {
            line(format!(
                "  Scaled out {0} to {1} and in again {1} to {0}.",
                self.replicas_min, self.replicas_max
            ));
        }
        if stays_up {
            let at = self.first_decision_at.as_deref().unwrap_or("TIME");
            line(format!(
                "  Ask why:       swell explain hpa/web --namespace demo --server {} --at {at}",
                self.http_url
            ));
            line(format!(
                "  Look:          {}   Ctrl-C ends it and removes all of it",
                self.http_url
            ));
        } else {
            line(
                "  Keep it up:    swell demo          (without --exit it runs until Ctrl-C)"
                    .to_owned(),
            );
        }
        text
    }
}

/// Digits in groups of three, with a thin gap as space: `23 232`.
fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Summary {
        Summary {
            scaled_out: true,
            scaled_in: true,
            replicas_min: 1,
            replicas_max: 5,
            alerts_sent: 2,
            alerts_received: 2,
            new_pods: 4,
            new_pods_that_served: 4,
            requests: 23_232,
            failed_requests: 23,
            ..Summary::default()
        }
    }

    #[test]
    fn a_run_is_good_only_if_every_part_of_it_was() {
        assert_eq!(good().faults(), Vec::<String>::new());
        for (what, bad) in [
            ("scale out", Summary { scaled_out: false, ..good() }),
            ("scale in", Summary { scaled_in: false, ..good() }),
            ("alert", Summary { alerts_received: 0, ..good() }),
            ("served", Summary { new_pods_that_served: 3, ..good() }),
            ("failed", Summary { failed_requests: 24, ..good() }),
            ("failed", Summary { requests: 0, failed_requests: 0, ..good() }),
        ] {
            let faults = bad.faults();
            assert_eq!(faults.len(), 1, "{what}: {faults:?}");
            assert!(faults[0].contains(what), "{what}: {faults:?}");
            assert!(bad.to_text(false).contains(&faults[0]), "{what}");
        }
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (count, expected) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")]
        {
            assert_eq!(thousands(count), expected);
        }
    }
}
