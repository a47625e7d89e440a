//! Templates that fail: the notification goes out all the same, in plain words, and the fault is told.

use super::*;

const PLAIN: &str = r#"1 firing, 1 resolved
firing {alertname="HighLoad", instance="a", severity="critical"}: load > 10
resolved {alertname="HighLoad", instance="b", severity="warning"}: load > 10"#;

/// Delivers once; gives the body that arrived and the faults.
async fn attempt_broken(yaml: &str) -> (Json, Vec<String>) {
    let content_type = if yaml.contains("dingtalk") { "application/json" } else { "text/plain" };
    let text = if yaml.contains("dingtalk") { r#"{"errcode":0}"# } else { "ok" };
    let service = Service::answering(200, content_type, text);
    let url = service.start().await;
    let integration = integration(&yaml.replace("URL", &url));
    let (sender, templates) = (Sender::new(), Templates::new());
    let deadline = Duration::from_secs(5);
    let told = notification();
    let attempt = deliver(&sender, &integration, &told, &templates, Path::new("/"), AT, deadline);
    let attempt = attempt.await.expect("something is sent");
    assert_eq!(attempt.outcome, Outcome::Delivered, "{yaml}");
    let arrived = service.arrived.lock().pop().expect("a request arrived");
    let faults = attempt.faults.iter().map(ToString::to_string).collect();
    (serde_json::from_slice(&arrived.body).expect("the body is JSON"), faults)
}

#[tokio::test]
async fn every_receiver_is_told_in_plain_words() {
    let nope = "can't evaluate field Nope in type template.Data";
    for (yaml, pointer, key) in [
        ("  slack_configs: [{api_url: URL, text: '{{ .Nope }}'}]", "/attachments/0/text", "text"),
        (
            "  slack_configs: [{api_url: URL, title: '{{ .Nope }}'}]",
            "/attachments/0/title",
            "title",
        ),
        (
            "  pagerduty_configs: [{routing_key: key, url: URL, description: '{{ .Nope }}'}]",
            "/payload/summary",
            "description",
        ),
        (
            "  dingtalk_configs: [{webhook_url: URL, message_type: text, text: '{{ .Nope }}'}]",
            "/text/content",
            "text",
        ),
    ] {
        let (body, faults) = attempt_broken(yaml).await;
        assert_eq!(body.pointer(pointer), Some(&json!(PLAIN)), "{yaml}: {body}");
        assert_eq!(faults, [format!("template of {key}: template , line 1: {nope}")], "{yaml}");
    }
}

#[tokio::test]
async fn a_part_that_is_broken_costs_only_itself() {
    let (body, faults) =
        attempt_broken("  slack_configs: [{api_url: URL, text: calm, color: '{{ .Nope }}', channel: '{{ .Nope }}'}]").await;
    assert_eq!((&body["attachments"][0]["text"], faults.len()), (&json!("calm"), 2));
    assert!(body["channel"].is_null() && body["attachments"][0]["color"].is_null(), "{body}");

    let yaml = "  pagerduty_configs: [{routing_key: key, url: URL, source: '{{ .Nope }}', details: {good: '{{ .Status }}', bad: '{{ .Nope }}'}}]";
    let (body, faults) = attempt_broken(yaml).await;
    let payload = &body["payload"];
    assert_eq!(payload["source"], "swell", "an event without a source is not taken");
    assert_eq!(payload["custom_details"]["good"], "firing");
    assert_eq!(payload["custom_details"]["bad"], PLAIN);
    assert_eq!(faults.len(), 2);

    let (body, faults) =
        attempt_broken("  webhook_configs: [{url: URL, payload: {text: '{{ .Nope }}'}}]").await;
    assert_eq!(body["version"], "4", "the common form instead: {body}");
    assert_eq!(faults.len(), 1);
}

#[tokio::test]
async fn a_template_without_end_is_cut_and_told_in_plain_words() {
    let endless = r#"{{ define "a" }}x{{ template "a" . }}{{ end }}{{ template "a" . }}"#;
    let (body, faults) =
        attempt_broken(&format!("  slack_configs: [{{api_url: URL, text: '{endless}'}}]")).await;
    assert_eq!(body["attachments"][0]["text"], PLAIN);
    assert_eq!(faults.len(), 1);
}

#[tokio::test]
async fn an_address_that_cannot_be_rendered_is_an_error() {
    let broken = integration("  webhook_configs: [{url: 'http://127.0.0.1:1/{{ .Nope }}'}]");
    let (sender, templates) = (Sender::new(), Templates::new());
    let deadline = Duration::from_secs(1);
    let told = notification();
    let attempt = deliver(&sender, &broken, &told, &templates, Path::new("/"), AT, deadline);
    let error = attempt.await.expect_err("there is no address");
    assert!(error.to_string().starts_with("template of url: "), "{error}");
}
