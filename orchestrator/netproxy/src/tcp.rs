//! One connection that is not HTTP: to an endpoint, byte for byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::net::TcpStream;
use tracing::debug;

use crate::frontend::Shared;

/// Endpoints a connection is tried on.
const ATTEMPTS_MAX: usize = 4;

/// Each connection has one such buffer in each direction.
const BUFFER_BYTES: usize = 8 * 1024;

/// Connects a client to an endpoint and copies until both are done.
pub(crate) async fn splice(shared: Arc<Shared>, mut client: TcpStream) {
    let open = Open::begin(&shared);
    let deadline = tokio::time::Instant::now() + shared.endpoint_wait;
    let mut refused: Vec<SocketAddr> = Vec::new();
    for _ in 0..ATTEMPTS_MAX {
        let lease = match shared.pick(&refused, deadline).await {
            Ok(lease) => lease,
            Err(reason) => {
                debug!(reason, "a connection was turned away");
                return;
            }
        };
        let mut server = match lease.backend().connect_tcp().await {
            Ok(server) => server,
            Err(error) => {
                let address = lease.backend().endpoint.address;
                debug!(%address, %error, "a connection goes to another endpoint");
                refused.push(address);
                continue;
            }
        };
        lease.backend().stats.requests.fetch_add(1, Relaxed);
        let copied = tokio::io::copy_bidirectional_with_sizes(
            &mut client,
            &mut server,
            BUFFER_BYTES,
            BUFFER_BYTES,
        );
        match copied.await {
            Ok((received, sent)) => {
                shared.stats.received_bytes.fetch_add(received, Relaxed);
                shared.stats.sent_bytes.fetch_add(sent, Relaxed);
            }
            Err(error) => debug!(service = %shared.service, %error, "a connection broke"),
        }
        break;
    }
    drop(open);
}

/// Counts a connection while it is open.
struct Open<'shared> {
    shared: &'shared Shared,
}

impl<'shared> Open<'shared> {
    fn begin(shared: &'shared Shared) -> Self {
        shared.stats.connections.fetch_add(1, Relaxed);
        shared.stats.connections_open.fetch_add(1, Relaxed);
        Self { shared }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.stats.connections_open.fetch_sub(1, Relaxed);
    }
}
