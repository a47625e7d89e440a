//! PagerDuty Events API v2: trigger and resolve.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;
use swell_route::PagerDutyConfig;

use crate::request::{Draft, RenderError, Rendered, Request};
use crate::text::cut_chars;
use crate::texts::plain;

/// PagerDuty takes no longer summaries.
const SUMMARY_CHARS_MAX: usize = 1024;
/// PagerDuty takes no larger events.
const EVENT_BYTES_MAX: usize = 512_000;

#[derive(Serialize)]
struct Event<'a> {
    routing_key: &'a str,
    event_action: &'static str,
    dedup_key: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    client_url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Link>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
    payload: Payload,
}

#[derive(Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    class: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    component: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    group: String,
    custom_details: BTreeMap<String, Json>,
}

#[derive(Serialize)]
struct Link {
    href: String,
    text: String,
}

#[derive(Serialize)]
struct Image {
    src: String,
    href: String,
    alt: String,
}

/// SHA-256 of the group's key: by this PagerDuty knows that trigger and resolve belong together.
fn dedup_key(group_key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, group_key.as_bytes());
    let mut key = String::with_capacity(64);
    for byte in digest.as_ref() {
        write!(key, "{byte:02x}").expect("writing to a string cannot fail");
    }
    key
}

/// The request for a notification.
///
/// # Errors
/// [`RenderError`] when the event is no JSON.
pub(crate) fn render(config: &PagerDutyConfig, draft: &Draft<'_>) -> Result<Rendered, RenderError> {
    let texts = draft.texts();
    let notification = draft.notification;
    let links = config.links.iter().map(|link| Link {
        href: texts.of("links.href", &link.href),
        text: texts.of("links.text", &link.text),
    });
    let images = config.images.iter().map(|image| Image {
        src: texts.of("images.src", &image.src),
        href: texts.of("images.href", &image.href),
        alt: texts.of("images.alt", &image.alt),
    });
    let custom_details = config.details.iter().map(|(name, value)| {
        let details = texts.payload("details", value);
        let details = details.unwrap_or_else(|| Json::String(plain(notification)));
        (texts.or("details", name, || name.clone()), details)
    });
    let severity = texts.of("severity", &config.severity);
    let mut event = Event {
        routing_key: draft.secrets.primary.expose(),
        event_action: if notification.is_firing() { "trigger" } else { "resolve" },
        dedup_key: dedup_key(&notification.group_key),
        client: texts.of("client", &config.client),
        client_url: texts.of("client_url", &config.client_url),
        links: links.collect(),
        images: images.collect(),
        payload: Payload {
            summary: cut_chars(
                &texts.message("description", &config.description),
                SUMMARY_CHARS_MAX,
            ),
            // PagerDuty takes no event without a source.
            source: texts.or("source", &config.source, || "swell".to_owned()),
            severity: if severity.is_empty() { "error".into() } else { severity },
            class: texts.of("class", &config.class),
            component: texts.of("component", &config.component),
            group: texts.of("group", &config.group),
            custom_details: custom_details.collect(),
        },
    };
    let mut request = Request::json(&config.url, &event)?;
    if request.body.len() > EVENT_BYTES_MAX {
        let note = format!(
            "Custom details have been removed because the original event exceeds the maximum size of {EVENT_BYTES_MAX} bytes"
        );
        event.payload.custom_details = BTreeMap::from([("error".to_owned(), Json::String(note))]);
        request = Request::json(&config.url, &event)?;
    }
    Ok(texts.finish(request))
}
