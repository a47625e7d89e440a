//! `swell demo`: the main job on real input, in one process.
//!
//! [`run`] starts a server with its own node, applies `examples/demo`, drives the service through its Service in
//! three phases, watches what happens, and judges it. Pods are ordinary processes; nothing is simulated.

mod facts;
mod frame;
mod load;
mod observer;
mod screen;
mod service;
mod sparkline;
mod stage;
mod summary;
mod terminal;
mod webhook;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Service;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::args::{DemoArgs, Listen, OutputForm};
use crate::node;
use crate::server::{self, Running, ServerConfig};
use crate::shutdown;

use load::{LoadFigures, Phase};
use observer::Observer;
use summary::{LatencyByPhase, LatencyMs, Summary};
use terminal::{Display, Key};
use webhook::WebhookReceiver;

pub(crate) use service::{ServiceConfig, serve};

/// The first pod must serve in this time.
const FIRST_POD_DEADLINE: Duration = Duration::from_secs(20);
/// After the load the workload gets this long to be back at its first size.
const SCALE_IN_DEADLINE: Duration = Duration::from_secs(10);
/// Phases announced and not yet taken up: there are three.
const PHASES_MAX: usize = 8;
const HELP: &str =
    "q quit   e explain the last decision   space pause   o open the web page   ? help";

/// Calm, surge, calm: the surge is five times the load.
fn phases() -> Vec<Phase> {
    let phase = |name, seconds, rate_per_s| Phase {
        name,
        length: Duration::from_secs(seconds),
        rate_per_s,
    };
    vec![phase("calm", 20, 110.0), phase("surge", 28, 550.0), phase("calm", 26, 110.0)]
}

/// Runs the demo; the exit status says whether all of it went as it should.
pub(crate) async fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let interrupted = shutdown::on_signal()?;
    shutdown::on_hangup(&interrupted)?;
    let folder = stage::Folder::create()?;
    let outcome = on_stage(args, &folder, &interrupted).await;
    folder.remove()?;
    outcome
}

async fn on_stage(
    args: &DemoArgs,
    folder: &stage::Folder,
    interrupted: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    // What the demo starts ends in this order: load and receiver, then the server with its pods.
    let helpers = TaskTracker::new();
    let helpers_stop = CancellationToken::new();
    let clock = std::sync::Arc::new(swell_env::SystemClock::new());
    let (webhook, webhook_url) = WebhookReceiver::start(clock, &helpers, &helpers_stop).await?;
    let running = server::start(ServerConfig {
        config: stage::config(folder, &webhook_url)?,
        data_dir: folder.path().join("data"),
        listen_http: vec![free_or_any(args.listen_http).await],
        listen_grpc: Listen::Off,
        listen_kube: Listen::At(free_or_any(SocketAddr::from(([127, 0, 0, 1], 6443))).await),
        own_node: Some(node::node_name(None)),
        ephemeral: true,
        args: None,
    })
    .await?;
    let played = play(args, &running, webhook, interrupted).await;
    let concluded = match &played {
        Ok(Some(summary)) => conclude(args, summary, &running, interrupted).await,
        _ => Ok(()),
    };
    running.stop().await;
    helpers_stop.cancel();
    shutdown::drain(&helpers).await;
    concluded?;
    match played? {
        Some(summary) => {
            finish(args, &summary)?;
            let good = summary.faults().is_empty();
            Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        None => {
            eprintln!("stopped before the end; all that was started is removed");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The address asked for, or a free port beside it where another program holds it.
async fn free_or_any(address: SocketAddr) -> SocketAddr {
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

/// Applies the manifests, drives the load, watches; `None` when it was stopped before its end.
async fn play(
    args: &DemoArgs,
    running: &Running,
    webhook: WebhookReceiver,
    interrupted: &CancellationToken,
) -> anyhow::Result<Option<Summary>> {
    let began = running.clock.monotonic();
    let url = format!("http://{}", running.http_addr);
    eprintln!("swell demo        web UI {url}");
    if let Some(address) = running.kube_addr {
        let kubeconfig = running.data_dir.join("kubeconfig");
        eprintln!(
            "                  kubectl --kubeconfig {} (https://{address})",
            kubeconfig.display()
        );
    }
    stage::apply(&running.client).await?;
    let figures = LoadFigures::default();
    let watching = CancellationToken::new();
    let _stop_watching = watching.clone().drop_guard();
    let mut observer = Observer::start(running, webhook, figures.clone(), phases(), &watching);
    let Some(target) = first_pod(running, &mut observer, interrupted).await? else {
        return Ok(None);
    };

    let mut display = Display::open(args.output == OutputForm::Json);
    let outcome =
        watch(running, &mut observer, &mut display, &figures, target, &url, interrupted).await;
    display.close();
    if !outcome? {
        return Ok(None);
    }
    let mut summary = summarise(running, &observer, &figures, &url).await?;
    let spent = running.clock.monotonic().since(began);
    summary.duration_ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
    Ok(Some(summary))
}

/// Waits for the first pod to serve; gives the address of its Service.
async fn first_pod(
    running: &Running,
    observer: &mut Observer,
    interrupted: &CancellationToken,
) -> anyhow::Result<Option<http::Uri>> {
    let (mut pods_changed, _) = observer.changes();
    let ready = async {
        while observer.pods.ready_count() == 0 {
            pods_changed.changed().await.context("the watch of the pods ended")?;
            observer.look_at_pods(running.clock.now());
        }
        anyhow::Ok(())
    };
    tokio::select! {
        () = interrupted.cancelled() => return Ok(None),
        waited = tokio::time::timeout(FIRST_POD_DEADLINE, ready) => match waited {
            Ok(done) => done?,
            Err(_) => bail!(
                "the first pod did not become ready within {FIRST_POD_DEADLINE:?}: {}",
                pod_trouble(running).await
            ),
        }
    }
    let service: Service = running
        .client
        .get(Some(stage::NAMESPACE), stage::NAME)
        .await
        .context("read the Service")?;
    let spec = service.spec.context("the Service has no specification")?;
    let address = spec.cluster_ip.context("the Service has no address")?;
    let port = spec.ports.iter().flatten().next().context("the Service has no port")?.port;
    let uri = format!("http://{address}:{port}/work").parse().context("address of the Service")?;
    Ok(Some(uri))
}

/// Why pods do not start, in the node agent's words.
async fn pod_trouble(running: &Running) -> String {
    use k8s_openapi::api::core::v1::Event;
    use swell_client::ListParams;
    let events = running.client.list::<Event>(Some(stage::NAMESPACE), &ListParams::default()).await;
    match events {
        Ok(list) => {
            let words: Vec<String> = list
                .items
                .iter()
                .filter(|event| event.type_.as_deref() == Some("Warning"))
                .filter_map(|event| event.message.clone())
                .collect();
            if words.is_empty() { "no event says why".to_owned() } else { words.join("; ") }
        }
        Err(error) => format!("and its events cannot be read: {error}"),
    }
}

/// Drives the load and shows what happens; `false` when it was stopped before its end.
async fn watch(
    running: &Running,
    observer: &mut Observer,
    display: &mut Display,
    figures: &LoadFigures,
    target: http::Uri,
    url: &str,
    interrupted: &CancellationToken,
) -> anyhow::Result<bool> {
    let stop = interrupted.child_token();
    let _stop_load = stop.clone().drop_guard();
    let (phase_sender, mut phase_receiver) = mpsc::channel(PHASES_MAX);
    let (load_figures, load_stop) = (figures.clone(), stop.clone());
    let mut load = tokio::spawn(async move {
        load::drive(target, &phases(), &load_figures, &load_stop, |phase_idx| {
            // The channel holds more than there are phases: this cannot fail but at the very end.
            if phase_sender.try_send(phase_idx).is_err() {
                tracing::debug!(phase_idx, "nobody watches the phases any more");
            }
        })
        .await;
    });
    let mut keys = display.takes_keys().then(|| terminal::read_keys(&stop));
    let (mut pods_changed, mut hpa_changed) = observer.changes();
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut footer = HELP.to_owned();
    let (mut paused, mut load_ended) = (false, None);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            Some(_) = phase_receiver.recv() => {
                let (at, text) = observer.phase_begins(running.clock.now());
                display.event(at, &text);
            }
            changed = pods_changed.changed() => {
                changed.context("the watch of the pods ended")?;
                for (at, text) in observer.look_at_pods(running.clock.now()) {
                    display.event(at, &text);
                }
            }
            changed = hpa_changed.changed() => {
                changed.context("the watch of the autoscaler ended")?;
                observer.look_at_hpa(running.clock.now());
            }
            done = &mut load, if load_ended.is_none() => {
                done.context("the load generator failed inside")?;
                load_ended = Some(running.clock.monotonic());
            }
            Some(key) = next_key(&mut keys) => match key {
                Key::Quit => return Ok(false),
                Key::Explain => footer = observer.explain_last(),
                Key::Pause => paused = !paused,
                Key::OpenPage => footer = open_page(url),
                Key::Help => footer = format!("{HELP}. The load goes on while the screen is paused."),
            },
            _ = second.tick() => {
                for (at, text) in observer.look_at_the_rest(running).await? {
                    display.event(at, &text);
                }
                if let Some(ended) = load_ended {
                    let waited = running.clock.monotonic().since(ended);
                    if observer.is_back() || waited > SCALE_IN_DEADLINE {
                        return Ok(true);
                    }
                }
            }
        }
        if !paused {
            display.show(&observer.frame(running.clock.now(), url, &footer));
        }
    }
}

async fn next_key(keys: &mut Option<mpsc::Receiver<Key>>) -> Option<Key> {
    match keys {
        Some(keys) => keys.recv().await,
        None => std::future::pending().await,
    }
}

/// Asks the desktop for a browser.
fn open_page(url: &str) -> String {
    match std::process::Command::new("xdg-open")
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
    {
        Ok(_) => format!("asked the desktop to open {url}"),
        Err(error) => format!("open {url} in a browser (xdg-open: {error})"),
    }
}

async fn summarise(
    running: &Running,
    observer: &Observer,
    figures: &LoadFigures,
    url: &str,
) -> anyhow::Result<Summary> {
    let surge = observer.surge_start().context("the surge never began")?;
    let now = running.clock.now();
    let served =
        facts::query_by(&running.db, &facts::requests_total_by_pod_query(), "pod", now).await?;
    let new_pods: Vec<&str> = observer
        .pods
        .since(surge)
        .filter(|(_, pod)| pod.ready_ms.is_some())
        .map(|(name, _)| name)
        .collect();
    let first_ready = observer.pods.since(surge).filter_map(|(_, pod)| pod.ready_ms).min();
    let growth = observer.first_growth();
    let deliveries = running.alerting.deliveries().await.context("read the notification log")?;
    let sent = deliveries.iter().filter(|delivery| delivery.error.is_none()).count();
    let (requests, failed_requests) = figures.totals();
    let status = running.db.status();
    let at = |millis: i64| facts::millis_since(surge, millis);
    let replicas = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    Ok(Summary {
        scaled_out: observer.replicas_max > observer.replicas_before,
        scaled_in: observer.is_back(),
        replicas_min: replicas(observer.replicas_before),
        replicas_max: replicas(observer.replicas_max),
        surge_to_decision_ms: growth.and_then(|decision| at(decision.at_ms)),
        surge_to_first_ready_ms: first_ready.and_then(at),
        surge_to_target_ms: observer.target_reached_ms.and_then(at),
        latency_ms: LatencyByPhase {
            calm: LatencyMs::of(&figures.phase(0)),
            surge: LatencyMs::of(&figures.phase(observer::SURGE)),
            after: LatencyMs::of(&figures.phase(2)),
        },
        requests,
        failed_requests,
        first_failure: figures.first_error(),
        new_pods: new_pods.len(),
        new_pods_that_served: new_pods
            .iter()
            .filter(|name| served.get(**name).is_some_and(|count| *count > 0.0))
            .count(),
        alerts_sent: sent as u64,
        alerts_received: observer.received_count(),
        samples_stored: status.samples_appended,
        bytes_per_sample: (status.bytes_per_sample > 0.0).then_some(status.bytes_per_sample),
        http_url: url.to_owned(),
        duration_ms: 0,
        first_decision_at: growth
            .and_then(|decision| jiff::Timestamp::from_millisecond(decision.at_ms).ok())
            .map(|time| format!("{time:.3}")),
    })
}

/// Without `--exit` the summary comes now, and everything stays up until Ctrl-C.
async fn conclude(
    args: &DemoArgs,
    summary: &Summary,
    running: &Running,
    interrupted: &CancellationToken,
) -> anyhow::Result<()> {
    if args.exit {
        return Ok(());
    }
    print(args, summary, true)?;
    eprintln!("still running: {} (Ctrl-C ends it)", running.http_addr);
    tokio::select! {
        () = interrupted.cancelled() => Ok(()),
        part = running.lost_part() => Err(shutdown::lost_part(part)),
    }
}

/// With `--exit` the summary comes after everything has stopped.
fn finish(args: &DemoArgs, summary: &Summary) -> anyhow::Result<()> {
    if args.exit { print(args, summary, false) } else { Ok(()) }
}

fn print(args: &DemoArgs, summary: &Summary, stays_up: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match args.output {
        OutputForm::Text => write!(out, "{}", summary.to_text(stays_up)),
        OutputForm::Json => {
            eprint!("{}", summary.to_text(stays_up));
            let line = serde_json::to_string(summary).context("encode the summary")?;
            writeln!(out, "{line}")
        }
    }
    .context("print the summary")
}
