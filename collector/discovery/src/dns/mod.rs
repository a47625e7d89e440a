//! `dns_sd_configs`: targets from SRV, A, AAAA, MX and NS records.

mod records;

use std::collections::BTreeMap;

use futures::future::join_all;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{IntoName as _, Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
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
    search: Search,
    metrics: DiscoveryMetrics,
    /// Targets by name as they were last told: a name whose look-up fails keeps its own.
    known: BTreeMap<String, Vec<TargetGroup>>,
}

impl DnsSource {
    /// A source that asks the resolvers of this system.
    pub(crate) fn new(config: &DnsConfig, metrics: &DiscoveryMetrics) -> Result<Self, StartError> {
        let refused = |error: NetError| StartError::Resolver(error.into());
        let (system, mut options) = read_system_conf().map_err(refused)?;
        // What is asked for each interval is to be as new as that.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let domains = system.domain().into_iter().chain(system.search()).cloned().collect();
        let search = Search { domains, dots_min: options.ndots };
        let mut builder = Resolver::builder_with_config(system, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(refused)?;
        Ok(Self::with_resolver(config, resolver, search, metrics))
    }

    fn with_resolver(
        config: &DnsConfig,
        resolver: TokioResolver,
        search: Search,
        metrics: &DiscoveryMetrics,
    ) -> Self {
        let (config, metrics) = (config.clone(), metrics.clone());
        Self { config, resolver, search, metrics, known: BTreeMap::new() }
    }

    /// Begins with what the source before this one told of its names.
    fn take_over(&mut self, output: &Output) {
        for name in &self.config.names {
            let told = output.told_with(records::NAME_LABEL, name);
            if !told.is_empty() {
                self.known.insert(name.clone(), told);
            }
        }
    }

    pub(crate) async fn run(mut self, output: Output) {
        self.take_over(&output);
        let interval = self.config.refresh.to_std();
        refresh::run(self, interval, output).await;
    }

    /// The records of the first of the full names that has any; none when the servers say of each that it has none.
    async fn look_up(&self, name: &str) -> Result<Vec<Record>, NetError> {
        let mut failure = None;
        for full in self.search.full_names(name)? {
            match self.look_up_full(full).await {
                Ok(records) if records.is_empty() => {}
                Ok(records) => return Ok(records),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(Vec::new()), Err)
    }

    async fn look_up_full(&self, name: Name) -> Result<Vec<Record>, NetError> {
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

/// What names that do not end in a dot may stand for.
#[derive(Clone, Debug)]
struct Search {
    domains: Vec<Name>,
    /// A name with so many dots is tried as it stands first, others last.
    dots_min: usize,
}

impl Search {
    /// The full names in the order in which they are tried.
    fn full_names(&self, name: &str) -> Result<Vec<Name>, NetError> {
        let name = name.into_name()?;
        if name.is_fqdn() {
            return Ok(vec![name]);
        }
        let mut as_it_stands = name.clone();
        as_it_stands.set_fqdn(true);
        let mut names = Vec::new();
        for domain in &self.domains {
            // One that gets too long is none.
            let joined = name.clone().append_domain(domain).ok();
            names.extend(joined.filter(|joined| !names.contains(joined)));
        }
        let dots = usize::from(name.num_labels()).saturating_sub(1);
        let at = if dots >= self.dots_min { 0 } else { names.len() };
        names.insert(at, as_it_stands);
        Ok(names)
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
