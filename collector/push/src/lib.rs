//! Ways in for senders that push, beside remote write: OTLP metrics over HTTP and gRPC, InfluxDB's line
//! protocol, and exposition text as Prometheus' Pushgateway takes it.
//!
//! A body is read within a budget ([`swell_http::Intake`]), unpacked and translated on the blocking pool, and stored as
//! one batch per request. What cannot be stored is told to the sender with its reason; the rest is stored. Which senders
//! get here at all, and when the server is ready, the composition root decides.

mod failure;
mod groups;
mod influx;
mod metrics;
mod operations;
mod otlp;
mod store;
mod unpack;

pub use groups::{GroupFileError, PushedGroups, pushed_groups_router};
pub use influx::{InfluxReceiver, influx_router};
pub use metrics::PushMetrics;
pub use operations::operations;
pub use otlp::{OtlpConfig, OtlpReceiver, otlp_router};
