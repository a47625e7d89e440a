//! Owners, namespaces and events: what the server does by itself.

mod harness;

use std::sync::Arc;

use harness::{DEPLOYMENTS, Harness, PODS, deployment, pod};
use http::StatusCode;
use serde_json::{Value, json};
use swell_env::ManualClock;
use swell_model::{DurationMs, TimestampMs};
use swell_store::{Config, EmbeddedStore};

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

/// A deployment, its replica set and a pod of that.
async fn family(api: &Harness) {
    let owner = api.must("POST", DEPLOYMENTS, Some(deployment("web", 1))).await;
    let reference = |kind: &str, owner: &Value| {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true}])
    };
    let mut set = deployment("web-1", 1);
    set["kind"] = json!("ReplicaSet");
    set["metadata"]["ownerReferences"] = reference("Deployment", &owner);
    let set = api.must("POST", SETS, Some(set)).await;
    let mut child = pod("web-1-a");
    child["metadata"]["ownerReferences"] = reference("ReplicaSet", &set);
    api.must("POST", PODS, Some(child)).await;
}

#[tokio::test]
async fn what_is_owned_goes_with_its_owner() {
    for policy in ["Background", "Foreground"] {
        let api = Harness::start().await;
        family(&api).await;
        api.must(
            "DELETE",
            &format!("{DEPLOYMENTS}/web"),
            Some(json!({"propagationPolicy": policy})),
        )
        .await;
        api.wait_for(&format!("{PODS}/web-1-a"), StatusCode::NOT_FOUND).await;
        api.wait_for(&format!("{SETS}/web-1"), StatusCode::NOT_FOUND).await;
        api.wait_for(&format!("{DEPLOYMENTS}/web"), StatusCode::NOT_FOUND).await;
    }
}

#[tokio::test]
async fn in_the_foreground_the_owner_stays_until_a_bound_pod_has_stopped() {
    let api = Harness::start().await;
    family(&api).await;
    let binding = json!({"target": {"name": "n1"}});
    api.must("POST", &format!("{PODS}/web-1-a/binding"), Some(binding)).await;
    api.must(
        "DELETE",
        &format!("{DEPLOYMENTS}/web"),
        Some(json!({"propagationPolicy": "Foreground"})),
    )
    .await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while api.get(&format!("{PODS}/web-1-a")).await["metadata"]["deletionTimestamp"].is_null() {
        assert!(tokio::time::Instant::now() < deadline, "the pod is not told to stop");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    api.get(&format!("{DEPLOYMENTS}/web")).await;
    api.must("DELETE", &format!("{PODS}/web-1-a"), Some(json!({"gracePeriodSeconds": 0}))).await;
    api.wait_for(&format!("{DEPLOYMENTS}/web"), StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn orphans_stay_without_an_owner() {
    let api = Harness::start().await;
    family(&api).await;
    api.must("DELETE", &format!("{DEPLOYMENTS}/web"), Some(json!({"propagationPolicy": "Orphan"})))
        .await;
    api.wait_for(&format!("{DEPLOYMENTS}/web"), StatusCode::NOT_FOUND).await;
    let set = api.get(&format!("{SETS}/web-1")).await;
    let owners = set["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
    assert_eq!(owners, 0, "{set}");
    api.get(&format!("{PODS}/web-1-a")).await;
}

#[tokio::test]
async fn an_owner_that_never_was_is_no_owner() {
    let api = Harness::start().await;
    let mut child = pod("lost");
    child["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "gone", "uid": "no-such-uid"}]);
    api.must("POST", PODS, Some(child)).await;
    api.wait_for(&format!("{PODS}/lost"), StatusCode::NOT_FOUND).await;
}

#[tokio::test]
async fn a_namespace_goes_after_its_content() {
    let api = Harness::start().await;
    let namespaces = "/api/v1/namespaces";
    let created = api.must("POST", namespaces, Some(json!({"metadata": {"name": "shop"}}))).await;
    assert_eq!(created["status"]["phase"], "Active");
    assert_eq!(created["metadata"]["labels"]["kubernetes.io/metadata.name"], "shop");
    let pods = format!("{namespaces}/shop/pods");
    for name in ["a", "b"] {
        api.must("POST", &pods, Some(pod(name))).await;
    }
    api.must("POST", &format!("{pods}/b/binding"), Some(json!({"target": {"name": "n1"}}))).await;
    let going = api.must("DELETE", &format!("{namespaces}/shop"), None).await;
    assert_eq!(going["status"]["phase"], "Terminating");
    api.wait_for(&format!("{pods}/a"), StatusCode::NOT_FOUND).await;
    let (status, refused) = api.call("POST", &pods, Some(pod("c"))).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
    assert!(refused["message"].as_str().is_some_and(|text| text.contains("being terminated")));
    api.must("DELETE", &format!("{pods}/b"), Some(json!({"gracePeriodSeconds": 0}))).await;
    api.wait_for(&format!("{namespaces}/shop"), StatusCode::NOT_FOUND).await;
    let (status, _) = api.call("DELETE", &format!("{namespaces}/default"), None).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn old_events_are_removed_at_start_and_the_rest_is_as_it_was() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("objects.redb");
    let open = || Arc::new(EmbeddedStore::open(&path, Config::default()).expect("opens"));
    let events = "/api/v1/namespaces/default/events";
    let clock = Arc::new(ManualClock::new(TimestampMs(1_767_225_600_000)));
    let event = |name: &str| json!({"metadata": {"name": name}, "involvedObject": {"namespace": "default"}});
    let service = {
        let api = Harness::over(open(), clock.clone(), None).await;
        api.must("POST", events, Some(event("old"))).await;
        clock.advance(DurationMs::from_secs(3000));
        api.must("POST", events, Some(event("new"))).await;
        let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
        api.must("POST", "/api/v1/namespaces/default/services", Some(service)).await
    };
    clock.advance(DurationMs::from_secs(700));
    let api = Harness::over(reopen(&path).await, clock, None).await;
    api.wait_for(&format!("{events}/old"), StatusCode::NOT_FOUND).await;
    api.get(&format!("{events}/new")).await;
    let found = api.get("/api/v1/namespaces/default/services/s").await;
    assert_eq!(found, service);
    let same = json!({"metadata": {"name": "t"}, "spec": {"clusterIP": service["spec"]["clusterIP"], "ports": [{"port": 80}]}});
    let (status, _) = api.call("POST", "/api/v1/namespaces/default/services", Some(same)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "the address is still taken");
}

/// Opens the store as soon as the last user of it is gone.
async fn reopen(path: &std::path::Path) -> Arc<EmbeddedStore> {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match EmbeddedStore::open(path, Config::default()) {
            Ok(store) => return Arc::new(store),
            Err(error) => {
                assert!(tokio::time::Instant::now() < deadline, "{error}");
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
}
