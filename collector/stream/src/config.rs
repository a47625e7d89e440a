//! What client and server need to know.

use std::fmt;

/// Tells one run of an agent from another: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    /// Only its start: who knows all of it and a token could continue the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Agent's side.
#[derive(Clone)]
pub struct ClientConfig {
    /// `host:port` of the server.
    pub server: String,
    /// Name the server's certificate is checked for, when it is not the host above.
    pub server_name: Option<String>,
    /// Certificate of the authority that signed the server's.
    pub ca_pem: String,
    /// Bearer token.
    pub token: String,
    /// Name of this node.
    pub node: String,
    /// This run of the agent.
    pub session: SessionId,
    /// Memory for batches that are not acknowledged; beyond it the oldest are dropped.
    pub spool_bytes_max: usize,
}

impl ClientConfig {
    /// Some ten minutes of 500 samples a second, in a third of an agent's memory.
    pub const SPOOL_BYTES_MAX: usize = 4 * 1024 * 1024;
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("server", &self.server)
            .field("node", &self.node)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Server's side.
#[derive(Clone)]
pub struct ServerConfig {
    /// Bearer token agents must show.
    pub token: String,
    /// Told to agents: where they find the Kubernetes API; empty for none.
    pub kubernetes_api_url: String,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("kubernetes_api_url", &self.kubernetes_api_url)
            .finish_non_exhaustive()
    }
}

/// Certificate chain and key of the server.
#[derive(Clone)]
pub struct ServerTls {
    /// Certificate chain.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}
