use serde_json::json;

use super::*;

fn service(ports: serde_json::Value) -> Service {
    let service = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": ports, "clusterIP": "127.96.0.1"},
    });
    serde_json::from_value(service).expect("a service")
}

fn pod(name: &str, ip: &str, ready: bool) -> Arc<Pod> {
    let pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n1", "containers": [
            {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": ip, "conditions": [
            {"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    });
    Arc::new(serde_json::from_value(pod).expect("a pod"))
}

fn created(plan: Plan) -> Endpoints {
    match plan {
        Plan::Create(endpoints) | Plan::Replace(endpoints) => *endpoints,
        other => panic!("expected endpoints, got {other:?}"),
    }
}

#[test]
fn ready_and_unready_pods_stand_apart_and_named_ports_are_looked_up() {
    let service =
        service(json!([{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]));
    let pods =
        [pod("b", "127.64.0.3", true), pod("a", "127.64.0.2", true), pod("c", "127.64.0.4", false)];
    let observed = Observed { service: Some(&service), endpoints: None, pods: &pods };
    let endpoints = created(reconcile(&observed));
    let subsets = endpoints.subsets.as_ref().expect("subsets");
    assert_eq!(subsets.len(), 1);
    let ips = |addresses: &Option<Vec<EndpointAddress>>| -> Vec<String> {
        addresses.iter().flatten().map(|address| address.ip.clone()).collect()
    };
    assert_eq!(ips(&subsets[0].addresses), ["127.64.0.2", "127.64.0.3"]);
    assert_eq!(ips(&subsets[0].not_ready_addresses), ["127.64.0.4"]);
    assert_eq!(subsets[0].ports.as_ref().expect("ports")[0].port, 8080);
    let again = Observed { service: Some(&service), endpoints: Some(&endpoints), pods: &pods };
    assert_eq!(reconcile(&again), Plan::Nothing);
    let mut turned = pods.clone();
    turned.reverse();
    let again = Observed { service: Some(&service), endpoints: Some(&endpoints), pods: &turned };
    assert_eq!(reconcile(&again), Plan::Nothing, "the order of pods does not matter");
}

#[test]
fn pods_that_go_ended_or_have_no_address_are_left_out() {
    let service = service(json!([{"port": 80}]));
    let mut going = (*pod("a", "127.64.0.2", true)).clone();
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        k8s_openapi::jiff::Timestamp::UNIX_EPOCH,
    ));
    let mut ended = (*pod("b", "127.64.0.3", true)).clone();
    ended.status.as_mut().expect("a status").phase = Some("Failed".to_owned());
    let pods = [Arc::new(going), Arc::new(ended), pod("c", "", true)];
    let observed = Observed { service: Some(&service), endpoints: None, pods: &pods };
    assert_eq!(created(reconcile(&observed)).subsets, None);
}

#[test]
fn services_without_selector_are_left_alone_and_orphans_deleted() {
    let mut bare = service(json!([{"port": 80}]));
    bare.spec.as_mut().expect("a spec").selector = None;
    let observed = Observed { service: Some(&bare), endpoints: None, pods: &[] };
    assert_eq!(reconcile(&observed), Plan::Nothing);
    let full = service(json!([{"port": 80}]));
    let observed = Observed { service: Some(&full), endpoints: None, pods: &[] };
    let kept = created(reconcile(&observed));
    let gone = Observed { service: None, endpoints: Some(&kept), pods: &[] };
    assert_eq!(reconcile(&gone), Plan::Delete);
    let mut foreign = kept;
    foreign.metadata.annotations = None;
    let gone = Observed { service: None, endpoints: Some(&foreign), pods: &[] };
    assert_eq!(reconcile(&gone), Plan::Nothing);
}
