//! Every line of `/proc/meminfo`.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, fields, lines, parse_u64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

pub(crate) struct MemoryInfo {
    file: KernelFile,
    series: KeyedSeries<PassSeries>,
}

impl MemoryInfo {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self { file: KernelFile::new(roots.procfs.join("meminfo")), series: KeyedSeries::default() }
    }
}

/// `Active(anon)` becomes `node_memory_Active_anon_bytes`; what is a plain count has no unit.
fn metric_name(key: &[u8], in_bytes: bool) -> String {
    let key = String::from_utf8_lossy(key).replace('(', "_").replace(')', "");
    format!("node_memory_{key}{}", if in_bytes { "_bytes" } else { "" })
}

impl Collector for MemoryInfo {
    fn name(&self) -> &'static str {
        "meminfo"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for line in lines(self.file.read(tick.scratch)?) {
            let mut parts = fields(line);
            let key = parts.next().and_then(|key| key.strip_suffix(b":"));
            let (Some(key), Some(value)) = (key, parts.next().and_then(parse_u64)) else {
                let what = "a line is not of the form `name: number kB`";
                return Err(CollectError::malformed(self.file.path(), what));
            };
            let in_kib = parts.next() == Some(b"kB");
            let series =
                self.series.entry(key, || tick.labels.series(&metric_name(key, in_kib), []));
            #[expect(clippy::cast_precision_loss, reason = "memory in kB is far below 2^53")]
            let value = value as f64;
            series.record(tick.pass, if in_kib { value * 1024.0 } else { value });
        }
        self.series.end_tick();
        Ok(())
    }
}
