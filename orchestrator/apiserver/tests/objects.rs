//! Objects through the API: create, read, change, delete, and what is refused.

mod harness;

use harness::{DEPLOYMENTS, Harness, PODS, deployment, pod};
use http::StatusCode;
use serde_json::{Value, json};

fn check_status(answer: &(StatusCode, Value), code: u16, reason: &str, part: &str) {
    assert_eq!(answer.0.as_u16(), code, "{}", answer.1);
    assert_eq!(answer.1["kind"], "Status", "{}", answer.1);
    assert_eq!(answer.1["reason"], reason, "{}", answer.1);
    let message = answer.1["message"].as_str().expect("a message");
    assert!(message.contains(part), "{message:?} lacks {part:?}");
}

#[tokio::test]
async fn a_deployment_lives_through_its_verbs() {
    let api = Harness::start().await;
    let created = api.must("POST", DEPLOYMENTS, Some(deployment("web", 2))).await;
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(created["spec"]["strategy"]["type"], "RollingUpdate");
    assert!(created["metadata"]["uid"].as_str().is_some_and(|uid| uid.len() == 36));
    let again = api.call("POST", DEPLOYMENTS, Some(deployment("web", 2))).await;
    check_status(&again, 409, "AlreadyExists", "deployments.apps \"web\" already exists");

    let path = format!("{DEPLOYMENTS}/web");
    let mut changed = api.get(&path).await;
    changed["spec"]["replicas"] = json!(3);
    let replaced = api.must("PUT", &path, Some(changed.clone())).await;
    assert_eq!(
        (&replaced["spec"]["replicas"], &replaced["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    let stale = api.call("PUT", &path, Some(changed)).await;
    check_status(&stale, 409, "Conflict", "the object has been modified");

    let mut with_status = replaced.clone();
    with_status["status"] = json!({"replicas": 3, "observedGeneration": 2});
    with_status["spec"]["replicas"] = json!(99);
    let updated = api.must("PUT", &format!("{path}/status"), Some(with_status)).await;
    assert_eq!(updated["status"]["replicas"], 3);
    assert_eq!(
        (&updated["spec"]["replicas"], &updated["metadata"]["generation"]),
        (&json!(3), &json!(2))
    );
    let same = api.must("PUT", &path, Some(updated.clone())).await;
    assert_eq!(same, updated, "a change of nothing is no change");

    let deleted = api.must("DELETE", &path, None).await;
    assert_eq!(deleted["status"], "Success");
    check_status(
        &api.call("GET", &path, None).await,
        404,
        "NotFound",
        "deployments.apps \"web\" not found",
    );
}

#[tokio::test]
async fn refusals_name_the_field_and_the_rule() {
    let api = Harness::start().await;
    let mut bad = deployment("web", 2);
    bad["spec"]["template"]["spec"]["containers"][0]["imagee"] = json!("x");
    let strict =
        api.call("POST", &format!("{DEPLOYMENTS}?fieldValidation=Strict"), Some(bad)).await;
    check_status(
        &strict,
        400,
        "BadRequest",
        "strict decoding error: unknown field \"spec.template.spec.containers[0].imagee\"",
    );
    let mut bad = deployment("web", 2);
    bad["spec"]["replicas"] = json!("two");
    check_status(
        &api.call("POST", DEPLOYMENTS, Some(bad)).await,
        400,
        "BadRequest",
        "spec.replicas: must be an integer",
    );
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "minReplicas": 3, "maxReplicas": 1}
    });
    let hpas = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let impossible = api.call("POST", hpas, Some(hpa)).await;
    check_status(
        &impossible,
        422,
        "Invalid",
        "HorizontalPodAutoscaler.autoscaling \"web\" is invalid: spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`",
    );
    assert_eq!(impossible.1["details"]["causes"][0]["field"], "spec.maxReplicas");

    let wrong_kind = api.call("POST", DEPLOYMENTS, Some(pod("p"))).await;
    check_status(&wrong_kind, 400, "BadRequest", "does not match the expected API version");
    let elsewhere = json!({"metadata": {"name": "p", "namespace": "other"}, "spec": {}});
    check_status(
        &api.call("POST", PODS, Some(elsewhere)).await,
        400,
        "BadRequest",
        "namespace of the provided object",
    );
    let nowhere = api.call("POST", "/api/v1/namespaces/missing/pods", Some(pod("p"))).await;
    check_status(&nowhere, 404, "NotFound", "namespaces \"missing\" not found");
    check_status(
        &api.call("GET", "/apis/nope/v1/things", None).await,
        404,
        "NotFound",
        "could not find",
    );
    check_status(&api.call("PATCH", PODS, None).await, 405, "MethodNotAllowed", "does not allow");
    let selector = api.call("GET", &format!("{PODS}?fieldSelector=spec.colour=red"), None).await;
    check_status(&selector, 400, "BadRequest", "field label not supported: spec.colour");
    let huge = json!({"metadata": {"name": "p", "annotations": {"a": "x".repeat(4 << 20)}}});
    check_status(
        &api.call("POST", PODS, Some(huge)).await,
        413,
        "RequestEntityTooLarge",
        "limit is",
    );
    let yaml = api.call_as("POST", PODS, "*/*", "application/yaml", Some(pod("p"))).await;
    check_status(&yaml, 415, "UnsupportedMediaType", "application/yaml");
    let text = api.call_as("GET", PODS, "text/html", "", None).await;
    check_status(&text, 406, "NotAcceptable", "application/json");
}

#[tokio::test]
async fn dry_runs_leave_nothing_behind() {
    let api = Harness::start().await;
    let dry =
        api.must("POST", &format!("{DEPLOYMENTS}?dryRun=All"), Some(deployment("web", 1))).await;
    assert_eq!(dry["spec"]["replicas"], 1);
    let before = api.store.revision();
    check_status(
        &api.call("GET", &format!("{DEPLOYMENTS}/web"), None).await,
        404,
        "NotFound",
        "web",
    );
    let service = json!({"metadata": {"name": "s"}, "spec": {"clusterIP": "127.96.0.77", "ports": [{"port": 80}]}});
    let services = "/api/v1/namespaces/default/services";
    for _ in 0..2 {
        api.must("POST", &format!("{services}?dryRun=All"), Some(service.clone())).await;
    }
    assert_eq!(api.store.revision(), before);
    api.must("POST", services, Some(service)).await;
    api.must("DELETE", &format!("{services}/s?dryRun=All"), None).await;
    api.get(&format!("{services}/s")).await;
}

#[tokio::test]
async fn patches_of_every_form_are_applied() {
    let api = Harness::start().await;
    api.must("POST", DEPLOYMENTS, Some(deployment("web", 1))).await;
    let path = format!("{DEPLOYMENTS}/web");
    for (form, patch, replicas, image) in [
        ("application/merge-patch+json", json!({"spec": {"replicas": 2}}), 2, "host"),
        (
            "application/strategic-merge-patch+json",
            json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "host:2"}]}}}}),
            2,
            "host:2",
        ),
        (
            "application/json-patch+json",
            json!([{"op": "replace", "path": "/spec/replicas", "value": 4}]),
            4,
            "host:2",
        ),
    ] {
        let (status, patched) = api.call_as("PATCH", &path, "*/*", form, Some(patch)).await;
        assert_eq!(status, StatusCode::OK, "{patched}");
        assert_eq!(patched["spec"]["replicas"], replicas);
        let container = &patched["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            (&container["image"], &container["command"][0]),
            (&json!(image), &json!("sleep"))
        );
    }
    let failing = json!([{"op": "test", "path": "/spec/replicas", "value": 9}]);
    let refused =
        api.call_as("PATCH", &path, "*/*", "application/json-patch+json", Some(failing)).await;
    check_status(&refused, 422, "Invalid", "error in our request");
    let stale = json!({"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 1}});
    let refused =
        api.call_as("PATCH", &path, "*/*", "application/merge-patch+json", Some(stale)).await;
    check_status(&refused, 409, "Conflict", "modified");
    let status = json!({"status": {"replicas": 4}});
    let (_, patched) = api
        .call_as(
            "PATCH",
            &format!("{path}/status"),
            "*/*",
            "application/merge-patch+json",
            Some(status),
        )
        .await;
    assert_eq!(patched["status"]["replicas"], 4);
}

#[tokio::test]
async fn server_side_apply_creates_changes_and_conflicts() {
    let api = Harness::start().await;
    let path = format!("{DEPLOYMENTS}/web?fieldManager=me");
    let form = "application/apply-patch+yaml";
    let (status, _) = api.call_as("PATCH", &path, "*/*", form, Some(deployment("web", 1))).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, changed) =
        api.call_as("PATCH", &path, "*/*", form, Some(deployment("web", 2))).await;
    assert_eq!((status, &changed["spec"]["replicas"]), (StatusCode::OK, &json!(2)));
    assert_eq!(changed["metadata"]["managedFields"][0]["manager"], "me");
    let revision = changed["metadata"]["resourceVersion"].clone();
    let (_, same) = api.call_as("PATCH", &path, "*/*", form, Some(deployment("web", 2))).await;
    assert_eq!(same["metadata"]["resourceVersion"], revision, "applying again changes nothing");
    let other = format!("{DEPLOYMENTS}/web?fieldManager=you");
    let refused = api.call_as("PATCH", &other, "*/*", form, Some(deployment("web", 5))).await;
    check_status(&refused, 409, "Conflict", "conflict with \"me\": .spec.replicas");
    let forced = format!("{other}&force=true");
    let (_, changed) = api.call_as("PATCH", &forced, "*/*", form, Some(deployment("web", 5))).await;
    assert_eq!(changed["spec"]["replicas"], 5);
}

#[tokio::test]
async fn scale_reads_and_writes_replicas_only() {
    let api = Harness::start().await;
    api.must("POST", DEPLOYMENTS, Some(deployment("web", 2))).await;
    let path = format!("{DEPLOYMENTS}/web/scale");
    let scale = api.get(&path).await;
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    assert_eq!(scale["status"]["selector"], "app=web");
    let (_, scaled) = api
        .call_as(
            "PATCH",
            &path,
            "*/*",
            "application/merge-patch+json",
            Some(json!({"spec": {"replicas": 0}})),
        )
        .await;
    assert_eq!(scaled["spec"]["replicas"], 0);
    let stale = api.call("PUT", &path, Some(scale)).await;
    check_status(&stale, 409, "Conflict", "modified");
    let negative = json!({"spec": {"replicas": -1}});
    check_status(&api.call("PUT", &path, Some(negative)).await, 422, "Invalid", "spec.replicas");
}

#[tokio::test]
async fn autoscalers_are_one_object_in_two_versions() {
    let api = Harness::start().await;
    let v1 = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let v2 = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let body = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "targetCPUUtilizationPercentage": 50}
    });
    let created = api.must("POST", v1, Some(body)).await;
    assert_eq!(created["spec"]["targetCPUUtilizationPercentage"], 50);
    let new = api.get(&format!("{v2}/web")).await;
    assert_eq!(new["apiVersion"], "autoscaling/v2");
    assert_eq!(new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 50);
    let patch = json!({"spec": {"targetCPUUtilizationPercentage": 70}});
    let path = format!("{v1}/web");
    let (status, patched) =
        api.call_as("PATCH", &path, "*/*", "application/merge-patch+json", Some(patch)).await;
    assert_eq!(
        (status, &patched["spec"]["targetCPUUtilizationPercentage"]),
        (StatusCode::OK, &json!(70))
    );
    let list = api.get(v2).await;
    assert_eq!(
        list["items"][0]["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"],
        70
    );
}

#[tokio::test]
async fn names_are_generated_and_service_addresses_given_out_and_taken_back() {
    let api = Harness::start().await;
    let mut generated = pod("x");
    generated["metadata"] = json!({"generateName": "web-"});
    let created = api.must("POST", PODS, Some(generated)).await;
    let name = created["metadata"]["name"].as_str().expect("a name");
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");

    let services = "/api/v1/namespaces/default/services";
    let service = |name: &str, ip: &str| json!({"metadata": {"name": name}, "spec": {"clusterIP": ip, "ports": [{"port": 80}]}});
    let first = api.must("POST", services, Some(service("a", ""))).await;
    assert_eq!(first["spec"]["clusterIP"], "127.96.0.1");
    let taken = api.call("POST", services, Some(service("b", "127.96.0.1"))).await;
    check_status(&taken, 422, "Invalid", "already allocated");
    let outside = api.call("POST", services, Some(service("b", "10.0.0.1"))).await;
    check_status(&outside, 422, "Invalid", "does not match the current range");
    let headless = api.must("POST", services, Some(service("h", "None"))).await;
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let mut without = first.clone();
    without["spec"].as_object_mut().expect("a spec").remove("clusterIP");
    let kept = api.must("PUT", &format!("{services}/a"), Some(without)).await;
    assert_eq!(kept["spec"]["clusterIP"], "127.96.0.1");
    api.must("DELETE", &format!("{services}/a"), None).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while api.call("POST", services, Some(service("c", "127.96.0.1"))).await.0
        != StatusCode::CREATED
    {
        assert!(tokio::time::Instant::now() < deadline, "the address does not come back");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn pods_are_bound_once_and_stop_gracefully() {
    let api = Harness::start().await;
    api.must("POST", PODS, Some(pod("p"))).await;
    let binding = json!({"target": {"kind": "Node", "name": "n1"}});
    api.must("POST", &format!("{PODS}/p/binding"), Some(binding.clone())).await;
    let again = api.call("POST", &format!("{PODS}/p/binding"), Some(binding)).await;
    check_status(&again, 409, "Conflict", "already assigned to node \"n1\"");
    let bound = api.get(&format!("{PODS}/p")).await;
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["status"]["conditions"][0]["type"], "PodScheduled");

    let stopping = api.must("DELETE", &format!("{PODS}/p"), None).await;
    assert_eq!(stopping["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(stopping["metadata"]["deletionTimestamp"].is_string());
    let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "another"}});
    let refused = api.call("DELETE", &format!("{PODS}/p"), Some(options)).await;
    check_status(&refused, 409, "Conflict", "Precondition failed: UID");
    let options =
        json!({"gracePeriodSeconds": 0, "preconditions": {"uid": bound["metadata"]["uid"]}});
    api.must("DELETE", &format!("{PODS}/p"), Some(options)).await;
    check_status(&api.call("GET", &format!("{PODS}/p"), None).await, 404, "NotFound", "p");

    api.must("POST", PODS, Some(pod("unbound"))).await;
    api.must("DELETE", &format!("{PODS}/unbound"), None).await;
    check_status(
        &api.call("GET", &format!("{PODS}/unbound"), None).await,
        404,
        "NotFound",
        "unbound",
    );

    api.must("POST", PODS, Some(pod("evicted"))).await;
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}});
    api.must("POST", &format!("{PODS}/evicted/eviction"), Some(eviction)).await;
    check_status(
        &api.call("GET", &format!("{PODS}/evicted"), None).await,
        404,
        "NotFound",
        "evicted",
    );
}

#[tokio::test]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let api = Harness::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let body = json!({"metadata": {"name": "c", "finalizers": ["example.com/hold"]}});
    api.must("POST", maps, Some(body)).await;
    let path = format!("{maps}/c");
    let held = api.must("DELETE", &path, None).await;
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    let more = json!({"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}});
    let refused =
        api.call_as("PATCH", &path, "*/*", "application/merge-patch+json", Some(more)).await;
    check_status(&refused, 422, "Invalid", "no new finalizers can be added");
    let none = json!({"metadata": {"finalizers": null}});
    let (status, _) =
        api.call_as("PATCH", &path, "*/*", "application/merge-patch+json", Some(none)).await;
    assert_eq!(status, StatusCode::OK);
    check_status(&api.call("GET", &path, None).await, 404, "NotFound", "c");
}
