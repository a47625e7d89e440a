//! Sending by remote write, 1.0 and 2.0, as Prometheus' `remote_write:` describes it (ADR 033).
//!
//! A queue follows the database's log ([`swell_engine::LogFollower`]) from a place that it writes down, so the log is the
//! queue: what waits in memory is bounded, and an outage or a restart costs nothing that the log still holds. A
//! series belongs to a shard by a hash of its labels, a shard has one request under way, so the samples of a series keep
//! their order.
//!
//! What to send when, and what an answer means, is decided without clock or network in `shards` and `answer`; `queue`
//! carries it out.

mod answer;
mod config;
mod encode;
mod metadata;
mod metrics;
mod place;
mod place_file;
mod point;
mod queue;
mod reader;
mod sender;
mod shards;
mod transport;

pub use config::{Batching, MetadataSending, QueueConfig, Rewrite, RewriteLabels, name_of};
pub use metrics::SendMetrics;
pub use sender::{Prepared, RemoteSender, SendError, SenderDeps};
pub use swell_wire::remote_write::Message;
