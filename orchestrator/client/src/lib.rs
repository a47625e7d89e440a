//! Typed client of the Kubernetes-style API over HTTPS or in process, reflector cache and work queue.
//!
//! [`Client`] speaks HTTP to an API server, either over TLS or by calling a router of the same process.
//! [`Cache`] keeps a local copy of one kind by list and watch; [`WorkQueue`] hands the keys that need a
//! look to the workers of a controller; [`EventRecorder`] writes what a controller did as Events.

mod cache;
mod client;
mod config;
mod error;
mod events;
mod paths;
mod queue;
mod transport;
mod watch;

pub use cache::{Cache, ObjectKey};
pub use client::{
    Client, DeleteParams, ListParams, LogParams, ObjectList, Propagation, RawRequest, RawResponse,
};
pub use config::{BuildClientError, ClientConfig, Credentials};
pub use error::ClientError;
pub use events::{EventRecorder, EventType};
pub use paths::{collection_path, object_path};
pub use queue::{BackOff, WorkItem, WorkQueue};
pub use swell_api_types::Object;
pub use watch::{WatchEvent, WatchStream};
