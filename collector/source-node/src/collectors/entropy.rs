//! The kernel's entropy pool.

use swell_model::PassSeries;
use swell_source::{KernelFile, fields, parse_f64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

pub(crate) struct Entropy {
    subjects: [(KernelFile, &'static str, Option<PassSeries>); 2],
}

impl Entropy {
    pub(crate) fn new(roots: &Roots) -> Self {
        let dir = roots.procfs.join("sys/kernel/random");
        Self {
            subjects: [
                (KernelFile::new(dir.join("entropy_avail")), "node_entropy_available_bits", None),
                (KernelFile::new(dir.join("poolsize")), "node_entropy_pool_size_bits", None),
            ],
        }
    }
}

impl Collector for Entropy {
    fn name(&self) -> &'static str {
        "entropy"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for (file, metric, series) in &mut self.subjects {
            let Some(bits) = fields(file.read_once(tick.scratch)?).next().and_then(parse_f64)
            else {
                return Err(CollectError::malformed(file.path(), "a number is expected"));
            };
            series.get_or_insert_with(|| tick.labels.series(metric, [])).record(tick.pass, bits);
        }
        Ok(())
    }
}
