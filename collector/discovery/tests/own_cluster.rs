//! Kubernetes discovery against the real API server and controllers, with a node that only pretends.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Service};
use serde_json::json;
use swell_client::Object;
use swell_discovery::{
    AttachMetadata, Discovery, DiscoveryConfig, DiscoveryDeps, DiscoveryMetrics, KubernetesConfig,
    KubernetesServer, Namespaces, Role, Selector, TargetGroup,
};
use swell_http_client::ClientOptions;
use swell_lab::{Lab, eventually};
use tokio::sync::Notify;

fn config(role: Role) -> KubernetesConfig {
    KubernetesConfig {
        server: KubernetesServer::Own,
        role,
        namespaces: Namespaces::default(),
        selectors: Vec::new(),
        attach: AttachMetadata::default(),
        client: ClientOptions::default(),
    }
}

fn discover(lab: &Lab, config: KubernetesConfig) -> Discovery {
    let metrics = DiscoveryMetrics::register(&prometheus::Registry::new()).expect("new");
    let deps = DiscoveryDeps { metrics, own_cluster: Some(lab.client.clone()) };
    let configs = [DiscoveryConfig::Kubernetes(Box::new(config))];
    Discovery::check(&configs, &deps).expect("it can be set up");
    let mut discovery = Discovery::new("j", deps, Arc::new(Notify::new()));
    discovery.run(&configs);
    discovery
}

fn groups(discovery: &Discovery) -> Vec<TargetGroup> {
    discovery.groups().iter().flat_map(|told| told.iter().cloned()).collect()
}

/// Waits for so many targets.
async fn targets(discovery: &Discovery, count: usize, what: &str) -> Vec<TargetGroup> {
    eventually(what, || {
        let now = groups(discovery).len();
        async move { now == count }
    })
    .await;
    groups(discovery)
}

async fn create<K: Object>(lab: &Lab, object: serde_json::Value) {
    let object = K::from_json(&object).expect("an object");
    lab.client.create(&object).await.expect("created");
}

#[tokio::test]
async fn every_role_follows_the_objects_of_this_server() {
    let lab = Lab::in_memory().await.expect("a lab");
    lab.add_node("n1", 8, Duration::from_millis(5));
    let deployment = |name: &str| {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [
                        {"name": "main", "image": "x", "ports": [{"name": "http", "containerPort": 8080}]}]}}}})
    };
    create::<Deployment>(&lab, deployment("web")).await;
    create::<Deployment>(&lab, deployment("other")).await;
    create::<Service>(
        &lab,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
               "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
    )
    .await;

    let pods = discover(
        &lab,
        KubernetesConfig {
            selectors: vec![Selector {
                role: Role::Pod,
                label: Some("app=web".to_owned()),
                field: None,
            }],
            attach: AttachMetadata { deployment: true, node: true, ..AttachMetadata::default() },
            ..config(Role::Pod)
        },
    );
    let found = targets(&pods, 2, "a target for each pod of web").await;
    for group in &found {
        assert!(group.targets[0].ends_with(":8080"), "{group:?}");
        assert_eq!(group.labels["__meta_kubernetes_pod_label_app"], "web");
        assert_eq!(group.labels["__meta_kubernetes_pod_deployment_name"], "web");
        assert_eq!(group.labels["__meta_kubernetes_node_name"], "n1");
        assert_eq!(group.labels["__meta_kubernetes_namespace"], "default");
    }
    let slices = discover(&lab, config(Role::EndpointSlice));
    let endpoints = discover(&lab, config(Role::Endpoints));
    for (discovery, what) in [(&slices, "endpoint slices"), (&endpoints, "endpoints")] {
        eventually(what, || {
            let now = groups(discovery);
            let ours = now.iter().filter(|group| {
                group.labels.get("__meta_kubernetes_service_name").is_some_and(|it| it == "web")
                    && group.labels.contains_key("__meta_kubernetes_pod_name")
            });
            let count = ours.count();
            async move { count == 2 }
        })
        .await;
    }
    let nodes = discover(&lab, config(Role::Node));
    // A node is a target once it has told its address.
    let address = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
                                    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}});
    let told = lab.client.patch_merge::<Node>(None, "n1", Some("status"), &address).await;
    told.expect("the status is taken");
    let found = targets(&nodes, 1, "a target for the node").await;
    assert_eq!(
        (found[0].targets[0].as_str(), found[0].labels["instance"].as_str()),
        ("10.0.0.1:10250", "n1")
    );
    let services = discover(
        &lab,
        KubernetesConfig {
            namespaces: Namespaces { names: vec!["default".to_owned()], own: false },
            selectors: vec![Selector {
                role: Role::Service,
                label: None,
                field: Some("metadata.name=web".to_owned()),
            }],
            ..config(Role::Service)
        },
    );
    let found = targets(&services, 1, "a target for the service").await;
    assert_eq!(found[0].targets, ["web.default.svc:80"]);

    lab.client.set_scale::<Deployment>("default", "web", 1).await.expect("scaled");
    targets(&pods, 1, "one pod less").await;
}

#[tokio::test]
async fn without_a_cluster_there_is_nothing_to_follow() {
    let metrics = DiscoveryMetrics::register(&prometheus::Registry::new()).expect("new");
    let deps = DiscoveryDeps { metrics, own_cluster: None };
    let configs = [DiscoveryConfig::Kubernetes(Box::new(config(Role::Pod)))];
    let refused = Discovery::check(&configs, &deps).expect_err("no cluster");
    assert!(refused.to_string().contains("kubeconfig_file"), "{refused}");
}
