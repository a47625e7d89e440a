//! Each receiver against a local HTTP server: what arrives, and what the answers mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode, Uri};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use swell_model::{DurationMs, Labels};
use swell_route::{Alert, NotifyReason, parse_config};

use super::*;

mod broken;

const AT: TimestampMs = TimestampMs(1_700_000_000_000);

/// A request as it arrived.
#[derive(Clone, Debug)]
struct Arrived {
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers every request in the same way and keeps it.
#[derive(Clone)]
struct Service {
    answer: (u16, &'static str, &'static str),
    retry_after: Option<&'static str>,
    hangs: bool,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

async fn take(
    State(service): State<Service>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    service.arrived.lock().push(Arrived { uri, headers, body });
    if service.hangs {
        std::future::pending::<()>().await;
    }
    let (status, content_type, text) = service.answer;
    let status = StatusCode::from_u16(status).expect("a status");
    let mut headers = HeaderMap::new();
    headers.insert("content-type", content_type.parse().expect("a header value"));
    if let Some(wait) = service.retry_after {
        headers.insert("retry-after", wait.parse().expect("a header value"));
    }
    (status, headers, text)
}

impl Service {
    fn answering(status: u16, content_type: &'static str, text: &'static str) -> Self {
        Self {
            answer: (status, content_type, text),
            retry_after: None,
            hangs: false,
            arrived: Arc::default(),
        }
    }

    /// Serves on a free port; gives the base URL.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serving goes on") });
        url
    }
}

fn integration(yaml: &str) -> Integration {
    let text = format!("route: {{receiver: team-x}}\nreceivers:\n- name: team-x\n{yaml}\n");
    let config = parse_config(&text).expect("the configuration is valid");
    config.receivers[0].integrations[0].clone()
}

fn notification() -> Notification {
    let alert = |instance: &str, severity: &str, ends_at: i64| Alert {
        labels: Labels::from_pairs([
            ("alertname", "HighLoad"),
            ("instance", instance),
            ("severity", severity),
        ]),
        annotations: BTreeMap::from([("summary".to_owned(), "load > 10".to_owned())]),
        starts_at: TimestampMs(AT.0 - 60_500),
        ends_at: TimestampMs(ends_at),
        updated_at: AT,
        generator_url: "http://swell/graph?g0.expr=up".into(),
        timeout: false,
    };
    Notification {
        group_key: r#"{}:{alertname="HighLoad"}"#.into(),
        receiver: "team-x".into(),
        group_labels: Labels::from_pairs([("alertname", "HighLoad")]),
        route_labels: BTreeMap::from([("team".to_owned(), "{{ .Status }}".to_owned())]),
        alerts: vec![alert("a", "critical", i64::MAX), alert("b", "warning", AT.0 - 500)],
        external_url: "http://swell".into(),
        reason: Some(NotifyReason::FirstNotification),
        at: AT,
    }
}

fn resolved() -> Notification {
    let mut notification = notification();
    notification.alerts.remove(0);
    notification
}

async fn attempt(integration: &Integration, notification: &Notification) -> Outcome {
    let (sender, templates) = (Sender::new(), Templates::new());
    let deadline = Duration::from_secs(5);
    let attempt =
        deliver(&sender, integration, notification, &templates, Path::new("/"), AT, deadline)
            .await
            .expect("the request can be rendered");
    assert!(attempt.faults.is_empty(), "{:?}", attempt.faults);
    attempt.outcome
}

/// Delivers once to a service that is content; gives what arrived.
async fn arrives(service: Service, yaml: &str, notification: &Notification) -> (Arrived, Json) {
    let url = service.start().await;
    let outcome = attempt(&integration(&yaml.replace("URL", &url)), notification).await;
    assert_eq!(outcome, Outcome::Delivered);
    let arrived = service.arrived.lock().pop().expect("a request arrived");
    let body = serde_json::from_slice(&arrived.body).expect("the body is JSON");
    (arrived, body)
}

#[tokio::test]
async fn webhook_sends_version_4() {
    let yaml = "  webhook_configs: [{url: 'URL/hook/{{ .GroupLabels.alertname }}', http_config: {basic_auth: {username: u, password: p}, http_headers: {X-Team: {values: [x]}}}}]";
    let (arrived, body) =
        arrives(Service::answering(204, "text/plain", ""), yaml, &notification()).await;
    assert_eq!(arrived.uri.path(), "/hook/HighLoad");
    assert_eq!(arrived.headers["content-type"], "application/json");
    assert_eq!(arrived.headers["authorization"], "Basic dTpw");
    assert_eq!(arrived.headers["x-team"], "x");
    assert_eq!(
        body,
        json!({
            "version": "4",
            "groupKey": "{}:{alertname=\"HighLoad\"}",
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "team-x",
            "groupLabels": {"alertname": "HighLoad"},
            "commonLabels": {"alertname": "HighLoad"},
            "commonAnnotations": {"summary": "load > 10"},
            "routeLabels": {"team": "firing"},
            "externalURL": "http://swell",
            "notification_reason": "first_notification",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "HighLoad", "instance": "a", "severity": "critical"},
                    "annotations": {"summary": "load > 10"},
                    "startsAt": "2023-11-14T22:12:19.5Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "http://swell/graph?g0.expr=up",
                    "fingerprint": notification().alerts[0].fingerprint().to_string(),
                },
                {
                    "status": "resolved",
                    "labels": {"alertname": "HighLoad", "instance": "b", "severity": "warning"},
                    "annotations": {"summary": "load > 10"},
                    "startsAt": "2023-11-14T22:12:19.5Z",
                    "endsAt": "2023-11-14T22:13:19.5Z",
                    "generatorURL": "http://swell/graph?g0.expr=up",
                    "fingerprint": notification().alerts[1].fingerprint().to_string(),
                },
            ],
        })
    );
}

#[tokio::test]
async fn webhook_cuts_and_takes_a_payload() {
    let service = || Service::answering(200, "text/plain", "");
    let (_, body) =
        arrives(service(), "  webhook_configs: [{url: URL, max_alerts: 1}]", &notification()).await;
    assert_eq!(
        (&body["truncatedAlerts"], body["alerts"].as_array().map(Vec::len)),
        (&json!(1), Some(1))
    );
    let yaml = "  webhook_configs:\n  - url: URL\n    payload:\n      text: '{{ .Status }}'\n      '{{ .Receiver }}': ['{{ len .Alerts }}', 1, 'true', '{{ .CommonAnnotations | toJson }}']";
    let (_, body) = arrives(service(), yaml, &notification()).await;
    assert_eq!(body, json!({"text": "firing", "team-x": [2, 1, true, {"summary": "load > 10"}]}));
}

#[tokio::test]
async fn slack_sends_one_attachment() {
    let service = || Service::answering(200, "text/html", "ok");
    let yaml = "  slack_configs: [{api_url: URL/services/T, channel: '#ops', text: '{{ .CommonAnnotations.summary }}', fields: [{title: a, value: '{{ .Status }}', short: true}], actions: [{type: button, text: t, url: 'http://x'}]}]";
    let (arrived, body) = arrives(service(), yaml, &notification()).await;
    assert_eq!(arrived.uri.path(), "/services/T");
    let attachment = |status: &str, color: &str, text: &str| {
        json!({
            "title": format!("[{status}] HighLoad "),
            "title_link": "http://swell/#/alerts?receiver=team-x",
            "text": text,
            "fallback": format!("[{status}] HighLoad  | http://swell/#/alerts?receiver=team-x"),
            "callback_id": "",
            "footer": "",
            "color": color,
            "mrkdwn_in": ["fallback", "pretext", "text"],
        })
    };
    let mut expected = attachment("FIRING:1", "danger", "load > 10");
    expected["fields"] = json!([{"title": "a", "value": "firing", "short": true}]);
    expected["actions"] = json!([{"type": "button", "text": "t", "url": "http://x"}]);
    assert_eq!(
        body,
        json!({"channel": "#ops", "username": "Alertmanager", "attachments": [expected]})
    );
    let (_, body) = arrives(service(), "  slack_configs: [{api_url: URL}]", &resolved()).await;
    assert_eq!(body["attachments"][0]["color"], "good");
    assert_eq!(body["attachments"][0]["title"], "[RESOLVED] HighLoad (b warning)");
}

#[tokio::test]
async fn pagerduty_triggers_and_resolves() {
    let service = || Service::answering(202, "application/json", r#"{"status":"success"}"#);
    let yaml = "  pagerduty_configs: [{url: URL/v2/enqueue, routing_key: KEY, severity: '{{ (index .Alerts 0).Labels.severity }}', details: {nested: {n: '{{ .Status }}'}}, links: [{href: 'http://l', text: l}]}]";
    let (_, body) = arrives(service(), yaml, &notification()).await;
    let mut expected = json!({
        "routing_key": "KEY",
        "event_action": "trigger",
        "dedup_key": "196cd8f79681ecfe82cc3e2d31612835c7d1ce897fd702ce61839eace2d49e26",
        "client": "Alertmanager",
        "client_url": "http://swell/#/alerts?receiver=team-x",
        "links": [{"href": "http://l", "text": "l"}],
        "payload": {
            "summary": "[FIRING:1] HighLoad ",
            "source": "Alertmanager",
            "severity": "critical",
            "custom_details": {"num_firing": 1, "num_resolved": 1, "nested": {"n": "firing"}},
        },
    });
    // The lists are those of the webhook.
    for (name, instance, status) in [("firing", "a", "firing"), ("resolved", "b", "resolved")] {
        let listed = &body["payload"]["custom_details"][name];
        assert_eq!(listed[0]["labels"]["instance"], instance);
        assert_eq!(listed[0]["status"], status);
        expected["payload"]["custom_details"][name] = listed.clone();
    }
    assert_eq!(body, expected);
    let (_, body) =
        arrives(service(), "  pagerduty_configs: [{url: URL, routing_key: KEY}]", &resolved())
            .await;
    assert_eq!(
        (&body["event_action"], &body["dedup_key"]),
        (&json!("resolve"), &expected["dedup_key"])
    );
    assert_eq!(body["payload"]["severity"], "error");
}

#[tokio::test]
async fn pagerduty_drops_details_that_are_too_large() {
    let mut large = notification();
    large.alerts[0].annotations.insert("huge".into(), "x".repeat(600_000));
    let service = Service::answering(202, "application/json", "{}");
    let (_, body) =
        arrives(service, "  pagerduty_configs: [{url: URL, routing_key: KEY}]", &large).await;
    let details = &body["payload"]["custom_details"];
    assert!(
        details["error"].as_str().is_some_and(|note| note.contains("512000 bytes")),
        "{details}"
    );
}

#[tokio::test]
async fn dingtalk_signs_and_mentions() {
    let service = || Service::answering(200, "application/json", r#"{"errcode":0,"errmsg":"ok"}"#);
    let yaml = "  dingtalk_configs: [{webhook_url: 'URL/robot/send?access_token=T', secret: SECexample0123456789, title: '{{ .Status }}', text: 'load', at: {mobiles: ['138']}}]";
    let (arrived, body) = arrives(service(), yaml, &notification()).await;
    assert_eq!(
        arrived.uri.query(),
        Some(
            "access_token=T&timestamp=1700000000000&sign=figG6qqCA%2FlRh0hsGCW2zNtNV5znkAFut5BI0zKhqnQ%3D"
        )
    );
    assert_eq!(
        body,
        json!({
            "msgtype": "markdown",
            "markdown": {"title": "firing", "text": "load @138"},
            "at": {"atMobiles": ["138"], "atUserIds": [], "isAtAll": false},
        })
    );
    let (arrived, body) =
        arrives(service(), "  dingtalk_configs: [{webhook_url: URL/robot}]", &resolved()).await;
    assert_eq!(arrived.uri.query(), None);
    assert_eq!(
        body["markdown"]["text"],
        "### [RESOLVED] HighLoad (b warning)\n\n**RESOLVED** HighLoad (warning)\n\n- summary: load > 10\n- since 2023-11-14 22:12:19 UTC\n\n[Alertmanager](http://swell/#/alerts?receiver=team-x)"
    );
    let (_, body) = arrives(
        service(),
        "  dingtalk_configs: [{webhook_url: URL, message_type: text, text: t}]",
        &resolved(),
    )
    .await;
    assert_eq!(body["text"], json!({"content": "t"}));
    let (_, body) = arrives(
        service(),
        "  dingtalk_configs: [{webhook_url: URL, message_type: action_card}]",
        &resolved(),
    )
    .await;
    assert_eq!(body["actionCard"]["singleURL"], "http://swell/#/alerts?receiver=team-x");
}

const WEBHOOK: &str = "  webhook_configs: [{url: URL/TOPSECRET}]";
const SLACK: &str = "  slack_configs: [{api_url: URL/TOPSECRET}]";
const PAGERDUTY: &str = "  pagerduty_configs: [{url: URL, routing_key: TOPSECRET}]";
const DINGTALK: &str = "  dingtalk_configs: [{webhook_url: URL/TOPSECRET}]";

#[tokio::test]
async fn answers_are_told_apart() {
    let delivered = "Delivered";
    for (yaml, status, content_type, text, expected) in [
        (
            WEBHOOK,
            500,
            "text/plain",
            "down",
            r#"Retry { why: "status 500 Internal Server Error: down", after: None }"#,
        ),
        (
            WEBHOOK,
            404,
            "text/plain",
            "/TOPSECRET unknown",
            r#"Rejected { why: "status 404 Not Found: /<secret> unknown" }"#,
        ),
        (WEBHOOK, 302, "text/plain", "", r#"Rejected { why: "status 302 Found" }"#),
        (
            SLACK,
            200,
            "text/plain",
            "no_text",
            r#"Rejected { why: "Slack did not say ok: no_text" }"#,
        ),
        (SLACK, 200, "application/json", r#"{"ok":true}"#, delivered),
        (
            SLACK,
            200,
            "application/json",
            r#"{"ok":false,"error":"channel_not_found"}"#,
            r#"Rejected { why: "Slack says channel_not_found" }"#,
        ),
        (
            SLACK,
            200,
            "application/json",
            "{",
            r#"Retry { why: "the answer is no JSON: {", after: None }"#,
        ),
        (
            SLACK,
            403,
            "text/plain",
            "invalid_token",
            r#"Rejected { why: "status 403 Forbidden: invalid_token" }"#,
        ),
        (PAGERDUTY, 202, "application/json", "{}", delivered),
        (
            PAGERDUTY,
            400,
            "application/json",
            r#"{"errors":["bad key TOPSECRET"]}"#,
            r#"Rejected { why: "status 400 Bad Request: {\"errors\":[\"bad key <secret>\"]}" }"#,
        ),
        (
            DINGTALK,
            200,
            "application/json",
            r#"{"errcode":130101,"errmsg":"fast"}"#,
            r#"Retry { why: "errcode 130101, sent too fast: fast", after: Some(DurationMs(60000)) }"#,
        ),
        (
            DINGTALK,
            200,
            "application/json",
            r#"{"errcode":310000,"errmsg":"sign not match"}"#,
            r#"Rejected { why: "errcode 310000, the robot's keyword, signature or address check failed: sign not match" }"#,
        ),
        (
            DINGTALK,
            200,
            "application/json",
            r#"{"errcode":-1,"errmsg":"busy"}"#,
            r#"Retry { why: "errcode -1, the service is busy: busy", after: None }"#,
        ),
        (
            DINGTALK,
            200,
            "text/html",
            "<html>",
            r#"Retry { why: "the answer is no JSON: <html>", after: None }"#,
        ),
    ] {
        let url = Service::answering(status, content_type, text).start().await;
        let outcome = attempt(&integration(&yaml.replace("URL", &url)), &notification()).await;
        assert_eq!(format!("{outcome:?}"), expected, "{yaml} {status} {text}");
    }
}

#[tokio::test]
async fn a_busy_service_says_how_long_to_wait() {
    let service =
        Service { retry_after: Some("7"), ..Service::answering(429, "text/plain", "slow down") };
    for yaml in [WEBHOOK, SLACK, PAGERDUTY, DINGTALK] {
        let url = service.start().await;
        let outcome = attempt(&integration(&yaml.replace("URL", &url)), &notification()).await;
        assert!(
            matches!(outcome, Outcome::Retry { after: Some(DurationMs(7_000)), .. }),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let service = Service { hangs: true, ..Service::answering(200, "text/plain", "") };
    let url = service.start().await;
    let integration = integration(&WEBHOOK.replace("URL", &url));
    let (sender, templates) = (Sender::new(), Templates::new());
    let deadline = Duration::from_millis(200);
    let outcome =
        deliver(&sender, &integration, &notification(), &templates, Path::new("/"), AT, deadline)
            .await;
    let outcome = outcome.expect("the request can be rendered").outcome;
    assert_eq!(outcome, Outcome::Retry { why: "no answer within 200ms".into(), after: None });
    assert_eq!(service.arrived.lock().len(), 1);
}

#[tokio::test]
async fn a_refused_connection_names_no_secret() {
    // A port that was free a moment ago and has no listener.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let outcome = attempt(&integration(&WEBHOOK.replace("URL", &url)), &notification()).await;
    let Outcome::Retry { why, after: None } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("refused") && !why.contains("TOPSECRET"), "{why}");
}

#[tokio::test]
async fn secrets_may_come_from_files_and_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::answering(200, "text/plain", "");
    let url = service.start().await;
    let integration = integration("  webhook_configs: [{url_file: url.txt}]");
    let (sender, templates) = (Sender::new(), Templates::new());
    let once = || {
        deliver(
            &sender,
            &integration,
            resolved_static(),
            &templates,
            folder.path(),
            AT,
            Duration::from_secs(5),
        )
    };
    let error = once().await.expect_err("the file is not there");
    assert!(error.to_string().contains("url.txt"), "{error}");
    for path in ["one", "two"] {
        std::fs::write(folder.path().join("url.txt"), format!(" {url}/{path}\n"))
            .expect("writable");
        assert_eq!(once().await.expect("the file is there").outcome, Outcome::Delivered);
        assert_eq!(
            service.arrived.lock().pop().expect("a request arrived").uri.path(),
            format!("/{path}")
        );
    }
}

/// A notification that lives as long as the test.
fn resolved_static() -> &'static Notification {
    static NOTIFICATION: std::sync::OnceLock<Notification> = std::sync::OnceLock::new();
    NOTIFICATION.get_or_init(resolved)
}
