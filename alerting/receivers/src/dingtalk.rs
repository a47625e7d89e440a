//! DingTalk robots: Markdown, text or card, with a signed URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value as Json, json};
use swell_model::{DurationMs, TimestampMs};
use swell_route::{AtConfig, DingTalkConfig, DingTalkMessageType};
use swell_template::functions::query_escape;

use crate::answer::{Answer, Outcome, shown};
use crate::request::{Draft, RenderError, Rendered, Request};
use crate::text::cut_bytes;

/// A robot takes about 20 000 bytes in all; escapes may double what is short of this.
const TEXT_BYTES_MAX: usize = 9_000;
/// Twenty messages a minute are let through.
const TOO_FAST_WAIT: DurationMs = DurationMs::from_secs(60);

/// The signature of a request: base64 of HMAC-SHA256 over the time and the secret, keyed with the secret.
#[must_use]
pub fn sign(timestamp: TimestampMs, secret: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let message = format!("{}\n{secret}", timestamp.0);
    STANDARD.encode(hmac::sign(&key, message.as_bytes()))
}

/// The request for a notification.
///
/// # Errors
/// [`RenderError`] when the message is no JSON.
pub(crate) fn render(config: &DingTalkConfig, draft: &Draft<'_>) -> Result<Rendered, RenderError> {
    let texts = draft.texts();
    let title = texts.message("title", &config.title);
    let mut body = cut_bytes(&texts.message("text", &config.text), TEXT_BYTES_MAX);
    mention(&mut body, &config.at);
    let mut message = match config.message_type {
        DingTalkMessageType::Markdown => {
            json!({"msgtype": "markdown", "markdown": {"title": title, "text": body}})
        }
        DingTalkMessageType::Text => json!({"msgtype": "text", "text": {"content": body}}),
        DingTalkMessageType::ActionCard => {
            let url = texts.of("text", r#"{{ template "__alertmanagerURL" . }}"#);
            let card = json!({"title": title, "text": body, "singleTitle": "Alertmanager", "singleURL": url});
            json!({"msgtype": "actionCard", "actionCard": card})
        }
    };
    if config.message_type != DingTalkMessageType::ActionCard {
        message["at"] = at(&config.at);
    }
    let mut url = draft.secrets.primary.expose().to_owned();
    if let Some(secret) = &draft.secrets.signing {
        let separator = if url.contains('?') { '&' } else { '?' };
        let sign = query_escape(&sign(draft.now, secret.expose()));
        url.push_str(&format!("{separator}timestamp={}&sign={sign}", draft.now.0));
    }
    Ok(texts.finish(Request::json(url, &message)?))
}

/// A mention only shows when the text names who is mentioned.
fn mention(body: &mut String, at: &AtConfig) {
    for who in at.mobiles.iter().chain(&at.user_ids) {
        let name = format!("@{who}");
        if !body.contains(&name) {
            body.push(if body.ends_with('\n') || body.is_empty() { '\u{200b}' } else { ' ' });
            body.push_str(&name);
        }
    }
}

fn at(config: &AtConfig) -> Json {
    json!({"atMobiles": config.mobiles, "atUserIds": config.user_ids, "isAtAll": config.all})
}

/// What DingTalk's answer means: the status is always 200, the code in the body counts.
pub(crate) fn classify(answer: &Answer) -> Outcome {
    let body = match answer.json() {
        Ok(body) => body,
        Err(outcome) => return outcome,
    };
    let Some(code) = body["errcode"].as_i64() else {
        return Outcome::Retry {
            why: format!("the answer has no errcode{}", shown(&answer.body)),
            after: None,
        };
    };
    let said = body["errmsg"].as_str().unwrap_or("");
    let why = |meaning: &str| format!("errcode {code}, {meaning}: {said}");
    match code {
        0 => Outcome::Delivered,
        130_101 | 660_026 => {
            Outcome::Retry { why: why("sent too fast"), after: Some(TOO_FAST_WAIT) }
        }
        -1 => Outcome::Retry { why: why("the service is busy"), after: None },
        310_000 => {
            Outcome::Rejected { why: why("the robot's keyword, signature or address check failed") }
        }
        300_001 => Outcome::Rejected { why: why("the access token is not valid") },
        _ => Outcome::Rejected { why: why("refused") },
    }
}
