//! Tracing set-up, the self-metrics registry, build information and printing of error chains.
//!
//! There is no global registry: the composition root makes one [`Registry`] and hands it to each subsystem.

use std::error::Error;
use std::fmt::Write as _;

pub use prometheus::Registry;

/// An error with its causes on one line, outermost first, separated by `: `.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        write!(text, ": {inner}").expect("writing to a string cannot fail");
        cause = inner.source();
    }
    text
}

/// Version of this build, as `swell version` and `/api/v1/status/buildinfo` show it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
