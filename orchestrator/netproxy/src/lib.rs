//! User-space service proxy over ready endpoints, measuring requests, latency and concurrency per service.
//!
//! [`ruleset()`] decides from Services and Endpoints what is listened on and where it goes. [`NetProxy`] carries
//! that out: it binds `clusterIP:port` (loopback addresses, so no privilege is needed), balances HTTP/1.1
//! requests, or whole connections where the port is not HTTP, over the endpoint with the fewest in flight,
//! and writes its counters into a [`swell_model::Pass`] each tick.
//!
//! No request is sent twice that might have had an effect: another endpoint is tried when a connection
//! could not be made, when a request was never written, and for safe methods without a body also when the
//! connection ended without an answer. See `forward.rs`.
//!
//! Absent here: kernel rules (nftables), DNS, node ports.

mod backend;
mod config;
mod forward;
mod frontend;
mod metrics;
mod proxy;
mod ruleset;
mod stats;
mod tcp;

pub use config::Config;
pub use proxy::{FrontendStatus, NetProxy};
pub use ruleset::{Endpoint, Frontend, Problem, Protocol, Ruleset, ServiceName, ruleset};
