//! Connections that netfilter tracks; absent where the module is not loaded.

use swell_model::PassSeries;
use swell_source::{KernelFile, fields, lines, parse_f64};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;

/// Columns of `/proc/net/stat/nf_conntrack`, one row per CPU in hexadecimal, that are summed up.
const STATS: [(&[u8], &str); 8] = [
    (b"found", "node_nf_conntrack_stat_found"),
    (b"invalid", "node_nf_conntrack_stat_invalid"),
    (b"ignore", "node_nf_conntrack_stat_ignore"),
    (b"insert", "node_nf_conntrack_stat_insert"),
    (b"insert_failed", "node_nf_conntrack_stat_insert_failed"),
    (b"drop", "node_nf_conntrack_stat_drop"),
    (b"early_drop", "node_nf_conntrack_stat_early_drop"),
    (b"search_restart", "node_nf_conntrack_stat_search_restart"),
];

pub(crate) struct Conntrack {
    subjects: [(KernelFile, &'static str, Option<PassSeries>); 2],
    stat_file: KernelFile,
    stat_series: Option<[PassSeries; STATS.len()]>,
}

impl Conntrack {
    pub(crate) fn new(roots: &Roots) -> Self {
        let dir = roots.procfs.join("sys/net/netfilter");
        Self {
            subjects: [
                (
                    KernelFile::new(dir.join("nf_conntrack_count")),
                    "node_nf_conntrack_entries",
                    None,
                ),
                (
                    KernelFile::new(dir.join("nf_conntrack_max")),
                    "node_nf_conntrack_entries_limit",
                    None,
                ),
            ],
            stat_file: KernelFile::new(roots.procfs.join("net/stat/nf_conntrack")),
            stat_series: None,
        }
    }
}

/// Sum over the rows of each column of [`STATS`].
fn sums(text: &[u8]) -> Option<[u64; STATS.len()]> {
    let mut lines = lines(text);
    let header = lines.next()?;
    let mut sums = [0_u64; STATS.len()];
    for line in lines {
        for (name, value) in fields(header).zip(fields(line)) {
            if let Some(idx) = STATS.iter().position(|(column, _)| *column == name) {
                let value = std::str::from_utf8(value).ok()?;
                sums[idx] = sums[idx].wrapping_add(u64::from_str_radix(value, 16).ok()?);
            }
        }
    }
    Some(sums)
}

impl Collector for Conntrack {
    fn name(&self) -> &'static str {
        "conntrack"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        for (file, metric, series) in &mut self.subjects {
            let Some(value) = fields(file.read_once(tick.scratch)?).next().and_then(parse_f64)
            else {
                return Err(CollectError::malformed(file.path(), "a number is expected"));
            };
            series.get_or_insert_with(|| tick.labels.series(metric, [])).record(tick.pass, value);
        }
        let Some(sums) = sums(self.stat_file.read(tick.scratch)?) else {
            let what = "a header and rows of hexadecimal numbers are expected";
            return Err(CollectError::malformed(self.stat_file.path(), what));
        };
        let series = self
            .stat_series
            .get_or_insert_with(|| STATS.map(|(_, metric)| tick.labels.series(metric, [])));
        for (series, sum) in series.iter_mut().zip(sums) {
            #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
            series.record(tick.pass, sum as f64);
        }
        Ok(())
    }
}
