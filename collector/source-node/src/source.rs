//! All collectors of one machine, run one after the other.

use std::fmt;

use swell_model::{Pass, PassSeries, TimestampMs};
use swell_source::{JobLabels, Scratch, Stopwatch, VirtualJob};

use crate::collector::{CollectError, Collector, SharedFile, Tick};
use crate::collectors;
use crate::collectors::filesystem::{Statfs, statfs};
use crate::config::Config;

/// Reads one machine. Owned by one task; a tick takes well below a millisecond and never waits for a disk.
pub struct NodeSource {
    labels: JobLabels,
    job: VirtualJob,
    stopwatch: Stopwatch,
    scratch: Scratch,
    proc_stat: SharedFile,
    runs: Vec<Run>,
}

struct Run {
    collector: Box<dyn Collector>,
    success: PassSeries,
    duration_seconds: PassSeries,
    failure: Option<CollectError>,
}

impl NodeSource {
    /// A source that has read nothing yet.
    #[must_use]
    pub fn new(config: &Config, stopwatch: Stopwatch) -> Self {
        Self::with_statfs(config, stopwatch, statfs())
    }

    /// A source that asks `statfs` for the size of file systems.
    #[must_use]
    pub fn with_statfs(config: &Config, stopwatch: Stopwatch, statfs: Statfs) -> Self {
        let extra = config.extra_labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let labels = JobLabels::new(&config.job, &config.instance, extra);
        let runs = collectors::all(config, statfs)
            .into_iter()
            .map(|collector| {
                let series = |name| labels.series(name, [("collector", collector.name())]);
                Run {
                    success: series("node_scrape_collector_success"),
                    duration_seconds: series("node_scrape_collector_duration_seconds"),
                    failure: None,
                    collector,
                }
            })
            .collect();
        Self {
            job: VirtualJob::new(&labels),
            labels,
            stopwatch,
            scratch: Scratch::default(),
            proc_stat: SharedFile::new(config.roots.procfs.join("stat")),
            runs,
        }
    }

    /// Records one tick into the pass.
    pub fn collect(&mut self, now: TimestampMs, pass: &mut Pass) {
        self.job.begin(pass);
        let began = (self.stopwatch)();
        self.proc_stat.begin_tick();
        let mut before = began;
        for run in &mut self.runs {
            let outcome = run.collector.collect(&mut Tick {
                now,
                pass: &mut *pass,
                scratch: &mut self.scratch,
                labels: &self.labels,
                proc_stat: &mut self.proc_stat,
            });
            let after = (self.stopwatch)();
            run.failure = outcome.err();
            run.success.record(pass, if run.failure.is_some() { 0.0 } else { 1.0 });
            run.duration_seconds.record(pass, after.saturating_sub(before).as_secs_f64());
            before = after;
        }
        self.job.end(pass, before.saturating_sub(began));
    }

    /// Collectors that failed in the last tick, with the reason: for the owner to log when it changes.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, &CollectError)> {
        self.runs
            .iter()
            .filter_map(|run| run.failure.as_ref().map(|failure| (run.collector.name(), failure)))
    }
}

impl fmt::Debug for NodeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.runs.iter().map(|run| run.collector.name()).collect();
        f.debug_struct("NodeSource").field("collectors", &names).finish_non_exhaustive()
    }
}
