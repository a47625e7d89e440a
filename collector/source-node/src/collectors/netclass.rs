//! What `/sys/class/net` says of each network device.

use std::path::PathBuf;

use swell_model::{DurationMs, PassSeries};
use swell_source::JobLabels;

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;
use crate::slow::{Slow, attribute, names, number_attribute};

/// Some of these files take the lock of all network configuration.
const INTERVAL: DurationMs = DurationMs::from_secs(10);

/// File and metric of the plain numbers.
const NUMBERS: [(&str, &str); 15] = [
    ("addr_assign_type", "node_network_address_assign_type"),
    ("carrier", "node_network_carrier"),
    ("carrier_changes", "node_network_carrier_changes_total"),
    ("carrier_up_count", "node_network_carrier_up_changes_total"),
    ("carrier_down_count", "node_network_carrier_down_changes_total"),
    ("dev_id", "node_network_device_id"),
    ("dormant", "node_network_dormant"),
    ("flags", "node_network_flags"),
    ("ifindex", "node_network_iface_id"),
    ("iflink", "node_network_iface_link"),
    ("link_mode", "node_network_iface_link_mode"),
    ("mtu", "node_network_mtu_bytes"),
    ("name_assign_type", "node_network_name_assign_type"),
    ("netdev_group", "node_network_net_dev_group"),
    ("tx_queue_len", "node_network_transmit_queue_length"),
];
/// Bit 0 of `flags`.
const IFF_UP: u64 = 1;
/// `speed` counts Mbit/s.
const BYTES_PER_MBIT: f64 = 125_000.0;

pub(crate) struct NetClass {
    dir: PathBuf,
    ignored: Vec<String>,
    slow: Slow,
}

impl NetClass {
    pub(crate) fn new(roots: &Roots, ignored: Vec<String>) -> Self {
        Self { dir: roots.sysfs.join("class/net"), ignored, slow: Slow::new(INTERVAL) }
    }
}

impl Collector for NetClass {
    fn name(&self) -> &'static str {
        "netclass"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let (dir, ignored) = (&self.dir, &self.ignored);
        self.slow.collect(tick, |tick, into| {
            let devices = names(dir).map_err(|source| {
                CollectError::Read(swell_source::ReadError::Io { path: dir.clone(), source })
            })?;
            for device in devices.iter().filter(|device| !ignored.contains(device)) {
                let path = dir.join(device);
                if path.is_dir() {
                    gather_device(&path, device, tick.labels, into);
                }
            }
            Ok(())
        })
    }
}

fn gather_device(
    path: &std::path::Path,
    device: &str,
    labels: &JobLabels,
    into: &mut Vec<(PassSeries, f64)>,
) {
    for (file, metric) in NUMBERS {
        if let Some(value) = number_attribute(&path.join(file)) {
            into.push((labels.series(metric, [("device", device)]), value));
        }
    }
    if let Some(kind) = number_attribute(&path.join("type")) {
        into.push((labels.series("node_network_protocol_type", [("device", device)]), kind));
    }
    // a link without carrier, and most virtual ones, answer -1 or refuse
    if let Some(mbit) = number_attribute(&path.join("speed")).filter(|mbit| *mbit >= 0.0) {
        let series = labels.series("node_network_speed_bytes", [("device", device)]);
        into.push((series, mbit * BYTES_PER_MBIT));
    }
    let text = |file| attribute(&path.join(file)).unwrap_or_default();
    let flags = text("flags");
    let flags = flags.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let admin_state = match flags {
        Some(flags) if flags & IFF_UP != 0 => "up",
        Some(_) => "down",
        None => "unknown",
    };
    let operstate = text("operstate");
    let is_up = if operstate == "up" { 1.0 } else { 0.0 };
    into.push((labels.series("node_network_up", [("device", device)]), is_up));
    let info = [
        ("device", device),
        ("address", &text("address")),
        ("broadcast", &text("broadcast")),
        ("duplex", &text("duplex")),
        ("operstate", &operstate),
        ("adminstate", admin_state),
        ("ifalias", &text("ifalias")),
    ];
    into.push((labels.series("node_network_info", info), 1.0));
}
