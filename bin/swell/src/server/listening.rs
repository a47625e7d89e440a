//! Where the HTTP port listens: names of hosts are looked up, and every address is held before anything else is begun.

use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::net::TcpListener;

use crate::args::ListenAddress;

const FLAG: &str = "--listen-http";

/// The addresses, with those of names.
pub(super) async fn addresses(given: &[ListenAddress]) -> anyhow::Result<Vec<SocketAddr>> {
    let mut all = Vec::with_capacity(given.len());
    for address in given {
        match address {
            ListenAddress::At(address) => all.push(*address),
            ListenAddress::Named { host, port } => {
                let found = tokio::net::lookup_host((host.as_str(), *port)).await;
                let found: Vec<SocketAddr> =
                    found.with_context(|| format!("{FLAG}: look {host} up"))?.collect();
                // One address of a name, as Prometheus does, and of IPv4 where it has one.
                let of_ipv4 = found.iter().find(|address| address.is_ipv4());
                let chosen = of_ipv4.or(found.first());
                all.push(*chosen.with_context(|| format!("{FLAG}: {host} has no address"))?);
            }
        }
    }
    Ok(all)
}

/// What listens on an address.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) first: TcpListener,
    pub(super) more: Vec<TcpListener>,
}

impl Listeners {
    /// Listens on all of the addresses.
    pub(super) async fn bind(addresses: &[SocketAddr]) -> anyhow::Result<Self> {
        let Some((first, others)) = addresses.split_first() else {
            bail!("{FLAG} has no address to listen on");
        };
        let first = swell_http::bind(*first, FLAG).await?;
        let mut more = Vec::with_capacity(others.len());
        for address in others {
            more.push(swell_http::bind(*address, FLAG).await?);
        }
        Ok(Self { first, more })
    }

    /// Where they listen, in the order in which they were given.
    pub(super) fn addresses(&self) -> anyhow::Result<Vec<SocketAddr>> {
        let all = std::iter::once(&self.first).chain(&self.more);
        all.map(TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>()
            .context("ask for the HTTP addresses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_looked_up_and_all_addresses_are_held() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let named = ListenAddress::Named { host: "localhost".to_owned(), port: 0 };
        let found = addresses(&[ListenAddress::At(any), named]).await.expect("known");
        assert_eq!(found.first(), Some(&any));
        assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
        let held = Listeners::bind(&found).await.expect("free ports").addresses();
        let held = held.expect("bound");
        assert_eq!(held.len(), 2);
        assert_ne!(held[0], held[1]);
        // Longer than a part of a name may be.
        let host = "x".repeat(64);
        let nowhere = ListenAddress::Named { host: host.clone(), port: 0 };
        let told = format!("{:#}", addresses(&[nowhere]).await.expect_err("no such host"));
        assert!(told.contains(&host) && told.contains(FLAG), "{told}");
        assert!(Listeners::bind(&[]).await.is_err());
    }
}
