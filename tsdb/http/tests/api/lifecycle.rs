//! Reloading, stopping, and what the operator should know meanwhile.

use axum::body::Body;
use axum::http::{Method, Request};
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use swell_http::{Authenticated, Peer};
use swell_model::{DurationMs, Labels, TimestampMs};
use swell_tsdb_http::{InForce, LifecycleCommand, ReloadRefusal};
use tower::ServiceExt as _;

use crate::lab::{Answer, Lab, NOW_S};

const NOW: TimestampMs = TimestampMs(NOW_S * 1000);

fn from(address: &str, method: Method, path: &str) -> Request<Body> {
    let mut request =
        Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    let address = format!("{address}:40000").parse().expect("an address");
    request.extensions_mut().insert(Peer { address, certificate: None });
    request
}

/// Asks for a reload and answers it as the composition root would.
async fn reload(lab: &Lab, outcome: Result<(), ReloadRefusal>) -> Answer {
    let mut commands = lab.commands.lock().await;
    let carry_out = async {
        match commands.recv().await.expect("a command") {
            LifecycleCommand::Reload(answer) => answer.send(outcome).expect("somebody waits"),
            LifecycleCommand::Quit => panic!("a reload was asked for"),
        }
    };
    let request = from("127.0.0.1", Method::POST, "/-/reload");
    tokio::join!(lab.answer(request), carry_out).0
}

#[tokio::test]
async fn a_reload_answers_how_it_went() {
    let lab = Lab::new();
    assert_eq!(reload(&lab, Ok(())).await.code, 200);
    let wrong = ReloadRefusal { why: "swell.yaml: line 3".to_owned(), is_configuration: true };
    let answer = reload(&lab, Err(wrong)).await;
    assert_eq!(answer.code, 400);
    assert_eq!(answer.text, "failed to reload config: swell.yaml: line 3\n");
    let broken = ReloadRefusal { why: "the scraper has ended".to_owned(), is_configuration: false };
    assert_eq!(reload(&lab, Err(broken)).await.code, 500);
}

#[tokio::test]
async fn only_this_host_and_known_users_may_reload_and_stop() {
    let lab = Lab::new();
    for path in ["/-/reload", "/-/quit"] {
        let answer = lab.answer(from("10.0.0.7", Method::POST, path)).await;
        assert_eq!(answer.code, 403);
        assert!(answer.text.contains("10.0.0.7"), "{}", answer.text);
        let mut page = from("127.0.0.1", Method::POST, path);
        page.headers_mut().insert("origin", "https://evil.example".parse().expect("a value"));
        assert_eq!(lab.answer(page).await.code, 403);
        assert_eq!(lab.answer(from("127.0.0.1", Method::GET, path)).await.code, 405);
    }
    assert!(lab.commands.lock().await.try_recv().is_err(), "nothing was asked of the process");
    let starting = Lab::starting(crate::lab::config());
    assert_eq!(starting.answer(from("127.0.0.1", Method::POST, "/-/quit")).await.code, 503);
    // Somebody whom the port has asked who they are.
    let mut known = from("10.0.0.7", Method::POST, "/-/quit");
    known.extensions_mut().insert(Authenticated { user: "ann".to_owned() });
    assert_eq!(lab.answer(known).await.code, 200);
    assert!(matches!(lab.commands.lock().await.try_recv(), Ok(LifecycleCommand::Quit)));
    // The same address, written as one of version 6.
    let answer = lab.answer(from("[::ffff:127.0.0.1]", Method::PUT, "/-/quit")).await;
    assert_eq!((answer.code, answer.text.as_str()), (200, "Requesting termination... Goodbye!"));
    assert!(matches!(lab.commands.lock().await.try_recv(), Ok(LifecycleCommand::Quit)));
}

#[tokio::test]
async fn the_settings_in_force_are_shown_and_used() {
    let lab = Lab::new();
    let info = || async { lab.get("/api/v1/status/runtimeinfo", &[]).await.data() };
    assert_eq!(info().await["reloadConfigSuccess"], json!(true));
    lab.in_force.refused();
    assert_eq!(info().await["reloadConfigSuccess"], json!(false));
    let settings = InForce {
        config_yaml: "global: {evaluation_interval: 15s}".to_owned(),
        external_labels: Labels::empty(),
        subquery_step: DurationMs::from_secs(15),
        retention: "3d".to_owned(),
    };
    lab.in_force.replace(settings, NOW + DurationMs::from_secs(5));
    let now = info().await;
    assert_eq!(now["reloadConfigSuccess"], json!(true));
    assert_eq!(now["storageRetention"], json!("3d"));
    assert_eq!(now["lastConfigTime"], json!("2023-11-14T22:13:25Z"));
    let shown = lab.get("/api/v1/status/config", &[]).await.data();
    assert_eq!(shown["yaml"], json!("global: {evaluation_interval: 15s}"));
    let query = [("query", "count_over_time(vector(1)[1m:])"), ("time", &*NOW_S.to_string())];
    let counted = lab.get("/api/v1/query", &query).await.data();
    assert_eq!(counted["result"][0]["value"][1], json!("4"), "a step of 15 s has four in a minute");
}

#[tokio::test]
async fn notices_hold_until_they_are_settled() {
    let lab = Lab::new();
    let list = || async { lab.get("/api/v1/notifications", &[]).await.data() };
    assert_eq!(list().await, json!([]));
    lab.notices.raise("Configuration reload has failed.", NOW);
    lab.notices.raise("Configuration reload has failed.", NOW + DurationMs(1));
    let held = json!([{
        "text": "Configuration reload has failed.", "date": "2023-11-14T22:13:20Z", "active": true,
    }]);
    assert_eq!(list().await, held);
    lab.readiness.stopping();
    assert_eq!(list().await, held, "answered while the server is not ready too");
    lab.notices.settle("Configuration reload has failed.");
    assert_eq!(list().await, json!([]));
}

#[tokio::test]
async fn a_stream_has_the_notices_and_each_change_and_ends_with_the_server() {
    let lab = Lab::new();
    lab.notices.raise("first", NOW);
    let open = || async {
        let request = from("10.0.0.7", Method::GET, "/api/v1/notifications/live");
        lab.router.clone().oneshot(request).await.expect("routers do not fail")
    };
    let response = open().await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = response.into_body().into_data_stream();
    lab.notices.raise("second", NOW);
    lab.notices.settle("first");
    lab.notices.close();
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.expect("an event");
        let line = std::str::from_utf8(&event).expect("UTF-8");
        let json = line.strip_prefix("data: ").and_then(|it| it.strip_suffix("\n\n"));
        let notice: Value = serde_json::from_str(json.expect("an event")).expect("JSON");
        told.push((notice["text"].clone(), notice["active"].clone()));
    }
    assert_eq!(
        told,
        [
            (json!("first"), json!(true)),
            (json!("second"), json!(true)),
            (json!("first"), json!(false))
        ]
    );
    assert_eq!(open().await.status(), 204, "the server stops: nothing will come");
}

#[tokio::test]
async fn streams_are_limited_in_number() {
    let lab = Lab::new();
    let mut open = Vec::new();
    for expected in [200; 16].into_iter().chain([204]) {
        let request = from("127.0.0.1", Method::GET, "/api/v1/notifications/live");
        let response = lab.router.clone().oneshot(request).await.expect("routers do not fail");
        assert_eq!(response.status(), expected);
        open.push(response);
    }
    drop(open);
    let request = from("127.0.0.1", Method::GET, "/api/v1/notifications/live");
    let response = lab.router.clone().oneshot(request).await.expect("routers do not fail");
    assert_eq!(response.status(), 200, "those that went left room");
    lab.notices.close();
    let rest = response.into_body().collect().await.expect("it ends").to_bytes();
    assert!(rest.is_empty());
}
