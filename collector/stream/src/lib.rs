//! The agent stream: node agent to server over gRPC, series announced once, batches acknowledged and resumed.
//!
//! An agent feeds [`swell_model::PassDelta`]s into a [`DeltaSink`]: a [`StreamClient`] that spools them and
//! sends them to a server, or a [`DirectLink`] to the storage of the same process. On the other side an
//! [`AgentStreamServer`] writes them into a [`swell_model::SampleSink`]. The protocol is in
//! `proto/agent_stream.proto`.
//!
//! The decisions are in two modules without IO: `spool` (what the agent keeps, drops and sends) and `session`
//! (what the server knows of an agent). A sample is stored once, or counted as dropped when the spool was full.

mod admission;
mod client;
mod config;
mod direct;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod link;
mod metrics;
mod server;
mod service;
mod session;
mod spool;
mod wire;

pub use client::{BuildClientError, StreamClient};
pub use config::{ClientConfig, ServerConfig, ServerTls, SessionId};
pub use direct::DirectLink;
pub use link::{DeltaSink, LinkState, ServerInfo};
pub use server::{AgentStatus, AgentStreamServer, BuildServerError, ServeError};
