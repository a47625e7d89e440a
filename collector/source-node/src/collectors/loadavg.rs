//! Load averages.

use swell_model::PassSeries;
use swell_source::{KernelFile, fields, parse_f64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

const METRICS: [&str; 3] = ["node_load1", "node_load5", "node_load15"];

pub(crate) struct LoadAverage {
    file: KernelFile,
    series: Option<[PassSeries; METRICS.len()]>,
}

impl LoadAverage {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self { file: KernelFile::new(roots.procfs.join("loadavg")), series: None }
    }
}

impl Collector for LoadAverage {
    fn name(&self) -> &'static str {
        "loadavg"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let mut values = fields(self.file.read_once(tick.scratch)?).map_while(parse_f64);
        let series =
            self.series.get_or_insert_with(|| METRICS.map(|metric| tick.labels.series(metric, [])));
        for series in series {
            let Some(value) = values.next() else {
                let what = "three load averages are expected at its start";
                return Err(CollectError::malformed(self.file.path(), what));
            };
            series.record(tick.pass, value);
        }
        Ok(())
    }
}
