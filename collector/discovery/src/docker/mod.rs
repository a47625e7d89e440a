//! `docker_sd_configs`: containers of a Docker engine, asked over its socket or the network.

mod containers;

use ::http::StatusCode;
use serde::de::DeserializeOwned;
use swell_http_client::{HttpClient, HttpRequest, TlsError, read_body};
use url::Url;

use crate::config::{DockerConfig, DockerHost};
use crate::discovery::Output;
use crate::group::TargetGroup;
use crate::refresh::{self, Ask, SourceError};

use containers::{Container, Network, Rules};

/// Larger answers are no lists of containers.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// What requests over a socket name as their host: the engine does not look.
const SOCKET_URL: &str = "http://docker/";

/// Asks one engine.
pub(crate) struct DockerSource {
    config: DockerConfig,
    client: HttpClient,
    base: Url,
}

impl DockerSource {
    pub(crate) fn new(config: &DockerConfig) -> Result<Self, TlsError> {
        let options = config.client.clone();
        let (client, base) = match &config.host {
            DockerHost::Socket(path) => (
                HttpClient::over_socket(path.clone(), options)?,
                SOCKET_URL.parse().expect("a good URL"),
            ),
            DockerHost::Url(url) => (HttpClient::new(options)?, url.clone()),
        };
        Ok(Self { config: config.clone(), client, base })
    }

    pub(crate) async fn run(self, output: Output) {
        let interval = self.config.refresh.to_std();
        refresh::run(self, interval, output).await;
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, filters: &str) -> Result<T, SourceError> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !filters.is_empty() {
            url.query_pairs_mut().append_pair("filters", filters);
        }
        let answer = self.client.send(&HttpRequest::get(url)).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{path}: HTTP status {}", answer.status()).into());
        }
        let body = read_body(answer, ANSWER_BYTES_MAX).await?;
        Ok(serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))?)
    }
}

impl Ask for DockerSource {
    async fn ask(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        let config = &self.config;
        let filters = if config.filters.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&config.filters)?
        };
        let containers: Vec<Container> = self.get("/containers/json", &filters).await?;
        let networks: Vec<Network> = self.get("/networks", "").await?;
        let rules = Rules {
            port: config.port,
            host_networking_host: &config.host_networking_host,
            match_first_network: config.match_first_network,
        };
        Ok(containers::groups(&containers, &networks, rules))
    }
}
