use serde_json::{Value, json};

use super::*;
use crate::config::AttachMetadata;
use crate::group::TargetGroup;

fn put<K: Object>(objects: &mut Objects<K>, object: Value) {
    let object = K::from_json(&object).expect("an object");
    objects.insert(ObjectKey::of(&object), Arc::new(object));
}

/// Two nodes; a deployment's pod with two ports, behind a service of one port, and an ingress; a Job's pod without ports.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    put(
        &mut cluster.nodes,
        json!({
            "metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"},
                         "annotations": {"a/b": "c"}},
            "spec": {"providerID": "kind://n1"},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "n1"},
                    {"type": "InternalIP", "address": "10.0.0.1"},
                    {"type": "InternalIP", "address": "10.0.0.99"}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
                "conditions": [{"type": "Ready", "status": "True"}]}}),
    );
    put(&mut cluster.nodes, json!({"metadata": {"name": "n2"}, "status": {}}));
    put(&mut cluster.namespaces, json!({"metadata": {"name": "shop", "labels": {"team": "a"}}}));
    put(
        &mut cluster.replica_sets,
        json!({
            "metadata": {"name": "web-7d", "namespace": "shop", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true}]},
            "spec": {"selector": {}}}),
    );
    put(
        &mut cluster.jobs,
        json!({"metadata": {"name": "night-1", "namespace": "shop", "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "CronJob", "name": "night", "uid": "u", "controller": true}]}}),
    );
    put(
        &mut cluster.pods,
        json!({
            "metadata": {"name": "web-7d-x", "namespace": "shop", "uid": "p1",
                         "labels": {"app.kubernetes.io/name": "web"},
                         "annotations": {"prometheus.io/scrape": "true"},
                         "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                                              "name": "web-7d", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "n1",
                     "initContainers": [{"name": "setup", "image": "setup:1"}],
                     "containers": [{"name": "web", "image": "web:1", "ports": [
                        {"name": "http", "containerPort": 8080, "protocol": "TCP"},
                        {"name": "metrics", "containerPort": 9100, "protocol": "TCP"}]}]},
            "status": {"podIP": "10.1.0.5", "hostIP": "10.0.0.1", "phase": "Running",
                       "conditions": [{"type": "Ready", "status": "True"}],
                       "containerStatuses": [{"name": "web", "image": "web:1", "imageID": "", "ready": true,
                                              "restartCount": 0, "containerID": "containerd://abc"}]}}),
    );
    put(
        &mut cluster.pods,
        json!({
            "metadata": {"name": "night-1-x", "namespace": "shop", "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": "night-1", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "n2", "containers": [{"name": "run"}]},
            "status": {"podIP": "fd00::7", "phase": "Succeeded"}}),
    );
    put(
        &mut cluster.pods,
        json!({"metadata": {"name": "pending", "namespace": "shop"},
               "spec": {"containers": [{"name": "c"}]}, "status": {"phase": "Pending"}}),
    );
    put(
        &mut cluster.services,
        json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
               "spec": {"type": "ClusterIP", "clusterIP": "10.96.0.7", "ipFamilies": ["IPv4"],
                        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]}}),
    );
    put(
        &mut cluster.endpoints,
        json!({"metadata": {"name": "web", "namespace": "shop"},
               "subsets": [{
                   "addresses": [{"ip": "10.1.0.5", "nodeName": "n1", "targetRef": {
                        "kind": "Pod", "name": "web-7d-x", "namespace": "shop"}}],
                   "notReadyAddresses": [{"ip": "10.1.0.6", "hostname": "h"}],
                   "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}]}),
    );
    put(
        &mut cluster.slices,
        json!({"metadata": {"name": "web-abc", "namespace": "shop",
                            "labels": {"kubernetes.io/service-name": "web"}},
               "addressType": "IPv4",
               "endpoints": [{"addresses": ["10.1.0.5"], "nodeName": "n1", "zone": "z1",
                              "conditions": {"ready": true, "serving": true, "terminating": false},
                              "targetRef": {"kind": "Pod", "name": "web-7d-x", "namespace": "shop"}}],
               "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "h2c"}]}),
    );
    put(
        &mut cluster.ingresses,
        json!({"metadata": {"name": "web", "namespace": "shop", "annotations": {"x": "y"}},
               "spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["*.example.org"]}],
                        "rules": [{"host": "www.example.org", "http": {"paths": [
                            {"path": "/a", "pathType": "Prefix", "backend": {}},
                            {"pathType": "Prefix", "backend": {}}]}},
                                  {"host": "plain.example.net"}]}}),
    );
    cluster
}

const ALL: AttachMetadata =
    AttachMetadata { node: true, namespace: true, deployment: true, job: true, cron_job: true };

fn addresses(groups: &[TargetGroup]) -> Vec<&str> {
    groups.iter().map(|group| group.targets[0].as_str()).collect()
}

/// A group's labels without their prefix.
fn shown(group: &TargetGroup) -> Vec<String> {
    let short = |name: &str| name.strip_prefix("__meta_kubernetes_").unwrap_or(name).to_owned();
    group.labels.iter().map(|(name, value)| format!("{}={value}", short(name))).collect()
}

#[test]
fn nodes_are_reached_at_their_kubelet() {
    let groups = cluster().groups(Role::Node, AttachMetadata::default());
    assert_eq!(addresses(&groups), ["10.0.0.1:10250"], "a node without an address is no target");
    let expected = [
        "node_address_Hostname=n1",
        "node_address_InternalIP=10.0.0.1",
        "node_annotation_a_b=c",
        "node_annotationpresent_a_b=true",
        "node_condition_ready=true",
        "node_label_topology_kubernetes_io_zone=z1",
        "node_labelpresent_topology_kubernetes_io_zone=true",
        "node_name=n1",
        "node_provider_id=kind://n1",
        "instance=n1",
    ];
    assert_eq!(shown(&groups[0]), expected);
}

#[test]
fn ports_of_containers_are_targets() {
    let groups = cluster().groups(Role::Pod, AttachMetadata::default());
    let expected = ["fd00::7", "10.1.0.5:8080", "10.1.0.5:9100", "10.1.0.5"];
    assert_eq!(addresses(&groups), expected);
    let expected = [
        "namespace=shop",
        "pod_annotation_prometheus_io_scrape=true",
        "pod_annotationpresent_prometheus_io_scrape=true",
        "pod_container_id=containerd://abc",
        "pod_container_image=web:1",
        "pod_container_init=false",
        "pod_container_name=web",
        "pod_container_port_name=http",
        "pod_container_port_number=8080",
        "pod_container_port_protocol=TCP",
        "pod_controller_kind=ReplicaSet",
        "pod_controller_name=web-7d",
        "pod_host_ip=10.0.0.1",
        "pod_ip=10.1.0.5",
        "pod_label_app_kubernetes_io_name=web",
        "pod_labelpresent_app_kubernetes_io_name=true",
        "pod_name=web-7d-x",
        "pod_node_name=n1",
        "pod_phase=Running",
        "pod_ready=true",
        "pod_uid=p1",
    ];
    assert_eq!(shown(&groups[1]), expected);
    assert!(shown(&groups[3]).contains(&"pod_container_init=true".to_owned()));
    assert!(shown(&groups[0]).contains(&"pod_ready=unknown".to_owned()));
}

#[test]
fn related_objects_are_attached_when_wanted() {
    let mut cluster = cluster();
    let groups = cluster.groups(Role::Pod, ALL);
    let labels = shown(&groups[1]);
    for label in [
        "namespace_label_team=a",
        "node_label_topology_kubernetes_io_zone=z1",
        "node_name=n1",
        "pod_deployment_name=web",
    ] {
        assert!(labels.contains(&label.to_owned()), "{label}: {labels:?}");
    }
    let labels = shown(&groups[0]);
    for label in ["pod_job_name=night-1", "pod_cronjob_name=night"] {
        assert!(labels.contains(&label.to_owned()), "{label}: {labels:?}");
    }
    // A selector of nodes leaves out the pods of the others.
    cluster.nodes.retain(|key, _| key.name == "n2");
    assert_eq!(addresses(&cluster.groups(Role::Pod, ALL)), ["fd00::7"]);
}

#[test]
fn services_are_targets_by_name() {
    let groups = cluster().groups(Role::Service, AttachMetadata::default());
    assert_eq!(addresses(&groups), ["web.shop.svc:80"]);
    let expected = [
        "namespace=shop",
        "service_cluster_ip=10.96.0.7",
        "service_label_app=web",
        "service_labelpresent_app=true",
        "service_name=web",
        "service_port_name=http",
        "service_port_number=80",
        "service_port_protocol=TCP",
        "service_type=ClusterIP",
    ];
    assert_eq!(shown(&groups[0]), expected);
}

#[test]
fn endpoints_bring_their_pods() {
    let groups = cluster()
        .groups(Role::Endpoints, AttachMetadata { node: true, ..AttachMetadata::default() });
    assert_eq!(addresses(&groups), ["10.1.0.5:8080", "10.1.0.6:8080", "10.1.0.5:9100"]);
    let labels = shown(&groups[0]);
    for label in [
        "endpoint_address_target_kind=Pod",
        "endpoint_address_target_name=web-7d-x",
        "endpoint_node_name=n1",
        "endpoint_port_name=http",
        "endpoint_port_protocol=TCP",
        "endpoint_ready=true",
        "endpoints_name=web",
        "namespace=shop",
        "node_name=n1",
        "pod_container_port_number=8080",
        "pod_name=web-7d-x",
        "service_label_app=web",
        "service_name=web",
    ] {
        assert!(labels.contains(&label.to_owned()), "{label}: {labels:?}");
    }
    let waiting = shown(&groups[1]);
    for label in ["endpoint_ready=false", "endpoint_hostname=h"] {
        assert!(waiting.contains(&label.to_owned()), "{label}: {waiting:?}");
    }
    let other = shown(&groups[2]);
    assert!(other.contains(&"pod_container_port_name=metrics".to_owned()), "{other:?}");
    assert!(!other.iter().any(|label| label.starts_with("endpoint_port")), "{other:?}");
}

#[test]
fn slices_are_as_endpoints() {
    let mut cluster = cluster();
    let groups = cluster.groups(Role::EndpointSlice, AttachMetadata::default());
    assert_eq!(addresses(&groups), ["10.1.0.5:8080", "10.1.0.5:9100"]);
    let labels = shown(&groups[0]);
    for label in [
        "endpointslice_address_target_kind=Pod",
        "endpointslice_address_target_name=web-7d-x",
        "endpointslice_address_type=IPv4",
        "endpointslice_endpoint_conditions_ready=true",
        "endpointslice_endpoint_conditions_serving=true",
        "endpointslice_endpoint_conditions_terminating=false",
        "endpointslice_endpoint_node_name=n1",
        "endpointslice_endpoint_zone=z1",
        "endpointslice_label_kubernetes_io_service_name=web",
        "endpointslice_name=web-abc",
        "endpointslice_port=8080",
        "endpointslice_port_app_protocol=h2c",
        "endpointslice_port_name=http",
        "endpointslice_port_protocol=TCP",
        "pod_name=web-7d-x",
        "service_name=web",
    ] {
        assert!(labels.contains(&label.to_owned()), "{label}: {labels:?}");
    }
    // The second addresses of a service with two families are the same targets again.
    put(
        &mut cluster.services,
        json!({"metadata": {"name": "web", "namespace": "shop"},
               "spec": {"ipFamilies": ["IPv6", "IPv4"]}}),
    );
    assert!(cluster.groups(Role::EndpointSlice, AttachMetadata::default()).is_empty());
}

#[test]
fn paths_of_ingresses_are_targets() {
    let groups = cluster().groups(Role::Ingress, AttachMetadata::default());
    let expected = ["www.example.org", "www.example.org", "plain.example.net"];
    assert_eq!(addresses(&groups), expected);
    let expected = [
        "ingress_annotation_x=y",
        "ingress_annotationpresent_x=true",
        "ingress_class_name=nginx",
        "ingress_host=www.example.org",
        "ingress_name=web",
        "ingress_path=/a",
        "ingress_scheme=https",
        "namespace=shop",
    ];
    assert_eq!(shown(&groups[0]), expected);
    assert!(shown(&groups[1]).contains(&"ingress_path=/".to_owned()));
    assert!(shown(&groups[2]).contains(&"ingress_scheme=http".to_owned()));
}
