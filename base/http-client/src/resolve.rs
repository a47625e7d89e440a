//! Names to addresses, by the system: those that are in reach, and by turns where a peer's options say so.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use tower::Service;

use crate::reach::Reach;

/// Asks the system for the addresses of a name.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    system: GaiResolver,
    reach: Arc<Reach>,
    /// Counts connections, where each is to begin with another address.
    turns: Option<Arc<AtomicUsize>>,
}

impl Resolver {
    /// Addresses come in the system's order, or by turns.
    pub(crate) fn new(reach: Arc<Reach>, by_turns: bool) -> Self {
        Self { system: GaiResolver::new(), reach, turns: by_turns.then(Arc::default) }
    }

    /// All addresses, in the system's order.
    pub(crate) fn standard() -> Self {
        Self::new(Arc::default(), false)
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(cx).map_err(BoxError::from)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let host = name.as_str().to_owned();
        let asked = self.system.call(name);
        let reach = Arc::clone(&self.reach);
        let turn = self.turns.as_ref().map(|turns| turns.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move {
            let found = reach.within(&host, asked.await?.collect())?;
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
            let mut resolver = Resolver::new(Arc::default(), by_turns);
            let name: Name = "localhost".parse().expect("a name");
            let found = resolver.call(name).await.expect("every system knows it");
            assert!(found.into_iter().any(|addr| addr.ip().is_loopback()), "{by_turns}");
        }
    }

    #[tokio::test]
    async fn addresses_out_of_reach_are_not_given() {
        let reach = Arc::new(Reach::only(["10.0.0.0/8"]).expect("a network"));
        let mut resolver = Resolver::new(reach, false);
        let name: Name = "localhost".parse().expect("a name");
        let refused = resolver.call(name).await.expect_err("it is not in that network");
        assert!(refused.to_string().contains("not among the addresses"), "{refused}");
    }
}
