//! Subjects that change rarely or cost much: gathered at an interval, their last values recorded each tick.

use std::io;
use std::path::Path;

use swell_model::{DurationMs, PassSeries, TimestampMs};

use crate::collector::{CollectError, Tick};

/// Values of the last gathering and when the next is due. Recording them in every tick keeps the series
/// from being marked stale in between.
#[derive(Debug)]
pub(crate) struct Slow {
    interval: DurationMs,
    gathered_at: Option<TimestampMs>,
    samples: Vec<(PassSeries, f64)>,
}

impl Slow {
    pub(crate) const fn new(interval: DurationMs) -> Self {
        Self { interval, gathered_at: None, samples: Vec::new() }
    }

    /// Whether to gather now: the first time, after the interval, and when the clock went back.
    pub(crate) fn is_due(&self, now: TimestampMs) -> bool {
        self.gathered_at.is_none_or(|at| now.since(at) >= self.interval || now < at)
    }

    /// Records the samples, gathered anew when due. After a failed gathering nothing is recorded and the
    /// next tick tries again.
    pub(crate) fn collect(
        &mut self,
        tick: &mut Tick<'_>,
        gather: impl FnOnce(&mut Tick<'_>, &mut Vec<(PassSeries, f64)>) -> Result<(), CollectError>,
    ) -> Result<(), CollectError> {
        if self.is_due(tick.now) {
            self.samples.clear();
            self.gathered_at = None;
            gather(tick, &mut self.samples)?;
            self.gathered_at = Some(tick.now);
        }
        for (series, value) in &mut self.samples {
            series.record(tick.pass, *value);
        }
        Ok(())
    }
}

/// The trimmed text of a small file under `/sys`, or `None` where the kernel has no answer (the file is
/// absent, or the driver refuses: a link that is down has no speed).
pub(crate) fn attribute(path: &Path) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(_refused_or_absent) => None,
    }
}

/// An attribute as a number, decimal or with `0x`.
pub(crate) fn number_attribute(path: &Path) -> Option<f64> {
    let text = attribute(path)?;
    match text.strip_prefix("0x") {
        #[expect(clippy::cast_precision_loss, reason = "ids and flags are far below 2^53")]
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|number| number as f64),
        None => text.parse().ok(),
    }
}

/// Names in a directory, sorted.
pub(crate) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        if let Ok(name) = entry?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
