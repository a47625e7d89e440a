//! Lists in pages and as tables, watches, discovery.

mod harness;

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use harness::{DEPLOYMENTS, Harness, PODS, deployment, pod};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[tokio::test]
async fn pages_are_of_one_revision() {
    let api = Harness::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        api.must("POST", PODS, Some(pod(name))).await;
    }
    let first = api.get(&format!("{PODS}?limit=2")).await;
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    api.must("DELETE", &format!("{PODS}/c"), None).await;
    api.must("POST", PODS, Some(pod("f"))).await;
    let mut names = Vec::new();
    let mut page = first.clone();
    loop {
        let items = page["items"].as_array().expect("items");
        names.extend(
            items.iter().map(|item| item["metadata"]["name"].as_str().unwrap_or("").to_owned()),
        );
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        let Some(next) = page["metadata"]["continue"].as_str() else { break };
        page = api.get(&format!("{PODS}?limit=2&continue={next}")).await;
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    let (status, _) = api.call("GET", &format!("{PODS}?limit=2&continue=nonsense"), None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    api.store.compact(api.store.revision()).await.expect("compacts");
    let next = first["metadata"]["continue"].as_str().expect("a token");
    let (status, answer) = api.call("GET", &format!("{PODS}?limit=2&continue={next}"), None).await;
    assert_eq!((status, &answer["reason"]), (StatusCode::GONE, &json!("Expired")));
}

#[tokio::test]
async fn selectors_work_across_pages() {
    let api = Harness::start().await;
    for name in ["a", "b", "c", "d"] {
        let mut pod = pod(name);
        let odd = if matches!(name, "a" | "c") { "yes" } else { "no" };
        pod["metadata"]["labels"]["odd"] = json!(odd);
        api.must("POST", PODS, Some(pod)).await;
    }
    let first = api.get(&format!("{PODS}?limit=1&labelSelector=odd%3Dyes")).await;
    assert_eq!(first["items"][0]["metadata"]["name"], "a");
    let next = first["metadata"]["continue"].as_str().expect("more");
    let second = api.get(&format!("{PODS}?limit=1&labelSelector=odd%3Dyes&continue={next}")).await;
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    let one = api
        .get(&format!(
            "{PODS}?fieldSelector=metadata.name!%3Da,status.phase%3DPending&labelSelector=odd"
        ))
        .await;
    assert_eq!(one["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn lists_come_as_tables_and_as_metadata() {
    let api = Harness::start().await;
    api.must("POST", DEPLOYMENTS, Some(deployment("web", 2))).await;
    let (_, table) = api.call_as("GET", DEPLOYMENTS, TABLE, "", None).await;
    assert_eq!(table["kind"], "Table");
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[1]), (&json!("web"), &json!("0/2")));
    assert!(table["metadata"]["resourceVersion"].is_string());
    let (_, one) = api
        .call_as("GET", &format!("{DEPLOYMENTS}/web?includeObject=Object"), TABLE, "", None)
        .await;
    assert_eq!(one["rows"][0]["object"]["kind"], "Deployment");
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let (_, list) = api.call_as("GET", DEPLOYMENTS, accept, "", None).await;
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert_eq!(list["items"][0]["metadata"]["name"], "web");
    assert!(list["items"][0]["spec"].is_null());
}

struct Events(futures::stream::BoxStream<'static, Value>);

impl Events {
    async fn open(api: &Harness, path: &str, accept: &str) -> Self {
        let request =
            Request::get(path).header("accept", accept).body(Body::empty()).expect("a request");
        let answer = api.router.clone().oneshot(request).await.expect("infallible");
        assert_eq!(answer.status(), StatusCode::OK);
        let frames = answer.into_body().into_data_stream();
        let lines = frames.flat_map(|frame| {
            let text = String::from_utf8(frame.expect("readable").to_vec()).expect("text");
            let values: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            futures::stream::iter(values)
        });
        Self(lines.boxed())
    }

    /// Type and name of the next event.
    async fn next(&mut self) -> (String, Value) {
        let event = tokio::time::timeout(Duration::from_secs(10), self.0.next()).await;
        let mut event = event.expect("an event in time").expect("the watch goes on");
        (event["type"].as_str().expect("a type").to_owned(), event["object"].take())
    }

    async fn next_is(&mut self, event: &str, name: &str) -> Value {
        let (found, object) = self.next().await;
        assert_eq!((found.as_str(), object["metadata"]["name"].as_str()), (event, Some(name)));
        object
    }
}

#[tokio::test]
async fn watches_tell_changes_as_the_selector_sees_them() {
    let api = Harness::start().await;
    let list = api.get(PODS).await;
    let from = list["metadata"]["resourceVersion"].as_str().expect("a revision");
    let all = format!("{PODS}?watch=true&resourceVersion={from}");
    let mut all = Events::open(&api, &all, "application/json").await;
    let labelled = format!("{PODS}?watch=1&resourceVersion={from}&labelSelector=on%3Dyes");
    let mut labelled = Events::open(&api, &labelled, "application/json").await;
    api.must("POST", PODS, Some(pod("p"))).await;
    for value in [json!("yes"), json!("no")] {
        let patch = json!({"metadata": {"labels": {"on": value}}});
        api.call_as(
            "PATCH",
            &format!("{PODS}/p"),
            "*/*",
            "application/merge-patch+json",
            Some(patch),
        )
        .await;
    }
    api.must("DELETE", &format!("{PODS}/p"), None).await;
    all.next_is("ADDED", "p").await;
    all.next_is("MODIFIED", "p").await;
    all.next_is("MODIFIED", "p").await;
    let last = all.next_is("DELETED", "p").await;
    labelled.next_is("ADDED", "p").await;
    labelled.next_is("DELETED", "p").await;
    let revision = last["metadata"]["resourceVersion"].as_str().expect("a revision");
    assert_eq!(revision.parse::<u64>().ok(), Some(api.store.revision().0));
}

#[tokio::test]
async fn initial_events_end_with_a_marked_bookmark() {
    let api = Harness::start().await;
    api.must("POST", PODS, Some(pod("p"))).await;
    let path = format!(
        "{PODS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut events = Events::open(&api, &path, "application/json").await;
    events.next_is("ADDED", "p").await;
    let (event, object) = events.next().await;
    assert_eq!(event, "BOOKMARK");
    assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    api.must("POST", PODS, Some(pod("q"))).await;
    events.next_is("ADDED", "q").await;
    let refused = format!("{PODS}?watch=true&sendInitialEvents=true");
    assert_eq!(api.call("GET", &refused, None).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn endpoints_are_seen_as_slices_too() {
    let api = Harness::start().await;
    let endpoints = "/api/v1/namespaces/default/endpoints";
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let body = |ips: &[&str]| {
        let subsets: Vec<_> = ips
            .iter()
            .map(|ip| json!({"addresses": [{"ip": ip}], "ports": [{"port": 80}]}))
            .collect();
        json!({"metadata": {"name": "web"}, "subsets": subsets})
    };
    api.must("POST", endpoints, Some(body(&["1.1.1.1", "1.1.1.2"]))).await;
    let found = api.get(&format!("{slices}?labelSelector=kubernetes.io/service-name%3Dweb")).await;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(
        api.get(&format!("{slices}/web-1")).await["endpoints"][0]["addresses"][0],
        "1.1.1.2"
    );
    assert_eq!(api.call("GET", &format!("{slices}/web"), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(api.call("POST", slices, Some(json!({}))).await.0, StatusCode::METHOD_NOT_ALLOWED);
    let path = format!("{slices}?watch=true&resourceVersion={}", api.store.revision());
    let mut events = Events::open(&api, &path, "application/json").await;
    api.must("PUT", &format!("{endpoints}/web"), Some(body(&["1.1.1.3"]))).await;
    events.next_is("MODIFIED", "web-0").await;
    events.next_is("DELETED", "web-1").await;
    let (_, table) = api.call_as("GET", slices, TABLE, "", None).await;
    assert_eq!(table["rows"][0]["cells"][3], "1.1.1.3");
}

#[tokio::test]
async fn old_and_future_revisions_are_gone_and_timeouts_end() {
    let api = Harness::start().await;
    api.must("POST", PODS, Some(pod("p"))).await;
    api.must("POST", PODS, Some(pod("q"))).await;
    api.store.compact(api.store.revision()).await.expect("compacts");
    for revision in [1_u64, 1 << 40] {
        let path = format!("{PODS}?watch=true&resourceVersion={revision}");
        let (event, object) = Events::open(&api, &path, "application/json").await.next().await;
        assert_eq!(
            (event.as_str(), &object["code"], &object["reason"]),
            ("ERROR", &json!(410), &json!("Expired"))
        );
    }
    let path =
        format!("{PODS}?watch=true&resourceVersion={}&timeoutSeconds=1", api.store.revision());
    let mut events = Events::open(&api, &path, "application/json").await;
    let end = tokio::time::timeout(Duration::from_secs(10), events.0.next()).await;
    assert_eq!(end.expect("ends in time"), None);
    let path = format!("{PODS}?watch=true");
    let mut events = Events::open(&api, &path, TABLE).await;
    let (_, table) = events.next().await;
    assert_eq!((&table["kind"], &table["rows"][0]["cells"][0]), (&json!("Table"), &json!("p")));
    api.shutdown.cancel();
    while tokio::time::timeout(Duration::from_secs(10), events.0.next())
        .await
        .expect("ends at shutdown")
        .is_some()
    {}
}

#[tokio::test]
async fn discovery_answers_in_the_version_asked_for() {
    let api = Harness::start().await;
    let aggregated = |version: &str| {
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
    };
    for version in ["v2", "v2beta1"] {
        let (_, list) = api.call_as("GET", "/apis", &aggregated(version), "", None).await;
        assert_eq!(list["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
        let groups: Vec<_> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| &item["metadata"]["name"])
            .collect();
        assert!(
            groups.contains(&&json!("apps")) && groups.contains(&&json!("autoscaling")),
            "{groups:?}"
        );
    }
    let (_, legacy) = api.call_as("GET", "/apis", "application/json", "", None).await;
    assert_eq!(legacy["kind"], "APIGroupList");
    let both = format!("{},application/json", aggregated("v9"));
    assert_eq!(api.call_as("GET", "/apis", &both, "", None).await.1["kind"], "APIGroupList");
    let core = api.get("/api/v1").await;
    let names: Vec<_> = core["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .map(|entry| &entry["name"])
        .collect();
    assert!(names.contains(&&json!("pods/eviction")) && names.contains(&&json!("namespaces")));
    assert_eq!(api.get("/apis/autoscaling").await["preferredVersion"]["version"], "v2");

    let request = |etag: Option<&str>| {
        let mut request = Request::get("/api").header("accept", aggregated("v2"));
        if let Some(etag) = etag {
            request = request.header("if-none-match", etag);
        }
        request.body(Body::empty()).expect("a request")
    };
    let first = api.router.clone().oneshot(request(None)).await.expect("infallible");
    let etag = first.headers()["etag"].to_str().expect("text").to_owned();
    let second = api.router.clone().oneshot(request(Some(&etag))).await.expect("infallible");
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    assert!(second.into_body().collect().await.expect("readable").to_bytes().is_empty());
}

#[tokio::test]
async fn who_asks_decides() {
    let api = Harness::start().await;
    let router = api.server.router();
    let status = |path: &'static str, token: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let call = router.clone().oneshot(request.body(Body::empty()).expect("a request"));
        async { call.await.expect("infallible").status().as_u16() }
    };
    for (path, token, expected) in [
        ("/version", None, 200),
        ("/readyz", None, 200),
        ("/api/v1/pods", None, 401),
        ("/api", None, 401),
        ("/api/v1/pods", Some("wrong"), 401),
        ("/api/v1/pods", Some(harness::TOKEN), 200),
    ] {
        assert_eq!(status(path, token).await, expected, "{path} {token:?}");
    }
    let guest = api.server.in_process_router(swell_apiserver::User::new("guest", "guests"));
    let request =
        Request::get("/api/v1/namespaces/default/pods").body(Body::empty()).expect("a request");
    let answer = guest.oneshot(request).await.expect("infallible");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let body = answer.into_body().collect().await.expect("readable").to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("cannot list resource \\\"pods\\\" in API group \\\"\\\" in the namespace \\\"default\\\""), "{text}");
}
