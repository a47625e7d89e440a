//! Tracing set-up, the self-metrics registry, build information and printing of error chains.
//!
//! There is no global registry: the composition root makes one with [`self_metrics`] and hands it to each subsystem.

mod build;
mod chain;
mod encode;
mod family;
mod logging;
mod process;
mod registry;
mod summary;
mod synonyms;

pub use build::{BUILD, BuildInfo, PROMETHEUS_VERSION, VERSION};
pub use chain::chain;
pub use encode::encode_metrics;
pub use family::{family, gauge_metric};
pub use logging::{LogFormat, LoggingError, init_logging};
pub use prometheus::Registry;
pub use registry::{render_metrics, self_metrics};
pub use summary::{Summary, SummaryVec};
pub use synonyms::gather;
