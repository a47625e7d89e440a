//! Below which path a surface is served.

use std::fmt;

use http::Uri;
use http::uri::PathAndQuery;

/// What a path may have beside letters and digits without being percent-encoded (RFC 3986).
const PUNCTUATION: &str = "/-._~!$&'()*+,;=:@%";

/// A path below which a surface has its routes, and nowhere else. The root is no prefix at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePrefix(String);

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path:?} is no path as requests have it: {letter:?} may not stand in one, or must be percent-encoded"
)]
pub struct NoPath {
    path: String,
    letter: char,
}

impl RoutePrefix {
    /// The path without slashes at its end; `/`, and nothing, are the root.
    ///
    /// # Errors
    /// [`NoPath`] names the first letter that no path has.
    pub fn new(path: &str) -> Result<Self, NoPath> {
        let is_of_path =
            |letter: &char| letter.is_ascii_alphanumeric() || PUNCTUATION.contains(*letter);
        if let Some(letter) = path.chars().find(|letter| !is_of_path(letter)) {
            return Err(NoPath { path: path.to_owned(), letter });
        }
        let inner = path.trim_matches('/');
        Ok(Self(if inner.is_empty() { String::new() } else { format!("/{inner}") }))
    }

    /// Whether it is no prefix at all.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// What stands before the paths of routes: nothing, or a path with a slash in front and none behind.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address as the routes have it; none where it lies outside of the prefix.
    #[must_use]
    pub fn strip(&self, uri: &Uri) -> Option<Uri> {
        let rest = uri.path_and_query()?.as_str().strip_prefix(self.as_str())?;
        // Or `/a` would take what is asked of `/ab`.
        if !rest.starts_with('/') {
            return None;
        }
        let rest: PathAndQuery = rest.parse().ok()?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(rest);
        Uri::from_parts(parts).ok()
    }
}

/// As Prometheus writes it: at least a slash.
impl fmt::Display for RoutePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { self.as_str() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_are_of_no_matter() {
        for (text, written) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("prom", "/prom"),
            ("/prom/", "/prom"),
            ("a/b/", "/a/b"),
            ("/caf%C3%A9", "/caf%C3%A9"),
        ] {
            let prefix = RoutePrefix::new(text).expect("a path");
            assert_eq!(prefix.to_string(), written, "{text}");
            assert_eq!(prefix.is_root(), written == "/", "{text}");
        }
        for text in ["/a b", "/a?b", "/a#b", "/{a}", "/caf\u{e9}", "/a\r\nb", "/a\"", "/<a>"] {
            assert!(RoutePrefix::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_what_lies_below_is_found_with_its_query() {
        let stripped = |prefix: &str, uri: &str| {
            let prefix = RoutePrefix::new(prefix).expect("a path");
            prefix.strip(&uri.parse().expect("an address")).map(|uri| uri.to_string())
        };
        for (prefix, uri, expected) in [
            ("/", "/api/v1/query?query=up", Some("/api/v1/query?query=up")),
            ("/a", "/a/api/v1/query?query=up", Some("/api/v1/query?query=up")),
            ("/a", "/a/", Some("/")),
            ("/a", "/a/?x=/a/", Some("/?x=/a/")),
            ("/a/b", "/a/b/-/ready", Some("/-/ready")),
            ("/a", "/a//metrics", Some("//metrics")),
            ("/a", "http://h:1/a/metrics?x", Some("http://h:1/metrics?x")),
            ("/a", "/a", None),
            ("/a", "/a?x", None),
            ("/a", "/ab/metrics", None),
            ("/a/b", "/a/metrics", None),
            ("/a", "/metrics", None),
            ("/a", "/", None),
            ("/a", "*", None),
        ] {
            assert_eq!(stripped(prefix, uri).as_deref(), expected, "{prefix} {uri}");
        }
    }
}
