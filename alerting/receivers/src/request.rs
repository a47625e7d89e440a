//! A request that is ready to be sent.

use bytes::Bytes;
use swell_model::TimestampMs;
use swell_route::Secret;

use crate::notification::Notification;
use crate::secrets::Secrets;
use crate::templates::Templates;
use crate::texts::Texts;

/// A POST request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to; may hold a token.
    pub url: Secret,
    /// Content type of the body.
    pub content_type: &'static str,
    /// Body.
    pub body: Bytes,
}

impl Request {
    /// A request with a JSON body.
    ///
    /// # Errors
    /// [`RenderError::Encode`] when the value is no JSON.
    pub(crate) fn json(
        url: impl Into<String>,
        body: &impl serde::Serialize,
    ) -> Result<Self, RenderError> {
        let body = serde_json::to_vec(body).map_err(RenderError::Encode)?;
        Ok(Self { url: Secret::new(url), content_type: "application/json", body: body.into() })
    }
}

/// A request, and what had to be left out of it.
#[derive(Debug)]
pub(crate) struct Rendered {
    /// The request.
    pub(crate) request: Request,
    /// Templates that failed; something plain stands in their place.
    pub(crate) faults: Vec<RenderError>,
}

/// What receivers render from, besides their own configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    /// What is to be said.
    pub(crate) notification: &'a Notification,
    /// Named templates.
    pub(crate) templates: &'a Templates,
    /// The integration's secrets.
    pub(crate) secrets: &'a Secrets,
    /// Part of signatures.
    pub(crate) now: TimestampMs,
}

impl<'a> Draft<'a> {
    /// Renders the notification's texts.
    pub(crate) fn texts(&self) -> Texts<'a> {
        Texts::new(self.templates, self.notification)
    }
}

/// A notification that could not be put into a request; trying again gives the same.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template of the receiver failed.
    #[error("template of {key}: {message}")]
    Template {
        /// Key in the configuration.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The payload is no JSON.
    #[error("the payload cannot be written as JSON")]
    Encode(#[source] serde_json::Error),
}
