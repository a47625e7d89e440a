//! Slack: an incoming webhook with one attachment.

use serde::Serialize;
use swell_route::SlackConfig;

use crate::answer::{Answer, Outcome, shown};
use crate::request::{Draft, RenderError, Rendered, Request};
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
/// [`RenderError`] when the message is no JSON.
pub(crate) fn render(config: &SlackConfig, draft: &Draft<'_>) -> Result<Rendered, RenderError> {
    let texts = draft.texts();
    let fields = config.fields.iter().map(|field| Field {
        title: texts.of("fields.title", &field.title),
        value: texts.of("fields.value", &field.value),
        short: field.short,
    });
    let actions = config.actions.iter().map(|action| Action {
        kind: texts.of("actions.type", &action.kind),
        text: texts.of("actions.text", &action.text),
        url: texts.of("actions.url", &action.url),
        style: texts.of("actions.style", &action.style),
        name: texts.of("actions.name", &action.name),
        value: texts.of("actions.value", &action.value),
    });
    let attachment = Attachment {
        title: cut_chars(&texts.message("title", &config.title), TITLE_CHARS_MAX),
        title_link: texts.of("title_link", &config.title_link),
        pretext: texts.of("pretext", &config.pretext),
        text: texts.message("text", &config.text),
        fallback: texts.message("fallback", &config.fallback),
        callback_id: texts.of("callback_id", &config.callback_id),
        fields: fields.collect(),
        actions: actions.collect(),
        image_url: texts.of("image_url", &config.image_url),
        thumb_url: texts.of("thumb_url", &config.thumb_url),
        footer: texts.of("footer", &config.footer),
        color: texts.of("color", &config.color),
        mrkdwn_in: config.mrkdwn_in.clone(),
    };
    let message = Message {
        channel: texts.of("channel", &config.channel),
        username: texts.of("username", &config.username),
        icon_emoji: texts.of("icon_emoji", &config.icon_emoji),
        icon_url: texts.of("icon_url", &config.icon_url),
        link_names: config.link_names,
        text: texts.message("message_text", &config.message_text),
        attachments: [attachment],
    };
    let request = Request::json(draft.secrets.primary.expose(), &message)?;
    Ok(texts.finish(request))
}

/// What Slack's answer means: success says `ok`, as text or in JSON.
pub(crate) fn classify(answer: &Answer) -> Outcome {
    let is_json = answer
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !is_json {
        return if answer.body.trim_ascii() == b"ok" {
            Outcome::Delivered
        } else {
            Outcome::Rejected { why: format!("Slack did not say ok{}", shown(&answer.body)) }
        };
    }
    match answer.json() {
        Ok(body) if body["ok"] == true => Outcome::Delivered,
        Ok(body) => Outcome::Rejected {
            why: format!("Slack says {}", body["error"].as_str().unwrap_or("not ok")),
        },
        Err(outcome) => outcome,
    }
}
