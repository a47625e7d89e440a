//! The old hierarchies, one per controller.

use std::path::PathBuf;

use swell_source::{KernelFile, ReadError, Scratch, fields, parse_u64};

use super::figures::{Cpu, Memory, record_singles};
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
    memory: Option<MemoryFiles>,
    pids_current: Option<KernelFile>,
}

#[derive(Debug)]
struct MemoryFiles {
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
            memory: paths.memory.as_ref().map(|dir| MemoryFiles {
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
        self.read_cpu(scratch)?.record(record);
        if let Some(memory) = &mut self.memory {
            memory.read(scratch)?.record(record);
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

    fn read_cpu(&mut self, scratch: &mut Scratch) -> Result<Cpu, ReadError> {
        let seconds = |ns: Option<u64>| ns.map(|ns| float(ns) / NS_PER_SECOND);
        let ns = fields(self.usage.read_once(scratch)?).next().and_then(parse_u64);
        let text = self.cpuacct_stat.read_once(scratch)?;
        let ticks: [Option<u64>; 2] = by_key(text, [b"user", b"system"]);
        let [user_seconds, system_seconds] =
            ticks.map(|ticks| ticks.map(|ticks| float(ticks) / self.user_hz));
        let mut cpu =
            Cpu { usage_seconds: seconds(ns), user_seconds, system_seconds, ..Cpu::default() };
        if let Some(file) = &mut self.throttling {
            let keys: [&[u8]; 3] = [b"nr_periods", b"nr_throttled", b"throttled_time"];
            let [periods, throttled_periods, ns] = by_key(file.read_once(scratch)?, keys);
            cpu = Cpu { periods, throttled_periods, throttled_seconds: seconds(ns), ..cpu };
        }
        Ok(cpu)
    }

    pub(crate) fn read_slow(&self, scratch: &mut Scratch, record: &mut dyn FnMut(Metric, f64)) {
        if let Some(dir) = &self.paths.cpu {
            // -1 stands for no quota, which is then not written
            let files = [
                (Metric::SpecCpuQuota, "cpu.cfs_quota_us"),
                (Metric::SpecCpuPeriod, "cpu.cfs_period_us"),
                (Metric::SpecCpuShares, "cpu.shares"),
            ];
            record_singles(dir, files, scratch, record);
        }
        let Some(dir) = &self.paths.memory else { return };
        let files = [
            (Metric::MemoryMaxUsage, "memory.max_usage_in_bytes"),
            (Metric::MemoryFailures, "memory.failcnt"),
        ];
        record_singles(dir, files, scratch, record);
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

impl MemoryFiles {
    fn read(&mut self, scratch: &mut Scratch) -> Result<Memory, ReadError> {
        let usage = fields(self.usage.read_once(scratch)?).next().and_then(parse_u64);
        let keys: [&[u8]; 6] = [
            b"total_rss",
            b"total_cache",
            b"total_mapped_file",
            b"total_inactive_file",
            b"total_pgfault",
            b"total_pgmajfault",
        ];
        let [rss, cache, mapped_file, inactive_file, faults, major_faults] =
            by_key(self.stat.read_once(scratch)?, keys);
        Ok(Memory { usage, rss, cache, mapped_file, inactive_file, faults, major_faults })
    }
}
