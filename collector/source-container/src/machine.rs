//! What the machine offers to containers.

use std::path::Path;

use swell_model::{Pass, PassSeries};
use swell_source::{JobLabels, KernelFile, ReadError, Scratch, key_value, lines};

/// The machine does not grow; memory and CPUs may still be plugged in.
const EVERY_TICKS: u64 = 60;

/// `machine_*` series.
#[derive(Debug)]
pub(crate) struct Machine {
    stat: KernelFile,
    meminfo: KernelFile,
    cores: PassSeries,
    memory_bytes: PassSeries,
    swap_bytes: PassSeries,
    values: Option<[f64; 3]>,
}

impl Machine {
    pub(crate) fn new(procfs: &Path, labels: &JobLabels) -> Self {
        Self {
            stat: KernelFile::new(procfs.join("stat")),
            meminfo: KernelFile::new(procfs.join("meminfo")),
            cores: labels.series("machine_cpu_cores", []),
            memory_bytes: labels.series("machine_memory_bytes", []),
            swap_bytes: labels.series("machine_swap_bytes", []),
            values: None,
        }
    }

    pub(crate) fn collect(
        &mut self,
        tick_number: u64,
        pass: &mut Pass,
        scratch: &mut Scratch,
    ) -> Result<(), ReadError> {
        if self.values.is_none() || tick_number.is_multiple_of(EVERY_TICKS) {
            self.values = Some(self.read(scratch)?);
        }
        let series = [&mut self.cores, &mut self.memory_bytes, &mut self.swap_bytes];
        for (series, value) in series.into_iter().zip(self.values.into_iter().flatten()) {
            series.record(pass, value);
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "sizes are floats in the model")]
    fn read(&mut self, scratch: &mut Scratch) -> Result<[f64; 3], ReadError> {
        let is_cpu = |line: &&[u8]| line.starts_with(b"cpu") && !line.starts_with(b"cpu ");
        let cores = lines(self.stat.read(scratch)?).filter(is_cpu).count();
        let (mut memory_kib, mut swap_kib) = (0, 0);
        for (key, kib) in lines(self.meminfo.read(scratch)?).filter_map(key_value) {
            match key {
                b"MemTotal:" => memory_kib = kib,
                b"SwapTotal:" => swap_kib = kib,
                _ => {}
            }
        }
        self.stat.close();
        self.meminfo.close();
        Ok([cores as f64, memory_kib as f64 * 1024.0, swap_kib as f64 * 1024.0])
    }
}
