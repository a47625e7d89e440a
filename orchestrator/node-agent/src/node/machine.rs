//! What the machine says about itself.

use std::fs;
use std::io;
use std::path::Path;

use k8s_openapi::api::core::v1::NodeSystemInfo;

use crate::config::PressureLimits;

/// Facts that do not change while the agent runs.
pub(super) fn system_info(runtime_name: &str, runtime_version: &str) -> NodeSystemInfo {
    let uname = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    NodeSystemInfo {
        architecture: architecture(&text(uname.machine())),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: format!("{runtime_name}://{runtime_version}"),
        kernel_version: text(uname.release()),
        kube_proxy_version: String::new(),
        kubelet_version: format!("v1.35.0+swell-{}", swell_telemetry::VERSION),
        machine_id: line("/etc/machine-id"),
        operating_system: "linux".to_owned(),
        os_image: os_image(&fs::read_to_string("/etc/os-release").unwrap_or_default()),
        system_uuid: line("/sys/class/dmi/id/product_uuid"),
        ..NodeSystemInfo::default()
    }
}

/// First line of a file; empty where there is none or this user may not read it.
fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Go's name of an architecture, as labels and images use it.
pub(super) fn architecture(machine: &str) -> String {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" => "arm",
        other => other,
    }
    .to_owned()
}

fn os_image(os_release: &str) -> String {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

/// Which of its resources the node runs out of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pressure {
    pub(super) memory: bool,
    pub(super) disk: bool,
    pub(super) pids: bool,
}

/// Reads the machine's reserves.
pub(super) fn pressure(data_dir: &Path, limits: &PressureLimits) -> io::Result<Pressure> {
    let memory = memory_available(&fs::read_to_string("/proc/meminfo")?);
    let disk = rustix::fs::statvfs(data_dir)?;
    let pids_max: u64 = line("/proc/sys/kernel/pid_max").parse().unwrap_or(u64::MAX);
    let pids_used = tasks(&fs::read_to_string("/proc/loadavg")?).unwrap_or(0);
    Ok(Pressure {
        memory: memory.is_some_and(|bytes| bytes < limits.memory_available_bytes_min),
        disk: disk.f_bavail.saturating_mul(disk.f_frsize) < limits.disk_available_bytes_min,
        pids: pids_max.saturating_sub(pids_used) < limits.pids_available_min,
    })
}

fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The number of tasks, after the slash of the fourth field of `/proc/loadavg`.
fn tasks(loadavg: &str) -> Option<u64> {
    loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_machine_parse() {
        assert_eq!(
            memory_available("MemTotal:  10 kB\nMemAvailable:    2048 kB\n"),
            Some(2048 * 1024)
        );
        assert_eq!(memory_available("MemTotal: 10 kB\n"), None);
        assert_eq!(tasks("0.10 0.20 0.30 2/345 6789\n"), Some(345));
        assert_eq!(os_image("NAME=x\nPRETTY_NAME=\"Debian 12\"\n"), "Debian 12");
        assert_eq!(os_image(""), "Linux");
        assert_eq!(architecture("x86_64"), "amd64");
    }

    #[test]
    fn pressure_is_what_falls_below_the_limits() {
        let limits = |memory, disk, pids| PressureLimits {
            memory_available_bytes_min: memory,
            disk_available_bytes_min: disk,
            pids_available_min: pids,
        };
        let here = Path::new("/");
        assert_eq!(pressure(here, &limits(0, 0, 0)).unwrap(), Pressure::default());
        let all = Pressure { memory: true, disk: true, pids: true };
        assert_eq!(pressure(here, &limits(u64::MAX, u64::MAX, u64::MAX)).unwrap(), all);
    }
}
