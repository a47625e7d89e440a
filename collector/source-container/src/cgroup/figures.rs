//! What both versions of the hierarchy tell under other names and in other units.

use std::path::Path;

use swell_source::Scratch;

use super::{float, single};
use crate::container::Metric;

/// CPU time, and what a quota took of it.
#[derive(Debug, Default)]
pub(super) struct Cpu {
    pub(super) usage_seconds: Option<f64>,
    pub(super) user_seconds: Option<f64>,
    pub(super) system_seconds: Option<f64>,
    pub(super) periods: Option<u64>,
    pub(super) throttled_periods: Option<u64>,
    pub(super) throttled_seconds: Option<f64>,
}

impl Cpu {
    pub(super) fn record(&self, record: &mut dyn FnMut(Metric, f64)) {
        let times = [
            (Metric::CpuUsageSeconds, self.usage_seconds),
            (Metric::CpuUserSeconds, self.user_seconds),
            (Metric::CpuSystemSeconds, self.system_seconds),
        ];
        for (metric, seconds) in times {
            if let Some(seconds) = seconds {
                record(metric, seconds);
            }
        }
        // without a quota there are no periods, and cAdvisor writes nothing
        if let Some(periods) = self.periods.filter(|periods| *periods > 0) {
            record(Metric::CfsPeriods, float(periods));
            record(Metric::CfsThrottledPeriods, float(self.throttled_periods.unwrap_or_default()));
            record(Metric::CfsThrottledSeconds, self.throttled_seconds.unwrap_or_default());
        }
    }
}

/// Memory in bytes, and faults.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) usage: Option<u64>,
    pub(super) rss: Option<u64>,
    pub(super) cache: Option<u64>,
    pub(super) mapped_file: Option<u64>,
    pub(super) inactive_file: Option<u64>,
    pub(super) faults: Option<u64>,
    pub(super) major_faults: Option<u64>,
}

impl Memory {
    pub(super) fn record(&self, record: &mut dyn FnMut(Metric, f64)) {
        let working_set = self.usage.zip(self.inactive_file);
        for (metric, value) in [
            (Metric::MemoryUsage, self.usage),
            (Metric::MemoryWorkingSet, working_set.map(|(all, idle)| all.saturating_sub(idle))),
            (Metric::MemoryRss, self.rss),
            (Metric::MemoryCache, self.cache),
            (Metric::MemoryMappedFile, self.mapped_file),
            (Metric::PageFaults, self.faults),
            (Metric::MajorPageFaults, self.major_faults),
        ] {
            if let Some(value) = value {
                record(metric, float(value));
            }
        }
    }
}

/// Files of one number each; absent ones are left out.
pub(super) fn record_singles<const N: usize>(
    dir: &Path,
    files: [(Metric, &str); N],
    scratch: &mut Scratch,
    record: &mut dyn FnMut(Metric, f64),
) {
    for (metric, file) in files {
        if let Some(value) = single(&dir.join(file), scratch) {
            record(metric, float(value));
        }
    }
}
