//! CPU time by mode, and what sysfs and cpuinfo say of each CPU.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use swell_model::{DurationMs, PassSeries};
use swell_source::{KeyedSeries, fields, lines, parse_u64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;
use crate::slow::{Slow, attribute, names, number_attribute};

/// Modes of `node_cpu_seconds_total` in the order of `/proc/stat`.
const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE_IDX: usize = 3;
const GUEST_MODES: [&str; 2] = ["user", "nice"];

/// The kernel's idle counters may step back by a little; only a CPU that was taken out and put back
/// starts again from nothing (node_exporter `collector/cpu_linux.go`).
const IDLE_STEP_BACK_MAX_SECONDS: f64 = 3.0;

/// Throttling and online state change rarely, and each costs several files per CPU.
const SYSFS_INTERVAL: DurationMs = DurationMs::from_secs(15);

/// The kernel renders cpuinfo at length, and asks each CPU for its frequency.
const CPUINFO_INTERVAL: DurationMs = DurationMs::from_secs(60);

pub(crate) struct Cpu {
    user_hz: f64,
    cpus: KeyedSeries<OneCpu>,
    sysfs_cpus: PathBuf,
    sysfs: Slow,
    cpuinfo_path: PathBuf,
    cpuinfo: Option<Slow>,
}

struct OneCpu {
    modes: [PassSeries; MODES.len()],
    guests: [PassSeries; GUEST_MODES.len()],
    last: [f64; MODES.len() + GUEST_MODES.len()],
}

impl Cpu {
    pub(crate) fn new(roots: &Roots, with_info: bool) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "USER_HZ is 100, or 1024 at most")]
        let user_hz = rustix::param::clock_ticks_per_second() as f64;
        Self {
            user_hz,
            cpus: KeyedSeries::default(),
            sysfs_cpus: roots.sysfs.join("devices/system/cpu"),
            sysfs: Slow::new(SYSFS_INTERVAL),
            cpuinfo_path: roots.procfs.join("cpuinfo"),
            cpuinfo: with_info.then(|| Slow::new(CPUINFO_INTERVAL)),
        }
    }

    fn times(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let labels = tick.labels;
        for line in lines(tick.proc_stat.text()?) {
            let Some(name) = line.strip_prefix(b"cpu") else { break };
            let mut parts = fields(name);
            let Some(number) = parts.next().filter(|_| !name.starts_with(b" ")) else { continue };
            let cpu = self.cpus.entry(number, || {
                let number = String::from_utf8_lossy(number);
                let series = |name, mode| labels.series(name, [("cpu", &*number), ("mode", mode)]);
                OneCpu {
                    modes: MODES.map(|mode| series("node_cpu_seconds_total", mode)),
                    guests: GUEST_MODES.map(|mode| series("node_cpu_guest_seconds_total", mode)),
                    last: [0.0; MODES.len() + GUEST_MODES.len()],
                }
            });
            let mut seconds = [0.0; MODES.len() + GUEST_MODES.len()];
            for (slot, ticks) in seconds.iter_mut().zip(parts.filter_map(parse_u64)) {
                #[expect(clippy::cast_precision_loss, reason = "2^53 ticks are 2.8 million years")]
                let ticks = ticks as f64;
                *slot = ticks / self.user_hz;
            }
            cpu.advance(&seconds);
            let series = cpu.modes.iter_mut().chain(&mut cpu.guests);
            for (series, value) in series.zip(&cpu.last) {
                series.record(tick.pass, *value);
            }
        }
        self.cpus.end_tick();
        Ok(())
    }
}

impl OneCpu {
    /// Takes new readings; none goes back unless the CPU started anew.
    fn advance(&mut self, seconds: &[f64]) {
        let restarted = self.last[IDLE_IDX] - seconds[IDLE_IDX] >= IDLE_STEP_BACK_MAX_SECONDS;
        for (last, new) in self.last.iter_mut().zip(seconds) {
            if restarted || *new > *last {
                *last = *new;
            }
        }
    }
}

impl Collector for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let dir = &self.sysfs_cpus;
        self.sysfs.collect(tick, |tick, into| {
            gather_sysfs(dir, tick, into);
            Ok(())
        })?;
        if let Some(slow) = &mut self.cpuinfo {
            let path = &self.cpuinfo_path;
            slow.collect(tick, |tick, into| gather_cpuinfo(path, tick, into))?;
        }
        self.times(tick)
    }
}

fn gather_sysfs(dir: &Path, tick: &Tick<'_>, into: &mut Vec<(PassSeries, f64)>) {
    let isolated = attribute(&dir.join("isolated")).unwrap_or_default();
    for cpu in cpu_list(&isolated) {
        into.push((tick.labels.series("node_cpu_isolated", [("cpu", &*cpu.to_string())]), 1.0));
    }
    // without sysfs (a restricted container) there is nothing to say, which is no failure
    let Ok(entries) = names(dir) else { return };
    let mut package_throttles = BTreeMap::new();
    let mut core_throttles = BTreeMap::new();
    for name in entries {
        let Some(number) = name.strip_prefix("cpu").filter(|rest| rest.parse::<u32>().is_ok())
        else {
            continue;
        };
        let cpu = dir.join(&name);
        if let Some(online) = number_attribute(&cpu.join("online")) {
            into.push((tick.labels.series("node_cpu_online", [("cpu", number)]), online));
        }
        let topology = cpu.join("topology");
        let Some(package) = attribute(&topology.join("physical_package_id")) else { continue };
        let throttle = cpu.join("thermal_throttle");
        if let Some(count) = number_attribute(&throttle.join("package_throttle_count")) {
            package_throttles.entry(package.clone()).or_insert(count);
        }
        let Some(core) = attribute(&topology.join("core_id")) else { continue };
        if let Some(count) = number_attribute(&throttle.join("core_throttle_count")) {
            core_throttles.entry((package, core)).or_insert(count);
        }
    }
    for (package, count) in package_throttles {
        let labels = [("package", package.as_str())];
        into.push((tick.labels.series("node_cpu_package_throttles_total", labels), count));
    }
    for ((package, core), count) in core_throttles {
        let labels = [("package", package.as_str()), ("core", core.as_str())];
        into.push((tick.labels.series("node_cpu_core_throttles_total", labels), count));
    }
}

/// Numbers in a kernel list such as `1,3-5,9`; parts that are none are left out.
fn cpu_list(text: &str) -> BTreeSet<u32> {
    let mut cpus = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

fn gather_cpuinfo(
    path: &Path,
    tick: &mut Tick<'_>,
    into: &mut Vec<(PassSeries, f64)>,
) -> Result<(), CollectError> {
    let mut file = swell_source::KernelFile::new(path.to_owned());
    let text = String::from_utf8_lossy(file.read(tick.scratch)?).into_owned();
    for block in text.split("\n\n") {
        let facts: BTreeMap<&str, &str> = block
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(key, value)| (key.trim(), value.trim()))
            .collect();
        let fact = |key| facts.get(key).copied().unwrap_or_default();
        let Some(processor) = facts.get("processor") else { continue };
        let place =
            [("package", fact("physical id")), ("core", fact("core id")), ("cpu", processor)];
        let model = [
            ("vendor", fact("vendor_id")),
            ("family", fact("cpu family")),
            ("model", fact("model")),
            ("model_name", fact("model name")),
            ("microcode", fact("microcode")),
            ("stepping", fact("stepping")),
            ("cachesize", fact("cache size")),
        ];
        into.push((tick.labels.series("node_cpu_info", place.into_iter().chain(model)), 1.0));
        if let Ok(mhz) = fact("cpu MHz").parse::<f64>() {
            into.push((tick.labels.series("node_cpu_frequency_hertz", place), mhz * 1e6));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swell_source::JobLabels;

    use super::*;

    #[test]
    fn idle_does_not_step_back_unless_the_cpu_started_anew() {
        let labels = JobLabels::new("node", "h", []);
        let mut cpu = OneCpu {
            modes: MODES.map(|mode| labels.series("m", [("mode", mode)])),
            guests: GUEST_MODES.map(|mode| labels.series("g", [("mode", mode)])),
            last: [10.0; 10],
        };
        cpu.advance(&[11.0, 9.0, 10.0, 9.9, 8.0, 10.0, 10.0, 10.0, 10.0, 10.0]);
        assert_eq!(cpu.last[..5], [11.0, 10.0, 10.0, 10.0, 10.0]);
        cpu.advance(&[1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(cpu.last[..5], [1.0, 0.0, 0.0, 2.0, 0.0]);
    }

    #[test]
    fn kernel_lists_are_read() {
        assert_eq!(cpu_list("1,3-5,9").into_iter().collect::<Vec<_>>(), [1, 3, 4, 5, 9]);
        assert!(cpu_list("").is_empty() && cpu_list("a-b,5-3").is_empty());
    }
}
