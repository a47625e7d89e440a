//! Transfers of block devices.

use std::path::PathBuf;

use swell_model::{DurationMs, PassSeries};
use swell_source::{JobLabels, KernelFile, KeyedSeries, fields, lines, parse_u64};

use super::udev;
use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;
use crate::slow::{Slow, attribute};

/// Columns of `/proc/diskstats` after major, minor and name: metric, and what one unit is worth. Older
/// kernels print fewer.
const COLUMNS: [(&str, f64); 17] = [
    ("node_disk_reads_completed_total", 1.0),
    ("node_disk_reads_merged_total", 1.0),
    ("node_disk_read_bytes_total", SECTOR_BYTES),
    ("node_disk_read_time_seconds_total", SECONDS_PER_MS),
    ("node_disk_writes_completed_total", 1.0),
    ("node_disk_writes_merged_total", 1.0),
    ("node_disk_written_bytes_total", SECTOR_BYTES),
    ("node_disk_write_time_seconds_total", SECONDS_PER_MS),
    ("node_disk_io_now", 1.0),
    ("node_disk_io_time_seconds_total", SECONDS_PER_MS),
    ("node_disk_io_time_weighted_seconds_total", SECONDS_PER_MS),
    ("node_disk_discards_completed_total", 1.0),
    ("node_disk_discards_merged_total", 1.0),
    ("node_disk_discarded_sectors_total", 1.0),
    ("node_disk_discard_time_seconds_total", SECONDS_PER_MS),
    ("node_disk_flush_requests_total", 1.0),
    ("node_disk_flush_requests_time_seconds_total", SECONDS_PER_MS),
];
const SECTOR_BYTES: f64 = 512.0;
/// Multiplied with, not divided by 1000: node_exporter's rounding.
const SECONDS_PER_MS: f64 = 1.0 / 1000.0;

/// What udev knows of a disk does not change while it is plugged in.
const INFO_INTERVAL: DurationMs = DurationMs::from_secs(30);

pub(crate) struct DiskStats {
    file: KernelFile,
    devices: KeyedSeries<Option<Vec<PassSeries>>>,
    sysfs_block: PathBuf,
    udev_data: PathBuf,
    info: Slow,
}

impl DiskStats {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self {
            file: KernelFile::new(roots.procfs.join("diskstats")),
            devices: KeyedSeries::default(),
            sysfs_block: roots.sysfs.join("block"),
            udev_data: roots.udev_data.clone(),
            info: Slow::new(INFO_INTERVAL),
        }
    }
}

/// node_exporter's default exclusion: `^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$`.
fn is_excluded(device: &str) -> bool {
    let stem = device.trim_end_matches(|last: char| last.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let disk_with_letter = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0].is_ascii_lowercase())
    };
    let nvme_partition = || {
        let (controller, namespace) =
            stem.strip_prefix("nvme")?.strip_suffix('p')?.split_once('n')?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        Some(is_number(controller) && is_number(namespace))
    };
    matches!(stem, "ram" | "zram" | "loop" | "fd")
        || ["hd", "sd", "vd", "xvd"].into_iter().any(disk_with_letter)
        || nvme_partition().unwrap_or(false)
}

impl Collector for DiskStats {
    fn name(&self) -> &'static str {
        "diskstats"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let info_is_due = self.info.is_due(tick.now);
        let mut devices = Vec::new();
        for line in lines(self.file.read(tick.scratch)?) {
            let mut parts = fields(line);
            let (Some(major), Some(minor), Some(device)) =
                (parts.next(), parts.next(), parts.next())
            else {
                return Err(CollectError::malformed(self.file.path(), "a line is too short"));
            };
            let series = self.devices.entry(device, || {
                let device = String::from_utf8_lossy(device);
                (!is_excluded(&device)).then(|| {
                    let series = |metric| tick.labels.series(metric, [("device", &*device)]);
                    COLUMNS.iter().map(|(metric, _)| series(*metric)).collect()
                })
            });
            let Some(series) = series else { continue };
            let values = parts.map_while(parse_u64);
            for ((series, (_, unit)), value) in series.iter_mut().zip(COLUMNS).zip(values) {
                #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
                series.record(tick.pass, value as f64 * unit);
            }
            if info_is_due {
                let text = |part| String::from_utf8_lossy(part).into_owned();
                devices.push((text(device), text(major), text(minor)));
            }
        }
        self.devices.end_tick();
        let (sysfs_block, udev_data) = (&self.sysfs_block, &self.udev_data);
        self.info.collect(tick, |tick, into| {
            for (device, major, minor) in &devices {
                let rotational = sysfs_block.join(device).join("queue/rotational");
                let rotational = attribute(&rotational).unwrap_or_else(|| "0".to_owned());
                let properties = udev::properties(udev_data, major, minor);
                gather_info(device, major, minor, &rotational, &properties, tick.labels, into);
            }
            Ok(())
        })
    }
}

fn gather_info(
    device: &str,
    major: &str,
    minor: &str,
    rotational: &str,
    properties: &udev::Properties,
    labels: &JobLabels,
    into: &mut Vec<(PassSeries, f64)>,
) {
    let of = |key| properties.get(key);
    // the first is what is printed on the disk; an SD card has only the last
    let serials = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"].map(of);
    let serial = serials.into_iter().find(|serial| !serial.is_empty()).unwrap_or_default();
    let info = [
        ("device", device),
        ("major", major),
        ("minor", minor),
        ("path", of("ID_PATH")),
        ("wwn", of("ID_WWN")),
        ("model", of("ID_MODEL")),
        ("serial", serial),
        ("revision", of("ID_REVISION")),
        ("rotational", rotational),
    ];
    into.push((labels.series("node_disk_info", info), 1.0));
    if !of("ID_FS_TYPE").is_empty() {
        let info = [
            ("device", device),
            ("type", of("ID_FS_TYPE")),
            ("usage", of("ID_FS_USAGE")),
            ("uuid", of("ID_FS_UUID")),
            ("version", of("ID_FS_VERSION")),
        ];
        into.push((labels.series("node_disk_filesystem_info", info), 1.0));
    }
    if !of("DM_NAME").is_empty() {
        let info = [
            ("device", device),
            ("name", of("DM_NAME")),
            ("uuid", of("DM_UUID")),
            ("vg_name", of("DM_VG_NAME")),
            ("lv_name", of("DM_LV_NAME")),
            ("lv_layer", of("DM_LV_LAYER")),
        ];
        into.push((labels.series("node_disk_device_mapper_info", info), 1.0));
    }
    if !of("ID_ATA").is_empty() {
        for (key, metric) in [
            ("ID_ATA_WRITE_CACHE", "node_disk_ata_write_cache"),
            ("ID_ATA_WRITE_CACHE_ENABLED", "node_disk_ata_write_cache_enabled"),
            ("ID_ATA_ROTATION_RATE_RPM", "node_disk_ata_rotation_rate_rpm"),
        ] {
            if let Ok(value) = of(key).parse::<f64>() {
                into.push((labels.series(metric, [("device", device)]), value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_and_memory_disks_are_excluded() {
        for (device, excluded) in [
            ("sda", false),
            ("sda1", true),
            ("xvdb12", true),
            ("nvme0n1", false),
            ("nvme0n1p2", true),
            ("mmcblk0p1", false),
            ("loop7", true),
            ("zram0", true),
            ("dm-0", false),
            ("sdaa1", false),
            ("fd0", true),
            ("md127", false),
            ("nvmen1p2", false),
        ] {
            assert_eq!(is_excluded(device), excluded, "{device}");
        }
    }
}
