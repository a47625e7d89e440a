//! Against a real name server, where this machine has one.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use super::*;

/// A dnsmasq with a few records, ended with this.
struct NameServer {
    process: Child,
    port: u16,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("it can be ended");
    }
}

impl NameServer {
    /// Starts it; `None` where the machine has no dnsmasq.
    fn start() -> Option<Self> {
        let program = swell_lab::tools::program("dnsmasq", "dnsmasq-base")?;
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("bound").port();
        drop(free);
        let records = [
            "--srv-host=_metrics._tcp.swell.test,a.swell.test,9100",
            "--srv-host=_metrics._tcp.swell.test,b.swell.test,9200",
            "--address=/a.swell.test/192.0.2.1",
            "--address=/six.swell.test/2001:db8::1",
            "--mx-host=swell.test,mail.swell.test,10",
            "--local=/swell.test/",
        ];
        let process = Command::new(program)
            .args(["--keep-in-foreground", "--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--conf-file=/dev/null", "--pid-file=", "--listen-address=127.0.0.1"])
            .arg(format!("--port={port}"))
            .args(records)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        Some(Self { process, port })
    }

    fn source(&self, record: DnsRecord, names: &[&str]) -> DnsSource {
        let mut server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
        server.connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        server.connections.iter_mut().for_each(|connection| connection.port = self.port);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let provider = TokioRuntimeProvider::default();
        let mut builder = Resolver::builder_with_config(config, provider);
        builder.options_mut().cache_size = 0;
        builder.options_mut().timeout = Duration::from_secs(1);
        builder.options_mut().attempts = 0;
        let config = DnsConfig {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            record,
            port: 80,
            refresh: swell_model::DurationMs::from_secs(30),
        };
        let metrics = DiscoveryMetrics::register(&prometheus::Registry::new()).expect("new");
        DnsSource::with_resolver(&config, builder.build().expect("good"), &metrics)
    }
}

async fn targets(source: &mut DnsSource) -> Result<Vec<String>, SourceError> {
    Ok(source.ask().await?.into_iter().flat_map(|group| group.targets).collect())
}

#[tokio::test]
async fn records_of_a_real_server_are_targets() {
    let Some(server) = NameServer::start() else { return };
    let mut srv = server.source(DnsRecord::Srv, &["_metrics._tcp.swell.test."]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let found = loop {
        match targets(&mut srv).await {
            Ok(found) => break found,
            Err(_) if tokio::time::Instant::now() < deadline => {}
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(found, ["a.swell.test:9100", "b.swell.test:9200"]);
    for (record, name, expected) in [
        (DnsRecord::A, "a.swell.test.", vec!["192.0.2.1:80"]),
        (DnsRecord::Aaaa, "six.swell.test.", vec!["[2001:db8::1]:80"]),
        (DnsRecord::Mx, "swell.test.", vec!["mail.swell.test:80"]),
        // The server says that there is none: that counts.
        (DnsRecord::A, "gone.swell.test.", vec![]),
        (DnsRecord::Ns, "swell.test.", vec![]),
    ] {
        let found = targets(&mut server.source(record, &[name])).await.expect("an answer");
        assert_eq!(found, expected, "{name}");
    }
    // A server that is gone says nothing: what it told stays.
    drop(server);
    assert!(targets(&mut srv).await.is_err());
    assert_eq!(srv.known.len(), 1);
}
