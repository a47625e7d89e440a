//! Bytes and packets of every network device.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, fields, lines, parse_u64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

/// Columns of `/proc/net/dev`.
const METRICS: [&str; 16] = [
    "node_network_receive_bytes_total",
    "node_network_receive_packets_total",
    "node_network_receive_errs_total",
    "node_network_receive_drop_total",
    "node_network_receive_fifo_total",
    "node_network_receive_frame_total",
    "node_network_receive_compressed_total",
    "node_network_receive_multicast_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_packets_total",
    "node_network_transmit_errs_total",
    "node_network_transmit_drop_total",
    "node_network_transmit_fifo_total",
    "node_network_transmit_colls_total",
    "node_network_transmit_carrier_total",
    "node_network_transmit_compressed_total",
];
const HEADER_LINES: usize = 2;

pub(crate) struct NetDevices {
    file: KernelFile,
    devices: KeyedSeries<[PassSeries; METRICS.len()]>,
}

impl NetDevices {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self {
            file: KernelFile::new(roots.procfs.join("net/dev")),
            devices: KeyedSeries::default(),
        }
    }
}

impl Collector for NetDevices {
    fn name(&self) -> &'static str {
        "netdev"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for line in lines(self.file.read(tick.scratch)?).skip(HEADER_LINES) {
            // a device may be called `a:b`, and the first number may stand right behind the colon
            let Some(colon) = line.iter().rposition(|byte| *byte == b':') else { continue };
            let device = line[..colon].trim_ascii();
            let series = self.devices.entry(device, || {
                let device = String::from_utf8_lossy(device);
                METRICS.map(|metric| tick.labels.series(metric, [("device", &*device)]))
            });
            let mut values = fields(&line[colon + 1..]).map_while(parse_u64);
            for series in series {
                let Some(value) = values.next() else {
                    return Err(CollectError::malformed(self.file.path(), "a line is too short"));
                };
                #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
                series.record(tick.pass, value as f64);
            }
        }
        self.devices.end_tick();
        Ok(())
    }
}
