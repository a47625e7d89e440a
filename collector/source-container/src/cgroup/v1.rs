//! The old hierarchies, one per controller.

use std::path::PathBuf;

use swell_source::{KernelFile, ReadError, Scratch, fields, parse_u64};

use super::{by_key, float, single};
use crate::container::Metric;
use crate::inventory::CgroupV1Paths;

const NS_PER_SECOND: f64 = 1e9;

/// The kernel writes "no limit" as the largest multiple of a page; anything of that order is none.
const NO_LIMIT_BYTES_MIN: u64 = 1 << 62;

#[derive(Debug)]
pub(crate) struct Files {
    paths: CgroupV1Paths,
    user_hz: f64,
    usage: KernelFile,
    cpuacct_stat: KernelFile,
    throttling: Option<KernelFile>,
    memory: Option<Memory>,
    pids_current: Option<KernelFile>,
}

#[derive(Debug)]
struct Memory {
    usage: KernelFile,
    stat: KernelFile,
}

impl Files {
    pub(crate) fn new(paths: &CgroupV1Paths) -> Self {
        let file = |dir: &PathBuf, name| KernelFile::new(dir.join(name));
        Self {
            user_hz: float(rustix::param::clock_ticks_per_second()),
            usage: file(&paths.cpuacct, "cpuacct.usage"),
            cpuacct_stat: file(&paths.cpuacct, "cpuacct.stat"),
            throttling: paths.cpu.as_ref().map(|dir| file(dir, "cpu.stat")),
            memory: paths.memory.as_ref().map(|dir| Memory {
                usage: file(dir, "memory.usage_in_bytes"),
                stat: file(dir, "memory.stat"),
            }),
            pids_current: paths.pids.as_ref().map(|dir| file(dir, "pids.current")),
            paths: paths.clone(),
        }
    }

    pub(crate) fn procs_path(&self) -> PathBuf {
        self.paths.cpuacct.join("cgroup.procs")
    }

    pub(crate) fn read_fast(
        &mut self,
        hold_open: bool,
        scratch: &mut Scratch,
        record: &mut dyn FnMut(Metric, f64),
    ) -> Result<(), ReadError> {
        if let Some(ns) = fields(self.usage.read_once(scratch)?).next().and_then(parse_u64) {
            record(Metric::CpuUsageSeconds, float(ns) / NS_PER_SECOND);
        }
        let text = self.cpuacct_stat.read_once(scratch)?;
        let [user, system] = by_key(text, [b"user", b"system"]);
        for (metric, ticks) in [(Metric::CpuUserSeconds, user), (Metric::CpuSystemSeconds, system)]
        {
            if let Some(ticks) = ticks {
                record(metric, float(ticks) / self.user_hz);
            }
        }
        if let Some(file) = &mut self.throttling {
            let keys: [&[u8]; 3] = [b"nr_periods", b"nr_throttled", b"throttled_time"];
            let [periods, throttled_periods, ns] = by_key(file.read_once(scratch)?, keys);
            // without a quota there are no periods, and cAdvisor writes nothing
            if let Some(periods) = periods.filter(|periods| *periods > 0) {
                record(Metric::CfsPeriods, float(periods));
                record(Metric::CfsThrottledPeriods, float(throttled_periods.unwrap_or_default()));
                let seconds = float(ns.unwrap_or_default()) / NS_PER_SECOND;
                record(Metric::CfsThrottledSeconds, seconds);
            }
        }
        if let Some(memory) = &mut self.memory {
            memory.read(scratch, record)?;
        }
        if let Some(file) = &mut self.pids_current
            && let Some(threads) = fields(file.read_once(scratch)?).next().and_then(parse_u64)
        {
            record(Metric::Threads, float(threads));
        }
        if !hold_open {
            self.usage.close();
            self.cpuacct_stat.close();
            let memory = self.memory.iter_mut().flat_map(|m| [&mut m.usage, &mut m.stat]);
            for file in self.throttling.iter_mut().chain(&mut self.pids_current).chain(memory) {
                file.close();
            }
        }
        Ok(())
    }

    pub(crate) fn read_slow(&self, scratch: &mut Scratch, record: &mut dyn FnMut(Metric, f64)) {
        if let Some(dir) = &self.paths.cpu {
            // -1 stands for no quota, which is then not written
            for (metric, file) in [
                (Metric::SpecCpuQuota, "cpu.cfs_quota_us"),
                (Metric::SpecCpuPeriod, "cpu.cfs_period_us"),
                (Metric::SpecCpuShares, "cpu.shares"),
            ] {
                if let Some(value) = single(&dir.join(file), scratch) {
                    record(metric, float(value));
                }
            }
        }
        let Some(dir) = &self.paths.memory else { return };
        for (metric, file) in [
            (Metric::MemoryMaxUsage, "memory.max_usage_in_bytes"),
            (Metric::MemoryFailures, "memory.failcnt"),
        ] {
            if let Some(value) = single(&dir.join(file), scratch) {
                record(metric, float(value));
            }
        }
        for (metric, file) in [
            (Metric::SpecMemoryLimit, "memory.limit_in_bytes"),
            (Metric::SpecMemorySwapLimit, "memory.memsw.limit_in_bytes"),
            (Metric::SpecMemoryReservation, "memory.soft_limit_in_bytes"),
        ] {
            if let Some(bytes) = single(&dir.join(file), scratch) {
                let is_limit = bytes < NO_LIMIT_BYTES_MIN;
                record(metric, if is_limit { float(bytes) } else { 0.0 });
            }
        }
        let with_swap = single(&dir.join("memory.memsw.usage_in_bytes"), scratch);
        let without = single(&dir.join("memory.usage_in_bytes"), scratch);
        if let (Some(with_swap), Some(without)) = (with_swap, without) {
            record(Metric::MemorySwap, float(with_swap.saturating_sub(without)));
        }
        let mut oom_control = KernelFile::new(dir.join("memory.oom_control"));
        if let Ok(text) = oom_control.read_once(scratch)
            && let [Some(oom_kills)] = by_key(text, [b"oom_kill"])
        {
            record(Metric::OomEvents, float(oom_kills));
        }
    }
}

impl Memory {
    fn read(
        &mut self,
        scratch: &mut Scratch,
        record: &mut dyn FnMut(Metric, f64),
    ) -> Result<(), ReadError> {
        let usage = fields(self.usage.read_once(scratch)?).next().and_then(parse_u64);
        let keys: [&[u8]; 6] = [
            b"total_rss",
            b"total_cache",
            b"total_mapped_file",
            b"total_inactive_file",
            b"total_pgfault",
            b"total_pgmajfault",
        ];
        let [rss, cache, mapped, inactive_file, faults, major_faults] =
            by_key(self.stat.read_once(scratch)?, keys);
        let working_set = usage.zip(inactive_file).map(|(all, idle)| all.saturating_sub(idle));
        for (metric, value) in [
            (Metric::MemoryUsage, usage),
            (Metric::MemoryWorkingSet, working_set),
            (Metric::MemoryRss, rss),
            (Metric::MemoryCache, cache),
            (Metric::MemoryMappedFile, mapped),
            (Metric::PageFaults, faults),
            (Metric::MajorPageFaults, major_faults),
        ] {
            if let Some(value) = value {
                record(metric, float(value));
            }
        }
        Ok(())
    }
}
