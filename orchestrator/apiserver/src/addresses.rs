//! Which cluster addresses are taken.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use parking_lot::Mutex;
use serde_json::{Value, json};
use swell_api_types::Path;

use crate::failure::Failure;
use crate::object::meta_text;
use crate::route::Target;

/// A range of IPv4 addresses that services get theirs from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRange {
    base: u32,
    prefix_len: u8,
}

impl ServiceRange {
    /// `127.96.0.0/16`: loopback, so that the process runtime needs no privileges.
    pub const LOOPBACK: Self = Self { base: u32::from_be_bytes([127, 96, 0, 0]), prefix_len: 16 };

    /// A range by its first address and the length of its prefix; none unless it has 4 to 2^24 addresses and
    /// begins on its own boundary.
    #[must_use]
    pub fn new(first: Ipv4Addr, prefix_len: u8) -> Option<Self> {
        let range = Self { base: u32::from(first), prefix_len };
        ((8..=30).contains(&prefix_len) && range.base.is_multiple_of(range.len())).then_some(range)
    }

    const fn len(self) -> u32 {
        1 << (32 - self.prefix_len)
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address).checked_sub(self.base).is_some_and(|offset| offset < self.len())
    }
}

/// Addresses given out. An address is reserved before its service is stored, and given back when that fails
/// or when the service is gone; a crash in between loses nothing, since the set is read from the store at start.
#[derive(Debug)]
pub(crate) struct ServiceAddresses {
    range: ServiceRange,
    /// The taken addresses; held for one search.
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    offsets: BTreeSet<u32>,
    last: u32,
}

impl ServiceAddresses {
    pub(crate) fn new(range: ServiceRange) -> Self {
        Self { range, taken: Mutex::new(Taken::default()) }
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u32> {
        self.range.contains(address).then(|| u32::from(address) - self.range.base)
    }

    /// Takes a given address; whether it was free.
    fn reserve(&self, address: Ipv4Addr) -> bool {
        self.offset(address).is_some_and(|offset| self.taken.lock().offsets.insert(offset))
    }

    /// Takes the next free address after the one given out last; neither the first nor the last of the range.
    fn reserve_any(&self) -> Option<Ipv4Addr> {
        let mut taken = self.taken.lock();
        let usable = self.range.len() - 2;
        let offset = (0..usable)
            .map(|step| (taken.last + step) % usable + 1)
            .find(|offset| !taken.offsets.contains(offset))?;
        taken.offsets.insert(offset);
        taken.last = offset;
        Some(Ipv4Addr::from(self.range.base + offset))
    }

    /// Gives back the address of a service that is gone or was not stored.
    pub(crate) fn release(&self, service: &Value) {
        if let Some(offset) = cluster_ip(service).and_then(|address| self.offset(address)) {
            self.taken.lock().offsets.remove(&offset);
        }
    }

    /// Gives back the address that a service had before a change and has no longer.
    pub(crate) fn release_changed(&self, before: &Value, now: &Value) {
        if cluster_ip(before) != cluster_ip(now) {
            self.release(before);
        }
    }

    /// Notes the address of a stored service.
    pub(crate) fn note(&self, service: &Value) {
        if let Some(address) = cluster_ip(service) {
            self.reserve(address);
        }
    }

    /// Gives a new service its address, or takes the one it asks for; whether one is held for it now.
    pub(crate) fn assign(&self, target: &Target, service: &mut Value) -> Result<bool, Failure> {
        let spec = &service["spec"];
        let asked = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
        if spec["type"] == "ExternalName" || asked == "None" {
            if asked == "None" {
                service["spec"]["clusterIPs"] = json!(["None"]);
            }
            return Ok(false);
        }
        let address = if asked.is_empty() {
            let found = self.reserve_any();
            found.ok_or_else(|| Failure::unavailable("no free cluster address is left"))?
        } else {
            let name = meta_text(service, "name");
            let path = Path::new("spec").field("clusterIPs").index(0);
            let refuse = |why: String| {
                Failure::invalid(target.resource, name, &[path.invalid(asked.as_str(), why)])
            };
            let address: Ipv4Addr =
                asked.parse().map_err(|_| refuse("must be a valid IPv4 address".to_owned()))?;
            if !self.range.contains(address) {
                return Err(refuse(format!(
                    "failed to allocate IP {address}: the provided network does not match the current range"
                )));
            }
            if !self.reserve(address) {
                return Err(refuse(format!(
                    "failed to allocate IP {address}: provided IP is already allocated"
                )));
            }
            address
        };
        service["spec"]["clusterIP"] = json!(address.to_string());
        service["spec"]["clusterIPs"] = json!([address.to_string()]);
        Ok(true)
    }
}

fn cluster_ip(service: &Value) -> Option<Ipv4Addr> {
    service["spec"]["clusterIP"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_given_out_once_and_come_back() {
        let range = ServiceRange::new(Ipv4Addr::new(10, 0, 0, 0), 29).expect("a range");
        let addresses = ServiceAddresses::new(range);
        let given: BTreeSet<_> = std::iter::from_fn(|| addresses.reserve_any()).collect();
        assert_eq!(given.len(), 6, "eight less the first and the last");
        let service = json!({"spec": {"clusterIP": "10.0.0.3"}});
        addresses.release(&service);
        assert_eq!(addresses.reserve_any(), Some(Ipv4Addr::new(10, 0, 0, 3)));
        assert_eq!(addresses.reserve_any(), None);
        assert!(!addresses.reserve(Ipv4Addr::new(10, 0, 0, 3)));
        assert!(!addresses.reserve(Ipv4Addr::new(10, 0, 1, 3)), "outside of the range");
    }

    #[test]
    fn ranges_begin_on_their_boundary() {
        assert!(ServiceRange::new(Ipv4Addr::new(10, 0, 0, 4), 29).is_none());
        assert!(ServiceRange::new(Ipv4Addr::new(10, 0, 0, 0), 31).is_none());
    }
}
