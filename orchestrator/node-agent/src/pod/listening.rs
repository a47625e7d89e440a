//! Looks where the processes of a container listen.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use swell_runtime::{ContainerId, process_tree};

use crate::context::Context;
use crate::net::misbound;

/// When, after its start, a container is looked at: a server that is quick to listen, and one that is not.
pub(super) const LOOKS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

/// What is wrong with where a container listens; `None` when all is well, or it is gone or simulated.
pub(super) async fn complaint(
    context: &Context,
    id: &ContainerId,
    address: IpAddr,
    ports: BTreeSet<u16>,
) -> Option<String> {
    let roots = match context.runtime.container_status(id) {
        Ok(status) if !status.root_pids.is_empty() => status.root_pids,
        _ => return None,
    };
    let look = move || misbound(&process_tree(&roots)?, address, &ports);
    match tokio::task::spawn_blocking(look).await {
        Ok(Ok(complaint)) => complaint,
        Ok(Err(error)) => {
            tracing::warn!(container = %id, %error, "cannot see where a container listens");
            None
        }
        Err(error) => {
            tracing::error!(container = %id, %error, "looking at sockets failed");
            None
        }
    }
}
