//! How far a long command is, on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use swell_env::{Clock as _, Monotonic, SystemClock};

/// On a terminal one line is written over and over; elsewhere a line now and then.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    clock: SystemClock,
    began: Monotonic,
    told: Monotonic,
    on_terminal: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let clock = SystemClock::new();
        let now = clock.monotonic();
        Self { clock, began: now, told: now, on_terminal: std::io::stderr().is_terminal() }
    }

    /// Tells `what`, unless something was told a moment ago.
    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        let now = self.clock.monotonic();
        let interval = if self.on_terminal { TERMINAL_INTERVAL } else { PLAIN_INTERVAL };
        if now.since(self.told) < interval {
            return;
        }
        self.told = now;
        let seconds = now.since(self.began).as_secs();
        if self.on_terminal {
            eprint!("\r\x1b[K{seconds} s: {}", what());
            // A terminal that takes no more progress is no reason to stop.
            drop(std::io::stderr().flush());
        } else {
            eprintln!("{seconds} s: {}", what());
        }
    }

    /// Clears the line.
    pub(super) fn end(self) {
        if self.on_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
