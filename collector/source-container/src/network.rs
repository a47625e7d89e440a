//! Network counters of pods that have a network namespace of their own.

use std::path::{Path, PathBuf};

use swell_model::{Pass, PassSeries};
use swell_source::{
    JobLabels, KernelFile, KeyedSeries, ReadError, Scratch, fields, lines, parse_u64,
};

use crate::inventory::ContainerInfo;

/// Column of `/proc/<pid>/net/dev` and metric.
const COLUMNS: [(usize, &str); 8] = [
    (0, "container_network_receive_bytes_total"),
    (1, "container_network_receive_packets_total"),
    (2, "container_network_receive_errors_total"),
    (3, "container_network_receive_packets_dropped_total"),
    (8, "container_network_transmit_bytes_total"),
    (9, "container_network_transmit_packets_total"),
    (10, "container_network_transmit_errors_total"),
    (11, "container_network_transmit_packets_dropped_total"),
];
const HEADER_LINES: usize = 2;

/// The network of one pod, read through one of its processes.
#[derive(Debug)]
pub(crate) struct PodNetwork {
    namespace: String,
    pod: String,
    id: String,
    root_pid: u32,
    file: KernelFile,
    devices: KeyedSeries<[PassSeries; COLUMNS.len()]>,
}

impl PodNetwork {
    /// The network of the pod this container belongs to; `None` when it is the host's, whose counters
    /// would be repeated for every pod.
    pub(crate) fn of(info: &ContainerInfo, procfs: &Path) -> Option<Self> {
        let root_pid = info.root_pid?;
        let namespace_of = |pid: &str| -> Option<PathBuf> {
            std::fs::read_link(procfs.join(pid).join("ns/net")).ok()
        };
        let dir = root_pid.to_string();
        if namespace_of(&dir)? == namespace_of("self")? {
            return None;
        }
        Some(Self {
            namespace: info.namespace.clone(),
            pod: info.pod.clone(),
            // the sandbox is the parent of its containers
            id: info.id.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned(),
            root_pid,
            file: KernelFile::new(procfs.join(dir).join("net/dev")),
            devices: KeyedSeries::default(),
        })
    }

    /// Whether it still stands for this pod, read through this process.
    pub(crate) fn is_of(&self, info: &ContainerInfo) -> bool {
        (Some(self.root_pid), &self.namespace, &self.pod)
            == (info.root_pid, &info.namespace, &info.pod)
    }

    /// Records one tick; nothing when the process it is read through is gone.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn collect(
        &mut self,
        pass: &mut Pass,
        scratch: &mut Scratch,
        labels: &JobLabels,
    ) -> Result<(), ReadError> {
        let text = match self.file.read(scratch) {
            Ok(text) => text,
            Err(error) if error.is_absent() => return Ok(()),
            Err(error) => return Err(error),
        };
        for line in lines(text).skip(HEADER_LINES) {
            let Some(colon) = line.iter().rposition(|byte| *byte == b':') else { continue };
            let device = line[..colon].trim_ascii();
            if device == b"lo" {
                continue;
            }
            let series = self.devices.entry(device, || {
                let device = String::from_utf8_lossy(device);
                let of_pod = [
                    ("namespace", self.namespace.as_str()),
                    ("pod", self.pod.as_str()),
                    ("id", self.id.as_str()),
                    ("interface", &*device),
                ];
                COLUMNS.map(|(_, metric)| labels.series(metric, of_pod))
            });
            let mut columns = COLUMNS.iter().zip(series).peekable();
            for (idx, value) in fields(&line[colon + 1..]).map_while(parse_u64).enumerate() {
                if let Some((_, series)) = columns.next_if(|((wanted, _), _)| *wanted == idx) {
                    #[expect(clippy::cast_precision_loss, reason = "counters are floats")]
                    series.record(pass, value as f64);
                }
            }
        }
        self.devices.end_tick();
        Ok(())
    }
}
