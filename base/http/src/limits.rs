//! What a listener grants a client. Fixed but for [`Patience`] and the number of connections
//! ([`crate::Server::at_most`]), since no user has a reason to raise the others; a body limit of its own can be set by a
//! router with `axum::extract::DefaultBodyLimit`, below [`BODY_BYTES_MAX`].

use std::time::Duration;

/// Time to send the whole head of a request, and to finish a TLS handshake.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Time a connection may stand without a request.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Time in which a client must take at least one byte of what is sent to it.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Grace before [`BODY_BYTES_PER_S_MIN`] is demanded of a request body.
pub const BODY_GRACE: Duration = Duration::from_secs(10);

/// Slowest request body that is waited for.
pub const BODY_BYTES_PER_S_MIN: u64 = 1024;

/// Largest request body, as sent.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Headers of one request.
pub const HEADER_COUNT_MAX: usize = 100;

/// Bytes of one request's head.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Requests at once on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;

/// Connections of one listener.
pub const CONNECTIONS_MAX: usize = 4096;

/// Connections from one address; loopback, where a proxy may stand, has no share of its own.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1024;

/// How long a listener waits for what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the whole head of a request, and for a TLS handshake.
    pub head: Duration,
    /// For the next request of a connection.
    pub idle: Duration,
    /// For a whole body, if there is a bound; [`BODY_BYTES_PER_S_MIN`] is demanded in any case.
    pub body: Option<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: HEADER_READ_TIMEOUT, idle: IDLE_TIMEOUT, body: None }
    }
}

impl Patience {
    /// With one time for the parts of a request and for connections without one, as Prometheus has it. A head has
    /// [`HEADER_READ_TIMEOUT`] at most.
    #[must_use]
    pub fn of_reading(timeout: Duration) -> Self {
        Self { head: timeout.min(HEADER_READ_TIMEOUT), idle: timeout, body: Some(timeout) }
    }
}

/// Time for requests under way to end once the listener is told to stop.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(5);
