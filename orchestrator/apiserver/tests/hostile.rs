//! Requests that no honest client makes: refused, without harm to the server.

mod harness;

use harness::{DEPLOYMENTS, Harness, PODS, deployment, pod};
use http::StatusCode;
use serde_json::{Value, json};

const SERVICES: &str = "/api/v1/namespaces/default/services";

#[tokio::test]
async fn the_longest_watch_can_be_asked_for() {
    let api = Harness::start().await;
    let path = format!("{PODS}?watch=true&timeoutSeconds={}", u64::MAX);
    let request = http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
    let answer = tower::ServiceExt::oneshot(api.router.clone(), request).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_longest_time_to_stop_ends_in_the_future() {
    let api = Harness::start().await;
    api.must("POST", PODS, Some(pod("p"))).await;
    let binding = json!({"target": {"name": "n1"}});
    api.must("POST", &format!("{PODS}/p/binding"), Some(binding)).await;
    let options = json!({"gracePeriodSeconds": i64::MAX});
    let deleted = api.must("DELETE", &format!("{PODS}/p"), Some(options)).await;
    let at = deleted["metadata"]["deletionTimestamp"].as_str().expect("a time");
    let at: jiff::Timestamp = at.parse().expect("a time");
    assert!(at > jiff::Timestamp::from_second(3_900_000_000).expect("a time"), "{at}");
}

#[tokio::test]
async fn options_that_are_not_understood_delete_nothing() {
    let api = Harness::start().await;
    api.must("POST", PODS, Some(pod("p"))).await;
    let path = format!("{PODS}/p");
    for options in [
        json!({"preconditions": {"uid": 5}}),
        json!({"preconditions": "uid"}),
        json!({"gracePeriodSeconds": "0"}),
        json!({"dryRun": "All"}),
        json!(["dryRun"]),
        json!("All"),
    ] {
        let (status, answer) = api.call("DELETE", &path, Some(options.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{options}: {answer}");
    }
    api.get(&path).await;
}

#[tokio::test]
async fn a_scale_without_shape_changes_nothing() {
    let api = Harness::start().await;
    api.must("POST", DEPLOYMENTS, Some(deployment("web", 2))).await;
    let path = format!("{DEPLOYMENTS}/web/scale");
    for scale in [json!([]), json!("5"), json!({"spec": 5}), json!({"spec": {"replicas": "5"}})] {
        let (status, answer) = api.call("PUT", &path, Some(scale.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{scale}: {answer}");
    }
    let wanted = json!({"metadata": {"resourceVersion": "newest"}, "spec": {"replicas": 0}});
    let (status, answer) = api.call("PUT", &path, Some(wanted)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(api.get(&path).await["spec"]["replicas"], 2);
}

#[tokio::test]
async fn a_revision_that_is_none_is_no_permission_to_overwrite() {
    let api = Harness::start().await;
    let mut object = api.must("POST", DEPLOYMENTS, Some(deployment("web", 2))).await;
    object["metadata"]["resourceVersion"] = json!("newest");
    object["spec"]["replicas"] = json!(7);
    let path = format!("{DEPLOYMENTS}/web");
    let (status, answer) = api.call("PUT", &path, Some(object)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.contains("metadata.resourceVersion: Invalid value: \"newest\""), "{message}");
    assert_eq!(api.get(&path).await["spec"]["replicas"], 2);
}

/// What is stored must be readable again: the server reads no JSON nested deeper than 128 levels.
#[tokio::test]
async fn deep_objects_are_refused() {
    let api = Harness::start().await;
    let nested = |levels| (0..levels).fold(json!({}), |inner, _| json!({"f:a": inner}));
    let with_fields = |fields: Value| {
        let mut object = deployment("web", 1);
        object["metadata"]["managedFields"] = json!([{
            "manager": "m", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields
        }]);
        object
    };
    let (status, answer) = api.call("POST", DEPLOYMENTS, Some(with_fields(nested(110)))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    api.must("POST", DEPLOYMENTS, Some(with_fields(nested(50)))).await;
    let nesting: Vec<_> = (0..100)
        .map(|_| {
            let fields = "/metadata/managedFields/0/fieldsV1";
            json!({"op": "copy", "from": fields, "path": format!("{fields}/f:b")})
        })
        .collect();
    let path = format!("{DEPLOYMENTS}/web");
    let kind = "application/json-patch+json";
    let answer = api.call_as("PATCH", &path, "application/json", kind, Some(json!(nesting))).await;
    assert_eq!(answer.0, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.1["message"]);
    let yaml = "a: {".repeat(3000) + &"}".repeat(3000);
    let request = http::Request::patch(format!("{path}?fieldManager=m"))
        .header("content-type", "application/apply-patch+yaml")
        .body(axum::body::Body::from(yaml))
        .expect("a request");
    let answer = tower::ServiceExt::oneshot(api.router.clone(), request).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    api.get(&path).await;
}

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn a_service_that_changes_its_type_takes_and_gives_back_its_address() {
    let api = Harness::start().await;
    let ports = json!([{"port": 80}]);
    let taken = api.must("POST", SERVICES, Some(service("a", json!({"ports": ports})))).await;
    let address = taken["spec"]["clusterIP"].as_str().expect("an address").to_owned();
    let external = json!({"type": "ExternalName", "externalName": "example.org"});
    let mut other = api.must("POST", SERVICES, Some(service("b", external.clone()))).await;
    other["spec"] = json!({"type": "ClusterIP", "clusterIP": address, "ports": ports});
    let path = format!("{SERVICES}/b");
    let (status, answer) = api.call("PUT", &path, Some(other.clone())).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "the address is taken: {answer}");

    let mut first = taken;
    first["spec"] = external;
    api.must("PUT", &format!("{SERVICES}/a"), Some(first)).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let (status, answer) = api.call("PUT", &path, Some(other.clone())).await;
        if status.is_success() {
            assert_eq!(answer["spec"]["clusterIP"], address);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "never given back: {answer}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}
