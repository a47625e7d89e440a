//! What feeds samples in, whichever way they go.

use swell_model::PassDelta;

/// Takes the ticks of one [`swell_model::Pass`], in order. Implemented by [`crate::StreamClient`] and [`crate::DirectLink`].
pub trait DeltaSink: Send + Sync {
    /// Takes one tick. Does not wait for a server; what cannot be kept is counted as dropped.
    fn offer(&self, delta: PassDelta);
}

/// What the server told about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Where its Kubernetes API is; empty when it serves none.
    pub kubernetes_api_url: String,
    /// Its version.
    pub version: String,
}

/// How an agent stands with its server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected yet.
    #[default]
    Connecting,
    /// Connected and welcomed.
    Connected(ServerInfo),
    /// The connection was lost or could not be made; it is tried again.
    Lost {
        /// Why, for people.
        reason: String,
    },
    /// The server turned the agent away: the token or the certificate is wrong. It is tried again, slowly.
    Refused {
        /// Why, for people.
        reason: String,
    },
}
