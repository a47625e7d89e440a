//! Requests: who asks, further headers, redirects.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tracing::warn;
use url::Url;

use crate::connect::Connector;
use crate::oauth::{TokenError, TokenSource};
use crate::options::{Auth, ClientOptions, Secret};
use crate::proxy;
use crate::rotation::Stamps;
use crate::tls::{self, TlsError};

/// A chain of redirects longer than this is a loop.
const REDIRECTS_MAX: usize = 10;
/// Connections stay open between requests of any usual interval.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);
/// A peer is asked few things at a time.
const IDLE_PER_HOST_MAX: usize = 1;

const USER_AGENT: &str = concat!("Swell/", env!("CARGO_PKG_VERSION"));

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A secret cannot be read.
    #[error("read the secret file {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A secret is none that a header can carry.
    #[error("the credentials or a header hold characters that a header may not")]
    Header,
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Connecting or talking failed.
    #[error("ask {host}")]
    Ask {
        /// Host and port.
        host: String,
        /// Why.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
    /// The address is none that can be asked.
    #[error("{0:?} is no http or https URL")]
    Url(String),
    /// The peer sends us on and on.
    #[error("more than {REDIRECTS_MAX} redirects")]
    Redirects,
    /// The peer sends us where we do not go.
    #[error("a redirect to {0:?}, which is no http or https URL")]
    RedirectTo(String),
    /// The answer broke off.
    #[error("read the answer")]
    Body(#[source] hyper::Error),
    /// The answer is too large.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
}

/// A request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// GET or another method; for another one only the redirects 307 and 308 are followed, which ask for the same again.
    pub method: Method,
    /// Address, `http:` or `https:`.
    pub url: Url,
    /// Headers; the options' own come on top.
    pub headers: HeaderMap,
    /// Body, empty for none.
    pub body: Bytes,
}

impl HttpRequest {
    /// A GET without headers of its own.
    #[must_use]
    pub fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

type PlainClient = Client<Connector, Full<Bytes>>;
type TlsClient = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// Sends requests by the options of one peer. Deadlines are the caller's.
#[derive(Debug)]
pub struct HttpClient {
    options: ClientOptions,
    connector: Connector,
    /// Connections that stay open.
    idle_max: usize,
    plain: PlainClient,
    /// Made when the first peer asks for it: reading the system's authorities costs memory.
    tls: Mutex<Option<Tls>>,
    tokens: Option<Box<TokenSource>>,
}

/// Connections with TLS, and the certificates that they are made with.
#[derive(Debug)]
struct Tls {
    client: TlsClient,
    files: Stamps,
}

/// What a request tells of us, for the host that it is meant for.
struct Identity {
    authorization: Option<HeaderValue>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl HttpClient {
    /// A client without connections; what the options say of TLS is checked.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot be done that way.
    pub fn new(options: ClientOptions) -> Result<Self, TlsError> {
        Self::for_many(options, IDLE_PER_HOST_MAX)
    }

    /// A client for a peer that is asked so many things at a time: that many connections stay open.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn for_many(options: ClientOptions, at_a_time: usize) -> Result<Self, TlsError> {
        let connector = Connector::network(
            options.proxy.clone(),
            options.reach.clone(),
            options.round_robin_dns,
        );
        Self::with_connector(options, connector, at_a_time)
    }

    /// A client whose requests all go to a socket in the file system, whatever host they name.
    ///
    /// # Errors
    /// As [`HttpClient::new`].
    pub fn over_socket(path: PathBuf, options: ClientOptions) -> Result<Self, TlsError> {
        Self::with_connector(options, Connector::socket(path), IDLE_PER_HOST_MAX)
    }

    fn with_connector(
        options: ClientOptions,
        connector: Connector,
        idle_max: usize,
    ) -> Result<Self, TlsError> {
        let tokens = match &options.auth {
            Auth::OAuth2(oauth) => Some(Box::new(TokenSource::new(oauth)?)),
            Auth::None | Auth::Basic { .. } | Auth::Header { .. } => None,
        };
        let plain = client(connector.clone(), idle_max);
        let client = Self { options, connector, idle_max, plain, tls: Mutex::new(None), tokens };
        if client.options.tls != crate::options::TlsOptions::default() {
            client.tls()?;
        }
        Ok(client)
    }

    /// The options that it was made with.
    #[must_use]
    pub const fn options(&self) -> &ClientOptions {
        &self.options
    }

    /// Connections by the certificates that are in their files now. Those that cannot be used are tried once, and again when they
    /// change: until then the ones before count.
    fn tls(&self) -> Result<TlsClient, TlsError> {
        let files = Stamps::of(&self.options.tls);
        let mut made = self.tls.lock();
        let make = || {
            tls::connector(&self.options.tls, self.options.http2, self.connector.clone())
                .map(|connector| client(connector, self.idle_max))
        };
        let Some(known) = made.as_mut() else {
            return Ok(made.insert(Tls { client: make()?, files }).client.clone());
        };
        if known.files != files {
            known.files = files;
            match make() {
                Ok(client) => known.client = client,
                Err(error) => {
                    let error = swell_telemetry::chain(&error);
                    warn!(
                        error,
                        "certificates were changed and cannot be used: those before count"
                    );
                }
            }
        }
        Ok(known.client.clone())
    }

    /// Sends a request; the answer has come as far as its headers, whatever its status.
    ///
    /// # Errors
    /// [`RequestError`] when there is no answer.
    pub async fn send(&self, request: &HttpRequest) -> Result<Response<Incoming>, RequestError> {
        let mut url = request.url.clone();
        let mut identity = Some(self.identity(request).await?);
        for _ in 0..=REDIRECTS_MAX {
            // Who asks is in a header by now, and errors name the URL.
            url = without_user(&url);
            let response = self.ask(request, &url, identity.as_ref()).await?;
            let location = response.headers().get(header::LOCATION);
            let follows = self.options.follow_redirects
                && match request.method {
                    Method::GET => {
                        response.status().is_redirection()
                            && response.status() != StatusCode::NOT_MODIFIED
                    }
                    // Of the others only those that ask for the same again, body included.
                    _ => matches!(
                        response.status(),
                        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
                    ),
                };
            let Some(location) = location.filter(|_| follows) else { return Ok(response) };
            let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
            let next = url
                .join(&location)
                .ok()
                .filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host())
                .ok_or(RequestError::RedirectTo(location))?;
            // Who we are is for the host that it was told for, and for nobody who listens in between.
            if next.host() != url.host()
                || next.port_or_known_default() != url.port_or_known_default()
                || (url.scheme() == "https" && next.scheme() == "http")
            {
                identity = None;
            }
            url = next;
        }
        Err(RequestError::Redirects)
    }

    async fn ask(
        &self,
        request: &HttpRequest,
        url: &Url,
        identity: Option<&Identity>,
    ) -> Result<Response<Incoming>, RequestError> {
        let mut asked = Request::builder()
            .method(request.method.clone())
            .uri(url.as_str())
            .body(Full::new(request.body.clone()))
            .map_err(|_| RequestError::Url(url.to_string()))?;
        let headers = asked.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in &request.headers {
            if identity.is_some() || name != header::AUTHORIZATION {
                headers.append(name, value.clone());
            }
        }
        if let Some(identity) = identity {
            for (name, value) in &identity.headers {
                headers.append(name, value.clone());
            }
            if let Some(authorization) = &identity.authorization {
                headers.insert(header::AUTHORIZATION, authorization.clone());
            }
        }
        let (host, port) =
            proxy::host_and_port(url).ok_or_else(|| RequestError::Url(url.to_string()))?;
        let answer = if url.scheme() == "https" {
            self.tls()?.request(asked).await
        } else {
            if let Some(through) = self.options.proxy.of("http", &host, port)
                && let Some(credentials) = proxy::credentials(through)
            {
                let value = HeaderValue::try_from(credentials);
                let mut value = value.map_err(|_| RequestError::Header)?;
                value.set_sensitive(true);
                headers.insert(header::PROXY_AUTHORIZATION, value);
            }
            self.plain.request(asked).await
        };
        answer.map_err(|source| RequestError::Ask { host: format!("{host}:{port}"), source })
    }

    /// Who asks. A user in the URL comes before the one of the options, and after a header of the request, as with
    /// Go's client.
    async fn identity(&self, request: &HttpRequest) -> Result<Identity, RequestError> {
        let mut headers = Vec::new();
        for header in &self.options.headers {
            for value in &header.values {
                let value = HeaderValue::try_from(reveal(value).await?);
                let mut value = value.map_err(|_| RequestError::Header)?;
                value.set_sensitive(true);
                headers.push((header.name.clone(), value));
            }
        }
        let has_own = request.headers.contains_key(header::AUTHORIZATION);
        let of_url = proxy::credentials(&request.url).filter(|_| !has_own);
        let text = match &self.options.auth {
            _ if of_url.is_some() => of_url.unwrap_or_default(),
            Auth::None => return Ok(Identity { authorization: None, headers }),
            Auth::OAuth2(_) => {
                let tokens = self.tokens.as_ref().expect("made for these options");
                return Ok(Identity {
                    authorization: Some(tokens.authorization().await?),
                    headers,
                });
            }
            Auth::Basic { username, password } => {
                let pair = format!("{}:{}", reveal(username).await?, reveal(password).await?);
                format!("Basic {}", STANDARD.encode(pair))
            }
            Auth::Header { scheme, credentials } => {
                format!("{scheme} {}", reveal(credentials).await?)
            }
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| RequestError::Header)?;
        value.set_sensitive(true);
        Ok(Identity { authorization: Some(value), headers })
    }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// A URL as it may be shown: without user and password.
#[must_use]
pub fn without_user(url: &Url) -> Url {
    let mut shown = url.clone();
    if has_user(url) {
        // Only URLs without a host refuse this, and those have no user.
        let cleared = shown.set_username("").and_then(|()| shown.set_password(None));
        debug_assert!(cleared.is_ok(), "a URL with a user has a host");
    }
    shown
}

/// Reads a body up to a limit.
///
/// # Errors
/// [`RequestError::TooLarge`] beyond `bytes_max`, [`RequestError::Body`] when it breaks off.
pub async fn read_body(
    response: Response<Incoming>,
    bytes_max: u64,
) -> Result<Bytes, RequestError> {
    let mut body = response.into_body();
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(RequestError::Body)?.into_data() {
            if (read.len() + data.len()) as u64 > bytes_max {
                return Err(RequestError::TooLarge(bytes_max));
            }
            read.extend_from_slice(&data);
        }
    }
    Ok(read.freeze())
}

async fn reveal(secret: &Secret) -> Result<String, RequestError> {
    let read = secret.reveal().await;
    read.map_err(|(path, source)| RequestError::Secret { path, source })
}

fn client<C>(connector: C, idle_max: usize) -> Client<C, Full<Bytes>>
where
    C: Connect + Clone,
{
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle_max)
        .pool_timer(TokioTimer::new())
        .build(connector)
}
