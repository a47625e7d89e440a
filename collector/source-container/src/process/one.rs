//! One process of a container.

use std::path::Path;

use swell_source::{KernelFile, Scratch, fields, parse_u64};

use super::account::CpuUse;
use super::cpu_clock::CpuClock;
use super::stat;

/// A process that is read each tick. Its files stay open, which also ties them to this process and not to
/// a later one with the same id.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    stat: KernelFile,
    statm: KernelFile,
    clock: CpuClock,
    start_ticks: Option<u64>,
    last: CpuUse,
}

/// What a process uses now.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) own: CpuUse,
    pub(crate) waited_for: CpuUse,
    pub(crate) threads: u64,
    pub(crate) resident_pages: u64,
    /// Resident, but of files or shared memory.
    pub(crate) shared_pages: u64,
}

impl Process {
    pub(crate) fn new(pid: u32, procfs: &Path) -> Self {
        let dir = procfs.join(pid.to_string());
        Self {
            pid,
            stat: KernelFile::new(dir.join("stat")),
            statm: KernelFile::new(dir.join("statm")),
            clock: CpuClock::of(pid, procfs),
            start_ticks: None,
            last: CpuUse::default(),
        }
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// The last reading of its CPU time: what remains when it is gone.
    pub(crate) const fn last(&self) -> CpuUse {
        self.last
    }

    /// Reads it; `None` when it is gone. `hold_open` keeps the files for the next tick.
    pub(crate) fn read(
        &mut self,
        ns_per_tick: u64,
        hold_open: bool,
        scratch: &mut Scratch,
    ) -> Option<Reading> {
        // the clock goes by id, the file by process: as the file answers after the clock did, both are the same process
        let total_ns = self.clock.total_ns(scratch);
        let stat = stat::parse(self.stat.read_once(scratch).ok()?)?;
        if *self.start_ticks.get_or_insert(stat.start_ticks) != stat.start_ticks {
            return None;
        }
        let mut pages = fields(self.statm.read_once(scratch).ok()?).skip(1).map_while(parse_u64);
        let (resident_pages, shared_pages) = (pages.next()?, pages.next()?);
        if !hold_open {
            self.stat.close();
            self.statm.close();
        }
        let now = CpuUse {
            total_ns: total_ns.unwrap_or_default(),
            user_ticks: stat.user_ticks,
            system_ticks: stat.system_ticks,
        };
        self.last = self.last.max(now);
        let waited_for_ticks = stat.children_user_ticks + stat.children_system_ticks;
        Some(Reading {
            own: self.last,
            waited_for: CpuUse {
                total_ns: waited_for_ticks.saturating_mul(ns_per_tick),
                user_ticks: stat.children_user_ticks,
                system_ticks: stat.children_system_ticks,
            },
            threads: stat.threads,
            resident_pages,
            shared_pages,
        })
    }
}
