//! Where to read and what to call it.

use std::path::PathBuf;

use swell_model::DurationMs;

/// Directories that stand for the machine's own; a container that watches its host mounts them elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// `/proc`.
    pub procfs: PathBuf,
    /// `/sys`.
    pub sysfs: PathBuf,
    /// `/`: mount points below it are measured, the prefix is stripped from labels.
    pub rootfs: PathBuf,
    /// `/run/udev/data`: properties of disks.
    pub udev_data: PathBuf,
}

impl Roots {
    /// The directories of the machine this process runs on.
    #[must_use]
    pub fn machine() -> Self {
        Self {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev_data: "/run/udev/data".into(),
        }
    }
}

/// What to collect and under which labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to read.
    pub roots: Roots,
    /// Label `job`: `node`, as the node mixin selects it, or `node-exporter` for rules in kube-prometheus' style.
    pub job: String,
    /// Label `instance`, `<hostname>:9100` by custom.
    pub instance: String,
    /// Further labels on every series, such as `cluster`.
    pub extra_labels: Vec<(String, String)>,
    /// How often file systems are asked for their size.
    pub filesystem_interval: DurationMs,
    /// A mount that has not answered for so long is reported as broken until it does.
    pub statfs_deadline: DurationMs,
    /// Whether `node_cpu_info` and `node_cpu_frequency_hertz` are read from `/proc/cpuinfo`; node_exporter has it off.
    pub cpu_info: bool,
    /// Network devices that the net class collector leaves out, by name.
    pub netclass_ignored_devices: Vec<String>,
}

impl Config {
    /// node_exporter's defaults for the machine this process runs on.
    #[must_use]
    pub fn machine(hostname: &str) -> Self {
        Self {
            roots: Roots::machine(),
            job: "node".to_owned(),
            instance: format!("{hostname}:9100"),
            extra_labels: Vec::new(),
            filesystem_interval: DurationMs::from_secs(10),
            statfs_deadline: DurationMs::from_secs(5),
            cpu_info: false,
            netclass_ignored_devices: Vec::new(),
        }
    }
}
