//! Packets that each CPU took from its network queues.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, fields, lines};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

/// Column of `/proc/net/softnet_stat` (hexadecimal) and metric.
const COLUMNS: [(usize, &str); 6] = [
    (0, "node_softnet_processed_total"),
    (1, "node_softnet_dropped_total"),
    (2, "node_softnet_times_squeezed_total"),
    (8, "node_softnet_cpu_collision_total"),
    (9, "node_softnet_received_rps_total"),
    (10, "node_softnet_flow_limit_count_total"),
];
/// Column with the length of the backlog, a gauge, and with the number of the CPU, on kernels that tell.
const BACKLOG_IDX: usize = 11;
const CPU_IDX: usize = 12;
const COLUMN_COUNT_MAX: usize = 16;

pub(crate) struct SoftNet {
    file: KernelFile,
    cpus: KeyedSeries<Vec<(usize, PassSeries)>>,
}

impl SoftNet {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self {
            file: KernelFile::new(roots.procfs.join("net/softnet_stat")),
            cpus: KeyedSeries::default(),
        }
    }
}

fn hex(text: &[u8]) -> Option<u32> {
    u32::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

impl Collector for SoftNet {
    fn name(&self) -> &'static str {
        "softnet"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for (row, line) in lines(self.file.read(tick.scratch)?).enumerate() {
            let mut values = [None; COLUMN_COUNT_MAX];
            for (slot, value) in values.iter_mut().zip(fields(line)) {
                *slot = hex(value);
            }
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            let cpu = values[CPU_IDX].unwrap_or(row);
            let series = self.cpus.entry(&cpu.to_ne_bytes(), || {
                let cpu = cpu.to_string();
                let columns = COLUMNS.iter().copied();
                let backlog = (BACKLOG_IDX, "node_softnet_backlog_len");
                columns
                    .chain([backlog])
                    .filter(|(idx, _)| values[*idx].is_some())
                    .map(|(idx, metric)| (idx, tick.labels.series(metric, [("cpu", &*cpu)])))
                    .collect()
            });
            for (idx, series) in series {
                if let Some(value) = values[*idx] {
                    series.record(tick.pass, f64::from(value));
                }
            }
        }
        self.cpus.end_tick();
        Ok(())
    }
}
