//! What may be said of a peer: plain, checked values.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;

use http::HeaderName;
use url::Url;

use crate::proxy::Proxy;
use crate::reach::Reach;

/// A secret, or where it stands. A file is read for each request, so that it can be rotated.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret itself.
    Text(String),
    /// A file that holds it; blanks at both ends do not count.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(<secret>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

impl Secret {
    /// The secret as it is now.
    ///
    /// # Errors
    /// The path and why it cannot be read.
    pub(crate) async fn reveal(&self) -> Result<String, (PathBuf, io::Error)> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(source) => Err((path.clone(), source)),
            },
        }
    }
}

/// How a request shows who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic {
        /// User.
        username: Secret,
        /// Password.
        password: Secret,
    },
    /// An `Authorization` header.
    Header {
        /// First word of the header, `Bearer` as a rule.
        scheme: String,
        /// What follows it.
        credentials: Secret,
    },
    /// A token that is fetched and renewed.
    OAuth2(Box<OAuth2>),
}

/// Where tokens come from: the client-credentials grant of RFC 6749.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Who asks for tokens.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// Where tokens are given out.
    pub token_url: Url,
    /// What the token is for.
    pub scopes: Vec<String>,
    /// Further fields of the form that asks for a token.
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS towards the token's server.
    pub tls: TlsOptions,
    /// Proxy towards the token's server.
    pub proxy: Proxy,
}

/// PEM text, or where it stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Text(String),
    /// A file that holds it; read when the client is set up, and again when it has changed.
    File(PathBuf),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(<pem>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// A version of TLS that rustls speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The TLS side of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Authorities that vouch for peers; those of the system when absent.
    pub ca: Option<Pem>,
    /// Certificate that we show, with its key.
    pub identity: Option<(Pem, Pem)>,
    /// Name that the peer's certificate must carry, when it is not the address.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// Oldest version that is spoken.
    pub min_version: Option<TlsVersion>,
    /// Newest version that is spoken.
    pub max_version: Option<TlsVersion>,
}

/// A header of every request: its values, secret or not, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraHeader {
    /// Its name; none that [`crate::settable`] names.
    pub name: HeaderName,
    /// Its values.
    pub values: Vec<Secret>,
}

/// All that is said of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// Who asks.
    pub auth: Auth,
    /// TLS.
    pub tls: TlsOptions,
    /// Which way requests go.
    pub proxy: Proxy,
    /// Further headers.
    pub headers: Vec<ExtraHeader>,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is offered to a peer over TLS.
    pub http2: bool,
    /// Which addresses may be connected to. Behind a proxy it is the proxy that connects: then it counts for hosts that are
    /// addresses, and not for names.
    pub reach: Reach,
    /// Whether each new connection goes to another address of the peer's name.
    pub round_robin_dns: bool,
}

impl Default for ClientOptions {
    /// Prometheus' defaults: nobody in particular asks, directly, and redirects are followed.
    fn default() -> Self {
        Self {
            auth: Auth::None,
            tls: TlsOptions::default(),
            proxy: Proxy::default(),
            headers: Vec::new(),
            follow_redirects: true,
            http2: true,
            reach: Reach::default(),
            round_robin_dns: false,
        }
    }
}
