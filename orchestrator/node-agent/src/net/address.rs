//! Hands out the addresses of a node's pod range, each to one pod at a time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The addresses of one `spec.podCIDR`. The next address is the one that was free the longest, so that one
/// that a pod has just given up comes back late.
#[derive(Clone, Debug)]
pub(crate) struct AddressPool {
    cidr: String,
    first: u32,
    count: u32,
    next_idx: u32,
    /// Addresses in use, by pod UID. Adopted ones may lie outside the range.
    used: BTreeMap<IpAddr, String>,
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    /// The range is no IPv4 range.
    #[error("podCIDR {cidr:?} of the node is no IPv4 range such as 127.64.0.0/22")]
    Malformed { cidr: String },
    /// Every address belongs to a pod.
    #[error("all {count} addresses of podCIDR {cidr} are in use; delete pods or widen the range")]
    Exhausted { cidr: String, count: u32 },
}

impl AddressPool {
    pub(crate) fn new(cidr: &str) -> Result<Self, PoolError> {
        let malformed = || PoolError::Malformed { cidr: cidr.to_owned() };
        let (base, bits) = cidr.split_once('/').ok_or_else(malformed)?;
        let base: Ipv4Addr = base.parse().map_err(|_| malformed())?;
        let bits: u32 =
            bits.parse().ok().filter(|bits| (8..=30).contains(bits)).ok_or_else(malformed)?;
        let size = 1_u32 << (32 - bits);
        let network = u32::from(base) & !(size - 1);
        // The first and the last one are left out: some programs take them for network and broadcast.
        Ok(Self {
            cidr: cidr.to_owned(),
            first: network + 1,
            count: size - 2,
            next_idx: 0,
            used: BTreeMap::new(),
        })
    }

    pub(crate) fn cidr(&self) -> &str {
        &self.cidr
    }

    /// Marks the address of a pod that was there before.
    pub(crate) fn reserve(&mut self, address: IpAddr, pod_uid: &str) {
        self.used.insert(address, pod_uid.to_owned());
    }

    /// The address of a pod: the one it has already, or a free one.
    pub(crate) fn allocate(&mut self, pod_uid: &str) -> Result<IpAddr, PoolError> {
        if let Some((address, _)) = self.used.iter().find(|(_, uid)| *uid == pod_uid) {
            return Ok(*address);
        }
        for _ in 0..self.count {
            let address = IpAddr::V4(Ipv4Addr::from(self.first + self.next_idx));
            self.next_idx = (self.next_idx + 1) % self.count;
            if let std::collections::btree_map::Entry::Vacant(free) = self.used.entry(address) {
                free.insert(pod_uid.to_owned());
                return Ok(address);
            }
        }
        Err(PoolError::Exhausted { cidr: self.cidr.clone(), count: self.count })
    }

    /// Gives up whatever address the pod has.
    pub(crate) fn release(&mut self, pod_uid: &str) {
        self.used.retain(|_, uid| uid != pod_uid);
    }

    /// The same pods' addresses in another range.
    pub(crate) fn moved_to(&self, cidr: &str) -> Result<Self, PoolError> {
        Ok(Self { used: self.used.clone(), ..Self::new(cidr)? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_come_in_order_and_come_back_late() {
        let mut pool = AddressPool::new("127.64.0.0/29").unwrap();
        let mut take = |uid: &str| pool.allocate(uid).map(|address| address.to_string());
        assert_eq!(take("a").unwrap(), "127.64.0.1");
        assert_eq!(take("b").unwrap(), "127.64.0.2");
        assert_eq!(take("a").unwrap(), "127.64.0.1", "a pod keeps its address");
        pool.release("a");
        let rest: Vec<String> = ["c", "d", "e", "f"]
            .iter()
            .map(|uid| pool.allocate(uid).unwrap().to_string())
            .collect();
        assert_eq!(rest, ["127.64.0.3", "127.64.0.4", "127.64.0.5", "127.64.0.6"]);
        assert_eq!(pool.allocate("g").unwrap().to_string(), "127.64.0.1", "only now again");
        let full = pool.allocate("h").unwrap_err();
        assert!(matches!(full, PoolError::Exhausted { count: 6, .. }), "{full}");
    }

    #[test]
    fn ranges_parse_or_are_named() {
        assert_eq!(AddressPool::new("127.64.4.0/22").unwrap().count, 1022);
        assert_eq!(
            AddressPool::new("127.64.4.77/22").unwrap().allocate("a").unwrap().to_string(),
            "127.64.4.1"
        );
        for cidr in ["", "127.0.0.1", "127.0.0.0/33", "127.0.0.0/x", "::1/64", "127.0.0.0/32"] {
            assert!(matches!(AddressPool::new(cidr), Err(PoolError::Malformed { .. })), "{cidr}");
        }
    }

    proptest! {
        /// Whatever comes and goes, no two living pods have one address.
        #[test]
        fn no_address_belongs_to_two_pods(steps in prop::collection::vec((0_u8..40, any::<bool>()), 1..200)) {
            let mut pool = AddressPool::new("127.64.0.0/27").unwrap();
            let mut living: BTreeMap<String, IpAddr> = BTreeMap::new();
            for (pod, comes) in steps {
                let uid = format!("pod-{pod}");
                if comes {
                    match pool.allocate(&uid) {
                        Ok(address) => {
                            let taken = living.iter().any(|(other, a)| *other != uid && *a == address);
                            prop_assert!(!taken);
                            living.insert(uid, address);
                        }
                        Err(_) => prop_assert_eq!(living.len(), 30),
                    }
                } else {
                    pool.release(&uid);
                    living.remove(&uid);
                }
            }
        }
    }
}
