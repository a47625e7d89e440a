//! Which loopback addresses pods and services of this server get. Several servers on one machine must not give
//! out the same ones, and a server must keep its own over restarts, since services keep their addresses.

use std::net::Ipv4Addr;

use anyhow::{Context, bail};
use swell_apiserver::ServiceRange;
use tokio::net::TcpListener;
use tracing::warn;

use crate::data_dir::DataDir;

/// Ranges to choose from: pods in 127.64.0.0 to 127.79.0.0, services in 127.96.0.0 to 127.111.0.0, each /16.
const RANGE_COUNT: u8 = 16;
/// Length of the prefix of each range.
pub(crate) const RANGE_PREFIX_LEN: u8 = 16;
const FIRST_PODS: u8 = 64;
const FIRST_SERVICES: u8 = 96;
/// Whoever listens here, on the last usable address of a range of services, has the range.
const CLAIM_PORT: u16 = 65_001;
/// Where the choice is kept in the data directory.
const FILE: &str = "addresses";

/// A server's ranges, claimed while this value lives.
#[derive(Debug)]
pub(crate) struct AddressRanges {
    /// Where nodes get their pods' addresses from.
    pub(crate) pods: Ipv4Addr,
    /// Where services get theirs from.
    pub(crate) services: ServiceRange,
    _claim: Option<TcpListener>,
}

impl AddressRanges {
    /// The ranges that this data directory has always had, or the first that nobody on this machine has.
    pub(crate) async fn claim(data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let idx: u8 =
                    text.trim().parse().ok().filter(|idx| *idx < RANGE_COUNT).with_context(
                        || format!("{} holds no number below {RANGE_COUNT}", path.display()),
                    )?;
                let claim = hold(idx).await;
                if claim.is_none() {
                    warn!(
                        services = %services_base(idx),
                        "another server of this machine uses the same loopback addresses: services of both may collide"
                    );
                }
                Self::of(idx, claim)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                for idx in 0..RANGE_COUNT {
                    if let Some(claim) = hold(idx).await {
                        std::fs::write(&path, format!("{idx}\n"))
                            .with_context(|| format!("write {}", path.display()))?;
                        return Self::of(idx, Some(claim));
                    }
                }
                bail!(
                    "all {RANGE_COUNT} ranges of loopback addresses are taken by other servers of this machine"
                )
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn of(idx: u8, claim: Option<TcpListener>) -> anyhow::Result<Self> {
        let services = ServiceRange::new(services_base(idx), RANGE_PREFIX_LEN)
            .context("a range of services begins on its own boundary")?;
        Ok(Self { pods: Ipv4Addr::new(127, FIRST_PODS + idx, 0, 0), services, _claim: claim })
    }
}

fn services_base(idx: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, FIRST_SERVICES + idx, 0, 0)
}

async fn hold(idx: u8) -> Option<TcpListener> {
    let address = Ipv4Addr::new(127, FIRST_SERVICES + idx, 255, 254);
    TcpListener::bind((address, CLAIM_PORT)).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_servers_get_different_ranges_and_keep_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let first_dir = DataDir::open(&folder.path().join("a")).expect("free");
        let second_dir = DataDir::open(&folder.path().join("b")).expect("free");
        let first = AddressRanges::claim(&first_dir).await.expect("claimed");
        let second = AddressRanges::claim(&second_dir).await.expect("claimed");
        assert_ne!(first.pods, second.pods);
        let pods = second.pods;
        drop((first, second));
        let again = AddressRanges::claim(&second_dir).await.expect("claimed");
        assert_eq!(again.pods, pods, "kept although the first range is free again");
    }
}
