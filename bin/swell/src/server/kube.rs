//! The Kubernetes-style API and what works through it: store, server, controllers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Pod;
use swell_apiserver::{
    ADMIN_GROUP, ApiServer, ApiServerDeps, Kubeconfig, KubeconfigUser, NODE_GROUP, TokenUser, User,
};
use swell_client::{Cache, Client};
use swell_controllers::{Caches, Controllers};
use swell_env::Clock;
use swell_http::pki::{Authority, ClientAuth, Identity, server_config};
use swell_http::{HttpMetrics, SecretToken, Server};
use swell_model::DurationMs;
use swell_store::EmbeddedStore;
use swell_telemetry::Registry;
use tokio::net::TcpListener;

use super::Stages;
use super::addresses::{self, AddressRanges};
use crate::data_dir::DataDir;
use crate::identity::Tokens;

/// Where the authority's certificate stands in the data directory.
pub(crate) const CA_CERTIFICATE: &str = "pki/ca.crt";
/// The API must answer in this time after the start.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// What the API stands on.
pub(crate) struct KubeDeps<'a> {
    pub(crate) data_dir: &'a DataDir,
    pub(crate) tokens: &'a Tokens,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) registry: &'a Registry,
    pub(crate) http_metrics: &'a HttpMetrics,
    pub(crate) listener: Option<TcpListener>,
    pub(crate) addresses: &'a AddressRanges,
    pub(crate) stages: &'a Stages,
}

/// The running API.
pub(crate) struct Kube {
    server: ApiServer,
    caches: Caches,
    /// For the server's own parts.
    pub(crate) client: Client,
    /// Certificate and key that listeners show.
    pub(crate) identity: Identity,
    /// Where it is reached over the network, if it is.
    pub(crate) url: Option<String>,
}

impl Kube {
    /// A client for a part of this process that acts under another name.
    pub(crate) fn client_as(&self, name: &str) -> Client {
        Client::in_process(self.server.in_process_router(User::internal(name)))
    }

    /// The controllers' copy of all pods, for whoever looks at them too.
    pub(crate) fn pods(&self) -> Cache<Pod> {
        self.caches.pods.clone()
    }

    /// Waits until the API has answered every list that the controllers need.
    pub(crate) async fn answers(&self) -> anyhow::Result<()> {
        match tokio::time::timeout(FIRST_ANSWER_DEADLINE, self.caches.synced()).await {
            Ok(true) => Ok(()),
            Ok(false) => bail!("the server is stopped before the Kubernetes-style API answered"),
            Err(_) => {
                bail!("the Kubernetes-style API did not answer within {FIRST_ANSWER_DEADLINE:?}")
            }
        }
    }
}

/// Opens the object store, starts API and controllers, and writes the kubeconfig.
pub(crate) async fn start(deps: KubeDeps<'_>) -> anyhow::Result<Kube> {
    let KubeDeps { data_dir, tokens, clock, registry, http_metrics, listener, addresses, stages } =
        deps;
    let now = clock.now();
    let authority = Authority::load_or_create(&data_dir.join("pki"), now)
        .context("load or make the cluster's authority")?;
    let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let names = server_names(address);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let identity =
        authority.issue_server("swell", &names, now).context("issue the server's certificate")?;

    let path = data_dir.join("objects.redb");
    let store = EmbeddedStore::open(&path, swell_store::Config::default())
        .with_context(|| format!("open the object store {}", path.display()))?;
    let server = ApiServer::build(
        swell_apiserver::Config {
            tokens: token_users(tokens)?,
            agent_token: Some(tokens.agent.clone()),
            service_range: addresses.services,
            event_lifetime: DurationMs::from_secs(3600),
        },
        ApiServerDeps {
            store: Arc::new(store),
            clock: clock.clone(),
            registry,
            usage: None,
            shutdown: stages.api.stop_token(),
        },
    )
    .await
    .context("set up the Kubernetes-style API")?;
    let upkeep = server.clone();
    stages.api.spawn("the upkeep of objects", async move { upkeep.run().await });

    let client = Client::in_process(server.in_process_router(User::internal("swell-server")));
    let caches = Caches::start(&client, &stages.work.stop_token());
    let controllers = Controllers::new(
        controllers_config(addresses.pods),
        Client::in_process(server.in_process_router(User::internal("swell-controllers"))),
        caches.clone(),
        clock.clone(),
        registry,
    )
    .context("register the controllers' metrics")?;
    stages.work.spawn("the controllers", controllers.run(stages.work.stop_token()));

    let mut url = None;
    if let (Some(listener), Some(address)) = (listener, address) {
        let ca_pem = authority.certificate_pem().to_owned();
        let tls = server_config(&identity, &ca_pem, ClientAuth::Optional).context("set up TLS")?;
        let web = Server::new("kube", listener, server.router(), http_metrics).tls(tls);
        stages.api.spawn("the Kubernetes-style API", web.run(stages.api.stop_token()));
        let admin = authority
            .issue_client("admin", ADMIN_GROUP, now)
            .context("issue the administrator's certificate")?;
        let server_url = format!("https://{}", reachable(address));
        let kubeconfig = Kubeconfig {
            server: server_url.clone(),
            ca_pem,
            user: KubeconfigUser::Certificate {
                certificate_pem: admin.certificate_pem().to_owned(),
                key_pem: admin.key_pem().to_owned(),
            },
        };
        let path = data_dir.join("kubeconfig");
        kubeconfig.write(&path).with_context(|| format!("write {}", path.display()))?;
        url = Some(server_url);
    }
    Ok(Kube { server, caches, client, identity, url })
}

fn controllers_config(pods: Ipv4Addr) -> swell_controllers::Config {
    let mut config = swell_controllers::Config::default();
    config.nodes.pod_range = pods;
    config.nodes.pod_range_prefix = addresses::RANGE_PREFIX_LEN;
    config
}

fn token_users(tokens: &Tokens) -> anyhow::Result<Vec<TokenUser>> {
    let user = |token: &str, name: &str, group: &str| -> anyhow::Result<TokenUser> {
        Ok(TokenUser {
            token: SecretToken::new(token).context("take in a token")?,
            user: User::new(name, group),
        })
    };
    Ok(vec![
        user(&tokens.admin, "admin", ADMIN_GROUP)?,
        user(&tokens.agent, "system:node", NODE_GROUP)?,
    ])
}

/// Names that the certificate is good for: this host by name and loopback, and the address listened on.
fn server_names(address: Option<SocketAddr>) -> Vec<String> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.push("kubernetes.default.svc".to_owned());
    if !host.is_empty() && host != "localhost" {
        names.push(host);
    }
    if let Some(address) = address.filter(|address| !address.ip().is_unspecified()) {
        let ip = address.ip().to_string();
        if !names.contains(&ip) {
            names.push(ip);
        }
    }
    names
}

/// An address that a client can connect to: a server on all addresses is reached on loopback.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("127.0.0.1:{}", address.port())
    } else {
        address.to_string()
    }
}
