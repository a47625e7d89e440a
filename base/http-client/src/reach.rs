//! Which addresses may be connected to.

use std::net::{IpAddr, SocketAddr};

use crate::proxy::is_within;

/// Networks that a client may connect to: all, unless they are named. It counts for the address that is connected to, whatever
/// a name resolves to and wherever a redirect leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(Option<Vec<(IpAddr, u8)>>);

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither an address nor a network, as 10.0.0.0/8 or fd00::/8")]
pub struct NoNetwork {
    text: String,
}

/// An address that may not be connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {address}, which is not among the addresses that may be connected to")]
pub(crate) struct OutOfReach {
    host: String,
    address: IpAddr,
}

impl Reach {
    /// These networks, each an address or an address with a number of bits.
    ///
    /// # Errors
    /// [`NoNetwork`] of the first that is none.
    pub fn only<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, NoNetwork> {
        let read = |text: &str| network(text).ok_or_else(|| NoNetwork { text: text.to_owned() });
        networks.into_iter().map(read).collect::<Result<_, _>>().map(|list| Self(Some(list)))
    }

    fn has(&self, address: IpAddr) -> bool {
        let Some(networks) = &self.0 else { return true };
        let address = address.to_canonical();
        networks.iter().any(|(network, bits)| is_within(address, *network, *bits))
    }

    /// Those of a name's addresses that are in reach.
    pub(crate) fn within(
        &self,
        host: &str,
        mut found: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OutOfReach> {
        let first = found.first().map(SocketAddr::ip);
        found.retain(|address| self.has(address.ip()));
        match first.filter(|_| found.is_empty()) {
            Some(address) => Err(OutOfReach { host: host.to_owned(), address }),
            None => Ok(found),
        }
    }

    /// Refuses a host that is an address out of reach; of a name nothing is known before it is resolved.
    pub(crate) fn check(&self, host: &str) -> Result<(), OutOfReach> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) if !self.has(address) => Err(OutOfReach { host: host.to_owned(), address }),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(whole);
    if bits > whole {
        return None;
    }
    // Addresses are compared in this form.
    match (address, address.to_canonical()) {
        (IpAddr::V6(_), mapped @ IpAddr::V4(_)) => Some((mapped, bits.checked_sub(96)?)),
        (address, _) => Some((address, bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_reach_by_their_networks() {
        let reach = Reach::only(["10.0.0.0/8", "192.168.1.7", "fd00::/8"]).expect("networks");
        for (address, is_in) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("::ffff:10.1.2.3", true),
            ("fd12::1", true),
            ("fe80::1", false),
            ("169.254.169.254", false),
        ] {
            let parsed = address.parse().expect("an address");
            assert_eq!(reach.has(parsed), is_in, "{address}");
            assert!(Reach::default().has(parsed), "{address} without a list");
            assert_eq!(reach.check(address).is_ok(), is_in, "{address}");
        }
        assert!(reach.check("[fe80::1]").is_err() && reach.check("a.example").is_ok());
        assert!(!Reach::only([]).expect("none").has("10.0.0.1".parse().expect("an address")));
        let mapped = Reach::only(["::ffff:10.0.0.0/104"]).expect("a network");
        assert!(mapped.has("10.200.0.1".parse().expect("an address")));
        assert!(!mapped.has("11.0.0.1".parse().expect("an address")));
        for text in ["", "10.0.0.0/33", "::ffff:10.0.0.0/95", "a.example", "10.0.0.0/", "::/129"] {
            let fault = Reach::only([text]).expect_err(text).to_string();
            assert!(fault.contains("neither an address nor a network"), "{fault}");
        }
    }
}
