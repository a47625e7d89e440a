//! From records to targets.

use std::net::IpAddr;

use crate::group::{LabelMap, TargetGroup};
use crate::names::join;

pub(super) const NAME_LABEL: &str = "__meta_dns_name";
const SRV_TARGET_LABEL: &str = "__meta_dns_srv_record_target";
const SRV_PORT_LABEL: &str = "__meta_dns_srv_record_port";
const MX_TARGET_LABEL: &str = "__meta_dns_mx_record_target";
const NS_TARGET_LABEL: &str = "__meta_dns_ns_record_target";

/// A record that makes a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Srv {
        /// With its last dot.
        target: String,
        port: u16,
    },
    Address(IpAddr),
    Mx(String),
    Ns(String),
}

/// One group per record of a name, in a stable order: servers turn theirs around from answer to answer.
pub(super) fn groups(name: &str, port: u16, records: Vec<Record>) -> Vec<TargetGroup> {
    let common: LabelMap = [(NAME_LABEL.to_owned(), name.to_owned())].into();
    let trimmed = |host: &str| host.trim_end_matches('.').to_owned();
    let mut groups: Vec<TargetGroup> = records
        .into_iter()
        .map(|record| {
            let mut own = LabelMap::new();
            let address = match record {
                Record::Srv { target, port } => {
                    let address = join(&trimmed(&target), port);
                    own.insert(SRV_TARGET_LABEL.to_owned(), target);
                    own.insert(SRV_PORT_LABEL.to_owned(), port.to_string());
                    address
                }
                Record::Address(ip) => join(&ip.to_string(), port),
                Record::Mx(host) => {
                    let address = join(&trimmed(&host), port);
                    own.insert(MX_TARGET_LABEL.to_owned(), host);
                    address
                }
                Record::Ns(host) => {
                    let address = join(&trimmed(&host), port);
                    own.insert(NS_TARGET_LABEL.to_owned(), host);
                    address
                }
            };
            for label in [SRV_TARGET_LABEL, SRV_PORT_LABEL, MX_TARGET_LABEL, NS_TARGET_LABEL] {
                own.entry(label.to_owned()).or_default();
            }
            TargetGroup::of_one(address, &common, own)
        })
        .collect();
    groups.sort_by(|a, b| a.targets.cmp(&b.targets));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_make_targets() {
        let records = vec![
            Record::Srv { target: "b.example.org.".to_owned(), port: 9100 },
            Record::Address("fd00::1".parse().expect("an address")),
            Record::Mx("mail.example.org.".to_owned()),
            Record::Ns("ns.example.org.".to_owned()),
            Record::Address("192.0.2.1".parse().expect("an address")),
        ];
        let groups = groups("_x._tcp.example.org", 80, records);
        let targets: Vec<&str> = groups.iter().map(|group| group.targets[0].as_str()).collect();
        let expected = [
            "192.0.2.1:80",
            "[fd00::1]:80",
            "b.example.org:9100",
            "mail.example.org:80",
            "ns.example.org:80",
        ];
        assert_eq!(targets, expected);
        for group in &groups {
            assert_eq!(group.labels[NAME_LABEL], "_x._tcp.example.org");
        }
        assert_eq!(groups[2].labels[SRV_TARGET_LABEL], "b.example.org.");
        assert_eq!(groups[2].labels[SRV_PORT_LABEL], "9100");
        assert_eq!(groups[3].labels[MX_TARGET_LABEL], "mail.example.org.");
        assert_eq!(groups[4].labels[NS_TARGET_LABEL], "ns.example.org.");
        assert_eq!(groups[4].labels[SRV_PORT_LABEL], "");
    }
}
