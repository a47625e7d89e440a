//! `swell server`: the control plane, composed of its parts. Nothing here decides anything.
//!
//! [`start`] opens the data directory, starts every part and answers once ingest, query and the Kubernetes-style
//! API do; [`Running`] is what the demo and the command line hold on to.

mod addresses;
mod alerting;
mod alertmanagers;
#[cfg(feature = "archive")]
mod archive;
mod consoles;
mod core_metrics;
mod early;
mod kube;
mod listening;
mod openapi;
mod push;
mod reading;
mod reload;
mod sending;
mod settings;
mod storage;
mod targets;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use swell_alert_runner::AlertingHandle;
use swell_autoscaler_loops::{Journal, PodAutoscaler};
use swell_client::Client;
use swell_dashboards_serve::{AppSettings, ObjectViews};
use swell_engine::Db;
use swell_env::{Clock, SystemClock};
use swell_http::{HttpMetrics, RoutePrefix};
use swell_model::{SampleSink, SeriesSource};
use swell_stream::{AgentStreamServer, DirectLink, ServerTls};
use swell_telemetry::{Registry, chain};
use swell_tsdb_http::{
    Api, ApiDeps, ConfigState, InForce, Lifecycle, Notices, Readiness, RemoteWrite,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::addresses::AddressRanges;
use self::early::EarlyDeps;
use self::listening::Listeners;
use self::reading::Reader;
use self::reload::{ReloadMetrics, Reloader};
use self::web::Web;
use crate::adapters::{AnnouncingSink, Asker, PodMetrics, StandingMetrics, StandingQueries};
use crate::args::{Listen, ServerArgs, WebArgs};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::identity::{JoinToken, Tokens};
use crate::node::{self, NodeConfig, NodeDeps};
use crate::shutdown::{self, Tasks, Vigil};

/// What a server is started with.
#[derive(Debug)]
pub(crate) struct ServerConfig {
    pub(crate) config: Config,
    pub(crate) data_dir: PathBuf,
    /// One at least.
    pub(crate) listen_http: Vec<SocketAddr>,
    pub(crate) listen_grpc: Listen,
    pub(crate) listen_kube: Listen,
    /// Name of the node to run in this process, if any.
    pub(crate) own_node: Option<String>,
    /// Pods of the own node end with this process (the demo).
    pub(crate) ephemeral: bool,
    /// The command line by which `config` can be read again.
    pub(crate) args: Option<ServerArgs>,
}

impl ServerConfig {
    /// Flags of the HTTP port; what none of them says where there is no command line.
    fn web(&self) -> WebArgs {
        self.args.as_ref().map(|args| args.web.clone()).unwrap_or_default()
    }
}

/// A server that answers.
pub(crate) struct Running {
    /// The first of those below.
    pub(crate) http_addr: SocketAddr,
    http_addrs: Vec<SocketAddr>,
    /// `http` or `https`.
    scheme: &'static str,
    prefix: RoutePrefix,
    pub(crate) kube_addr: Option<SocketAddr>,
    pub(crate) grpc_addr: Option<SocketAddr>,
    pub(crate) client: Client,
    pub(crate) router: Router,
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) data_dir: DataDir,
    pub(crate) alerting: AlertingHandle,
    readiness: Readiness,
    notices: Notices,
    quit: CancellationToken,
    stages: Stages,
    /// Held for as long as the server runs.
    _addresses: AddressRanges,
}

/// What ends in which order: work first, since it still needs the API to say how it ended; then the API, and last who
/// sends on what the others have stored.
pub(crate) struct Stages {
    /// Everything that works through the API or writes samples.
    work: Tasks,
    /// The API server and what keeps it in order.
    api: Tasks,
    /// Who sends on what was stored.
    sending: Tasks,
    vigil: Vigil,
}

impl Stages {
    fn new() -> Self {
        let vigil = Vigil::new();
        let tasks = || Tasks::new(CancellationToken::new(), &vigil);
        Self { work: tasks(), api: tasks(), sending: tasks(), vigil: vigil.clone() }
    }
}

impl Running {
    /// Waits until a part of the server is lost; its name.
    pub(crate) async fn lost_part(&self) -> &'static str {
        self.stages.vigil.lost().await
    }

    /// Waits until a client asks the server to stop.
    pub(crate) async fn asked_to_quit(&self) {
        self.quit.cancelled().await;
    }

    /// Stops everything and waits for it; the storage last, so that nothing measured is lost.
    pub(crate) async fn stop(self) {
        self.readiness.stopping();
        self.notices.close();
        self.db.stop_maintenance();
        self.stages.work.stop().await;
        self.stages.api.stop().await;
        self.stages.sending.stop().await;
        drop(self.router);
        storage::close(self.db).await;
    }
}

/// Runs until a signal.
pub(crate) async fn run(args: &ServerArgs) -> anyhow::Result<()> {
    let config = settings::settings(args)?;
    let shutdown = shutdown::on_signal()?;
    let running = start(ServerConfig {
        config,
        data_dir: args.data_dir.clone(),
        listen_http: listening::addresses(&args.listen_http).await?,
        listen_grpc: args.listen_grpc,
        listen_kube: args.listen_kube,
        own_node: args.with_agent.then(|| node::node_name(args.node_name.as_deref())),
        ephemeral: false,
        args: Some(args.clone()),
    })
    .await?;
    eprintln!("swell {} is ready", swell_telemetry::VERSION);
    for address in &running.http_addrs {
        eprintln!("  web UI      {}://{address}{}", running.scheme, running.prefix.as_str());
    }
    if let Some(address) = running.kube_addr {
        let kubeconfig = running.data_dir.join("kubeconfig");
        eprintln!("  kubectl     --kubeconfig {}   (https://{address})", kubeconfig.display());
    }
    if let Some(address) = running.grpc_addr {
        let data_dir = running.data_dir.path().display();
        eprintln!("  agents      --server {address}   (swell token --data-dir {data_dir})");
    }
    let lost = tokio::select! {
        () = shutdown.cancelled() => None,
        () = running.asked_to_quit() => None,
        part = running.lost_part() => Some(part),
    };
    running.stop().await;
    lost.map_or(Ok(()), |part| Err(shutdown::lost_part(part)))
}

/// Starts every part; returns when all of them answer. They run until [`Running::stop`].
pub(crate) async fn start(server: ServerConfig) -> anyhow::Result<Running> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let data_dir = DataDir::open(&server.data_dir)?;
    settings::report_unsupported(&server.config);
    // From here on a SIGHUP must not end the process.
    let hangup = match &server.args {
        Some(_) => Some(signal(SignalKind::hangup()).context("listen for SIGHUP")?),
        None => None,
    };
    let registry = swell_telemetry::self_metrics().context("set up the self-metrics")?;
    let http_metrics = HttpMetrics::register(&registry).context("register HTTP metrics")?;
    let stages = Stages::new();
    let tasks = &stages.work;
    let readiness = Readiness::default();

    // The addresses first: a port that is taken is found out before anything is opened.
    let http_listeners = Listeners::bind(&server.listen_http).await?;
    let web = Web::load(server.args.as_ref().and_then(|args| args.web_config.clone()))?;
    let http_addrs = http_listeners.addresses()?;
    let http_addr = *http_addrs.first().context("the HTTP port has an address")?;
    let location = settings::location(&server.config, web.scheme(), http_addr);
    let kube_listener = listen(server.listen_kube, "--listen-kube").await?;
    let grpc_listener = listen(server.listen_grpc, "--listen-grpc").await?;
    let kube_addr = kube_listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
    let grpc_addr = grpc_listener.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;

    let (db, replay) = storage::begin(&server.config, &data_dir, &clock, &registry).await?;
    let in_force = ConfigState::new(InForce::from(&server.config), clock.now());
    let notices = Notices::with_streams(server.web().notification_streams_max());
    let (lifecycle, commands) = Lifecycle::new(server.config.lifecycle_api);
    let active = storage::active_queries(&data_dir, &server.config, &clock);
    let early = early::router(
        settings::api_config(&server, &location, web.asks_who()),
        settings::remote_write_config(&server, web.asks_who()),
        &EarlyDeps {
            db: &db,
            clock: &clock,
            readiness: &readiness,
            in_force: &in_force,
            notices: &notices,
            lifecycle: &lifecycle,
            active: &active,
        },
    )?;
    let prefix = location.prefix.clone();
    let http = web.server(http_listeners, prefix, early, &server.web(), &http_metrics);
    let switch = http.switch();
    tasks.spawn("the HTTP API", http.run(tasks.stop_token()));
    // What is archived could not be told apart from what is not there.
    if server.config.archive.is_none() {
        readiness.reading();
    }
    storage::replay(&db, replay).await?;
    let sink: Arc<dyn SampleSink> = db.clone();
    let (sink, newest) = AnnouncingSink::new(sink);
    // Before anything is stored, or deleted of the log.
    let sender = sending::start(
        &server.config,
        &sending::SendingDeps {
            data_dir: &data_dir,
            db: &db,
            clock: &clock,
            registry: &registry,
            stored: newest.clone(),
        },
        &stages.sending,
    )
    .await?;
    storage::maintain(&db, &clock, tasks);

    let tokens = Tokens::load_or_create(&data_dir)?;
    let addresses = AddressRanges::claim(&data_dir).await?;
    let kube = kube::start(kube::KubeDeps {
        data_dir: &data_dir,
        tokens: &tokens,
        clock: &clock,
        registry: &registry,
        http_metrics: &http_metrics,
        listener: kube_listener,
        addresses: &addresses,
        stages: &stages,
    })
    .await?;
    let client = kube.client.clone();
    let standing = StandingMetrics::new(&registry)
        .context("register the metrics of rules' and autoscalers' reads")?;
    let queries = StandingQueries::new(db.clone(), Asker::Autoscaler, &standing);

    let autoscaler = PodAutoscaler::new(
        swell_autoscaler_loops::Config {
            start: swell_decide::StartRules {
                cpu_initialization_period: server.config.autoscaler.cpu_initialization_period,
                initial_readiness_delay: server.config.autoscaler.initial_readiness_delay,
            },
            down_window: server.config.autoscaler.downscale_stabilization,
            ..swell_autoscaler_loops::Config::new(data_dir.join("decisions"))
        },
        swell_autoscaler_loops::Dependencies {
            client: kube.client_as("horizontal-pod-autoscaler"),
            pods: kube.pods(),
            source: Arc::new(PodMetrics::new(queries, server.config.collection_interval)),
            samples: newest,
            clock: clock.clone(),
        },
        &registry,
    )
    .context("set up the autoscaler")?;
    let journal: Journal = autoscaler.journal();
    tasks.spawn("the autoscaler", autoscaler.run(tasks.stop_token()));

    let readers = reading::start(&server.config, &clock, &registry)?;
    let behind = |here: Arc<dyn SeriesSource>, reader: Reader| {
        reading::source(here, &db, &readers, &in_force, &server.config, reader)
    };
    let alerting = alerting::start(
        &server.config,
        alerting::AlertingDeps {
            data_dir: &data_dir,
            queries: StandingQueries::new(
                behind(db.clone(), Reader::Rules),
                Asker::Rules,
                &standing,
            ),
            sink: &sink,
            clock: &clock,
            registry: &registry,
            in_force: in_force.clone(),
            active: active.clone(),
            external_url: location.external_url.clone(),
        },
        tasks,
    )?;

    if server.config.self_metrics {
        core_metrics::start(
            &client,
            &registry,
            &sink,
            (server.config.collection_interval, server.config.features.type_and_unit_labels),
            &clock,
            tasks,
        )?;
    }
    let discoverer = kube.client_as("target-discovery");
    let targets = targets::start(&server.config, &sink, &clock, &registry, discoverer, tasks)?;
    let alertmanagers = alertmanagers::start(
        &server.config.alerting,
        alerting.clone(),
        targets.discovery_deps(),
        tasks,
    )?;

    #[cfg(feature = "archive")]
    let own = archive::start(&server.config, &db, &clock, &registry, tasks)?;
    #[cfg(not(feature = "archive"))]
    let own: Arc<dyn SeriesSource> = db.clone();
    let api = Api::new(
        settings::api_config(&server, &location, web.asks_who()),
        ApiDeps {
            db: db.clone(),
            source: behind(own.clone(), Reader::People),
            own,
            targets: targets.clone(),
            clock: clock.clone(),
            readiness: readiness.clone(),
            registry: registry.clone(),
            in_force: in_force.clone(),
            notices: notices.clone(),
            lifecycle,
            active,
        },
    )
    .context("register the API's metrics")?;
    storage::watch(&api, tasks);
    let receiver = RemoteWrite::new(
        settings::remote_write_config(&server, web.asks_who()),
        sink.clone(),
        clock.clone(),
        readiness.clone(),
        &registry,
    )
    .context("register the metrics of remote write")?;
    let deps = push::WaysDeps {
        data_dir: &data_dir,
        sink: sink.clone(),
        clock: &clock,
        registry: &registry,
    };
    let ways = push::Ways::start(&server, web.asks_who(), &deps, tasks)?;
    let views = Arc::new(ObjectViews::start(&client, &tasks.stop_token()));
    let consoles = server.args.as_ref().map_or_else(Router::new, |args| {
        let deps = consoles::ConsoleDeps {
            api: api.clone(),
            in_force: in_force.clone(),
            clock: clock.clone(),
            external_url: location.external_url.clone(),
        };
        consoles::router(&args.consoles, deps)
    });
    let external_path = location.external_path.as_str();
    let app = AppSettings {
        title: server.web().page_title().to_owned(),
        external_path: external_path.to_owned(),
    };
    let router = Router::new()
        .merge(swell_tsdb_http::router(api))
        .merge(swell_tsdb_http::write_router(receiver))
        .merge(ways.router())
        .merge(alerting.router())
        .merge(swell_autoscaler_loops::router(journal, clock.clone()))
        .merge(swell_dashboards_serve::router(views, app))
        .merge(consoles)
        .merge(openapi::router(external_path));

    if let Some(listener) = grpc_listener {
        serve_agents(&kube, &tokens, listener, &sink, &clock, &registry, tasks)?;
    }
    if let Some(name) = &server.own_node {
        own_node(
            &server,
            name,
            &data_dir,
            &kube,
            &tokens,
            &sink,
            &clock,
            &registry,
            &http_metrics,
            tasks,
        )
        .await?;
    }
    let scheme = web.scheme();
    switch.set(web.behind(router.clone()));
    web.follow(notices.clone(), clock.clone(), tasks);

    kube.answers().await?;
    let quit = CancellationToken::new();
    let reloader = Reloader {
        args: server.args,
        seen: server.config.fingerprint,
        config: server.config,
        alerting: alerting.clone(),
        db: db.clone(),
        alertmanagers,
        targets,
        sender,
        readers,
        ways,
        in_force,
        notices: notices.clone(),
        clock: clock.clone(),
        metrics: ReloadMetrics::register(&registry, clock.as_ref())
            .context("register the metrics of reloads")?,
        quit: quit.clone(),
    };
    let stop = tasks.stop_token();
    tasks.spawn("who reads the configuration again", reloader.run(commands, hangup, stop));
    readiness.ready();
    info!(%http_addr, "ready");
    Ok(Running {
        http_addr,
        http_addrs,
        scheme,
        prefix: location.prefix,
        kube_addr,
        grpc_addr,
        client,
        router,
        db,
        clock,
        data_dir,
        alerting,
        readiness,
        notices,
        quit,
        stages,
        _addresses: addresses,
    })
}

async fn listen(
    listen: Listen,
    flag: &'static str,
) -> anyhow::Result<Option<tokio::net::TcpListener>> {
    match listen {
        Listen::At(address) => Ok(Some(swell_http::bind(address, flag).await?)),
        Listen::Off => Ok(None),
    }
}

fn serve_agents(
    kube: &kube::Kube,
    tokens: &Tokens,
    listener: tokio::net::TcpListener,
    sink: &Arc<AnnouncingSink>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let stream = AgentStreamServer::new(
        swell_stream::ServerConfig {
            token: tokens.agent.clone(),
            kubernetes_api_url: kube.url.clone().unwrap_or_default(),
        },
        sink.clone(),
        clock.clone(),
        registry,
    )
    .context("set up the agent stream")?;
    let tls = ServerTls {
        certificate_pem: kube.identity.certificate_pem().to_owned(),
        key_pem: kube.identity.key_pem().to_owned(),
    };
    let stop = tasks.stop_token();
    tasks.spawn("the agent stream", async move {
        if let Err(failure) = stream.serve(listener, tls, stop).await {
            error!(error = chain(&failure), "the agent stream ended");
        }
    });
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the composition root hands on what it has")]
async fn own_node(
    server: &ServerConfig,
    name: &str,
    data_dir: &DataDir,
    kube: &kube::Kube,
    tokens: &Tokens,
    sink: &Arc<AnnouncingSink>,
    clock: &Arc<dyn Clock>,
    registry: &Registry,
    http_metrics: &HttpMetrics,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    let spool = swell_stream::ClientConfig::SPOOL_BYTES_MAX;
    let link =
        DirectLink::new(sink.clone(), spool, registry).context("set up the collectors' link")?;
    let config = NodeConfig {
        name: name.to_owned(),
        data_dir: data_dir.join("node"),
        collection_interval: server.config.collection_interval,
        logs_token: tokens.agent.clone(),
        ephemeral: server.ephemeral,
    };
    let deps = NodeDeps {
        client: kube.client_as("system:node"),
        link: Arc::new(link),
        clock: clock.clone(),
        registry: registry.clone(),
        http_metrics: http_metrics.clone(),
    };
    node::start(config, deps, tasks).await
}

/// The token with which agents join this server.
pub(crate) fn join_token(data_dir: &std::path::Path) -> anyhow::Result<JoinToken> {
    let read = |part: &str| {
        let path = data_dir.join(part);
        std::fs::read_to_string(&path).with_context(|| {
            format!(
                "read {}: has `swell server --data-dir {}` run yet?",
                path.display(),
                data_dir.display()
            )
        })
    };
    Ok(JoinToken {
        ca_pem: read(kube::CA_CERTIFICATE)?,
        secret: read("tokens/agent")?.trim().to_owned(),
    })
}
