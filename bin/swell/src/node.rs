//! What runs on every node: the agent with its runtime, the service proxy, the collectors. The same for a
//! node of its own (`swell agent`) and for the server's own node (`--with-agent`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use swell_client::Client;
use swell_env::Clock;
use swell_http::HttpMetrics;
use swell_model::DurationMs;
use swell_netproxy::NetProxy;
use swell_node_agent::{Capacity, NodeAgent};
use swell_runtime::{ProcessConfig, ProcessRuntime, ShimCommand};
use swell_source_container::ContainerSource;
use swell_source_node::NodeSource;
use swell_stream::DeltaSink;
use swell_telemetry::{Registry, chain};
use tracing::error;

use crate::adapters::Containers;
use crate::collect::{self, Source};
use crate::open_files;
use crate::shutdown::Tasks;

/// Settings of a node.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    /// Its name.
    pub(crate) name: String,
    /// Where the state of its pods and their logs are.
    pub(crate) data_dir: PathBuf,
    /// Distance of the collectors' ticks.
    pub(crate) collection_interval: DurationMs,
    /// Token that the log endpoint asks for.
    pub(crate) logs_token: String,
    /// Whether pods end with this process, however it ends (the demo).
    pub(crate) ephemeral: bool,
}

/// What a node stands on.
pub(crate) struct NodeDeps {
    pub(crate) client: Client,
    pub(crate) link: Arc<dyn DeltaSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) registry: Registry,
    pub(crate) http_metrics: HttpMetrics,
}

/// Starts everything of a node; it runs until shutdown.
pub(crate) async fn start(config: NodeConfig, deps: NodeDeps, tasks: &Tasks) -> anyhow::Result<()> {
    let agent = agent(&config, &deps).await?;
    let proxy = NetProxy::new(
        swell_netproxy::Config::node(&config.name),
        deps.clock.clone(),
        &deps.registry,
    )
    .context("register the service proxy's metrics")?;
    let proxy = Arc::new(proxy);
    let sources = sources(&config, &agent, &proxy, &deps.clock);
    let interval = config.collection_interval;
    tasks.spawn(
        "the collectors of the node",
        collect::run(sources, interval, deps.link, deps.clock.clone(), tasks.stop_token()),
    );
    let (client, stop) = (deps.client, tasks.stop_token());
    tasks.spawn("the service proxy", async move {
        proxy.as_ref().clone().run(client, stop).await;
    });
    let stop = tasks.stop_token();
    tasks.spawn("the node agent", async move {
        if let Err(failure) = agent.run(stop).await {
            error!(error = chain(&failure), "the node agent ended");
        }
    });
    Ok(())
}

async fn agent(config: &NodeConfig, deps: &NodeDeps) -> anyhow::Result<Arc<NodeAgent>> {
    let process = ProcessConfig {
        die_with_parent: config.ephemeral,
        open_files_soft: open_files::at_start(),
        ..ProcessConfig::new(config.data_dir.join("pods"), ShimCommand::own_binary())
    };
    let runtime = ProcessRuntime::open(process, deps.clock.clone())
        .await
        .context("open the process runtime")?;
    let agent_config = swell_node_agent::Config {
        host_env: host_env(),
        stop_pods_on_shutdown: config.ephemeral,
        ..swell_node_agent::Config::new(
            config.name.clone(),
            capacity()?,
            config.data_dir.clone(),
            config.logs_token.clone(),
        )
    };
    let dependencies = swell_node_agent::Dependencies {
        client: deps.client.clone(),
        runtime: Arc::new(runtime),
        clock: deps.clock.clone(),
        registry: deps.registry.clone(),
        http_metrics: deps.http_metrics.clone(),
    };
    Ok(Arc::new(NodeAgent::new(agent_config, dependencies)?))
}

fn sources(
    config: &NodeConfig,
    agent: &Arc<NodeAgent>,
    proxy: &Arc<NetProxy>,
    clock: &Arc<dyn Clock>,
) -> Vec<Source> {
    let origin = clock.monotonic();
    let ticking = clock.clone();
    let stopwatch: Arc<dyn Fn() -> std::time::Duration + Send + Sync> =
        Arc::new(move || ticking.monotonic().since(origin));
    let node_config = swell_source_node::Config::machine(&config.name);
    let mut node = NodeSource::new(&node_config, stopwatch.clone());
    let container_config =
        swell_source_container::Config::machine(&config.name, &format!("{}:9100", config.name));
    let inventory = Arc::new(Containers::new(agent.inventory_handle()));
    let mut containers = ContainerSource::new(&container_config, inventory, stopwatch);
    let proxy = proxy.clone();
    vec![
        Box::new(move |now, pass| node.collect(now, pass)),
        Box::new(move |now, pass| containers.collect(now, pass)),
        Box::new(move |_, pass| proxy.record(pass)),
    ]
}

/// Programs of the host see its search path, with this binary's folder first, its home and its language.
#[expect(clippy::disallowed_methods, reason = "the environment is read in the binary only")]
fn host_env() -> Vec<(String, String)> {
    let own_folder = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf))
        .map(|folder| folder.display().to_string());
    let system =
        std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".to_owned());
    let path = match own_folder {
        Some(folder) => format!("{folder}:{system}"),
        None => system,
    };
    let mut env = vec![("PATH".to_owned(), path)];
    for name in ["HOME", "LANG", "LC_ALL", "TZ"] {
        if let Ok(value) = std::env::var(name) {
            env.push((name.to_owned(), value));
        }
    }
    env
}

/// Pods that a node may run, as Kubernetes' default.
const PODS_MAX: u32 = 110;

fn capacity() -> anyhow::Result<Capacity> {
    let cores = std::thread::available_parallelism().context("count the cores")?.get() as u64;
    let info = rustix::system::sysinfo();
    let memory_bytes = info.totalram.saturating_mul(u64::from(info.mem_unit));
    Ok(Capacity { cpu_milli: cores * 1000, memory_bytes, pods: PODS_MAX })
}

/// The name given, or the host's, as a DNS name.
pub(crate) fn node_name(given: Option<&str>) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = given.unwrap_or(&host).to_ascii_lowercase();
    let valid: String = name
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    let trimmed = valid.trim_matches(['-', '.']);
    if trimmed.is_empty() { "localhost".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_is_a_dns_name() {
        assert_eq!(node_name(Some("Web_Host.1")), "web-host.1");
        assert_eq!(node_name(Some("--")), "localhost");
        assert!(!node_name(None).is_empty());
    }

    #[test]
    fn pods_find_this_binary_first() {
        let path = &host_env()[0];
        assert_eq!(path.0, "PATH");
        let exe = std::env::current_exe().expect("known");
        assert!(path.1.starts_with(&exe.parent().expect("a folder").display().to_string()));
    }
}
