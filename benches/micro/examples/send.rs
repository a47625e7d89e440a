//! What sending a sample by remote write costs the sender:
//! `cargo run --release -p swell-bench-micro --example send -- SERIES ROWS`.
//!
//! Rows of a generated cluster go into an engine on disk while a queue stands at their beginning; then the queue sends them to
//! a second process, which answers and reads nothing. CPU is that of the sender from then until the last answer: reading the log,
//! labels, encoding, snappy, HTTP. In both messages. With many more series than a request has points, each request has a point
//! a series, as with a queue that keeps up.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use swell_bench_gen::{Cluster, Scale};
use swell_bench_micro::timing::process_cpu;
use swell_engine::{Config, Db};
use swell_env::{Clock, FsDir, SystemClock};
use swell_http_client::ClientOptions;
use swell_model::{Batch, Row, SampleSink as _, SeriesRef, TimestampMs};
use swell_remote_write::{
    Batching, Message, QueueConfig, RemoteSender, Rewrite, SendMetrics, SenderDeps,
};
use swell_telemetry::{Registry, render_metrics};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receive"] => receive(),
        [series, rows] => send(series.parse()?, rows.parse()?).await,
        _ => anyhow::bail!("usage: send SERIES ROWS"),
    }
}

/// Takes every request and reads none.
fn receive() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::spawn(move || answer(stream));
    }
    Ok(())
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut body = Vec::new();
    loop {
        let (mut len, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                len = text.trim().parse().unwrap_or(0);
            }
        }
        body.resize(len, 0);
        reader.read_exact(&mut body)?;
        // More than was sent is all of it.
        stream.write_all(
            b"HTTP/1.1 204 No Content\r\nX-Prometheus-Remote-Write-Samples-Written: 99999999\r\n\r\n",
        )?;
    }
}

struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        // One that is gone already is fine.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

async fn send(series_count: usize, row_count: usize) -> anyhow::Result<()> {
    let mut child =
        Command::new(std::env::current_exe()?).arg("receive").stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("piped");
    let _receiver = Receiver(child);
    let mut address = String::new();
    BufReader::new(stdout).read_line(&mut address)?;
    for message in Message::ALL {
        run((series_count, row_count), message, address.trim()).await?;
    }
    Ok(())
}

fn queue(message: Message, address: &str) -> anyhow::Result<QueueConfig> {
    Ok(QueueConfig {
        name: "bench".to_owned(),
        url: format!("http://{address}/").parse()?,
        client: ClientOptions::default(),
        timeout: Duration::from_secs(30),
        message,
        send_exemplars: false,
        send_histograms: true,
        rewrite: Rewrite { text: String::new(), apply: Arc::new(|labels| Some(labels.clone())) },
        batching: Batching::standard(),
        metadata: None,
    })
}

/// A database and its sender.
struct Near {
    db: Arc<Db>,
    registry: Registry,
    sender: Arc<RemoteSender>,
    _stored: watch::Sender<TimestampMs>,
}

impl Near {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let registry = Registry::new();
        let dir = Arc::new(FsDir::open(&folder.join("tsdb"))?);
        let db = Arc::new(Db::open(dir, Config::standard(), clock.clone(), &registry)?);
        let stored = watch::Sender::new(TimestampMs(0));
        let sender = RemoteSender::new(SenderDeps {
            db: db.clone(),
            dir: Arc::new(FsDir::open(&folder.join("remote-write"))?),
            clock,
            stored: stored.subscribe(),
            metrics: SendMetrics::register(&registry)?,
        });
        Ok(Self { db, registry, sender, _stored: stored })
    }

    fn sent(&self) -> f64 {
        let text = render_metrics(&self.registry).expect("metrics are texts");
        let start = "prometheus_remote_storage_samples_total{";
        let line = text.lines().find(|line| line.starts_with(start));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    async fn stop(&self) {
        let stop = CancellationToken::new();
        stop.cancel();
        self.sender.run(stop).await;
    }
}

fn cpu_s() -> f64 {
    process_cpu().as_secs_f64()
}

async fn run(
    (series_count, row_count): (usize, usize),
    message: Message,
    address: &str,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let near = Near::open(folder.path())?;
    let prepared = || anyhow::Ok(RemoteSender::prepare(vec![queue(message, address)?])?);
    // Its place is written down: it goes on there.
    near.sender.run_queues(prepared()?).await?;
    near.stop().await;
    let clock = SystemClock::new();
    let (step_ms, rows) = (15_000, i64::try_from(row_count)?);
    let start_ms = clock.now().0 - rows * step_ms;
    let scale = Scale { series_count, start_ms, step_ms, ..Scale::standard() };
    let mut cluster = Cluster::new(scale);
    let series: Vec<Vec<SeriesRef>> = cluster
        .targets
        .iter()
        .map(|target| target.labels.iter().map(|labels| near.db.resolve(labels)).collect())
        .collect::<Result<_, _>>()?;
    let mut total = 0.0;
    for _ in 0..row_count {
        for (target, series) in cluster.targets.iter_mut().zip(&series) {
            let (at_ms, values) = target.scrape();
            let row = Row::new(TimestampMs(at_ms), series.clone(), values.to_vec());
            total += row.series.len() as f64;
            near.db.append(&Batch::of_rows(vec![row]))?;
        }
    }
    let (began_s, began) = (cpu_s(), clock.monotonic());
    near.sender.run_queues(prepared()?).await?;
    while near.sent() < total {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (used_s, took_s) = (cpu_s() - began_s, clock.monotonic().since(began).as_secs_f64());
    let (name, each_us) = (message.name(), 1e6 * used_s / total);
    println!("{name}: {total} samples in {took_s:.1} s, {each_us:.2} s of CPU a million");
    near.stop().await;
    Ok(())
}
