//! What the kernel says about this process, read when the metrics are gathered.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::family::{counter_metric, family, gauge_metric};

/// Ticks a second in `/proc/*/stat`: `USER_HZ`, 100 on every architecture we build for.
const USER_HZ: f64 = 100.0;

/// Names and help texts; the names are those of the Prometheus client libraries.
const METRICS: [(&str, &str); 6] = [
    ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds."),
    ("process_resident_memory_bytes", "Resident memory size in bytes."),
    ("process_virtual_memory_bytes", "Virtual memory size in bytes."),
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds."),
    ("process_open_fds", "Number of open file descriptors."),
    ("process_max_fds", "Maximum number of open file descriptors."),
];

/// Collects the `process_*` metrics.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    descriptions: Vec<Desc>,
    start_time_s: Option<f64>,
}

impl ProcessCollector {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let descriptions = METRICS
            .iter()
            .map(|(name, help)| {
                Desc::new((*name).to_owned(), (*help).to_owned(), Vec::new(), Default::default())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { descriptions, start_time_s: start_time_s() })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let values = [
            Some(cpu_time_s()),
            kibibytes(&status, "VmRSS:"),
            kibibytes(&status, "VmSize:"),
            self.start_time_s,
            open_fds(),
            getrlimit(Resource::Nofile).current.map(to_float),
        ];
        METRICS
            .iter()
            .zip(values)
            .filter_map(|((name, help), value)| value.map(|value| single(name, help, value)))
            .collect()
    }
}

fn single(name: &str, help: &str, value: f64) -> MetricFamily {
    let (kind, metric) = if name.ends_with("_total") {
        (MetricType::COUNTER, counter_metric([], value))
    } else {
        (MetricType::GAUGE, gauge_metric([], value))
    };
    family(name, help, kind, vec![metric])
}

fn cpu_time_s() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds below 1e9, seconds below 2^53")]
    let seconds = spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9;
    seconds
}

#[expect(clippy::cast_precision_loss, reason = "a metric is a float; sizes stay below 2^53")]
fn to_float(count: u64) -> f64 {
    count as f64
}

/// The value of a `key: N kB` line in `/proc/self/status`, in bytes.
fn kibibytes(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let count: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(to_float(count * 1024))
}

/// Open descriptors without the one that reads the directory.
fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(to_float(count.saturating_sub(1)))
}

/// Boot time plus the ticks from boot to start.
fn start_time_s() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let ticks: f64 = after_name.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let boot_s: f64 =
        system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot_s + ticks / USER_HZ)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_measured() {
        let families = ProcessCollector::new().expect("valid names").collect();
        assert_eq!(families.len(), METRICS.len());
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).expect("collected");
            let metric = &family.get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert!(value("process_cpu_seconds_total") > 0.0);
        let memory = value("process_resident_memory_bytes");
        assert!((1e5..1e11).contains(&memory), "{memory}");
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_open_fds") <= value("process_max_fds"));
        let modified = fs::metadata("/proc/self").expect("proc").modified().expect("time");
        let since = modified.duration_since(std::time::UNIX_EPOCH).expect("after the epoch");
        let off = (value("process_start_time_seconds") - since.as_secs_f64()).abs();
        assert!(off < 600.0, "{off}");
    }

    #[test]
    fn sizes_are_read_in_bytes() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nVmSwap:\t0 kB\n";
        assert_eq!(kibibytes(status, "VmRSS:"), Some(1234.0 * 1024.0));
        assert_eq!(kibibytes(status, "VmSize:"), None);
    }
}
