//! Agents and servers over real connections: restarts, cuts, floods, strangers.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;
use swell_env::SystemClock;
use swell_http::pki::Authority;
use swell_model::{
    AppendError, AppendReport, Batch, Labels, METRIC_NAME, Pass, SampleSink, SeriesRef,
    TimestampMs, is_stale_nan,
};
use swell_stream::{
    AgentStreamServer, ClientConfig, DeltaSink, DirectLink, LinkState, ServerConfig, ServerTls,
    SessionId, StreamClient,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);
const TOKEN: &str = "agents-token";

/// A storage that keeps everything, and notes when a sample comes twice.
#[derive(Default)]
struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    by_labels: BTreeMap<Labels, SeriesRef>,
    samples: BTreeMap<(Labels, i64), f64>,
    repeats: usize,
    is_read_only: bool,
}

impl Memory {
    /// Times at which the series has a value.
    fn times(&self, name: &str) -> Vec<i64> {
        let state = self.0.lock().unwrap();
        let of = state.samples.iter().filter(|((labels, _), value)| {
            labels.metric_name() == Some(name) && !is_stale_nan(**value)
        });
        of.map(|((_, at), _)| *at).collect()
    }
}

impl SampleSink for Memory {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        let mut state = self.0.lock().unwrap();
        let next = SeriesRef(state.by_labels.len() as u64);
        Ok(*state.by_labels.entry(labels.clone()).or_insert(next))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let mut state = self.0.lock().unwrap();
        if state.is_read_only {
            return Err(AppendError::ReadOnly { reason: "a test says so".to_owned() });
        }
        let names: BTreeMap<SeriesRef, Labels> =
            state.by_labels.iter().map(|(labels, series)| (*series, labels.clone())).collect();
        for row in &batch.rows {
            for (series, value) in row.series.iter().zip(&row.values) {
                let key = (names[series].clone(), row.timestamp.0);
                if state.samples.insert(key, *value).is_some() {
                    state.repeats += 1;
                }
            }
        }
        Ok(AppendReport { stored: batch.sample_count(), ..AppendReport::default() })
    }
}

/// An authority, and what servers and agents of one cluster share.
struct Cluster {
    authority: Authority,
    memory: Arc<Memory>,
}

struct Running {
    server: AgentStreamServer,
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

impl Cluster {
    fn new() -> Self {
        Self {
            authority: Authority::in_memory(now()).unwrap(),
            memory: Arc::new(Memory::default()),
        }
    }

    async fn server(&self, address: &str) -> Running {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = ServerConfig {
            token: TOKEN.to_owned(),
            kubernetes_api_url: "https://127.0.0.1:6443".to_owned(),
        };
        let clock = Arc::new(SystemClock::new());
        let server =
            AgentStreamServer::new(config, self.memory.clone(), clock, &Registry::new()).unwrap();
        let identity =
            self.authority.issue_server("swell", &["localhost", "127.0.0.1"], now()).unwrap();
        let tls = ServerTls {
            certificate_pem: identity.certificate_pem().to_owned(),
            key_pem: identity.key_pem().to_owned(),
        };
        let stop = CancellationToken::new();
        let (serving, token) = (server.clone(), stop.clone());
        let task = tokio::spawn(async move { serving.serve(listener, tls, token).await.unwrap() });
        Running { server, address, stop, task }
    }

    fn config(&self, server: SocketAddr) -> ClientConfig {
        ClientConfig {
            server: server.to_string(),
            server_name: None,
            ca_pem: self.authority.certificate_pem().to_owned(),
            token: TOKEN.to_owned(),
            node: "n1".to_owned(),
            session: SessionId([7; 16]),
            spool_bytes_max: ClientConfig::SPOOL_BYTES_MAX,
        }
    }
}

fn now() -> TimestampMs {
    use swell_env::Clock;
    SystemClock::new().now()
}

/// An agent that ticks when told.
struct Agent {
    client: StreamClient,
    registry: Registry,
    pass: Pass,
    at: i64,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Agent {
    fn start(config: ClientConfig) -> Self {
        let registry = Registry::new();
        let client = StreamClient::new(config, &registry).unwrap();
        let stop = CancellationToken::new();
        let task = tokio::spawn(client.clone().run(stop.clone()));
        Self { client, registry, pass: Pass::new(), at: 0, stop, task }
    }

    fn tick(&mut self, names: &[&str]) {
        self.at += 1;
        for name in names {
            self.pass.record_labels(&Labels::from_pairs([(METRIC_NAME, *name)]), self.at as f64);
        }
        self.client.offer(self.pass.finish(TimestampMs(self.at)));
    }

    #[expect(clippy::cast_possible_truncation, reason = "counts of a test")]
    fn metric(&self, name: &str) -> i64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        (metric.get_counter().get_value() + metric.get_gauge().get_value()) as i64
    }

    async fn wait_state(&self, is_wanted: impl FnMut(&LinkState) -> bool) -> LinkState {
        let mut states = self.client.state();
        let state = tokio::time::timeout(DEADLINE, states.wait_for(is_wanted)).await;
        state.unwrap().unwrap().clone()
    }

    async fn wait_drained(&self) {
        wait(|| self.metric("swell_stream_client_spooled_batches") == 0).await;
    }
}

/// Polls a condition until it holds.
async fn wait(mut holds: impl FnMut() -> bool) {
    let polled = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, polled).await.expect("the condition holds in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_arrive_and_the_server_tells_where_the_api_is() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    let mut agent = Agent::start(cluster.config(server.address));
    let state = agent.wait_state(|state| matches!(state, LinkState::Connected(_))).await;
    let LinkState::Connected(info) = state else { unreachable!() };
    assert_eq!(info.kubernetes_api_url, "https://127.0.0.1:6443");
    for _ in 0..30 {
        agent.tick(&["a", "b"]);
    }
    agent.tick(&["a"]);
    agent.wait_drained().await;
    assert_eq!(cluster.memory.times("a"), (1..=31).collect::<Vec<_>>());
    assert_eq!(cluster.memory.times("b"), (1..=30).collect::<Vec<_>>());
    assert_eq!(agent.metric("swell_stream_client_acknowledged_batches_total"), 31);
    let agents = server.server.agents();
    assert_eq!((agents[0].node.as_str(), agents[0].is_connected), ("n1", true));
    assert_eq!(agents[0].acknowledged_sequence, 31);

    // the last tick goes out at shutdown
    agent.tick(&["a"]);
    agent.stop.cancel();
    agent.task.await.unwrap();
    assert_eq!(cluster.memory.times("a").len(), 32);
    wait(|| !server.server.agents()[0].is_connected).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_anew_loses_and_doubles_nothing() {
    let cluster = Cluster::new();
    let mut server = cluster.server("127.0.0.1:0").await;
    let mut agent = Agent::start(cluster.config(server.address));
    for round in 0..5 {
        for _ in 0..20 {
            agent.tick(&["a", "b"]);
            tokio::task::yield_now().await;
        }
        if round == 2 {
            agent.wait_drained().await;
        }
        let address = server.address.to_string();
        server.stop().await;
        agent.tick(&["a"]);
        agent.tick(&["a", "b"]);
        server = cluster.server(&address).await;
    }
    agent.wait_drained().await;
    assert_eq!(cluster.memory.times("a"), (1..=110).collect::<Vec<_>>());
    assert_eq!(cluster.memory.times("b").len(), 105);
    assert_eq!(agent.metric("swell_stream_client_dropped_batches_total"), 0);
    server.stop().await;
}

/// Forwards connections, and cuts each after so many bytes from the agent.
async fn cutting_proxy(to: SocketAddr, cuts: Vec<usize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut cuts = cuts.into_iter();
        loop {
            let (mut inbound, _) = listener.accept().await.unwrap();
            let cut = cuts.next().unwrap_or(usize::MAX);
            tokio::spawn(async move {
                let mut outbound = TcpStream::connect(to).await.unwrap();
                let (mut from_agent, mut to_agent) = inbound.split();
                let (mut from_server, mut to_server) = outbound.split();
                let upstream = async {
                    let mut left = cut;
                    let mut buffer = vec![0; 4096];
                    while left > 0 {
                        let room = left.min(buffer.len());
                        let count = from_agent.read(&mut buffer[..room]).await.unwrap_or(0);
                        if count == 0 || to_server.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                        left -= count;
                    }
                };
                // what the server answers last may or may not reach the agent
                tokio::select! {
                    () = upstream => {}
                    _ended = tokio::io::copy(&mut from_server, &mut to_agent) => {}
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_anywhere_lose_and_double_nothing() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    let cuts = vec![100, 1500, 2200, 2600, 3000, 3500, 4100, 5000, 6000];
    let proxy = cutting_proxy(server.address, cuts).await;
    let mut agent = Agent::start(cluster.config(proxy));
    for _ in 0..300 {
        agent.tick(&["a", "b", "c"]);
        tokio::task::yield_now().await;
    }
    agent.wait_drained().await;
    for name in ["a", "b", "c"] {
        assert_eq!(cluster.memory.times(name), (1..=300).collect::<Vec<_>>());
    }
    assert_eq!(cluster.memory.0.lock().unwrap().repeats, 0);
    assert_eq!(agent.metric("swell_stream_client_dropped_batches_total"), 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_absence_drops_the_oldest_and_counts_them() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    let address = server.address;
    server.stop().await;
    let mut config = cluster.config(address);
    config.spool_bytes_max = 4_000;
    let mut agent = Agent::start(config);
    agent.wait_state(|state| matches!(state, LinkState::Lost { .. })).await;
    agent.tick(&["a", "gone"]);
    for _ in 0..100 {
        agent.tick(&["a"]);
    }
    agent.tick(&["a", "new"]);
    let dropped = agent.metric("swell_stream_client_dropped_batches_total");
    assert!(dropped > 50, "{dropped}");
    let server = cluster.server(&address.to_string()).await;
    agent.wait_drained().await;
    assert_eq!(cluster.memory.times("a"), (dropped + 1..=102).collect::<Vec<_>>());
    assert_eq!(cluster.memory.times("new"), [102]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_takes_nothing_holds_batches_back() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    cluster.memory.0.lock().unwrap().is_read_only = true;
    let mut agent = Agent::start(cluster.config(server.address));
    for _ in 0..20 {
        agent.tick(&["a"]);
    }
    let is_told = |state: &LinkState| matches!(state, LinkState::Lost { reason } if reason.contains("takes no writes"));
    agent.wait_state(is_told).await;
    cluster.memory.0.lock().unwrap().is_read_only = false;
    agent.wait_drained().await;
    assert_eq!(cluster.memory.times("a"), (1..=20).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_turned_away_and_named() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    for wrong in ["agents-toke", "agents-tokem", "", "agents-token2"] {
        let mut config = cluster.config(server.address);
        config.token = wrong.to_owned();
        let agent = Agent::start(config);
        let state = agent.wait_state(|state| *state != LinkState::Connecting).await;
        let reason = "the token is not the agents' token".to_owned();
        assert_eq!(state, LinkState::Refused { reason });
    }
    assert!(server.server.agents().is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_authority_is_not_trusted() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    let mut config = cluster.config(server.address);
    config.ca_pem = Authority::in_memory(now()).unwrap().certificate_pem().to_owned();
    let agent = Agent::start(config);
    let state = agent.wait_state(|state| *state != LinkState::Connecting).await;
    let LinkState::Lost { reason } = state else { panic!("{state:?}") };
    assert!(reason.contains("certificate"), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_harms_nobody() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 3000], b"", &[0x16, 3, 1, 0, 5, 1, 2]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let ended = tokio::time::timeout(DEADLINE, read).await.expect("the server hangs up");
        assert!(ended.is_err() || answer.len() < 100, "an alert at most");
    }
    // one that says nothing at all
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut agent = Agent::start(cluster.config(server.address));
    agent.tick(&["a"]);
    agent.wait_drained().await;
    assert_eq!(cluster.memory.times("a"), [1]);
    drop(silent);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_do_not_mix_and_a_new_run_replaces_the_old() {
    let cluster = Cluster::new();
    let server = cluster.server("127.0.0.1:0").await;
    let mut first = Agent::start(cluster.config(server.address));
    let mut config = cluster.config(server.address);
    config.node = "n2".to_owned();
    config.session = SessionId([8; 16]);
    let mut second = Agent::start(config);
    first.tick(&["a", "c"]);
    second.tick(&["b"]);
    first.wait_drained().await;
    second.wait_drained().await;
    assert_eq!(cluster.memory.times("b"), [1]);
    assert_eq!(server.server.agents().len(), 2);

    first.stop.cancel();
    first.task.await.unwrap();
    wait(|| !server.server.agents()[0].is_connected).await;
    let mut config = cluster.config(server.address);
    config.session = SessionId([9; 16]);
    let mut third = Agent::start(config);
    third.at = 10;
    third.tick(&["d"]);
    third.wait_drained().await;
    assert_eq!(cluster.memory.times("d"), [11]);
    let nodes: Vec<String> = server.server.agents().into_iter().map(|agent| agent.node).collect();
    assert_eq!(nodes, ["n1", "n2"]);
    server.stop().await;
}

#[test]
fn the_direct_link_stores_at_once_and_waits_for_a_storage_that_fails() {
    let memory = Arc::new(Memory::default());
    let registry = Registry::new();
    let link = DirectLink::new(memory.clone(), ClientConfig::SPOOL_BYTES_MAX, &registry).unwrap();
    let mut pass = Pass::new();
    let mut tick = |at: i64| {
        pass.record_labels(&Labels::from_pairs([(METRIC_NAME, "a")]), 1.0);
        link.offer(pass.finish(TimestampMs(at)));
    };
    tick(1);
    assert_eq!(memory.times("a"), [1]);
    memory.0.lock().unwrap().is_read_only = true;
    tick(2);
    tick(3);
    assert_eq!(memory.times("a"), [1]);
    memory.0.lock().unwrap().is_read_only = false;
    tick(4);
    assert_eq!(memory.times("a"), [1, 2, 3, 4]);
    assert_eq!(memory.0.lock().unwrap().repeats, 0);
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let cluster = Cluster::new();
    let config = |server: &str| ClientConfig {
        server: server.to_owned(),
        ..cluster.config("127.0.0.1:1".parse().unwrap())
    };
    let check = |config: ClientConfig, expected: &str| {
        let error = StreamClient::new(config, &Registry::new()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let form = "is not an address of the form host:port";
    check(config("nowhere"), &format!("\"nowhere\" {form}"));
    check(config("http://a:1/x"), &format!("\"http://a:1/x\" {form}"));
    let mut odd_token = config("a:1");
    odd_token.token = "line\nbreak".to_owned();
    check(odd_token, "the token holds characters other than visible ASCII");
    let server = ServerConfig { token: String::new(), kubernetes_api_url: String::new() };
    let clock = Arc::new(SystemClock::new());
    let error = AgentStreamServer::new(server, cluster.memory.clone(), clock, &Registry::new());
    assert_eq!(error.unwrap_err().to_string(), "the agents' token is empty");
}
