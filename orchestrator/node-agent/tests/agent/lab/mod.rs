//! A node with its agent, real processes and an API in memory; whatever it started is gone when it is dropped.

mod api;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use swell_client::Client;
use swell_env::SystemClock;
use swell_http::HttpMetrics;
use swell_model::DurationMs;
use swell_node_agent::pod::BackOffLimits;
use swell_node_agent::{Capacity, Config, Dependencies, NodeAgent};
use swell_runtime::{
    CgroupUse, ContainerRuntime, ProcessConfig, ProcessRuntime, SHIM_ARG, ShimCommand,
};
use swell_telemetry::Registry;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use api::{Api, EVENTS, LEASES, NODES, PODS};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const TOKEN: &str = "log-token";
const POD_PATH: &str = "/api/v1/namespaces/default/pods";

pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) api: Api,
    pub(crate) config: Config,
    pub(crate) agent: Option<Running>,
}

pub(crate) struct Running {
    pub(crate) agent: Arc<NodeAgent>,
    pub(crate) runtime: Arc<dyn ContainerRuntime>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) fn shell(script: &str) -> Value {
    json!(["/bin/sh", "-c", script])
}

pub(crate) fn helper() -> &'static str {
    env!("CARGO_BIN_EXE_swell-agent-test-helper")
}

/// A port that was free on all addresses a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port()
}

/// A pod of one container that serves HTTP on its address.
pub(crate) fn server(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "image": "host",
        "command": [helper(), "serve", format!("$(POD_IP):{port}")],
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 1},
    })
}

pub(crate) fn condition(pod: &Value, name: &str) -> Option<Value> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == name).cloned()
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition["status"] == "True")
}

pub(crate) fn waiting_reason(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or("")
}

/// Whether a process runs; one that has ended and is not reaped does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let capacity = Capacity { cpu_milli: 2000, memory_bytes: 1 << 30, pods: 110 };
        let mut config =
            Config::new("node-1".to_owned(), capacity, dir.path().to_owned(), TOKEN.to_owned());
        config.back_off = BackOffLimits { initial: DurationMs(200), max: DurationMs(400) };
        config.host_env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        change(&mut config);
        let mut lab = Self { dir, api: Api::start().await, config, agent: None };
        let node = json!({"metadata": {"name": "node-1"}, "spec": {"podCIDR": cidr()}});
        lab.api.create("/api/v1/nodes", node).await;
        lab.start_agent().await;
        lab
    }

    fn process_config(&self) -> ProcessConfig {
        let shim = ShimCommand { program: PathBuf::from(helper()), args: vec![SHIM_ARG.into()] };
        ProcessConfig {
            cgroups: CgroupUse::Off,
            ..ProcessConfig::new(self.dir.path().join("runtime"), shim)
        }
    }

    pub(crate) async fn start_agent(&mut self) {
        let clock = Arc::new(SystemClock::new());
        let runtime = ProcessRuntime::open(self.process_config(), clock).await.unwrap();
        self.start_agent_on(Arc::new(runtime));
    }

    pub(crate) fn start_agent_on(&mut self, runtime: Arc<dyn ContainerRuntime>) {
        let registry = Registry::new();
        let dependencies = Dependencies {
            client: Client::in_process(self.api.router()),
            runtime: Arc::clone(&runtime),
            clock: Arc::new(SystemClock::new()),
            http_metrics: HttpMetrics::register(&registry).unwrap(),
            registry,
        };
        let agent = Arc::new(NodeAgent::new(self.config.clone(), dependencies).unwrap());
        let shutdown = CancellationToken::new();
        let (running, token) = (Arc::clone(&agent), shutdown.clone());
        let task = tokio::spawn(async move { running.run(token).await.unwrap() });
        self.agent = Some(Running { agent, runtime, shutdown, task });
    }

    /// As `kill -9` does: nothing is told to anybody.
    pub(crate) async fn kill_agent(&mut self) {
        let Running { agent, runtime, task, shutdown } = self.agent.take().unwrap();
        task.abort();
        assert!(task.await.is_err_and(|error| error.is_cancelled()));
        drop((agent, runtime, shutdown));
    }

    pub(crate) fn running(&self) -> &Running {
        self.agent.as_ref().unwrap()
    }

    pub(crate) async fn create(&self, name: &str, spec: &Value) -> Value {
        let mut spec = spec.clone();
        spec["nodeName"] = json!("node-1");
        self.api.create(POD_PATH, json!({"metadata": {"name": name}, "spec": spec})).await
    }

    pub(crate) async fn create_one(&self, name: &str, container: Value) -> Value {
        self.create(name, &json!({"containers": [container]})).await
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.api.delete(&format!("{POD_PATH}/{name}"), json!({})).await;
    }

    /// Removes the object at once, whatever becomes of the pod.
    pub(crate) async fn force_delete(&self, name: &str) {
        let path = format!("{POD_PATH}/{name}");
        self.api.delete(&path, json!({"gracePeriodSeconds": 0})).await;
    }

    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        self.api.get(PODS, name)
    }

    /// Waits until the API shows what is wanted of a pod.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait(name, || self.pod(name).filter(&wanted)).await
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        self.wait(name, || self.pod(name).is_none().then_some(())).await;
    }

    pub(crate) async fn until_event(&self, reason: &str) -> Value {
        self.wait(reason, || {
            self.api.list(EVENTS).into_iter().find(|event| event["reason"] == reason)
        })
        .await
    }

    pub(crate) async fn until_lease(&self) -> Value {
        self.wait("the lease", || self.api.get(LEASES, "node-1")).await
    }

    pub(crate) async fn until_node(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait("the node", || self.api.get(NODES, "node-1").filter(&wanted)).await
    }

    async fn wait<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let mut changes = self.api.changes();
        let found = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                changes.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(DEADLINE, found).await {
            Ok(found) => found,
            Err(_) => {
                let events = self.api.list(EVENTS);
                let events: Vec<String> =
                    events.iter().map(|e| format!("{}: {}", e["reason"], e["message"])).collect();
                panic!("{what}: {:#}\n{events:#?}", self.pod(what).unwrap_or_default())
            }
        }
    }

    /// Root pid of the only container of a pod.
    pub(crate) fn root_pid(&self, pod: &Value) -> u32 {
        let uid = pod["metadata"]["uid"].as_str().unwrap();
        let containers = self.running().runtime.list_pod(uid);
        *containers.iter().find_map(|container| container.root_pids.first()).unwrap()
    }

    pub(crate) fn logs_address(&self) -> SocketAddr {
        let node = self.api.get(NODES, "node-1").unwrap();
        let port = &node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"];
        let port = u16::try_from(port.as_u64().unwrap()).unwrap();
        SocketAddr::new(IpAddr::from([127, 0, 0, 1]), port)
    }
}

/// A range that no other test of this run uses at the same time.
fn cidr() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let seed =
        std::process::id().wrapping_mul(31).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    format!("127.{}.{}.0/24", 100 + seed / 256 % 100, seed % 256)
}

impl Drop for Lab {
    fn drop(&mut self) {
        let Some(Running { runtime, task, .. }) = self.agent.take() else { return };
        task.abort();
        let roots: Vec<u32> = runtime.list().into_iter().flat_map(|c| c.root_pids).collect();
        for root in swell_runtime::process_tree(&roots).unwrap_or_default() {
            let pid = rustix::process::Pid::from_raw(root.cast_signed()).unwrap();
            match rustix::process::kill_process(pid, rustix::process::Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => eprintln!("process {root} is left behind: {error}"),
            }
        }
    }
}
