//! The few lines of `/proc/vmstat` that node_exporter takes by default.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, key_value, lines};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

pub(crate) struct VmStat {
    file: KernelFile,
    series: KeyedSeries<PassSeries>,
}

impl VmStat {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self { file: KernelFile::new(roots.procfs.join("vmstat")), series: KeyedSeries::default() }
    }
}

/// node_exporter's default `^(oom_kill|pgpg|pswp|pg.*fault).*`.
fn is_wanted(key: &[u8]) -> bool {
    key.starts_with(b"oom_kill")
        || key.starts_with(b"pgpg")
        || key.starts_with(b"pswp")
        || (key.starts_with(b"pg") && key[2..].windows(5).any(|part| part == b"fault"))
}

impl Collector for VmStat {
    fn name(&self) -> &'static str {
        "vmstat"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for line in lines(self.file.read(tick.scratch)?) {
            let Some((key, value)) = key_value(line) else { continue };
            if is_wanted(key) {
                let series = self.series.entry(key, || {
                    let key = String::from_utf8_lossy(key);
                    tick.labels.series(&format!("node_vmstat_{key}"), [])
                });
                #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
                series.record(tick.pass, value as f64);
            }
        }
        self.series.end_tick();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fields_are_taken() {
        for (key, wanted) in [
            ("oom_kill", true),
            ("pgpgin", true),
            ("pswpout", true),
            ("pgfault", true),
            ("pgmajfault", true),
            ("pgfree", false),
            ("thp_fault_alloc", false),
            ("pg", false),
        ] {
            assert_eq!(is_wanted(key.as_bytes()), wanted, "{key}");
        }
    }
}
