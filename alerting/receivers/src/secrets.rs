//! Secrets at the time they are needed: from the configuration or from their files.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use swell_route::{Authorization, Integration, Secret, SecretSource};

/// The secrets of one integration.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The URL, or the routing key of PagerDuty.
    pub primary: Secret,
    /// What requests are signed with.
    pub signing: Option<Secret>,
    /// The `Authorization` header.
    pub authorization: Option<Secret>,
}

/// A secret's file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the secret file {file}")]
pub struct SecretError {
    /// The file.
    pub file: String,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl Secrets {
    /// Reads the secrets of an integration; relative paths start at `base`.
    ///
    /// # Errors
    /// [`SecretError`] when a file cannot be read.
    pub async fn read(integration: &Integration, base: &Path) -> Result<Self, SecretError> {
        let (primary, signing) = match integration {
            Integration::Webhook(config) => (&config.url, None),
            Integration::Slack(config) => (&config.api_url, None),
            Integration::PagerDuty(config) => (&config.routing_key, None),
            Integration::DingTalk(config) => (&config.webhook_url, config.secret.as_ref()),
        };
        let signing = match signing {
            Some(source) => Some(read(source, base).await?),
            None => None,
        };
        let authorization = match &integration.http().authorization {
            None => None,
            Some(Authorization::Basic { username, password }) => {
                let password = match password {
                    Some(source) => read(source, base).await?,
                    None => Secret::new(""),
                };
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                Some(Secret::new(format!("Basic {pair}")))
            }
            Some(Authorization::Scheme { credentials: None, .. }) => None,
            Some(Authorization::Scheme { scheme, credentials: Some(source) }) => {
                Some(Secret::new(format!("{scheme} {}", read(source, base).await?.expose())))
            }
        };
        Ok(Self { primary: read(primary, base).await?, signing, authorization })
    }

    /// Takes the secrets out of a text.
    #[must_use]
    pub(crate) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in [Some(&self.primary), self.signing.as_ref(), self.authorization.as_ref()]
            .into_iter()
            .flatten()
        {
            // A path or query may come back alone, without scheme and host.
            let url_rest =
                secret.expose().split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            for part in
                [Some(secret.expose()), url_rest.map(|(_, path)| path)].into_iter().flatten()
            {
                if part.len() >= 4 {
                    text = text.replace(part, "<secret>");
                }
            }
        }
        text
    }
}

async fn read(source: &SecretSource, base: &Path) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Value(secret) => Ok(secret.clone()),
        SecretSource::File(file) => {
            let path: PathBuf = base.join(file);
            let text = tokio::fs::read_to_string(&path)
                .await
                .map_err(|source| SecretError { file: path.display().to_string(), source })?;
            Ok(Secret::new(text.trim()))
        }
    }
}
