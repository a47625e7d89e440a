//! REST, list and watch, discovery, Table output, patches and validation, good enough for kubectl.
//!
//! [`ApiServer::build`] prepares a server over a [`swell_store::Store`]; [`ApiServer::router`] is for
//! listeners, [`ApiServer::in_process_router`] for parts of the same process, and [`ApiServer::run`] keeps
//! order: owners and what they own, namespaces on their way out, old events.
//!
//! A request is read by `route` and `query`, goes through `auth`, and is answered by one of `read`, `watch`,
//! `create`, `update` (with `patch`), `delete` and `subresource`; `admit` holds what all writes share.

mod addresses;
mod admit;
mod agent_logs;
mod auth;
mod body;
mod create;
mod delete;
mod discovery;
mod failure;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod kubeconfig;
mod lifecycle;
mod metrics;
mod negotiate;
mod object;
mod openapi;
mod patch;
mod protobuf;
mod query;
mod read;
mod review;
mod route;
mod serve;
mod server;
mod shared;
mod subresource;
mod table;
mod update;
mod usage;
mod watch;

pub use addresses::ServiceRange;
pub use auth::{ADMIN_GROUP, NODE_GROUP, TokenUser, User};
pub use kubeconfig::{Kubeconfig, KubeconfigUser};
pub use server::{ApiServer, ApiServerDeps, BuildError, Config};
pub use usage::{NodeUsage, PodUsage, Usage, UsageSource};
