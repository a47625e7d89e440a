//! CPU and memory of an agent that measures its node and 50 containers each second and streams it all.
//!
//! `cargo bench -p swell-stream --bench idle_agent`. The agent is a process of its own (this program, started
//! again); the server, with a storage that keeps nothing, is the first process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use prometheus::Registry;
use swell_env::{Clock, SystemClock};
use swell_http::pki::Authority;
use swell_model::{AppendError, AppendReport, Batch, Labels, Pass, SampleSink, SeriesRef};
use swell_source_container::{ContainerInfo, ContainerInventory, ContainerSource};
use swell_source_node::NodeSource;
use swell_stream::{
    AgentStreamServer, ClientConfig, DeltaSink, ServerConfig, ServerTls, SessionId, StreamClient,
};
use tokio_util::sync::CancellationToken;

const CONTAINERS: usize = 50;
const WARM_UP: Duration = Duration::from_secs(15);
const MEASURED: Duration = Duration::from_secs(30);

/// Counts what comes.
#[derive(Default)]
struct Counting {
    series: AtomicU64,
    samples: AtomicU64,
}

impl SampleSink for Counting {
    fn resolve(&self, _labels: &Labels) -> Result<SeriesRef, AppendError> {
        Ok(SeriesRef(self.series.fetch_add(1, Relaxed)))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let stored = batch.sample_count();
        self.samples.fetch_add(stored as u64, Relaxed);
        Ok(AppendReport { stored, ..AppendReport::default() })
    }
}

struct Fixed(Arc<[ContainerInfo]>);

impl ContainerInventory for Fixed {
    fn containers(&self) -> Arc<[ContainerInfo]> {
        self.0.clone()
    }
}

fn stopwatch() -> swell_source_node::Stopwatch {
    Arc::new(|| clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from))
}

/// The agent: reads the server's address and certificate from its input, then ticks until that ends.
#[tokio::main(flavor = "current_thread")]
async fn agent() {
    let mut input = BufReader::new(std::io::stdin());
    let mut server = String::new();
    input.read_line(&mut server).expect("the address comes first");
    let mut ca_pem = String::new();
    while !ca_pem.ends_with("-----END CERTIFICATE-----\n") {
        assert_ne!(input.read_line(&mut ca_pem).expect("the certificate follows"), 0);
    }
    let mut roots: Vec<Child> = (0..CONTAINERS)
        .map(|_| {
            let mut shell = Command::new("sh");
            shell.args(["-c", "cat; true"]).stdin(Stdio::piped()).stdout(Stdio::null());
            shell.spawn().expect("a shell is there")
        })
        .collect();
    let containers = roots.iter().enumerate().map(|(idx, root)| ContainerInfo {
        namespace: "default".to_owned(),
        pod: format!("web-{idx}"),
        container: "web".to_owned(),
        id: format!("/process/default/web-{idx}/web"),
        name: format!("web-{idx}-0"),
        image: "host".to_owned(),
        root_pid: Some(root.id()),
        ..ContainerInfo::default()
    });
    let inventory = Arc::new(Fixed(containers.collect()));
    let mut node = NodeSource::new(&swell_source_node::Config::machine("bench"), stopwatch());
    let config = swell_source_container::Config::machine("bench", "bench:10250");
    let mut containers = ContainerSource::new(&config, inventory, stopwatch());
    let config = ClientConfig {
        server: server.trim().to_owned(),
        server_name: None,
        ca_pem,
        token: "token".to_owned(),
        node: "bench".to_owned(),
        session: SessionId([1; 16]),
        spool_bytes_max: ClientConfig::SPOOL_BYTES_MAX,
    };
    let client = StreamClient::new(config, &Registry::new()).expect("a sound configuration");
    tokio::spawn(client.clone().run(CancellationToken::new()));
    let clock = SystemClock::new();
    let mut pass = Pass::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    let mut ended = tokio::task::spawn_blocking(move || input.read_line(&mut String::new()));
    loop {
        tokio::select! {
            _at = ticks.tick() => {}
            _input = &mut ended => break,
        }
        let now = clock.now();
        node.collect(now, &mut pass);
        containers.collect(now, &mut pass);
        client.offer(pass.finish(now));
    }
    for root in &mut roots {
        drop(root.stdin.take());
        root.wait().expect("it is ours");
    }
}

/// CPU seconds and resident kB of a process.
fn usage(pid: u32) -> (f64, u64) {
    let pid = i32::try_from(pid).expect("Linux' ids are 22 bits at most");
    let id = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).expect("it runs");
    let cpu = Duration::from(clock_gettime(id).expect("it runs")).as_secs_f64();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    (cpu, line.trim().trim_end_matches(" kB").parse().expect("a number"))
}

#[tokio::main(worker_threads = 2)]
async fn main_server() {
    let clock = Arc::new(SystemClock::new());
    let authority = Authority::in_memory(clock.now()).expect("an authority can be made");
    let identity = authority
        .issue_server("bench", &["127.0.0.1"], clock.now())
        .expect("a certificate can be issued");
    let tls = ServerTls {
        certificate_pem: identity.certificate_pem().to_owned(),
        key_pem: identity.key_pem().to_owned(),
    };
    let config = ServerConfig { token: "token".to_owned(), kubernetes_api_url: String::new() };
    let counting = Arc::new(Counting::default());
    let server = AgentStreamServer::new(config, counting.clone(), clock, &Registry::new())
        .expect("a sound configuration");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(listener, tls, CancellationToken::new()).await });

    let program = std::env::current_exe().expect("this program");
    let mut agent =
        Command::new(program).arg("agent").stdin(Stdio::piped()).spawn().expect("it starts again");
    let mut input = agent.stdin.take().expect("it is piped");
    write!(input, "{address}\n{}", authority.certificate_pem()).expect("it listens");
    tokio::time::sleep(WARM_UP).await;
    let (cpu_before, _) = usage(agent.id());
    let samples_before = counting.samples.load(Relaxed);
    tokio::time::sleep(MEASURED).await;
    let (cpu, rss_kib) = usage(agent.id());
    let samples = counting.samples.load(Relaxed) - samples_before;
    let seconds = MEASURED.as_secs_f64();
    println!(
        "agent with {CONTAINERS} containers, {:.0} samples/s: {:.3} % of a core, {:.1} MB resident",
        samples as f64 / seconds,
        (cpu - cpu_before) / seconds * 100.0,
        rss_kib as f64 / 1024.0
    );
    drop(input);
    agent.wait().expect("it is ours");
}

fn main() {
    if std::env::args().any(|argument| argument == "agent") {
        agent();
    } else {
        main_server();
    }
}
