//! `http_config`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::secret::{Secret, SecretSource};

/// How the `Authorization` header is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// User and password.
    Basic {
        /// User.
        username: String,
        /// Password.
        password: Option<SecretSource>,
    },
    /// A scheme with credentials, `Bearer` as a rule.
    Scheme {
        /// Scheme.
        scheme: String,
        /// Credentials.
        credentials: Option<SecretSource>,
    },
}

/// HTTP options that are honoured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpConfig {
    /// Authorization.
    pub authorization: Option<Authorization>,
    /// Further headers with their values.
    pub headers: Vec<(String, Secret)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttpConfig {
    basic_auth: Option<RawBasicAuth>,
    authorization: Option<RawAuthorization>,
    bearer_token: Option<Secret>,
    bearer_token_file: Option<String>,
    oauth2: Option<IgnoredAny>,
    tls_config: Option<IgnoredAny>,
    proxy_url: Option<String>,
    no_proxy: Option<String>,
    proxy_from_environment: Option<bool>,
    proxy_connect_header: Option<IgnoredAny>,
    follow_redirects: Option<bool>,
    enable_http2: Option<bool>,
    http_headers: Option<BTreeMap<String, RawHeader>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBasicAuth {
    username: Option<String>,
    username_file: Option<String>,
    password: Option<Secret>,
    password_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuthorization {
    #[serde(rename = "type")]
    scheme: Option<String>,
    credentials: Option<Secret>,
    credentials_file: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeader {
    values: Option<Vec<String>>,
    secrets: Option<Vec<Secret>>,
    files: Option<Vec<String>>,
}

/// One of a value and its `_file`.
pub(super) fn source(
    key: &str,
    value: Option<Secret>,
    file: Option<String>,
    faults: &mut Vec<String>,
) -> Option<SecretSource> {
    match (value, file) {
        (Some(_), Some(_)) => {
            faults.push(format!("at most one of {key} & {key}_file must be configured"));
            None
        }
        (Some(value), None) => Some(SecretSource::Value(value)),
        (None, Some(file)) => Some(SecretSource::File(file)),
        (None, None) => None,
    }
}

impl RawHttpConfig {
    /// Checks the options; `faults` and `unsupported` take what is wrong or has no effect.
    pub(super) fn check(
        self,
        faults: &mut Vec<String>,
        unsupported: &mut Vec<String>,
    ) -> HttpConfig {
        let kinds = [
            self.basic_auth.is_some(),
            self.authorization.is_some(),
            self.oauth2.is_some(),
            self.bearer_token.is_some() || self.bearer_token_file.is_some(),
        ];
        if kinds.iter().filter(|set| **set).count() > 1 {
            faults.push("at most one of basic_auth, authorization, oauth2 and bearer_token must be configured".into());
        }
        if self.proxy_from_environment == Some(true)
            && (self.proxy_url.is_some() || self.no_proxy.is_some())
        {
            faults.push("proxy_from_environment excludes proxy_url and no_proxy".into());
        }
        for (key, set) in [
            ("oauth2", self.oauth2.is_some()),
            ("tls_config", self.tls_config.is_some()),
            ("proxy_url", self.proxy_url.is_some()),
            ("proxy_from_environment", self.proxy_from_environment == Some(true)),
            ("proxy_connect_header", self.proxy_connect_header.is_some()),
            ("follow_redirects: true", self.follow_redirects == Some(true)),
            ("enable_http2: true", self.enable_http2 == Some(true)),
        ] {
            if set {
                unsupported.push(key.to_owned());
            }
        }
        let authorization = if let Some(basic) = self.basic_auth {
            if basic.username_file.is_some() {
                unsupported.push("basic_auth.username_file".into());
            }
            let password = source("password", basic.password, basic.password_file, faults);
            Some(Authorization::Basic { username: basic.username.unwrap_or_default(), password })
        } else if let Some(authorization) = self.authorization {
            let scheme = authorization.scheme.unwrap_or_else(|| "Bearer".into());
            if scheme.trim().eq_ignore_ascii_case("basic") {
                faults
                    .push("authorization type cannot be \"basic\", use basic_auth instead".into());
            }
            let credentials = source(
                "credentials",
                authorization.credentials,
                authorization.credentials_file,
                faults,
            );
            Some(Authorization::Scheme { scheme, credentials })
        } else {
            source("bearer_token", self.bearer_token, self.bearer_token_file, faults).map(|token| {
                Authorization::Scheme { scheme: "Bearer".into(), credentials: Some(token) }
            })
        };
        let mut headers = Vec::new();
        for (name, header) in self.http_headers.unwrap_or_default() {
            if header.files.is_some() {
                unsupported.push(format!("http_headers.{name}.files"));
            }
            let values = header.values.unwrap_or_default().into_iter().map(Secret::new);
            headers.extend(
                values.chain(header.secrets.unwrap_or_default()).map(|value| (name.clone(), value)),
            );
        }
        HttpConfig { authorization, headers }
    }
}
