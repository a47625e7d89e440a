//! The wall clock, and what the kernel drives it with.

use std::path::PathBuf;

use swell_model::{DurationMs, PassSeries};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Roots;
use crate::slow::{Slow, attribute, names};

/// The clock source changes when the kernel distrusts it: rarely, but worth seeing.
const CLOCKSOURCE_INTERVAL: DurationMs = DurationMs::from_secs(30);

pub(crate) struct Time {
    now: Option<PassSeries>,
    clocksources: PathBuf,
    slow: Slow,
}

impl Time {
    pub(crate) fn new(roots: &Roots) -> Self {
        Self {
            now: None,
            clocksources: roots.sysfs.join("devices/system/clocksource"),
            slow: Slow::new(CLOCKSOURCE_INTERVAL),
        }
    }
}

impl Collector for Time {
    fn name(&self) -> &'static str {
        "time"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let now = self.now.get_or_insert_with(|| tick.labels.series("node_time_seconds", []));
        now.record(tick.pass, tick.now.as_seconds());
        let dir = &self.clocksources;
        self.slow.collect(tick, |tick, into| {
            let Ok(entries) = names(dir) else { return Ok(()) };
            for name in entries {
                let Some(device) = name.strip_prefix("clocksource") else { continue };
                let text = |file| attribute(&dir.join(&name).join(file)).unwrap_or_default();
                for source in text("available_clocksource").split_whitespace() {
                    let labels = [("device", device), ("clocksource", source)];
                    let metric = "node_time_clocksource_available_info";
                    into.push((tick.labels.series(metric, labels), 1.0));
                }
                let current = text("current_clocksource");
                if !current.is_empty() {
                    let labels = [("device", device), ("clocksource", current.as_str())];
                    let metric = "node_time_clocksource_current_info";
                    into.push((tick.labels.series(metric, labels), 1.0));
                }
            }
            Ok(())
        })
    }
}
