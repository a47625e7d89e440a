//! PagerDuty Events API v2: trigger and resolve.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value as Json;
use swell_route::PagerDutyConfig;

use crate::notification::Notification;
use crate::payload::render_payload;
use crate::request::{RenderError, Request, text};
use crate::secrets::Secrets;
use crate::templates::Templates;
use crate::text::cut_chars;

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
/// [`RenderError`] when a template fails.
pub(crate) fn render(
    config: &PagerDutyConfig,
    notification: &Notification,
    templates: &Templates,
    secrets: &Secrets,
) -> Result<Request, RenderError> {
    let renderer = templates.renderer(notification);
    let text = |key: &'static str, template: &str| text(&renderer, key, template);
    let mut links = Vec::with_capacity(config.links.len());
    for link in &config.links {
        links.push(Link {
            href: text("links.href", &link.href)?,
            text: text("links.text", &link.text)?,
        });
    }
    let mut images = Vec::with_capacity(config.images.len());
    for image in &config.images {
        images.push(Image {
            src: text("images.src", &image.src)?,
            href: text("images.href", &image.href)?,
            alt: text("images.alt", &image.alt)?,
        });
    }
    let mut custom_details = BTreeMap::new();
    for (name, value) in &config.details {
        custom_details.insert(text("details", name)?, render_payload(&renderer, "details", value)?);
    }
    let severity = text("severity", &config.severity)?;
    let mut event = Event {
        routing_key: secrets.primary.expose(),
        event_action: if notification.is_firing() { "trigger" } else { "resolve" },
        dedup_key: dedup_key(&notification.group_key),
        client: text("client", &config.client)?,
        client_url: text("client_url", &config.client_url)?,
        links,
        images,
        payload: Payload {
            summary: cut_chars(&text("description", &config.description)?, SUMMARY_CHARS_MAX),
            source: text("source", &config.source)?,
            severity: if severity.is_empty() { "error".into() } else { severity },
            class: text("class", &config.class)?,
            component: text("component", &config.component)?,
            group: text("group", &config.group)?,
            custom_details,
        },
    };
    let request = Request::json(&config.url, &event)?;
    if request.body.len() <= EVENT_BYTES_MAX {
        return Ok(request);
    }
    let note = format!(
        "Custom details have been removed because the original event exceeds the maximum size of {EVENT_BYTES_MAX} bytes"
    );
    event.payload.custom_details = BTreeMap::from([("error".to_owned(), Json::String(note))]);
    Request::json(&config.url, &event)
}
