//! One attempt to tell one integration.

use std::path::Path;
use std::time::Duration;

use swell_model::TimestampMs;
use swell_route::Integration;

use crate::answer::{Answer, Outcome};
use crate::notification::Notification;
use crate::request::{RenderError, Request};
use crate::secrets::{SecretError, Secrets};
use crate::send::{SendError, Sender};
use crate::templates::Templates;
use crate::{dingtalk, pagerduty, slack, webhook};

/// Why there was nothing to send.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// A template or payload is broken.
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
) -> Result<Outcome, DeliverError> {
    let secrets = Secrets::read(integration, base).await?;
    let request = render(integration, notification, templates, &secrets, now)?;
    let outcome = match sender.post(&request, integration.http(), &secrets, deadline).await {
        Ok(answer) => classify(integration, &answer, now),
        Err(error @ SendError::Request { .. }) => Outcome::Rejected { why: error.to_string() },
        Err(error) => Outcome::Retry { why: swell_telemetry::chain(&error), after: None },
    };
    Ok(match outcome {
        Outcome::Delivered => Outcome::Delivered,
        Outcome::Retry { why, after } => Outcome::Retry { why: secrets.redact(&why), after },
        Outcome::Rejected { why } => Outcome::Rejected { why: secrets.redact(&why) },
    })
}

fn render(
    integration: &Integration,
    notification: &Notification,
    templates: &Templates,
    secrets: &Secrets,
    now: TimestampMs,
) -> Result<Request, RenderError> {
    match integration {
        Integration::Webhook(config) => webhook::render(config, notification, templates, secrets),
        Integration::Slack(config) => slack::render(config, notification, templates, secrets),
        Integration::PagerDuty(config) => {
            pagerduty::render(config, notification, templates, secrets)
        }
        Integration::DingTalk(config) => {
            dingtalk::render(config, notification, templates, secrets, now)
        }
    }
}

fn classify(integration: &Integration, answer: &Answer, now: TimestampMs) -> Outcome {
    match integration {
        Integration::Slack(_) => slack::classify(answer, now),
        Integration::DingTalk(_) => dingtalk::classify(answer, now),
        Integration::Webhook(_) | Integration::PagerDuty(_) => Outcome::of(answer, now),
    }
}

#[cfg(test)]
mod tests;
