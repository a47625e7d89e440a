//! CPU frequency as the governor sees it.

use std::path::PathBuf;

use swell_model::DurationMs;

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;
use crate::slow::{Slow, attribute, names, number_attribute};

/// Reading a current frequency may wake the CPU it belongs to.
const INTERVAL: DurationMs = DurationMs::from_secs(10);

/// File in `cpufreq/` and the metric it becomes; the kernel counts in kHz.
const FREQUENCIES: [(&str, &str); 6] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz"),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz"),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz"),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz"),
    ("scaling_min_freq", "node_cpu_scaling_frequency_min_hertz"),
    ("scaling_max_freq", "node_cpu_scaling_frequency_max_hertz"),
];

pub(crate) struct CpuFrequency {
    dir: PathBuf,
    slow: Slow,
}

impl CpuFrequency {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self { dir: roots.sysfs.join("devices/system/cpu"), slow: Slow::new(INTERVAL) }
    }
}

impl Collector for CpuFrequency {
    fn name(&self) -> &'static str {
        "cpufreq"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let dir = &self.dir;
        self.slow.collect(tick, |tick, into| {
            let Ok(entries) = names(dir) else { return Ok(()) };
            for name in entries {
                let Some(cpu) = name.strip_prefix("cpu").filter(|rest| rest.parse::<u32>().is_ok())
                else {
                    continue;
                };
                let cpufreq = dir.join(&name).join("cpufreq");
                for (file, metric) in FREQUENCIES {
                    if let Some(khz) = number_attribute(&cpufreq.join(file)) {
                        into.push((tick.labels.series(metric, [("cpu", cpu)]), khz * 1000.0));
                    }
                }
                let chosen = attribute(&cpufreq.join("scaling_governor"));
                let available = attribute(&cpufreq.join("scaling_available_governors"));
                let (Some(chosen), Some(available)) = (chosen, available) else { continue };
                for governor in available.split_whitespace() {
                    let labels = [("cpu", cpu), ("governor", governor)];
                    let value = if governor == chosen { 1.0 } else { 0.0 };
                    into.push((tick.labels.series("node_cpu_scaling_governor", labels), value));
                }
            }
            Ok(())
        })
    }
}
