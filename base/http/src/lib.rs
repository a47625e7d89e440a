//! Listeners, TLS, request limits, error bodies and draining for every HTTP surface; each domain contributes a router.
//!
//! [`bind`] opens a socket, [`Server`] serves an `axum::Router` on it with the [`limits`] every surface shares,
//! [`pki`] makes the certificates, [`openapi`] says what a surface offers.

pub mod limits;
pub mod openapi;
pub mod pki;

mod bearer;
mod bind;
mod body;
mod error;
mod gate;
mod head;
mod intake;
mod metrics;
mod patience;
mod peer;
mod port_holder;
mod prefix;
mod privileged;
mod requests;
mod server;

pub use bearer::{NoRandomness, SecretToken, bearer_token};
pub use bind::{BindError, bind};
pub use error::ErrorBody;
pub use gate::{Authenticated, Gate, GateRules, NoBcryptHash};
pub use intake::{Intake, IntakeConfig, IntakeError, TakenBody, plain_text};
pub use metrics::HttpMetrics;
pub use peer::{Peer, PeerCertificate};
pub use prefix::{NoPath, RoutePrefix};
pub use privileged::{Privileged, Refused};
pub use server::{RouterSwitch, Server};
