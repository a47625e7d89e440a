//! `swell agent`: one node, joined to a server over the network.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use swell_client::{Client, ClientConfig, Credentials};
use swell_env::SystemClock;
use swell_http::HttpMetrics;
use swell_model::DurationMs;
use swell_stream::{LinkState, SessionId, StreamClient};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::AgentArgs;
use crate::data_dir::DataDir;
use crate::identity::{JoinToken, fill_random};
use crate::node::{self, NodeConfig, NodeDeps};
use crate::shutdown::{self, Tasks, Vigil};

/// The first answer of a server may take this long before the reader is told what is being waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs until a signal.
pub(crate) async fn run(args: &AgentArgs) -> anyhow::Result<()> {
    let line = fs::read_to_string(&args.token_file).with_context(|| {
        format!(
            "read the token file {}: `swell token --data-dir DIR` on the server prints the token",
            args.token_file.display()
        )
    })?;
    let join = JoinToken::parse(&line)
        .with_context(|| format!("token file {}", args.token_file.display()))?;
    let data_dir = DataDir::open(&args.data_dir)?;
    let shutdown = shutdown::on_signal()?;
    let clock = Arc::new(SystemClock::new());
    let registry = swell_telemetry::self_metrics().context("set up the self-metrics")?;
    let name = node::node_name(args.node_name.as_deref());
    let mut session = SessionId([0; 16]);
    fill_random(&mut session.0)?;
    let stream = StreamClient::new(
        swell_stream::ClientConfig {
            server: args.server.clone(),
            server_name: None,
            ca_pem: join.ca_pem.clone(),
            token: join.secret.clone(),
            node: name.clone(),
            session,
            spool_bytes_max: swell_stream::ClientConfig::SPOOL_BYTES_MAX,
        },
        &registry,
    )
    .context("set up the stream to the server")?;
    let vigil = Vigil::new();
    let tasks = Tasks::new(shutdown.clone(), &vigil);
    let mut state = stream.state();
    let link = Arc::new(stream);
    let (running, stop) = (link.clone(), shutdown.clone());
    tasks.spawn("the stream to the server", async move {
        running.as_ref().clone().run(stop).await;
    });

    let Some(api_url) = kubernetes_api(&mut state, &args.server, &shutdown).await? else {
        tasks.stop().await;
        return Ok(());
    };
    let client = Client::https(&ClientConfig {
        base_url: api_url,
        ca_pem: join.ca_pem,
        credentials: Credentials::Bearer(join.secret.clone()),
    })
    .context("set up the client of the Kubernetes-style API")?;
    let config = NodeConfig {
        name,
        data_dir: data_dir.path().to_path_buf(),
        collection_interval: DurationMs::from_secs(1),
        logs_token: join.secret,
        ephemeral: false,
    };
    let http_metrics = HttpMetrics::register(&registry).context("register HTTP metrics")?;
    let deps = NodeDeps { client, link, clock, registry, http_metrics };
    node::start(config, deps, &tasks).await?;
    info!("the agent runs");
    let lost = tokio::select! {
        () = shutdown.cancelled() => None,
        part = vigil.lost() => Some(part),
    };
    tasks.stop().await;
    lost.map_or(Ok(()), |part| Err(shutdown::lost_part(part)))
}

/// Waits for the server's welcome, which says where its API is; `None` when shutdown comes first.
async fn kubernetes_api(
    state: &mut tokio::sync::watch::Receiver<LinkState>,
    server: &str,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<String>> {
    let mut told = false;
    loop {
        match &*state.borrow_and_update() {
            LinkState::Connected(info) if info.kubernetes_api_url.is_empty() => {
                bail!(
                    "the server {server} runs without its Kubernetes-style API (--listen-kube off): agents need it"
                );
            }
            LinkState::Connected(info) => return Ok(Some(info.kubernetes_api_url.clone())),
            LinkState::Refused { reason } => {
                bail!("the server {server} refused this agent: {reason}")
            }
            LinkState::Lost { reason } if !told => {
                told = true;
                warn!(server, reason, "no connection to the server yet; trying again");
            }
            LinkState::Lost { .. } | LinkState::Connecting => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            changed = state.changed() => changed.context("the stream to the server ended")?,
            () = tokio::time::sleep(PATIENCE), if !told => {
                told = true;
                warn!(server, "waiting for the server to answer");
            }
        }
    }
}
