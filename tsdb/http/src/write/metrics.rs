//! What the receiver counts about itself.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::receive::Receipt;
use super::refusals::Why;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct WriteMetrics {
    samples_total: IntCounter,
    histograms_total: IntCounter,
    exemplars_total: IntCounter,
    refused_total: IntCounterVec,
    /// Requests of which nothing was looked at or stored, by the code of the answer.
    pub(super) failed_total: IntCounterVec,
    lookups_total: IntCounterVec,
    known_series: IntGauge,
}

impl WriteMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        let by = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label])
        };
        let metrics = Self {
            samples_total: counter(
                "swell_remote_write_samples_total",
                "Float samples taken by remote write.",
            )?,
            histograms_total: counter(
                "swell_remote_write_histograms_total",
                "Native histograms taken by remote write.",
            )?,
            exemplars_total: counter(
                "swell_remote_write_exemplars_total",
                "Exemplars taken by remote write.",
            )?,
            refused_total: by(
                "swell_remote_write_refused_total",
                "Samples, histograms, exemplars and series that remote write refused, by reason.",
                "reason",
            )?,
            failed_total: by(
                "swell_remote_write_failed_total",
                "Remote write requests that failed as a whole, by status code.",
                "code",
            )?,
            lookups_total: by(
                "swell_remote_write_series_total",
                "Series of remote write requests by how they were found: where the order of the last time had them, \
                 by their labels' hash, or not at all.",
                "found",
            )?,
            known_series: IntGauge::new(
                "swell_remote_write_known_series",
                "Label sets that remote write finds without taking them apart.",
            )?,
        };
        for reason in Why::ALL {
            metrics.refused_total.with_label_values(&[reason.label()]);
        }
        registry.register(Box::new(metrics.samples_total.clone()))?;
        registry.register(Box::new(metrics.histograms_total.clone()))?;
        registry.register(Box::new(metrics.exemplars_total.clone()))?;
        registry.register(Box::new(metrics.refused_total.clone()))?;
        registry.register(Box::new(metrics.failed_total.clone()))?;
        registry.register(Box::new(metrics.lookups_total.clone()))?;
        registry.register(Box::new(metrics.known_series.clone()))?;
        Ok(metrics)
    }

    /// Counts a request that was read.
    pub(super) fn count(&self, receipt: &Receipt, known_series: usize) {
        self.samples_total.inc_by(receipt.written.samples as u64);
        self.histograms_total.inc_by(receipt.written.histograms as u64);
        self.exemplars_total.inc_by(receipt.written.exemplars as u64);
        for why in Why::ALL {
            let count = receipt.refusals.count(why);
            if count > 0 {
                self.refused_total.with_label_values(&[why.label()]).inc_by(count as u64);
            }
        }
        let tally = receipt.tally;
        for (how, count) in
            [("in_sequence", tally.in_sequence), ("by_hash", tally.by_key), ("new", tally.new)]
        {
            self.lookups_total.with_label_values(&[how]).inc_by(count);
        }
        self.known_series.set(i64::try_from(known_series).unwrap_or(i64::MAX));
    }
}
