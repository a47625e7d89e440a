//! Requests as Prometheus' HTTP client options have them: TLS, credentials, OAuth 2, proxies, headers, redirects.
//!
//! [`ClientOptions`] are the checked options of one peer; [`HttpClient`] sends requests by them. Secrets that stand in
//! files are read for each request, so that they can be rotated; credentials never follow a redirect to another host.

mod client;
mod connect;
mod headers;
mod oauth;
mod options;
mod proxy;
mod reach;
mod resolve;
mod rotation;
mod tls;
mod trust;

pub use client::{HttpClient, HttpRequest, RequestError, read_body, without_user};
pub use headers::{HeaderFault, settable};
pub use oauth::TokenError;
pub use options::{Auth, ClientOptions, ExtraHeader, OAuth2, Pem, Secret, TlsOptions, TlsVersion};
pub use proxy::{Exempt, Proxy, ProxyFault};
pub use reach::{NoNetwork, Reach};
pub use tls::TlsError;
pub use trust::{AuthorityFault, authorities};
