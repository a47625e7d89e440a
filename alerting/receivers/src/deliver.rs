//! One attempt to tell one integration.

use std::path::Path;
use std::time::Duration;

use swell_model::TimestampMs;
use swell_route::Integration;

use crate::answer::{Answer, Outcome};
use crate::notification::Notification;
use crate::request::{Draft, RenderError, Rendered};
use crate::secrets::{SecretError, Secrets};
use crate::send::{SendError, Sender};
use crate::templates::Templates;
use crate::{dingtalk, pagerduty, slack, webhook};

/// What became of one attempt.
#[derive(Debug)]
pub struct Attempt {
    /// What the service made of it.
    pub outcome: Outcome,
    /// Templates that failed; something plain was sent in their place.
    pub faults: Vec<RenderError>,
}

/// Why there was nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The template of an address is broken, or the message is no JSON.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A secret's file could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// Makes one attempt. Relative paths of secret files start at `base`; `now` is part of signatures.
///
/// # Errors
/// [`DeliverError`] when nothing could be sent. Everything after that is an [`Outcome`].
pub async fn deliver(
    sender: &Sender,
    integration: &Integration,
    notification: &Notification,
    templates: &Templates,
    base: &Path,
    now: TimestampMs,
    deadline: Duration,
) -> Result<Attempt, DeliverError> {
    let secrets = Secrets::read(integration, base).await?;
    let draft = Draft { notification, templates, secrets: &secrets, now };
    let Rendered { request, faults } = render(integration, &draft)?;
    let outcome = match sender.post(&request, integration.http(), &secrets, deadline).await {
        Ok(answer) => classify(integration, &answer, now),
        Err(error @ SendError::Request { .. }) => Outcome::Rejected { why: error.to_string() },
        Err(error) => Outcome::Retry { why: swell_telemetry::chain(&error), after: None },
    };
    let outcome = match outcome {
        Outcome::Delivered => Outcome::Delivered,
        Outcome::Retry { why, after } => Outcome::Retry { why: secrets.redact(&why), after },
        Outcome::Rejected { why } => Outcome::Rejected { why: secrets.redact(&why) },
    };
    Ok(Attempt { outcome, faults })
}

fn render(integration: &Integration, draft: &Draft<'_>) -> Result<Rendered, RenderError> {
    match integration {
        Integration::Webhook(config) => webhook::render(config, draft),
        Integration::Slack(config) => slack::render(config, draft),
        Integration::PagerDuty(config) => pagerduty::render(config, draft),
        Integration::DingTalk(config) => dingtalk::render(config, draft),
    }
}

/// The status decides; where it says success, some services have more to say.
fn classify(integration: &Integration, answer: &Answer, now: TimestampMs) -> Outcome {
    match (Outcome::of(answer, now), integration) {
        (Outcome::Delivered, Integration::Slack(_)) => slack::classify(answer),
        (Outcome::Delivered, Integration::DingTalk(_)) => dingtalk::classify(answer),
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests;
