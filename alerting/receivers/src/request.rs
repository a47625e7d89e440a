//! A request that is ready to be sent.

use bytes::Bytes;
use swell_route::Secret;

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

/// Renders the text of a key.
pub(crate) fn text(
    renderer: &crate::templates::Renderer<'_>,
    key: &'static str,
    text: &str,
) -> Result<String, RenderError> {
    renderer.text(text).map_err(|error| RenderError::Template { key, message: error.to_string() })
}
