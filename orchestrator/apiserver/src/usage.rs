//! `metrics.k8s.io`: what pods and nodes use, for `kubectl top`, from whoever measures it.

use futures::future::BoxFuture;
use serde_json::{Value, json};
use swell_model::{ByteCount, CpuMilli, DurationMs, TimestampMs};

use crate::failure::Failure;
use crate::route::USAGE_GROUP;
use crate::shared::{Shared, timestamp};

/// What a container or a node uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// CPU over the window.
    pub cpu: CpuMilli,
    /// Working set at the end of the window.
    pub memory: ByteCount,
}

/// What the containers of a pod use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodUsage {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub name: String,
    /// End of the window.
    pub at: TimestampMs,
    /// Time that CPU is averaged over.
    pub window: DurationMs,
    /// Containers by name.
    pub containers: Vec<(String, Usage)>,
}

/// What a node uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUsage {
    /// Name of the node.
    pub name: String,
    /// End of the window.
    pub at: TimestampMs,
    /// Time that CPU is averaged over.
    pub window: DurationMs,
    /// All that runs on it.
    pub usage: Usage,
}

/// Measures. The server leaves `metrics.k8s.io` out of its discovery when it is given none.
pub trait UsageSource: Send + Sync + 'static {
    /// Usage of the pods of one namespace, or of all; the text of an error is shown to the client.
    fn pods(&self, namespace: Option<&str>) -> BoxFuture<'_, Result<Vec<PodUsage>, String>>;

    /// Usage of all nodes; the text of an error is shown to the client.
    fn nodes(&self) -> BoxFuture<'_, Result<Vec<NodeUsage>, String>>;
}

fn api_version() -> String {
    format!("{}/{}", USAGE_GROUP.0, USAGE_GROUP.1)
}

fn usage_json(usage: &Usage) -> Value {
    json!({"cpu": format!("{}m", usage.cpu.0), "memory": format!("{}Ki", usage.memory.0 / 1024)})
}

fn window_text(window: DurationMs) -> String {
    format!("{}s", window.as_seconds())
}

/// Answers a request below `metrics.k8s.io`.
pub(crate) async fn answer(
    shared: &Shared,
    nodes: bool,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Value, Failure> {
    let Some(source) = &shared.usage else { return Err(Failure::no_such_path()) };
    let unavailable = |why: String| Failure::unavailable(format!("usage is not known: {why}"));
    let (kind, items) = if nodes {
        let found = source.nodes().await.map_err(unavailable)?;
        let items: Vec<_> = found
            .into_iter()
            .map(|node| {
                json!({
                    "kind": "NodeMetrics", "apiVersion": api_version(),
                    "metadata": {"name": node.name, "creationTimestamp": timestamp(node.at).to_string()},
                    "timestamp": timestamp(node.at).to_string(), "window": window_text(node.window),
                    "usage": usage_json(&node.usage),
                })
            })
            .collect();
        ("NodeMetricsList", items)
    } else {
        let found = source.pods(namespace).await.map_err(unavailable)?;
        let items: Vec<_> = found
            .into_iter()
            .map(|pod| {
                let containers: Vec<_> = pod
                    .containers
                    .iter()
                    .map(|(name, usage)| json!({"name": name, "usage": usage_json(usage)}))
                    .collect();
                json!({
                    "kind": "PodMetrics", "apiVersion": api_version(),
                    "metadata": {
                        "name": pod.name, "namespace": pod.namespace,
                        "creationTimestamp": timestamp(pod.at).to_string(),
                    },
                    "timestamp": timestamp(pod.at).to_string(), "window": window_text(pod.window),
                    "containers": containers,
                })
            })
            .collect();
        ("PodMetricsList", items)
    };
    match name {
        None => Ok(json!({
            "kind": kind, "apiVersion": api_version(), "metadata": {}, "items": items,
        })),
        Some(name) => items
            .into_iter()
            .find(|item| item["metadata"]["name"] == name)
            .ok_or_else(Failure::no_such_path),
    }
}
