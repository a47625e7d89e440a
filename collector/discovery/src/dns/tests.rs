//! Against a real name server, where this machine has one.

use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};

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
    /// Starts it; `None` where the machine has no dnsmasq. A port that somebody takes meanwhile ends it: then on another one.
    fn start() -> Option<Self> {
        let program = swell_lab::tools::program("dnsmasq", "dnsmasq-base")?;
        for _ in 0..20 {
            let mut server = Self::start_on_free_port(&program);
            for _ in 0..200 {
                std::thread::park_timeout(Duration::from_millis(50));
                let has_ended = server.process.try_wait().expect("a child").is_some();
                if has_ended {
                    break;
                }
                if TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_ok() {
                    return Some(server);
                }
            }
        }
        panic!("dnsmasq found no port");
    }

    fn start_on_free_port(program: &Path) -> Self {
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
        Self { process, port }
    }

    fn source(&self, record: DnsRecord, names: &[&str]) -> DnsSource {
        self.source_within(&[], record, names)
    }

    /// A source whose names may be of these domains.
    fn source_within(&self, domains: &[&str], record: DnsRecord, names: &[&str]) -> DnsSource {
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
        let domains = domains.iter().map(|domain| domain.into_name().expect("a name")).collect();
        let search = Search { domains, dots_min: 1 };
        DnsSource::with_resolver(&config, builder.build().expect("good"), search, &metrics)
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

#[tokio::test]
async fn a_name_that_could_not_be_asked_for_in_one_domain_is_not_taken_for_gone() {
    let Some(server) = NameServer::start() else { return };
    let mut known = server.source(DnsRecord::A, &["a.swell.test."]);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while targets(&mut known).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the name server does not answer");
    }
    // It answers for one domain, and refuses to say anything of the other.
    let within =
        |domains: &[&str], name: &str| server.source_within(domains, DnsRecord::A, &[name]);
    for domains in [["swell.test.", "other.test."], ["other.test.", "swell.test."]] {
        let found = targets(&mut within(&domains, "a")).await.expect("an answer");
        assert_eq!(found, ["192.0.2.1:80"]);
        let error = targets(&mut within(&domains, "gone")).await.expect_err("nobody knows");
        assert!(error.to_string().contains("no name could be looked up"), "{error}");
    }
    let found = targets(&mut within(&["swell.test."], "gone.swell.test.")).await;
    assert_eq!(found.expect("it is gone"), [""; 0]);
}

#[test]
fn names_are_tried_as_the_system_would() {
    let search = Search {
        domains: ["a.test.", "b.test.", "a.test."].map(|it| it.into_name().expect("a name")).into(),
        dots_min: 1,
    };
    for (name, expected) in [
        ("x.", vec!["x."]),
        ("x", vec!["x.a.test.", "x.b.test.", "x."]),
        ("x.y", vec!["x.y.", "x.y.a.test.", "x.y.b.test."]),
    ] {
        let names = search.full_names(name).expect("good");
        let texts: Vec<String> = names.iter().map(Name::to_string).collect();
        assert_eq!(texts, expected, "{name}");
    }
}

#[tokio::test]
async fn a_source_that_starts_anew_keeps_what_was_told_of_names_that_fail() {
    let Some(server) = NameServer::start() else { return };
    // The server refuses to tell of the second name.
    let mut anew = server.source(DnsRecord::A, &["a.swell.test.", "b.other.test."]);
    let told = |address: &str, name: &str| {
        records::groups(name, 80, vec![Record::Address(address.parse().expect("an address"))])
    };
    let before = [told("192.0.2.9", "a.swell.test."), told("192.0.2.8", "b.other.test.")].concat();
    anew.take_over(&crate::discovery::Output::of_test(before));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let found = loop {
        match targets(&mut anew).await {
            Ok(found) if found.contains(&"192.0.2.1:80".to_owned()) => break found,
            _ => assert!(tokio::time::Instant::now() < deadline, "no answer"),
        }
    };
    assert_eq!(found, ["192.0.2.1:80", "192.0.2.8:80"]);
}
