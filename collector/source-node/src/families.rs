//! Kind and help of the metric families, as node_exporter words the kind.

use swell_model::{MetricKind, MetricMetadata};

/// Prefixes of families with dynamic names.
const PREFIXES: [(&str, MetricKind, &str); 4] = [
    ("node_memory_", MetricKind::Gauge, "A field of /proc/meminfo."),
    ("node_netstat_", MetricKind::Unknown, "A field of /proc/net/{netstat,snmp,snmp6}."),
    ("node_sockstat_", MetricKind::Gauge, "A field of /proc/net/sockstat or sockstat6."),
    ("node_vmstat_", MetricKind::Unknown, "A field of /proc/vmstat."),
];

/// What is known of a metric this source writes; `None` for a name that is not one of its own.
///
/// The kind follows from the name by Prometheus' rules (`_total` is a counter), as it does in
/// node_exporter for all but the families whose names come from the kernel.
#[must_use]
pub fn describe(metric_name: &str) -> Option<MetricMetadata> {
    if !metric_name.starts_with("node_") {
        return None;
    }
    let prefixed = PREFIXES.iter().find(|(prefix, ..)| metric_name.starts_with(prefix));
    let (kind, help) = prefixed.map_or_else(
        || {
            let is_counter = metric_name.ends_with("_total");
            let kind = if is_counter { MetricKind::Counter } else { MetricKind::Gauge };
            (kind, HELP.iter().find(|(name, _)| *name == metric_name).map_or("", |(_, help)| help))
        },
        |(_, kind, help)| (*kind, *help),
    );
    Some(MetricMetadata { kind, help: help.to_owned(), unit: String::new() })
}

/// One sentence each, for the families that people look up.
const HELP: [(&str, &str); 30] = [
    ("node_boot_time_seconds", "When the machine was booted, in seconds since the epoch."),
    ("node_context_switches_total", "Context switches."),
    ("node_cpu_guest_seconds_total", "Seconds a CPU spent in guests, by mode."),
    ("node_cpu_seconds_total", "Seconds a CPU spent in each mode."),
    ("node_disk_info", "Facts about a block device."),
    ("node_disk_io_time_seconds_total", "Seconds in which at least one transfer was under way."),
    ("node_disk_read_bytes_total", "Bytes read."),
    ("node_disk_written_bytes_total", "Bytes written."),
    ("node_filefd_allocated", "File handles in use."),
    ("node_filefd_maximum", "File handles that may be in use."),
    ("node_filesystem_avail_bytes", "Bytes free for ordinary users."),
    ("node_filesystem_device_error", "Whether asking for the size failed or took too long."),
    ("node_filesystem_files", "Inodes."),
    ("node_filesystem_files_free", "Free inodes."),
    ("node_filesystem_free_bytes", "Free bytes."),
    ("node_filesystem_readonly", "Whether the file system is mounted read-only."),
    ("node_filesystem_size_bytes", "Size in bytes."),
    ("node_forks_total", "Processes and threads started."),
    ("node_load1", "Load average over 1 minute."),
    ("node_load15", "Load average over 15 minutes."),
    ("node_load5", "Load average over 5 minutes."),
    ("node_network_info", "Facts about a network device."),
    ("node_network_receive_bytes_total", "Bytes received."),
    ("node_network_transmit_bytes_total", "Bytes sent."),
    ("node_network_up", "Whether the device is operational."),
    ("node_procs_blocked", "Processes that wait for I/O."),
    ("node_procs_running", "Processes that are runnable."),
    ("node_scrape_collector_success", "Whether the collector succeeded in this tick."),
    ("node_time_seconds", "The machine's wall clock, in seconds since the epoch."),
    ("node_uname_info", "Name and release of the kernel."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_the_name() {
        for (name, kind) in [
            ("node_cpu_seconds_total", MetricKind::Counter),
            ("node_load1", MetricKind::Gauge),
            ("node_vmstat_pgfault", MetricKind::Unknown),
            ("node_memory_MemFree_bytes", MetricKind::Gauge),
        ] {
            assert_eq!(describe(name).map(|metadata| metadata.kind), Some(kind), "{name}");
        }
        assert_eq!(describe("up"), None);
        assert!(HELP.is_sorted_by_key(|(name, _)| *name));
    }
}
