//! Who may change what is stored or end the process: users that the port knows; where it asks nobody who they are, only
//! this host. In no case a page of another origin that a browser shows.

use std::net::IpAddr;

use crate::{Authenticated, Peer};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Proof that a request comes from a known user or this host, and from no page of another origin.
#[derive(Clone, Copy, Debug)]
pub struct Privileged(());

/// Why a request is not privileged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It comes from a page of another origin.
    #[error("calls that change data are refused to pages of {origin}")]
    Origin {
        /// Of the page.
        origin: String,
    },
    /// It comes from another host.
    #[error(
        "calls that change data are refused to other hosts ({peer}): ask from the server's own"
    )]
    Host {
        /// Where it comes from.
        peer: String,
    },
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (StatusCode::FORBIDDEN, self.to_string()).into_response()
    }
}

impl Privileged {
    fn of(parts: &Parts) -> Result<Self, Refused> {
        // Without a peer the request was made inside this process.
        let is_known = parts.extensions.get::<Authenticated>().is_some();
        if let Some(peer) = parts.extensions.get::<Peer>().filter(|_| !is_known) {
            let address: IpAddr = peer.address.ip().to_canonical();
            if !address.is_loopback() {
                return Err(Refused::Host { peer: address.to_string() });
            }
        }
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let Some(origin) = text(header::ORIGIN) else { return Ok(Self(())) };
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        // A name that somebody else's server resolves to this host proves nothing.
        let is_own = is_known || authority.is_some_and(names_this_host);
        if is_own && authority.is_some() && authority == text(header::HOST) {
            return Ok(Self(()));
        }
        Err(Refused::Origin { origin: origin.to_owned() })
    }
}

/// Whether an authority is `localhost` or an address, with or without a port.
fn names_this_host(authority: &str) -> bool {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

impl<S: Send + Sync> FromRequestParts<S> for Privileged {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refused> {
        Self::of(parts)
    }
}
