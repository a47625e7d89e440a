//! Name and release of the kernel.

use swell_model::DurationMs;

use crate::collector::{CollectError, Collector, Tick};
use crate::slow::Slow;

/// Only the host's name may change while the kernel runs.
const INTERVAL: DurationMs = DurationMs::from_secs(60);

pub(crate) struct Uname {
    slow: Slow,
}

impl Default for Uname {
    fn default() -> Self {
        Self { slow: Slow::new(INTERVAL) }
    }
}

impl Collector for Uname {
    fn name(&self) -> &'static str {
        "uname"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        self.slow.collect(tick, |tick, into| {
            let uname = rustix::system::uname();
            let parts = [
                ("sysname", uname.sysname()),
                ("release", uname.release()),
                ("version", uname.version()),
                ("machine", uname.machine()),
                ("nodename", uname.nodename()),
                ("domainname", uname.domainname()),
            ]
            .map(|(name, value)| (name, value.to_string_lossy()));
            let labels = parts.iter().map(|(name, value)| (*name, &**value));
            into.push((tick.labels.series("node_uname_info", labels), 1.0));
            Ok(())
        })
    }
}
