//! Boot time, context switches, forks, interrupts, and tasks that run or wait.

use swell_model::PassSeries;
use swell_source::{KeyedSeries, key_value, lines};

use crate::collector::{CollectError, Collector, Tick};

#[derive(Default)]
pub(crate) struct Stat {
    series: KeyedSeries<PassSeries>,
}

/// The metric of a line of `/proc/stat`.
fn metric_of(key: &[u8]) -> Option<&'static str> {
    Some(match key {
        b"intr" => "node_intr_total",
        b"ctxt" => "node_context_switches_total",
        b"btime" => "node_boot_time_seconds",
        b"processes" => "node_forks_total",
        b"procs_running" => "node_procs_running",
        b"procs_blocked" => "node_procs_blocked",
        _ => return None,
    })
}

impl Collector for Stat {
    fn name(&self) -> &'static str {
        "stat"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let mut has_boot_time = false;
        for line in lines(tick.proc_stat.text()?) {
            let Some((key, value)) = key_value(line) else { continue };
            let Some(metric) = metric_of(key) else { continue };
            has_boot_time |= key == b"btime";
            let series = self.series.entry(key, || tick.labels.series(metric, []));
            #[expect(clippy::cast_precision_loss, reason = "counters are floats in the model")]
            series.record(tick.pass, value as f64);
        }
        self.series.end_tick();
        if has_boot_time {
            Ok(())
        } else {
            Err(CollectError::malformed(&tick.proc_stat.path(), "there is no line btime"))
        }
    }
}
