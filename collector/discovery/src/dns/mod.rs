//! `dns_sd_configs`: targets from SRV, A, AAAA, MX and NS records.

mod records;

use std::collections::BTreeMap;

use futures::future::join_all;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use tracing::warn;

use crate::config::{DnsConfig, DnsRecord};
use crate::discovery::{Output, StartError};
use crate::group::TargetGroup;
use crate::metrics::DiscoveryMetrics;
use crate::refresh::{self, Ask, SourceError};

use records::Record;

/// Looks the names of one entry up.
pub(crate) struct DnsSource {
    config: DnsConfig,
    resolver: TokioResolver,
    metrics: DiscoveryMetrics,
    /// Targets by name as they were last told: a name whose look-up fails keeps its own.
    known: BTreeMap<String, Vec<TargetGroup>>,
}

impl DnsSource {
    /// A source that asks the resolvers of this system.
    pub(crate) fn new(config: &DnsConfig, metrics: &DiscoveryMetrics) -> Result<Self, StartError> {
        let refused = |error: NetError| StartError::Resolver(error.into());
        let mut builder = Resolver::builder_tokio().map_err(refused)?;
        let options = builder.options_mut();
        // What is asked for each interval is to be as new as that.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(refused)?;
        Ok(Self::with_resolver(config, resolver, metrics))
    }

    fn with_resolver(
        config: &DnsConfig,
        resolver: TokioResolver,
        metrics: &DiscoveryMetrics,
    ) -> Self {
        let (config, metrics) = (config.clone(), metrics.clone());
        Self { config, resolver, metrics, known: BTreeMap::new() }
    }

    pub(crate) async fn run(self, output: Output) {
        let interval = self.config.refresh.to_std();
        refresh::run(self, interval, output).await;
    }

    /// The records of a name; none when the servers say so.
    async fn look_up(&self, name: &str) -> Result<Vec<Record>, NetError> {
        self.metrics.dns_lookups_total.inc();
        let wanted = match self.config.record {
            DnsRecord::Srv => RecordType::SRV,
            DnsRecord::A => RecordType::A,
            DnsRecord::Aaaa => RecordType::AAAA,
            DnsRecord::Mx => RecordType::MX,
            DnsRecord::Ns => RecordType::NS,
        };
        let answer = match self.resolver.lookup(name, wanted).await {
            Ok(answer) => answer,
            Err(NetError::Dns(DnsError::NoRecordsFound(none)))
                if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                return Ok(Vec::new());
            }
            Err(failure) => {
                self.metrics.dns_lookup_failures_total.inc();
                return Err(failure);
            }
        };
        let records = answer.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Record::Srv { target: srv.target.to_string(), port: srv.port }),
            RData::A(address) => Some(Record::Address(address.0.into())),
            RData::AAAA(address) => Some(Record::Address(address.0.into())),
            RData::MX(mx) => Some(Record::Mx(mx.exchange.to_string())),
            RData::NS(ns) => Some(Record::Ns(ns.0.to_string())),
            // Names that stand for others are on the way to what was asked.
            _ => None,
        });
        Ok(records.collect())
    }
}

impl Ask for DnsSource {
    async fn ask(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let names = self.config.names.clone();
        let answers = join_all(names.iter().map(|name| self.look_up(name))).await;
        let mut failed = 0;
        for (name, answer) in names.iter().zip(answers) {
            match answer {
                Ok(found) => {
                    let groups = records::groups(name, self.config.port, found);
                    self.known.insert(name.clone(), groups);
                }
                Err(failure) => {
                    failed += 1;
                    let error = swell_telemetry::chain(&failure);
                    warn!(name, error, "a name could not be looked up: its last targets stay");
                }
            }
        }
        if failed == names.len() && failed > 0 {
            return Err("no name could be looked up".into());
        }
        Ok(self.known.values().flatten().cloned().collect())
    }
}

#[cfg(test)]
mod tests;
