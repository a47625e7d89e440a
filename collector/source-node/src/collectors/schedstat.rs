//! Time that tasks ran and waited, by CPU.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, fields, lines, parse_u64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

/// Fields of a `cpuN` line, the first of them being the name: time running, time waiting, time slices.
const RUNNING_IDX: usize = 7;
const METRICS: [&str; 3] = [
    "node_schedstat_running_seconds_total",
    "node_schedstat_waiting_seconds_total",
    "node_schedstat_timeslices_total",
];
const NS_PER_SECOND: f64 = 1e9;

pub(crate) struct SchedStat {
    file: KernelFile,
    cpus: KeyedSeries<[PassSeries; METRICS.len()]>,
}

impl SchedStat {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self { file: KernelFile::new(roots.procfs.join("schedstat")), cpus: KeyedSeries::default() }
    }
}

impl Collector for SchedStat {
    fn name(&self) -> &'static str {
        "schedstat"
    }

    #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for line in lines(self.file.read(tick.scratch)?) {
            let Some(rest) = line.strip_prefix(b"cpu") else { continue };
            let Some(number) = fields(rest).next() else { continue };
            let mut values = fields(rest).skip(RUNNING_IDX).map_while(parse_u64);
            let (Some(running), Some(waiting), Some(slices)) =
                (values.next(), values.next(), values.next())
            else {
                return Err(CollectError::malformed(self.file.path(), "a cpu line is too short"));
            };
            let series = self.cpus.entry(number, || {
                let cpu = String::from_utf8_lossy(number);
                METRICS.map(|metric| tick.labels.series(metric, [("cpu", &*cpu)]))
            });
            let values =
                [running as f64 / NS_PER_SECOND, waiting as f64 / NS_PER_SECOND, slices as f64];
            for (series, value) in series.iter_mut().zip(values) {
                series.record(tick.pass, value);
            }
        }
        self.cpus.end_tick();
        Ok(())
    }
}
