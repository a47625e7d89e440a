//! TLS, users and headers of the HTTP port: read at the start, and again whenever one of the files changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use axum::Router;
use rustls::ServerConfig;
use swell_env::Clock;
use swell_http::{Gate, GateRules, HttpMetrics, Server};
use swell_tsdb_http::Notices;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::WebConfig;
use crate::shutdown::Tasks;

/// Files are looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const FAILED: &str = "The web configuration cannot be read again";

/// What stands in front of the HTTP port.
pub(super) struct Web {
    path: Option<PathBuf>,
    files: Vec<PathBuf>,
    gate: Gate,
    tls: Option<watch::Sender<Arc<ServerConfig>>>,
}

/// Size and time of change of each file.
type Stamps = Vec<Option<(u64, SystemTime)>>;

impl Web {
    /// Reads the file, if there is one.
    pub(super) fn load(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let (tls, rules, files) = match &path {
            None => (None, GateRules::default(), Vec::new()),
            Some(path) => {
                let config = WebConfig::load(path)?;
                for what in &config.unsupported {
                    warn!(key = %what, "the web configuration has a part that has no effect");
                }
                (config.tls, config.rules, config.files)
            }
        };
        let gate = Gate::new(rules).context("set up the users of the HTTP port")?;
        Ok(Self { path, files, gate, tls: tls.map(|config| watch::channel(config).0) })
    }

    /// `http` or `https`.
    pub(super) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether nobody gets in without a password.
    pub(super) fn asks_who(&self) -> bool {
        self.gate.asks_who()
    }

    /// The server of the HTTP port.
    pub(super) fn server(
        &self,
        listener: TcpListener,
        router: Router,
        metrics: &HttpMetrics,
    ) -> Server {
        let server = Server::new("http", listener, self.behind(router), metrics);
        match &self.tls {
            Some(tls) => server.tls_from(tls.subscribe()),
            None => server,
        }
    }

    /// A router that only lets in who may.
    pub(super) fn behind(&self, router: Router) -> Router {
        self.gate.before(router)
    }

    /// Follows the files, if there are any, until the tasks end.
    pub(super) fn follow(self, notices: Notices, clock: Arc<dyn Clock>, tasks: &Tasks) {
        if self.path.is_some() {
            let stop = tasks.stop_token();
            tasks.spawn("who follows the web configuration", self.watch(notices, clock, stop));
        }
    }

    async fn watch(mut self, notices: Notices, clock: Arc<dyn Clock>, stop: CancellationToken) {
        let mut seen = stamps(&self.files);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let now = stamps(&self.files);
            if now == seen {
                continue;
            }
            seen = now;
            match self.read_again() {
                Ok(()) => {
                    notices.settle(FAILED);
                    info!("the web configuration was read again");
                    seen = stamps(&self.files);
                }
                Err(fault) => {
                    error!(
                        why = format!("{fault:#}"),
                        "the web configuration was not read again: what was in force is"
                    );
                    notices.raise(&format!("{FAILED}: {fault:#}"), clock.now());
                }
            }
        }
    }

    fn read_again(&mut self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let config = WebConfig::load(path)?;
        match (&self.tls, config.tls) {
            (Some(tls), Some(config)) => {
                tls.send_replace(config);
            }
            (None, None) => {}
            _ => anyhow::bail!(
                "tls_server_config came or went: only a restart changes between http and https"
            ),
        }
        self.gate.replace(config.rules);
        self.files = config.files;
        Ok(())
    }
}

fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    };
    files.iter().map(stamp).collect()
}
