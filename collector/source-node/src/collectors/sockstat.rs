//! Sockets in use by protocol.

use swell_model::PassSeries;
use swell_source::{KernelFile, KeyedSeries, fields, lines, parse_u64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

pub(crate) struct SockStat {
    v4: KernelFile,
    v6: KernelFile,
    page_bytes: f64,
    lines: KeyedSeries<KeyedSeries<OneValue>>,
}

struct OneValue {
    series: PassSeries,
    /// `mem` counts pages; the same in bytes.
    bytes: Option<PassSeries>,
}

impl SockStat {
    pub(crate) fn new(roots: &Roots) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a page is some kB")]
        let page_bytes = rustix::param::page_size() as f64;
        Self {
            v4: KernelFile::new(roots.procfs.join("net/sockstat")),
            v6: KernelFile::new(roots.procfs.join("net/sockstat6")),
            page_bytes,
            lines: KeyedSeries::default(),
        }
    }
}

impl Collector for SockStat {
    fn name(&self) -> &'static str {
        "sockstat"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for (file, is_needed) in [(&mut self.v4, true), (&mut self.v6, false)] {
            let text = match file.read(tick.scratch) {
                Ok(text) => text,
                // a kernel without IPv6
                Err(error) if !is_needed && error.is_absent() => continue,
                Err(error) => return Err(error.into()),
            };
            for line in lines(text) {
                let mut parts = fields(line);
                let Some(protocol) = parts.next().and_then(|key| key.strip_suffix(b":")) else {
                    let what = "a line does not start with `PROTOCOL:`";
                    return Err(CollectError::malformed(file.path(), what));
                };
                let series = self.lines.entry(protocol, KeyedSeries::default);
                while let (Some(key), Some(value)) =
                    (parts.next(), parts.next().and_then(parse_u64))
                {
                    let one = series.entry(key, || {
                        let name = format!(
                            "node_sockstat_{}_{}",
                            String::from_utf8_lossy(protocol),
                            String::from_utf8_lossy(key)
                        );
                        let bytes = (key == b"mem")
                            .then(|| tick.labels.series(&format!("{name}_bytes"), []));
                        OneValue { series: tick.labels.series(&name, []), bytes }
                    });
                    #[expect(clippy::cast_precision_loss, reason = "sockets are countable")]
                    let value = value as f64;
                    one.series.record(tick.pass, value);
                    if let Some(bytes) = &mut one.bytes {
                        bytes.record(tick.pass, value * self.page_bytes);
                    }
                }
                series.end_tick();
            }
        }
        self.lines.end_tick();
        Ok(())
    }
}
