//! From a Deployment to running pods, over the real API server in this process.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Endpoints, Event, Node, Pod, Service};
use serde_json::{Value, json};
use swell_client::{Client, DeleteParams, ListParams, Object};
use swell_lab::{Lab, eventually};
use tokio_util::sync::CancellationToken;

const NAMESPACE: Option<&str> = Some("default");

struct Cluster {
    lab: Lab,
    client: Client,
}

impl Cluster {
    async fn start() -> Self {
        let lab = Lab::in_memory().await.expect("a lab");
        Self { client: lab.client.clone(), lab }
    }

    fn add_node(&self, name: &str) -> CancellationToken {
        self.lab.add_node(name, 4, Duration::ZERO)
    }

    async fn pods(&self) -> Vec<Pod> {
        let pods = self.client.list::<Pod>(NAMESPACE, &ListParams::default()).await;
        pods.expect("a list").items
    }

    async fn apply<K: Object>(&self, object: Value) -> K {
        let object = K::from_json(&object).expect("an object");
        self.client.create(&object).await.expect("created")
    }

    async fn deploy(&self, replicas: i32) {
        self.apply::<Deployment>(deployment(replicas, "a")).await;
    }

    async fn patch(&self, patch: Value) {
        let patched = self.client.patch_merge::<Deployment>(NAMESPACE, "web", None, &patch).await;
        patched.expect("patched");
    }

    async fn ready_pods(&self) -> usize {
        self.pods().await.iter().filter(|pod| swell_api_types::pod_is_ready(pod)).count()
    }

    async fn event_reasons(&self) -> Vec<String> {
        let events = self.client.list::<Event>(NAMESPACE, &ListParams::default()).await;
        events.expect("a list").items.into_iter().filter_map(|event| event.reason).collect()
    }
}

fn deployment(replicas: i32, image: &str) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}],
                    "resources": {"requests": {"cpu": "100m"}}}]}}},
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_becomes_pods_that_grow_and_shrink() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1");
    cluster.deploy(2).await;
    eventually("two pods are ready", || async { cluster.ready_pods().await == 2 }).await;
    for replicas in [6, 1] {
        cluster.patch(json!({"spec": {"replicas": replicas}})).await;
        let wanted = usize::try_from(replicas).expect("small");
        eventually("pods follow", || async {
            cluster.ready_pods().await == wanted && cluster.pods().await.len() == wanted
        })
        .await;
    }
    eventually("the status follows", || async {
        let found = cluster.client.get::<Deployment>(NAMESPACE, "web").await.expect("it exists");
        let status = found.status.unwrap_or_default();
        status.replicas == Some(1)
            && status.available_replicas == Some(1)
            && status.observed_generation == found.metadata.generation
    })
    .await;
    let expected = ["ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete", "Scheduled"];
    eventually("the events are written", || async {
        let reasons = cluster.event_reasons().await;
        expected.iter().all(|reason| reasons.iter().any(|found| found == reason))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_update_replaces_every_pod_and_keeps_enough() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1");
    cluster.deploy(4).await;
    eventually("four pods are ready", || async { cluster.ready_pods().await == 4 }).await;
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}});
    cluster.patch(json!({"spec": {"strategy": strategy}})).await;
    let template = deployment(4, "b")["spec"]["template"].clone();
    cluster.patch(json!({"spec": {"template": template}})).await;
    eventually("all pods are new", || async {
        let pods = cluster.pods().await;
        let active = pods.iter().filter(|pod| swell_api_types::pod_is_active(pod)).count();
        assert!(active <= 5, "more than the surge: {active}");
        let new = pods.iter().filter(|pod| {
            let spec = pod.spec.as_ref().expect("a spec");
            spec.containers[0].image.as_deref() == Some("b") && swell_api_types::pod_is_ready(pod)
        });
        new.count() == 4 && pods.len() == 4
    })
    .await;
    eventually("the rollout is complete", || async {
        let found = cluster.client.get::<Deployment>(NAMESPACE, "web").await.expect("it exists");
        let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
        conditions
            .iter()
            .any(|condition| condition.reason.as_deref() == Some("NewReplicaSetAvailable"))
            && found.metadata.annotations.is_some_and(|annotations| {
                annotations
                    .get("deployment.kubernetes.io/revision")
                    .is_some_and(|revision| revision == "2")
            })
    })
    .await;
    let sets = cluster.client.list::<ReplicaSet>(NAMESPACE, &ListParams::default()).await;
    assert_eq!(sets.expect("a list").items.len(), 2, "the old set stays for a rollback");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_fits_nowhere_says_why_until_a_node_comes() {
    let cluster = Cluster::start().await;
    cluster.deploy(1).await;
    let reason = || async {
        let pods = cluster.pods().await;
        let conditions = pods.first()?.status.clone()?.conditions?;
        conditions.into_iter().find(|condition| condition.type_ == "PodScheduled")?.message
    };
    eventually("the reason stands on the pod", || async {
        reason().await.as_deref() == Some("no nodes available to schedule pods")
    })
    .await;
    cluster.add_node("n1");
    eventually("the pod runs", || async { cluster.ready_pods().await == 1 }).await;
    cluster
        .patch(json!({"spec": {"template": {"spec": {"nodeSelector": {"zone": "moon"}}}}}))
        .await;
    eventually("the new pod says why it waits", || async {
        cluster.pods().await.iter().any(|pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.clone());
            conditions.unwrap_or_default().iter().any(|condition| {
                condition.message.as_deref()
                    == Some("0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.")
            })
        })
    })
    .await;
    eventually("the event is written", || async {
        cluster.event_reasons().await.iter().any(|reason| reason == "FailedScheduling")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_follow_the_ready_pods() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1");
    cluster
        .apply::<Service>(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        }))
        .await;
    cluster.deploy(3).await;
    let addresses = || async {
        let found = cluster.client.get::<Endpoints>(NAMESPACE, "web").await.ok();
        let subsets = found.and_then(|endpoints| endpoints.subsets).unwrap_or_default();
        subsets.iter().flat_map(|subset| subset.addresses.clone().unwrap_or_default()).count()
    };
    eventually("three addresses", || async { addresses().await == 3 }).await;
    cluster.patch(json!({"spec": {"replicas": 1}})).await;
    eventually("one address", || async { addresses().await == 1 }).await;
    let deleted =
        cluster.client.delete::<Service>(NAMESPACE, "web", &DeleteParams::default()).await;
    deleted.expect("deleted");
    eventually("no endpoints", || async {
        cluster.client.get::<Endpoints>(NAMESPACE, "web").await.is_err()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_get_ranges_of_their_own_and_pods_spread() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1");
    cluster.add_node("n2");
    let ranges = || async {
        let nodes =
            cluster.client.list::<Node>(None, &ListParams::default()).await.expect("a list");
        let mut ranges: Vec<String> = nodes
            .items
            .iter()
            .filter_map(|node| node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone()))
            .collect();
        ranges.sort();
        ranges
    };
    eventually("both nodes have a range", || async {
        ranges().await == ["127.64.0.0/22", "127.64.4.0/22"]
    })
    .await;
    cluster.deploy(4).await;
    eventually("four pods are ready", || async { cluster.ready_pods().await == 4 }).await;
    let pods = cluster.pods().await;
    let on = |name: &str| {
        let node = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        pods.iter().filter(|pod| node(pod).as_deref() == Some(name)).count()
    };
    assert_eq!((on("n1"), on("n2")), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_deleted_is_replaced_once() {
    let cluster = Cluster::start().await;
    cluster.add_node("n1");
    cluster.deploy(3).await;
    eventually("three pods are ready", || async { cluster.ready_pods().await == 3 }).await;
    for _ in 0..5 {
        let name = cluster.pods().await[0].metadata.name.clone().expect("a name");
        let deleted =
            cluster.client.delete::<Pod>(NAMESPACE, &name, &DeleteParams::default()).await;
        deleted.expect("deleted");
        eventually("three again", || async {
            let pods = cluster.pods().await;
            let active = pods.iter().filter(|pod| swell_api_types::pod_is_active(pod)).count();
            assert!(active <= 3, "a pod was created twice");
            cluster.ready_pods().await == 3
                && pods.iter().all(|pod| pod.metadata.name.as_deref() != Some(name.as_str()))
        })
        .await;
    }
}
