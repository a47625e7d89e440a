//! Turns of queries: so many run at once, so many more wait, and clients have them fairly.

mod fair;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use axum::http::Extensions;
use parking_lot::Mutex;
use swell_http::{Authenticated, Peer};
use tokio::sync::oneshot;

use fair::{Asked, Fair, Ticket};

/// Who asks, as far as turns go: users that the port knows, else addresses. What a proxy says of its clients is not looked at,
/// since anybody could say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// This process.
    #[default]
    Inside,
    User(String),
    /// An address; of IPv6 the network, since a host has as many addresses there as it likes.
    Address(IpAddr),
}

impl Client {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        if let Some(known) = extensions.get::<Authenticated>() {
            return Self::User(known.user.clone());
        }
        let Some(peer) = extensions.get::<Peer>() else { return Self::Inside };
        Self::Address(match peer.address.ip().to_canonical() {
            address @ IpAddr::V4(_) => address,
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }
}

/// Hands out turns. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    fair: Fair<Client>,
    /// Those that wait: told when it is their turn, or by the end of the channel that it will not be.
    waiting: HashMap<Ticket, oneshot::Sender<Turn>>,
}

/// The turn of a query, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    client: Client,
}

/// A query whose turn will come.
#[derive(Debug)]
pub(crate) struct Waiting {
    turns: Turns,
    ticket: Ticket,
    told: oneshot::Receiver<Turn>,
}

/// No more may wait; with how many do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMany(pub(crate) usize);

/// What becomes of a query that asks for its turn.
#[derive(Debug)]
pub(crate) enum Begun {
    Runs(Turn),
    Waits(Waiting),
}

impl Turns {
    pub(crate) fn new(running_max: usize, waiting_max: usize) -> Self {
        let fair = Fair::new(running_max, waiting_max);
        Self(Arc::new(Mutex::new(Inner { fair, waiting: HashMap::new() })))
    }

    /// Asks for a turn. A query that waits is waited for with [`Waiting::turn`].
    pub(crate) fn ask(&self, client: &Client) -> Result<Begun, TooMany> {
        let mut inner = self.0.lock();
        match inner.fair.ask(client) {
            Asked::Runs => Ok(Begun::Runs(Turn { turns: self.clone(), client: client.clone() })),
            Asked::Refused => Err(TooMany(inner.fair.waiting_max())),
            Asked::Waits(ticket, given_up) => {
                // Its channel ends, so that it is refused.
                given_up.and_then(|ticket| inner.waiting.remove(&ticket));
                let (tell, told) = oneshot::channel();
                inner.waiting.insert(ticket, tell);
                Ok(Begun::Waits(Waiting { turns: self.clone(), ticket, told }))
            }
        }
    }
}

impl Waiting {
    /// Waits for the turn. [`TooMany`] when the place was given to a client that has fewer.
    pub(crate) async fn turn(mut self) -> Result<Turn, TooMany> {
        let told = (&mut self.told).await;
        told.map_err(|_| TooMany(self.turns.0.lock().fair.waiting_max()))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut inner = self.turns.0.lock();
        inner.fair.leave(self.ticket);
        inner.waiting.remove(&self.ticket);
        // A turn that was told and not taken is dropped with the channel, and goes to the next.
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut inner = self.turns.0.lock();
        let Some((next, client)) = inner.fair.end(&self.client) else { return };
        let tell = inner.waiting.remove(&next);
        drop(inner);
        let turn = Self { turns: self.turns.clone(), client };
        if let Some(tell) = tell {
            // Where nobody waits any more it is dropped, and goes to the next.
            drop(tell.send(turn));
        }
    }
}
