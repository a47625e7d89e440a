//! Pressure stall information.

use swell_model::PassSeries;
use swell_source::{KernelFile, fields, lines, parse_u64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

/// Resource, kind of line, metric.
const SUBJECTS: [(&str, &[u8], &str); 6] = [
    ("cpu", b"some", "node_pressure_cpu_waiting_seconds_total"),
    ("io", b"some", "node_pressure_io_waiting_seconds_total"),
    ("io", b"full", "node_pressure_io_stalled_seconds_total"),
    ("memory", b"some", "node_pressure_memory_waiting_seconds_total"),
    ("memory", b"full", "node_pressure_memory_stalled_seconds_total"),
    ("irq", b"full", "node_pressure_irq_stalled_seconds_total"),
];
const RESOURCES: [&str; 4] = ["cpu", "io", "memory", "irq"];

pub(crate) struct Pressure {
    files: [KernelFile; RESOURCES.len()],
    series: Option<[PassSeries; SUBJECTS.len()]>,
}

impl Pressure {
    pub(crate) fn new(roots: &Roots) -> Self {
        let dir = roots.procfs.join("pressure");
        Self { files: RESOURCES.map(|name| KernelFile::new(dir.join(name))), series: None }
    }
}

/// The microseconds in `some avg10=0.00 avg60=0.00 avg300=0.00 total=14036781`.
fn total_us(line: &[u8]) -> Option<u64> {
    fields(line).find_map(|part| part.strip_prefix(b"total=")).and_then(parse_u64)
}

impl Collector for Pressure {
    fn name(&self) -> &'static str {
        "pressure"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let series = self
            .series
            .get_or_insert_with(|| SUBJECTS.map(|(_, _, metric)| tick.labels.series(metric, [])));
        for (resource, file) in RESOURCES.iter().zip(&mut self.files) {
            let text = match file.read_once(tick.scratch) {
                Ok(text) => text,
                // irq came with Linux 6.1
                Err(error) if *resource == "irq" && error.is_absent() => continue,
                Err(error) => return Err(error.into()),
            };
            for line in lines(text) {
                for ((of, kind, _), series) in SUBJECTS.iter().zip(&mut *series) {
                    if of != resource || !line.starts_with(kind) {
                        continue;
                    }
                    let Some(us) = total_us(line) else {
                        return Err(CollectError::malformed(file.path(), "a line has no total="));
                    };
                    #[expect(clippy::cast_precision_loss, reason = "2^53 us are 285 years")]
                    // two divisions, as node_exporter rounds
                    series.record(tick.pass, us as f64 / 1000.0 / 1000.0);
                }
            }
        }
        Ok(())
    }
}
