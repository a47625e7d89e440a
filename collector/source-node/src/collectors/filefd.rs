//! File handles of the whole system.

use swell_model::PassSeries;
use swell_source::{KernelFile, fields, parse_f64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

pub(crate) struct FileHandles {
    file: KernelFile,
    series: Option<[PassSeries; 2]>,
}

impl FileHandles {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self { file: KernelFile::new(roots.procfs.join("sys/fs/file-nr")), series: None }
    }
}

impl Collector for FileHandles {
    fn name(&self) -> &'static str {
        "filefd"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let mut values = fields(self.file.read_once(tick.scratch)?).map(parse_f64);
        // allocated, free (always 0), maximum
        let (Some(Some(allocated)), Some(_), Some(Some(maximum))) =
            (values.next(), values.next(), values.next())
        else {
            return Err(CollectError::malformed(self.file.path(), "three numbers are expected"));
        };
        let series = self.series.get_or_insert_with(|| {
            ["node_filefd_allocated", "node_filefd_maximum"]
                .map(|metric| tick.labels.series(metric, []))
        });
        series[0].record(tick.pass, allocated);
        series[1].record(tick.pass, maximum);
        Ok(())
    }
}
