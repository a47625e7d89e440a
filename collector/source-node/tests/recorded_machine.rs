//! The machine that node_exporter's authors recorded, compared with the exposition they expect of it.

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use swell_model::{METRIC_NAME, Pass, TimestampMs};
use swell_source_node::NodeSource;

/// Families of the collectors we have that this crate does not write, and why.
const NOT_WRITTEN: [(&str, &str); 7] = [
    ("node_cpu_bug_info", "off by default in node_exporter"),
    ("node_cpu_flag_info", "off by default in node_exporter"),
    ("node_cpu_vulnerabilities_info", "off by default in node_exporter"),
    ("node_network_", "the devices' counters were read from the kernel, not from the tree"),
    ("node_memory_numa_", "meminfo_numa is off by default in node_exporter"),
    ("node_scrape_collector_success", "lists collectors that are not ours"),
    ("node_time_seconds", "the clock"),
];

/// Prefixes of what our collectors write.
const OURS: [&str; 17] = [
    "node_boot_time_",
    "node_context_",
    "node_cpu_",
    "node_disk_",
    "node_entropy_",
    "node_filefd_",
    "node_forks_",
    "node_intr_",
    "node_load",
    "node_memory_",
    "node_network_",
    "node_nf_conntrack_",
    "node_netstat_",
    "node_pressure_",
    "node_procs_",
    "node_sockstat_",
    "node_vmstat_",
];
const OURS_TOO: [&str; 3] = ["node_schedstat_", "node_softnet_", "node_time_clocksource_"];

/// Written by `netdev`, which the tree holds no file for; all other `node_network_*` come from `netclass`.
fn is_from_netdev(name: &str) -> bool {
    (name.starts_with("node_network_receive_") || name.starts_with("node_network_transmit_"))
        && name.ends_with("_total")
}

fn is_compared(name: &str) -> bool {
    let is_ours = OURS.iter().chain(&OURS_TOO).any(|prefix| name.starts_with(prefix));
    let is_excluded = NOT_WRITTEN.iter().any(|(prefix, _)| {
        if *prefix == "node_network_" { is_from_netdev(name) } else { name.starts_with(prefix) }
    });
    is_ours && !is_excluded
}

#[test]
fn names_labels_and_values_are_those_of_node_exporter() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/collectors");
    if !shared.is_dir() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "in CI {shared:?} must exist"
        );
        eprintln!(
            "SKIPPED: {} is absent; the repository's own fixture is checked",
            shared.display()
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    support::copy_tree(&shared.join("node_fixture"), dir.path());
    for archive in ["sys.ttar", "udev.ttar"] {
        support::unpack_ttar(&shared.join("node_fixture").join(archive), dir.path());
    }
    let mut config = support::recorded(dir.path());
    config.cpu_info = true;
    config.netclass_ignored_devices = vec!["dmz".to_owned(), "int".to_owned()];
    let mut source = NodeSource::new(&config, support::no_time());
    let delta = support::collect(&mut source, &mut Pass::new(), TimestampMs(0));
    let ours = support::by_labels(&delta);
    let text = std::fs::read_to_string(shared.join("node_exporter_expected.prom")).unwrap();
    let expected = support::parse_exposition(&text);

    let mut families = BTreeSet::new();
    let mut faults = Vec::new();
    for (labels, value) in &expected {
        let name = labels.get(METRIC_NAME).unwrap();
        if is_compared(name) {
            families.insert(name.to_owned());
            match ours.get(labels) {
                None => faults.push(format!("missing: {labels} {value}")),
                Some(found) if found != value => {
                    faults.push(format!("{labels}: {found} instead of {value}"));
                }
                Some(_) => {}
            }
        }
    }
    for (labels, value) in &ours {
        let name = labels.get(METRIC_NAME).unwrap();
        if families.contains(name) && !expected.contains_key(labels) {
            faults.push(format!("not expected: {labels} {value}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(families.len() >= 132, "only {} families were compared", families.len());

    // the recording lacks net/dev, and its mount table lists no mount of this machine's tree
    let failed: Vec<_> = source.failures().map(|(name, _)| name).collect();
    assert_eq!(failed, ["netdev"]);
}
