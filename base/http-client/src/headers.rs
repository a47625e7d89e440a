//! Headers that a configuration may not set: they are the client's own, or stand for options of their own.

use http::HeaderName;

/// Names in lower case, sorted.
const RESERVED: [&str; 23] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-prometheus-refresh-interval-seconds",
];

/// Why a header cannot be set by configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// It is no header name.
    #[error("{name:?} is not a header name")]
    Name {
        /// As given.
        name: String,
    },
    /// It is the client's own.
    #[error(
        "the header {name:?} cannot be set: it is the client's own or has an option of its own"
    )]
    Reserved {
        /// As given.
        name: String,
    },
}

/// The name as a header's, when it is one that may be set.
///
/// # Errors
/// [`HeaderFault`] otherwise.
pub fn settable(name: &str) -> Result<HeaderName, HeaderFault> {
    let parsed = HeaderName::try_from(name);
    let parsed = parsed.map_err(|_| HeaderFault::Name { name: name.to_owned() })?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(HeaderFault::Reserved { name: name.to_owned() });
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_headers_are_the_clients_own() {
        assert_eq!(settable("X-Scope-OrgID").expect("free").as_str(), "x-scope-orgid");
        for name in ["Authorization", "host", "User-Agent"] {
            assert!(matches!(settable(name), Err(HeaderFault::Reserved { .. })), "{name}");
        }
        assert!(matches!(settable("a b"), Err(HeaderFault::Name { .. })));
    }
}
