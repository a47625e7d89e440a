//! Tracing set-up, the self-metrics registry, build information and printing of error chains.
//!
//! There is no global registry: the composition root makes one with [`self_metrics`] and hands it to each subsystem.

mod build;
mod chain;
mod logging;
mod process;
mod registry;

pub use build::{BUILD, BuildInfo, PROMETHEUS_VERSION, VERSION};
pub use chain::chain;
pub use logging::{LogFormat, LoggingError, init_logging};
pub use prometheus::Registry;
pub use registry::{METRICS_CONTENT_TYPE, render_metrics, self_metrics};
