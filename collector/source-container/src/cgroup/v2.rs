//! The unified hierarchy.

use std::path::{Path, PathBuf};

use swell_source::{KernelFile, ReadError, Scratch, fields, lines, parse_u64};

use super::figures::{Cpu, Memory, record_singles};
use super::{by_key, float, single};
use crate::container::Metric;

const US_PER_SECOND: f64 = 1e6;

#[derive(Debug)]
pub(crate) struct Files {
    dir: PathBuf,
    cpu_stat: KernelFile,
    memory_current: KernelFile,
    memory_stat: KernelFile,
    pids_current: KernelFile,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        let file = |name| KernelFile::new(dir.join(name));
        Self {
            cpu_stat: file("cpu.stat"),
            memory_current: file("memory.current"),
            memory_stat: file("memory.stat"),
            pids_current: file("pids.current"),
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn procs_path(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    pub(crate) fn read_fast(
        &mut self,
        hold_open: bool,
        scratch: &mut Scratch,
        record: &mut dyn FnMut(Metric, f64),
    ) -> Result<(), ReadError> {
        self.read_cpu(scratch)?.record(record);
        self.read_memory(scratch)?.record(record);
        match self.pids_current.read_once(scratch) {
            Ok(text) => {
                if let Some(threads) = fields(text).next().and_then(parse_u64) {
                    record(Metric::Threads, float(threads));
                }
            }
            // the controller is not enabled for this group
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error),
        }
        if !hold_open {
            let held = [&mut self.cpu_stat, &mut self.memory_current, &mut self.memory_stat];
            for file in held.into_iter().chain([&mut self.pids_current]) {
                file.close();
            }
        }
        Ok(())
    }

    fn read_cpu(&mut self, scratch: &mut Scratch) -> Result<Cpu, ReadError> {
        let text = self.cpu_stat.read_once(scratch)?;
        let keys: [&[u8]; 6] = [
            b"usage_usec",
            b"user_usec",
            b"system_usec",
            b"nr_periods",
            b"nr_throttled",
            b"throttled_usec",
        ];
        let [usage, user, system, periods, throttled_periods, throttled] = by_key(text, keys);
        let seconds = |us: Option<u64>| us.map(|us| float(us) / US_PER_SECOND);
        Ok(Cpu {
            usage_seconds: seconds(usage),
            user_seconds: seconds(user),
            system_seconds: seconds(system),
            periods,
            throttled_periods,
            throttled_seconds: seconds(throttled),
        })
    }

    fn read_memory(&mut self, scratch: &mut Scratch) -> Result<Memory, ReadError> {
        let usage = match self.memory_current.read_once(scratch) {
            Ok(text) => fields(text).next().and_then(parse_u64),
            // the controller is not enabled for this group
            Err(error) if error.is_absent() => return Ok(Memory::default()),
            Err(error) => return Err(error),
        };
        let keys: [&[u8]; 6] =
            [b"anon", b"file", b"file_mapped", b"inactive_file", b"pgfault", b"pgmajfault"];
        let [rss, cache, mapped_file, inactive_file, faults, major_faults] =
            by_key(self.memory_stat.read_once(scratch)?, keys);
        Ok(Memory { usage, rss, cache, mapped_file, inactive_file, faults, major_faults })
    }

    pub(crate) fn read_slow(&self, scratch: &mut Scratch, record: &mut dyn FnMut(Metric, f64)) {
        let files =
            [(Metric::MemorySwap, "memory.swap.current"), (Metric::MemoryMaxUsage, "memory.peak")];
        record_singles(&self.dir, files, scratch, record);
        let mut events = KernelFile::new(self.dir.join("memory.events"));
        if let Ok(text) = events.read_once(scratch) {
            let [max, oom_kills] = by_key(text, [b"max", b"oom_kill"]);
            record(Metric::MemoryFailures, float(max.unwrap_or_default()));
            record(Metric::OomEvents, float(oom_kills.unwrap_or_default()));
        }
        self.read_limits(scratch, record);
        for (file, waiting, stalled) in [
            ("cpu.pressure", Metric::CpuWaitingSeconds, Metric::CpuStalledSeconds),
            ("memory.pressure", Metric::MemoryWaitingSeconds, Metric::MemoryStalledSeconds),
            ("io.pressure", Metric::IoWaitingSeconds, Metric::IoStalledSeconds),
        ] {
            let mut pressure = KernelFile::new(self.dir.join(file));
            let Ok(text) = pressure.read_once(scratch) else { continue };
            for line in lines(text) {
                let metric = if line.starts_with(b"some ") { waiting } else { stalled };
                let total = fields(line).find_map(|part| part.strip_prefix(b"total="));
                if let Some(us) = total.and_then(parse_u64) {
                    record(metric, float(us) / US_PER_SECOND);
                }
            }
        }
    }

    /// Limits; 0 stands for none, as in cAdvisor.
    fn read_limits(&self, scratch: &mut Scratch, record: &mut dyn FnMut(Metric, f64)) {
        let mut cpu_max = KernelFile::new(self.dir.join("cpu.max"));
        if let Ok(text) = cpu_max.read_once(scratch) {
            let mut parts = fields(text).map(parse_u64);
            let (quota, period) = (parts.next().flatten(), parts.next().flatten());
            if let Some(quota) = quota {
                record(Metric::SpecCpuQuota, float(quota));
            }
            if let Some(period) = period {
                record(Metric::SpecCpuPeriod, float(period));
            }
        }
        if let Some(weight) = single(&self.dir.join("cpu.weight"), scratch) {
            record(Metric::SpecCpuShares, float(shares_of_weight(weight)));
        }
        for (metric, file) in [
            (Metric::SpecMemoryLimit, "memory.max"),
            (Metric::SpecMemorySwapLimit, "memory.swap.max"),
            (Metric::SpecMemoryReservation, "memory.low"),
        ] {
            let path = self.dir.join(file);
            if path.exists() {
                record(metric, float(single(&path, scratch).unwrap_or_default()));
            }
        }
    }
}

/// Weight 1..=10000 back to shares 2..=262144, the inverse of what container runtimes do.
fn shares_of_weight(weight: u64) -> u64 {
    2 + weight.saturating_sub(1).saturating_mul(262_142) / 9999
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_map_back_to_shares() {
        for (weight, shares) in [(1, 2), (39, 998), (100, 2597), (10_000, 262_144)] {
            assert_eq!(shares_of_weight(weight), shares, "{weight}");
        }
    }
}
