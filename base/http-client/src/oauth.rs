//! Tokens by the client-credentials grant, RFC 6749 section 4.4.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::client::{HttpClient, HttpRequest, RequestError, read_body, without_user};
use crate::options::{ClientOptions, OAuth2};
use crate::tls::TlsError;

/// A token is renewed this long before it runs out: it has to arrive in time.
const RENEW_AHEAD: Duration = Duration::from_secs(10);
/// An answer that holds a token is smaller.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token's server could not be asked.
    #[error("ask {url} for a token")]
    Ask {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Box<RequestError>,
    },
    /// It gives none.
    #[error("{url} answers HTTP status {status} to a request for a token")]
    Refused {
        /// Where.
        url: String,
        /// With what.
        status: StatusCode,
    },
    /// Its answer is none.
    #[error("the answer of {url} is no token: {why}")]
    Answer {
        /// Where.
        url: String,
        /// What is wrong.
        why: String,
    },
}

#[derive(Clone)]
struct Token {
    authorization: HeaderValue,
    renew_at: Option<Instant>,
}

/// Fetches tokens and keeps the newest for as long as it is good.
pub(crate) struct TokenSource {
    options: OAuth2,
    client: HttpClient,
    newest: Mutex<Option<Token>>,
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource").field("options", &self.options).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    expires_in: Option<Seconds>,
}

/// A number, also as a text: some servers write it so.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
}

impl Seconds {
    fn parse(&self) -> Result<f64, std::num::ParseFloatError> {
        match self {
            Self::Number(seconds) => Ok(*seconds),
            Self::Text(text) => text.trim().parse(),
        }
    }
}

impl TokenSource {
    pub(crate) fn new(options: &OAuth2) -> Result<Self, TlsError> {
        let client = HttpClient::new(ClientOptions {
            tls: options.tls.clone(),
            proxy: options.proxy.clone(),
            // The form may hold the secret, which is for the server that is configured.
            follow_redirects: false,
            ..ClientOptions::default()
        })?;
        Ok(Self { options: options.clone(), client, newest: Mutex::new(None) })
    }

    /// An `Authorization` header with a token that is good now. Who comes while one is fetched waits for it.
    pub(crate) async fn authorization(&self) -> Result<HeaderValue, RequestError> {
        let mut newest = self.newest.lock().await;
        if let Some(token) = newest.as_ref()
            && token.renew_at.is_none_or(|at| Instant::now() < at)
        {
            return Ok(token.authorization.clone());
        }
        let token = self.fetch().await?;
        Ok(newest.insert(token).authorization.clone())
    }

    async fn fetch(&self) -> Result<Token, RequestError> {
        let options = &self.options;
        let url = || without_user(&options.token_url).to_string();
        let secret = options.client_secret.reveal().await;
        let secret = secret.map_err(|(path, source)| RequestError::Secret { path, source })?;
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", encoded(&options.client_id), encoded(&secret));
        let basic = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
        let mut basic = basic.map_err(|_| RequestError::Header)?;
        basic.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, basic);
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let mut request = HttpRequest {
            method: Method::POST,
            url: options.token_url.clone(),
            headers,
            body: Bytes::from(form(options, None)),
        };
        let asked = Instant::now();
        let boxed = |source| TokenError::Ask { url: url(), source: Box::new(source) };
        // The client of tokens has no tokens of its own: the recursion ends there.
        let mut answer = Box::pin(self.client.send(&request)).await.map_err(boxed)?;
        if answer.status().is_client_error() {
            // Some servers know clients by the form only, and tell so by no one status.
            request.headers.remove(header::AUTHORIZATION);
            request.body = Bytes::from(form(options, Some(&secret)));
            answer = Box::pin(self.client.send(&request)).await.map_err(boxed)?;
        }
        if !answer.status().is_success() {
            return Err(TokenError::Refused { url: url(), status: answer.status() }.into());
        }
        let body = read_body(answer, ANSWER_BYTES_MAX).await.map_err(boxed)?;
        let wrong = |why: String| TokenError::Answer { url: url(), why };
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| wrong(error.to_string()))?;
        if answer.access_token.is_empty() {
            return Err(wrong("access_token is empty".to_owned()).into());
        }
        let scheme = match answer.token_type.to_ascii_lowercase().as_str() {
            "" | "bearer" => "Bearer",
            _ => &answer.token_type,
        };
        let authorization = HeaderValue::try_from(format!("{scheme} {}", answer.access_token));
        let mut authorization =
            authorization.map_err(|_| wrong("the token holds odd characters".to_owned()))?;
        authorization.set_sensitive(true);
        let lifetime = answer.expires_in.map(|seconds| seconds.parse()).transpose();
        let lifetime = lifetime.map_err(|error| wrong(format!("expires_in: {error}")))?;
        let lifetime = lifetime.filter(|seconds| *seconds > 0.0);
        let lifetime = lifetime.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let renew_at =
            lifetime.and_then(|life| asked.checked_add(life.saturating_sub(RENEW_AHEAD)));
        Ok(Token { authorization, renew_at })
    }
}

/// The body of the question; with the client's secret when no header tells it.
fn form(options: &OAuth2, secret: Option<&str>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !options.scopes.is_empty() {
        form.append_pair("scope", &options.scopes.join(" "));
    }
    if let Some(secret) = secret {
        form.append_pair("client_id", &options.client_id).append_pair("client_secret", secret);
    }
    form.extend_pairs(&options.endpoint_params);
    form.finish()
}
