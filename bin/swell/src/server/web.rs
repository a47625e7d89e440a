//! TLS, users and headers of the HTTP port: read at the start, and again whenever one of the files changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use rustls::ServerConfig;
use swell_env::Clock;
use swell_http::limits::Patience;
use swell_http::{Gate, GateRules, HttpMetrics, RoutePrefix, Server};
use swell_tsdb_http::Notices;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::listening::Listeners;
use crate::args::WebArgs;
use crate::config::{Files, WebConfig, stamp};
use crate::shutdown::Tasks;

/// Files are looked at this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const FAILED: &str = "The web configuration cannot be read again";

/// What stands in front of the HTTP port.
pub(super) struct Web {
    path: Option<PathBuf>,
    /// As they were when they were last read, well or not.
    files: Files,
    gate: Gate,
    tls: Option<watch::Sender<Arc<ServerConfig>>>,
}

impl Web {
    /// Reads the file, if there is one.
    pub(super) fn load(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut files = Files::new();
        let (tls, rules) = match &path {
            None => (None, GateRules::default()),
            Some(path) => {
                let config = WebConfig::load(path, &mut files)?;
                report_unsupported(&config);
                (config.tls, config.rules)
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

    /// The server of the HTTP port, which answers below a prefix. What lies outside of it is behind the gate as well.
    pub(super) fn server(
        &self,
        listeners: Listeners,
        prefix: RoutePrefix,
        router: Router,
        args: &WebArgs,
        metrics: &HttpMetrics,
    ) -> Server {
        let Listeners { first, more } = listeners;
        let elsewhere = self.behind(elsewhere(prefix.clone()));
        let server = Server::new("http", first, self.behind(router), metrics)
            .below(prefix, elsewhere)
            .at_most(args.connections_max())
            .patience(Patience::of_reading(args.read_timeout().to_std()));
        let server = more.into_iter().fold(server, Server::also_on);
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
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if self.files.iter().all(|(path, seen)| stamp(path) == *seen) {
                continue;
            }
            let outcome = self.read_again();
            notices.settle(FAILED);
            match outcome {
                Ok(()) => info!("the web configuration was read again"),
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
        let config = WebConfig::load(path, &mut self.files)?;
        // A file that is met while it is written is empty: that must not open the port.
        if self.gate.asks_who() && config.rules.users.is_empty() {
            anyhow::bail!(
                "basic_auth_users has nobody left: only a restart opens the port to everybody"
            );
        }
        report_unsupported(&config);
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
        Ok(())
    }
}

/// What is answered outside of a prefix: the way to what is below it, and nothing else.
fn elsewhere(prefix: RoutePrefix) -> Router {
    Router::new().route("/", get(to_prefix)).fallback(outside).with_state(prefix)
}

async fn to_prefix(State(prefix): State<RoutePrefix>) -> Response {
    found(prefix.to_string())
}

/// Below the prefix paths begin with a slash; without it relative addresses of a page would start one folder higher.
async fn outside(State(prefix): State<RoutePrefix>, uri: Uri) -> Response {
    if uri.path() == prefix.as_str() {
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return found(format!("{prefix}/{query}"));
    }
    let told = format!("there is nothing here: all paths of this server begin with {prefix}/\n");
    (StatusCode::NOT_FOUND, told).into_response()
}

fn found(address: String) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, address)]).into_response()
}

fn report_unsupported(config: &WebConfig) {
    for what in &config.unsupported {
        warn!(key = %what, "the web configuration has a part that has no effect");
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn outside_of_the_prefix_only_the_way_to_it_is_told() {
        let router = elsewhere(RoutePrefix::new("/a/b").expect("a path"));
        for (path, code, location) in [
            ("/", 302, Some("/a/b")),
            ("/a/b", 302, Some("/a/b/")),
            ("/a/b?x=1", 302, Some("/a/b/?x=1")),
            ("/a", 404, None),
            ("/a/bc", 404, None),
            ("/metrics", 404, None),
            ("/-/ready", 404, None),
        ] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            let answer = router.clone().oneshot(request).await.expect("routers do not fail");
            assert_eq!(answer.status().as_u16(), code, "{path}");
            let told = answer.headers().get(header::LOCATION);
            assert_eq!(told.map(|value| value.to_str().expect("a text")), location, "{path}");
        }
    }
}
