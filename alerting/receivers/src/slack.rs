//! Slack: an incoming webhook with one attachment.

use serde::Serialize;
use swell_model::TimestampMs;
use swell_route::SlackConfig;

use crate::answer::{Answer, Outcome, shown};
use crate::notification::Notification;
use crate::request::{RenderError, Request, text};
use crate::secrets::Secrets;
use crate::templates::Templates;
use crate::text::cut_chars;

/// Slack shows no longer titles.
const TITLE_CHARS_MAX: usize = 1024;

#[derive(Serialize)]
struct Message {
    #[serde(skip_serializing_if = "String::is_empty")]
    channel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_emoji: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    icon_url: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    link_names: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    title_link: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pretext: String,
    text: String,
    fallback: String,
    callback_id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action>,
    #[serde(skip_serializing_if = "String::is_empty")]
    image_url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thumb_url: String,
    footer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    color: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mrkdwn_in: Vec<String>,
}

#[derive(Serialize)]
struct Field {
    title: String,
    value: String,
    short: bool,
}

#[derive(Serialize)]
struct Action {
    #[serde(rename = "type")]
    kind: String,
    text: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    url: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    style: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    value: String,
}

/// The request for a notification.
///
/// # Errors
/// [`RenderError`] when a template fails.
pub(crate) fn render(
    config: &SlackConfig,
    notification: &Notification,
    templates: &Templates,
    secrets: &Secrets,
) -> Result<Request, RenderError> {
    let renderer = templates.renderer(notification);
    let text = |key: &'static str, template: &str| text(&renderer, key, template);
    let mut fields = Vec::with_capacity(config.fields.len());
    for field in &config.fields {
        fields.push(Field {
            title: text("fields.title", &field.title)?,
            value: text("fields.value", &field.value)?,
            short: field.short,
        });
    }
    let mut actions = Vec::with_capacity(config.actions.len());
    for action in &config.actions {
        actions.push(Action {
            kind: text("actions.type", &action.kind)?,
            text: text("actions.text", &action.text)?,
            url: text("actions.url", &action.url)?,
            style: text("actions.style", &action.style)?,
            name: text("actions.name", &action.name)?,
            value: text("actions.value", &action.value)?,
        });
    }
    let attachment = Attachment {
        title: cut_chars(&text("title", &config.title)?, TITLE_CHARS_MAX),
        title_link: text("title_link", &config.title_link)?,
        pretext: text("pretext", &config.pretext)?,
        text: text("text", &config.text)?,
        fallback: text("fallback", &config.fallback)?,
        callback_id: text("callback_id", &config.callback_id)?,
        fields,
        actions,
        image_url: text("image_url", &config.image_url)?,
        thumb_url: text("thumb_url", &config.thumb_url)?,
        footer: text("footer", &config.footer)?,
        color: text("color", &config.color)?,
        mrkdwn_in: config.mrkdwn_in.clone(),
    };
    let message = Message {
        channel: text("channel", &config.channel)?,
        username: text("username", &config.username)?,
        icon_emoji: text("icon_emoji", &config.icon_emoji)?,
        icon_url: text("icon_url", &config.icon_url)?,
        link_names: config.link_names,
        text: text("message_text", &config.message_text)?,
        attachments: [attachment],
    };
    Request::json(secrets.primary.expose(), &message)
}

/// What Slack's answer means: success says `ok`, as text or in JSON.
pub(crate) fn classify(answer: &Answer, now: TimestampMs) -> Outcome {
    let outcome = Outcome::of(answer, now);
    if outcome != Outcome::Delivered {
        return outcome;
    }
    let is_json = answer
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if is_json {
        return match serde_json::from_slice::<serde_json::Value>(&answer.body) {
            Ok(body) if body["ok"] == true => Outcome::Delivered,
            Ok(body) => Outcome::Rejected {
                why: format!("Slack says {}", body["error"].as_str().unwrap_or("not ok")),
            },
            Err(_) => Outcome::Retry {
                why: format!("Slack's answer is no JSON{}", shown(&answer.body)),
                after: None,
            },
        };
    }
    if answer.body.trim_ascii() == b"ok" {
        Outcome::Delivered
    } else {
        Outcome::Rejected { why: format!("Slack did not say ok{}", shown(&answer.body)) }
    }
}
