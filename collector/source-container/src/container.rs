//! One container: its series, and where their values come from.

use std::path::Path;

use swell_model::{Pass, PassSeries, TimestampMs};
use swell_source::{JobLabels, ReadError, Scratch};

use crate::cgroup::Cgroup;
use crate::inventory::{ContainerInfo, ContainerResources};
use crate::process::{CpuAccount, CpuUse, Process, Reading};

const NS_PER_SECOND: f64 = 1e9;
const NS_PER_SECOND_INT: u64 = 1_000_000_000;

/// Linux' period of CPU quotas.
const CPU_PERIOD_US: f64 = 100_000.0;

/// After so many ticks, what changes rarely is read again.
const SLOW_EVERY_TICKS: u64 = 10;

/// What is measured of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    CpuUsageSeconds,
    CpuUserSeconds,
    CpuSystemSeconds,
    CfsPeriods,
    CfsThrottledPeriods,
    CfsThrottledSeconds,
    MemoryUsage,
    MemoryWorkingSet,
    MemoryRss,
    MemoryCache,
    MemoryMappedFile,
    MemorySwap,
    MemoryMaxUsage,
    MemoryFailures,
    PageFaults,
    MajorPageFaults,
    OomEvents,
    Processes,
    Threads,
    FileDescriptors,
    StartTime,
    LastSeen,
    SpecCpuQuota,
    SpecCpuPeriod,
    SpecCpuShares,
    SpecMemoryLimit,
    SpecMemorySwapLimit,
    SpecMemoryReservation,
    CpuWaitingSeconds,
    CpuStalledSeconds,
    MemoryWaitingSeconds,
    MemoryStalledSeconds,
    IoWaitingSeconds,
    IoStalledSeconds,
}

const METRIC_COUNT: usize = Metric::IoStalledSeconds as usize + 1;

impl Metric {
    const fn name(self) -> &'static str {
        match self {
            Self::CpuUsageSeconds => "container_cpu_usage_seconds_total",
            Self::CpuUserSeconds => "container_cpu_user_seconds_total",
            Self::CpuSystemSeconds => "container_cpu_system_seconds_total",
            Self::CfsPeriods => "container_cpu_cfs_periods_total",
            Self::CfsThrottledPeriods => "container_cpu_cfs_throttled_periods_total",
            Self::CfsThrottledSeconds => "container_cpu_cfs_throttled_seconds_total",
            Self::MemoryUsage => "container_memory_usage_bytes",
            Self::MemoryWorkingSet => "container_memory_working_set_bytes",
            Self::MemoryRss => "container_memory_rss",
            Self::MemoryCache => "container_memory_cache",
            Self::MemoryMappedFile => "container_memory_mapped_file",
            Self::MemorySwap => "container_memory_swap",
            Self::MemoryMaxUsage => "container_memory_max_usage_bytes",
            Self::MemoryFailures => "container_memory_failcnt",
            Self::PageFaults | Self::MajorPageFaults => "container_memory_failures_total",
            Self::OomEvents => "container_oom_events_total",
            Self::Processes => "container_processes",
            Self::Threads => "container_threads",
            Self::FileDescriptors => "container_file_descriptors",
            Self::StartTime => "container_start_time_seconds",
            Self::LastSeen => "container_last_seen",
            Self::SpecCpuQuota => "container_spec_cpu_quota",
            Self::SpecCpuPeriod => "container_spec_cpu_period",
            Self::SpecCpuShares => "container_spec_cpu_shares",
            Self::SpecMemoryLimit => "container_spec_memory_limit_bytes",
            Self::SpecMemorySwapLimit => "container_spec_memory_swap_limit_bytes",
            Self::SpecMemoryReservation => "container_spec_memory_reservation_limit_bytes",
            Self::CpuWaitingSeconds => "container_pressure_cpu_waiting_seconds_total",
            Self::CpuStalledSeconds => "container_pressure_cpu_stalled_seconds_total",
            Self::MemoryWaitingSeconds => "container_pressure_memory_waiting_seconds_total",
            Self::MemoryStalledSeconds => "container_pressure_memory_stalled_seconds_total",
            Self::IoWaitingSeconds => "container_pressure_io_waiting_seconds_total",
            Self::IoStalledSeconds => "container_pressure_io_stalled_seconds_total",
        }
    }

    /// Labels beside those that name the container.
    const fn labels(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::CpuUsageSeconds => &[("cpu", "total")],
            Self::PageFaults => &[("failure_type", "pgfault"), ("scope", "hierarchy")],
            Self::MajorPageFaults => &[("failure_type", "pgmajfault"), ("scope", "hierarchy")],
            _ => &[],
        }
    }
}

/// What all containers of a tick share.
pub(crate) struct ContainerTick<'tick> {
    pub(crate) now: TimestampMs,
    pub(crate) number: u64,
    pub(crate) pass: &'tick mut Pass,
    pub(crate) scratch: &'tick mut Scratch,
    pub(crate) labels: &'tick JobLabels,
    pub(crate) procfs: &'tick Path,
    /// Whether files may stay open until the next tick.
    pub(crate) hold_open: bool,
    pub(crate) units: Units,
}

/// Units the kernel counts in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units {
    pub(crate) page_bytes: u64,
    pub(crate) ticks_per_second: u64,
}

/// A container of the inventory and what was read of it so far.
#[derive(Debug)]
pub(crate) struct Container {
    info: ContainerInfo,
    cgroup: Option<Cgroup>,
    /// Parents before children; stays empty when the container is measured by its cgroup.
    processes: Vec<Process>,
    cpu: CpuAccount,
    slow: Vec<(Metric, f64)>,
    is_slow_read: bool,
    series: [Option<PassSeries>; METRIC_COUNT],
}

impl Container {
    pub(crate) fn new(info: &ContainerInfo) -> Self {
        Self {
            info: info.clone(),
            cgroup: info.cgroup.as_ref().map(Cgroup::new),
            processes: Vec::new(),
            cpu: CpuAccount::default(),
            slow: Vec::new(),
            is_slow_read: false,
            series: [const { None }; METRIC_COUNT],
        }
    }

    pub(crate) const fn info(&self) -> &ContainerInfo {
        &self.info
    }

    /// Takes over what the inventory says now of a container that is the same.
    pub(crate) fn update(&mut self, info: &ContainerInfo) {
        if self.info != *info {
            // labels do not change while a container runs; limits and the root process may
            if self.info.cgroup != info.cgroup {
                self.cgroup = info.cgroup.as_ref().map(Cgroup::new);
            }
            self.info = info.clone();
            self.series = [const { None }; METRIC_COUNT];
            self.is_slow_read = false;
        }
    }

    /// The root process, when the container is measured by its processes.
    pub(crate) fn tree_root(&self) -> Option<u32> {
        if self.cgroup.is_some() { None } else { self.info.root_pid }
    }

    pub(crate) fn add_process(&mut self, pid: u32, procfs: &Path) {
        self.processes.push(Process::new(pid, procfs));
    }

    /// Files that would stay open between ticks.
    pub(crate) fn file_count(&self) -> usize {
        const FILES_PER_CGROUP: usize = 6;
        const FILES_PER_PROCESS: usize = 2;
        if self.cgroup.is_some() {
            FILES_PER_CGROUP
        } else {
            FILES_PER_PROCESS * self.processes.len()
        }
    }

    /// Records one tick; nothing when the container is not running.
    ///
    /// # Errors
    /// When its cgroup cannot be read.
    pub(crate) fn collect(&mut self, tick: &mut ContainerTick<'_>) -> Result<(), ReadError> {
        let mut values = [None; METRIC_COUNT];
        let mut record = |metric: Metric, value| values[metric as usize] = Some((metric, value));
        let is_slow_due = !self.is_slow_read
            || (tick.number + u64::from(self.info.root_pid.unwrap_or_default()))
                .is_multiple_of(SLOW_EVERY_TICKS);
        let is_running = match &mut self.cgroup {
            Some(cgroup) => match cgroup.read_fast(tick.hold_open, tick.scratch, &mut record) {
                Ok(()) => true,
                // it has ended and its group was removed; the inventory will say so
                Err(error) if error.is_absent() => false,
                Err(error) => return Err(error),
            },
            None => self.read_processes(tick, &mut record),
        };
        if !is_running {
            return Ok(());
        }
        if is_slow_due {
            self.read_slow(tick);
        }
        for (metric, value) in &self.slow {
            record(*metric, *value);
        }
        record(Metric::LastSeen, tick.now.as_seconds());
        if let Some(at) = self.info.started_at {
            record(Metric::StartTime, at.as_seconds());
        }
        for (metric, value) in values.into_iter().flatten() {
            let info = &self.info;
            let series = self.series[metric as usize]
                .get_or_insert_with(|| series_of(info, metric, tick.labels));
            series.record(tick.pass, value);
        }
        Ok(())
    }

    /// Reads all processes; whether any is left.
    fn read_processes(
        &mut self,
        tick: &mut ContainerTick<'_>,
        record: &mut impl FnMut(Metric, f64),
    ) -> bool {
        let units = tick.units;
        let ns_per_tick = NS_PER_SECOND_INT / units.ticks_per_second.max(1);
        let mut sum = Reading::default();
        let (mut anon_pages, mut shared_pages_max, mut count) = (0_u64, 0_u64, 0_u32);
        let cpu = &mut self.cpu;
        self.processes.retain_mut(|process| {
            let Some(reading) = process.read(ns_per_tick, tick.hold_open, tick.scratch) else {
                cpu.end(process.last());
                return false;
            };
            sum.own = sum.own.plus(reading.own);
            sum.waited_for = sum.waited_for.plus(reading.waited_for);
            sum.threads += reading.threads;
            anon_pages += reading.resident_pages.saturating_sub(reading.shared_pages);
            shared_pages_max = shared_pages_max.max(reading.shared_pages);
            count += 1;
            true
        });
        if count == 0 {
            return false;
        }
        let CpuUse { total_ns, user_ticks, system_ticks } = cpu.total(sum.own, sum.waited_for);
        let hz = float(units.ticks_per_second.max(1));
        record(Metric::CpuUsageSeconds, float(total_ns) / NS_PER_SECOND);
        record(Metric::CpuUserSeconds, float(user_ticks) / hz);
        record(Metric::CpuSystemSeconds, float(system_ticks) / hz);
        // what processes share (libraries, mapped files) is counted once, as the largest share of one:
        // adding it up would count each page as often as there are processes
        let rss = float(anon_pages.saturating_mul(units.page_bytes));
        let shared = float(shared_pages_max.saturating_mul(units.page_bytes));
        record(Metric::MemoryRss, rss);
        record(Metric::MemoryMappedFile, shared);
        record(Metric::MemoryWorkingSet, rss + shared);
        record(Metric::MemoryUsage, rss + shared);
        record(Metric::Processes, f64::from(count));
        record(Metric::Threads, float(sum.threads));
        true
    }

    /// What changes rarely: limits, open files, and what cgroup files say beyond usage.
    fn read_slow(&mut self, tick: &mut ContainerTick<'_>) {
        let pids = match &self.cgroup {
            Some(cgroup) => cgroup.pids(tick.scratch).unwrap_or_default(),
            None => self.processes.iter().map(Process::pid).collect(),
        };
        self.is_slow_read = true;
        self.slow.clear();
        let slow = &mut self.slow;
        let mut record = |metric, value| slow.push((metric, value));
        match &self.cgroup {
            Some(cgroup) => {
                cgroup.read_slow(tick.scratch, &mut record);
                #[expect(clippy::cast_precision_loss, reason = "processes are countable")]
                record(Metric::Processes, pids.len() as f64);
            }
            None => record_resources(&self.info.resources, &mut record),
        }
        let mut open_files = pids.iter().map(|pid| open_file_count(tick.procfs, *pid));
        // an unreadable one (another user's) leaves the sum unknown, not smaller
        let sum = open_files.try_fold(0_u64, |sum, count| count.map(|count| sum + count));
        if let Some(sum) = sum {
            record(Metric::FileDescriptors, float(sum));
        }
    }
}

/// Limits of a container without a cgroup, in the words of one: what its manifest asks for.
fn record_resources(resources: &ContainerResources, record: &mut impl FnMut(Metric, f64)) {
    #[expect(clippy::cast_precision_loss, reason = "milli CPUs are far below 2^53")]
    let milli = |cpu: swell_model::CpuMilli| cpu.0 as f64;
    record(Metric::SpecCpuPeriod, CPU_PERIOD_US);
    if let Some(limit) = resources.cpu_limit {
        record(Metric::SpecCpuQuota, milli(limit) * CPU_PERIOD_US / 1000.0);
    }
    let shares = resources.cpu_request.map_or(2.0, |cpu| (milli(cpu) * 1.024).trunc().max(2.0));
    record(Metric::SpecCpuShares, shares);
    let bytes = |bytes: Option<swell_model::ByteCount>| bytes.map_or(0.0, |bytes| float(bytes.0));
    record(Metric::SpecMemoryLimit, bytes(resources.memory_limit));
    record(Metric::SpecMemoryReservation, bytes(resources.memory_request));
}

/// Open files of a process; `None` when the user may not see them.
fn open_file_count(procfs: &Path, pid: u32) -> Option<u64> {
    let dir = procfs.join(pid.to_string()).join("fd");
    // since Linux 6.2 the directory's size is their number
    match std::fs::metadata(&dir).ok()?.len() {
        0 => Some(std::fs::read_dir(&dir).ok()?.count() as u64),
        count => Some(count),
    }
}

fn series_of(info: &ContainerInfo, metric: Metric, labels: &JobLabels) -> PassSeries {
    let of_container = [
        ("namespace", info.namespace.as_str()),
        ("pod", info.pod.as_str()),
        ("container", info.container.as_str()),
        ("id", info.id.as_str()),
        ("name", info.name.as_str()),
        ("image", info.image.as_str()),
    ];
    labels.series(metric.name(), of_container.into_iter().chain(metric.labels().iter().copied()))
}

#[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
const fn float(number: u64) -> f64 {
    number as f64
}
