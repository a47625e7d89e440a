//! CPU time of one process in nanoseconds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use swell_source::{KernelFile, Scratch, fields, parse_u64};

/// Where the CPU time of a process comes from.
#[derive(Debug)]
pub(crate) enum CpuClock {
    /// The kernel's clock of the process: one call, threads that ended included.
    Kernel(ClockId),
    /// The sum over its tasks.
    Tasks(TaskClocks),
}

impl CpuClock {
    /// The clock of a process; by its tasks when the ids in `procfs` may be of another namespace, or
    /// when the kernel refuses.
    pub(crate) fn of(pid: u32, procfs: &Path) -> Self {
        let by_tasks = || Self::Tasks(TaskClocks::new(procfs.join(format!("{pid}/task"))));
        if procfs != Path::new("/proc") {
            return by_tasks();
        }
        let Ok(pid) = i32::try_from(pid) else { return by_tasks() };
        clock_getcpuclockid(Pid::from_raw(pid)).map_or_else(|_| by_tasks(), Self::Kernel)
    }

    /// Time used so far; `None` when the process is gone.
    pub(crate) fn total_ns(&mut self, scratch: &mut Scratch) -> Option<u64> {
        match self {
            Self::Kernel(clock) => {
                let time = clock_gettime(*clock).ok()?;
                let seconds = u64::try_from(time.tv_sec()).ok()?;
                let nanos = u64::try_from(time.tv_nsec()).ok()?;
                Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
            }
            Self::Tasks(tasks) => tasks.total_ns(scratch),
        }
    }
}

/// The tasks of one process: their run times, and that of those which ended.
#[derive(Debug)]
pub(crate) struct TaskClocks {
    dir: PathBuf,
    live: HashMap<u32, Task>,
    ended_ns: u64,
    round: u64,
}

#[derive(Debug)]
struct Task {
    file: KernelFile,
    run_ns: u64,
    round: u64,
}

impl TaskClocks {
    fn new(dir: PathBuf) -> Self {
        Self { dir, live: HashMap::new(), ended_ns: 0, round: 0 }
    }

    fn total_ns(&mut self, scratch: &mut Scratch) -> Option<u64> {
        self.round += 1;
        let round = self.round;
        for entry in std::fs::read_dir(&self.dir).ok()? {
            let name = entry.ok()?.file_name();
            let Some(tid) =
                parse_u64(name.as_encoded_bytes()).and_then(|id| u32::try_from(id).ok())
            else {
                continue;
            };
            let task = self.live.entry(tid).or_insert_with(|| Task {
                file: KernelFile::new(self.dir.join(&name).join("schedstat")),
                run_ns: 0,
                round,
            });
            let read = task.file.read_once(scratch);
            if let Some(run_ns) = read.ok().and_then(|text| fields(text).next().and_then(parse_u64))
            {
                task.run_ns = run_ns.max(task.run_ns);
                task.round = round;
            }
            task.file.close();
        }
        let ended_ns = &mut self.ended_ns;
        self.live.retain(|_, task| {
            let is_live = task.round == round;
            if !is_live {
                *ended_ns = ended_ns.saturating_add(task.run_ns);
            }
            is_live
        });
        let live_ns: u64 = self.live.values().map(|task| task.run_ns).sum();
        (!self.live.is_empty()).then(|| live_ns.saturating_add(self.ended_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_end_leave_their_time() {
        let dir = tempfile::tempdir().unwrap();
        let task = |tid: u32, text: &str| {
            std::fs::create_dir_all(dir.path().join(format!("9/task/{tid}"))).unwrap();
            std::fs::write(dir.path().join(format!("9/task/{tid}/schedstat")), text).unwrap();
        };
        task(9, "1000 5 1\n");
        task(10, "200 5 1\n");
        let mut clock = CpuClock::of(9, dir.path());
        let mut scratch = Scratch::default();
        assert_eq!(clock.total_ns(&mut scratch), Some(1200));
        std::fs::remove_dir_all(dir.path().join("9/task/10")).unwrap();
        task(11, "7 0 0\n");
        assert_eq!(clock.total_ns(&mut scratch), Some(1207));
        std::fs::remove_dir_all(dir.path().join("9")).unwrap();
        assert_eq!(clock.total_ns(&mut scratch), None);
    }

    #[test]
    fn the_kernels_clock_and_the_tasks_agree_about_this_process() {
        let pid = std::process::id();
        let mut scratch = Scratch::default();
        let mut kernel = CpuClock::of(pid, Path::new("/proc"));
        let mut tasks = CpuClock::Tasks(TaskClocks::new("/proc/self/task".into()));
        let before = kernel.total_ns(&mut scratch).unwrap();
        let by_tasks = tasks.total_ns(&mut scratch).unwrap();
        let after = kernel.total_ns(&mut scratch).unwrap();
        assert!(before < after && by_tasks <= after, "{before} {by_tasks} {after}");
    }
}
