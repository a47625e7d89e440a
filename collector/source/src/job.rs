//! The job that an in-process source pretends to be a scrape of, so that rules which select `job` work.

use std::sync::Arc;
use std::time::Duration;

use swell_model::{Labels, LabelsBuilder, METRIC_NAME, Pass, PassSeries};

/// Reads the monotonic clock; only differences mean something.
pub type Stopwatch = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Labels that all series of one source carry: `job`, `instance`, and what the operator adds (`cluster`).
#[derive(Clone, Debug)]
pub struct JobLabels {
    base: LabelsBuilder,
}

impl JobLabels {
    /// Labels of one job on one instance.
    #[must_use]
    pub fn new<'a>(
        job: &str,
        instance: &str,
        extra: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut base = LabelsBuilder::default();
        base.set("job", job).set("instance", instance);
        for (name, value) in extra {
            base.set(name, value);
        }
        Self { base }
    }

    /// A series of this job; the source's own labels win over the job's.
    #[must_use]
    pub fn series<'a>(
        &self,
        metric_name: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> PassSeries {
        PassSeries::new(self.labels(metric_name, pairs))
    }

    /// Labels of a series of this job.
    #[must_use]
    pub fn labels<'a>(
        &self,
        metric_name: &str,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Labels {
        let mut builder = self.base.clone();
        builder.set(METRIC_NAME, metric_name);
        for (name, value) in pairs {
            builder.set(name, value);
        }
        builder.build()
    }
}

/// Writes what a scrape loop writes about each scrape: `up`, how long it took, how much it brought.
#[derive(Debug)]
pub struct VirtualJob {
    up: PassSeries,
    duration_seconds: PassSeries,
    samples_scraped: PassSeries,
    samples_post_relabeling: PassSeries,
    series_added: PassSeries,
    recorded_before: usize,
    announced_before: usize,
}

impl VirtualJob {
    /// The five series of one job.
    #[must_use]
    pub fn new(labels: &JobLabels) -> Self {
        let series = |name| labels.series(name, []);
        Self {
            up: series("up"),
            duration_seconds: series("scrape_duration_seconds"),
            samples_scraped: series("scrape_samples_scraped"),
            samples_post_relabeling: series("scrape_samples_post_metric_relabeling"),
            series_added: series("scrape_series_added"),
            recorded_before: 0,
            announced_before: 0,
        }
    }

    /// Notes where the pass stands before the source writes into it.
    pub fn begin(&mut self, pass: &Pass) {
        self.recorded_before = pass.recorded_count();
        self.announced_before = pass.announced_count();
    }

    /// Records the five series after the source has written.
    #[expect(clippy::cast_precision_loss, reason = "counts of one tick are far below 2^53")]
    pub fn end(&mut self, pass: &mut Pass, took: Duration) {
        let samples = pass.recorded_count().saturating_sub(self.recorded_before) as f64;
        let added = pass.announced_count().saturating_sub(self.announced_before) as f64;
        self.up.record(pass, 1.0);
        self.duration_seconds.record(pass, took.as_secs_f64());
        self.samples_scraped.record(pass, samples);
        self.samples_post_relabeling.record(pass, samples);
        self.series_added.record(pass, added);
    }
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;

    use super::*;

    #[test]
    fn a_tick_leaves_what_a_scrape_would() {
        let labels = JobLabels::new("node", "h:9100", [("cluster", "c")]);
        let mut job = VirtualJob::new(&labels);
        let mut load = labels.series("node_load1", []);
        let mut pass = Pass::new();
        job.begin(&pass);
        load.record(&mut pass, 0.5);
        job.end(&mut pass, Duration::from_millis(250));
        let delta = pass.finish(TimestampMs(1));
        let text: Vec<String> = delta
            .announced
            .iter()
            .zip(&delta.samples)
            .map(|((_, labels), (_, value))| format!("{labels} {value}"))
            .collect();
        let of = r#"{cluster="c", instance="h:9100", job="node"}"#;
        assert_eq!(
            text,
            [
                format!("node_load1{of} 0.5"),
                format!("up{of} 1"),
                format!("scrape_duration_seconds{of} 0.25"),
                format!("scrape_samples_scraped{of} 1"),
                format!("scrape_samples_post_metric_relabeling{of} 1"),
                format!("scrape_series_added{of} 1"),
            ]
        );
    }
}
