//! Names to addresses, by the system; where a peer's options say so, by turns.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

/// Asks the system for the addresses of a name.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    system: GaiResolver,
    /// Counts connections, where each is to begin with another address.
    turns: Option<Arc<AtomicUsize>>,
}

impl Resolver {
    /// Addresses come in the system's order, or by turns.
    pub(crate) fn new(by_turns: bool) -> Self {
        Self { system: GaiResolver::new(), turns: by_turns.then(Arc::default) }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.system.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let asked = self.system.call(name);
        let turn = self.turns.as_ref().map(|turns| turns.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            let found: Vec<SocketAddr> = asked.await?.collect();
            Ok(turn.map_or(found.clone(), |turn| at_turn(found, turn)).into_iter())
        })
    }
}

/// The addresses, beginning with another one at each turn. Their order by the system may change from answer to answer, so it
/// does not count.
fn at_turn(mut addrs: Vec<SocketAddr>, turn: usize) -> Vec<SocketAddr> {
    addrs.sort_unstable();
    addrs.dedup();
    if !addrs.is_empty() {
        let first = turn % addrs.len();
        addrs.rotate_left(first);
    }
    addrs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_turn_whatever_order_the_system_has() {
        let addr = |last: u8| SocketAddr::from(([10, 0, 0, last], 0));
        let firsts = (0..6).map(|turn| {
            let mut told = vec![addr(1), addr(2), addr(3)];
            told.rotate_left(turn * 2 % 3);
            at_turn(told, turn)[0]
        });
        let expected = [1, 2, 3, 1, 2, 3].map(addr);
        assert_eq!(firsts.collect::<Vec<_>>(), expected);
        assert_eq!(at_turn(vec![addr(1), addr(2)], 1), [addr(2), addr(1)], "the others follow");
        assert!(at_turn(Vec::new(), 7).is_empty());
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        for by_turns in [false, true] {
            let mut resolver = Resolver::new(by_turns);
            let name: Name = "localhost".parse().expect("a name");
            let found = resolver.call(name).await.expect("every system knows it");
            assert!(found.into_iter().any(|addr| addr.ip().is_loopback()), "{by_turns}");
        }
    }
}
