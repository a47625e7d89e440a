//! Where users reach the server, and below which path it answers, from what is told of both.

use swell_http::RoutePrefix;
use url::{Position, Url};

use super::raw::RawSwell;

/// An external URL as it is given, of which parts may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExternalUrl {
    /// Scheme and host, unless the server is to find them.
    origin: Option<String>,
    path: RoutePrefix,
}

impl ExternalUrl {
    /// Reads a URL; a path alone stands for one at the server's own address, as nothing does.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
            return Err("a URL must not begin or end with quotes".to_owned());
        }
        if text.is_empty() || text.starts_with('/') {
            let path = RoutePrefix::new(text).map_err(|error| error.to_string())?;
            return Ok(Self { origin: None, path });
        }
        let url = match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
            Ok(_) => {
                return Err(format!(
                    "{text:?} must begin with http:// or https:// and name a host, or be a path"
                ));
            }
            Err(error) => {
                let example = "https://metrics.example.org/swell";
                return Err(format!("{text:?} is no URL such as {example}: {error}"));
            }
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!(
                "{text:?} has a query or a fragment, behind which no path of a link can stand"
            ));
        }
        let path = RoutePrefix::new(url.path()).map_err(|error| error.to_string())?;
        Ok(Self { origin: Some(url[..Position::BeforePath].to_owned()), path })
    }
}

/// As it was given, but for slashes at the end.
impl std::fmt::Display for ExternalUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin.as_deref().unwrap_or_default(), self.path.as_str())
    }
}

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Where users reach it, without a slash at the end.
    pub(crate) external_url: String,
    /// The path of that, below which they find its pages.
    pub(crate) external_path: RoutePrefix,
    /// Below which it answers requests.
    pub(crate) prefix: RoutePrefix,
}

impl Location {
    /// As Prometheus has it: unless it is told, the prefix is the path of the external URL, and the rest of that URL the
    /// `origin` that the server knows of itself. A prefix alone is the path of the external URL too, or links would lead
    /// nowhere.
    pub(crate) fn new(
        external: Option<&ExternalUrl>,
        prefix: Option<&RoutePrefix>,
        origin: &str,
    ) -> Self {
        let told = external.map(|url| &url.path);
        let external_path = told.or(prefix).cloned().unwrap_or_default();
        let origin = external.and_then(|url| url.origin.as_deref()).unwrap_or(origin);
        Self {
            external_url: format!("{origin}{}", external_path.as_str()),
            prefix: prefix.unwrap_or(&external_path).clone(),
            external_path,
        }
    }
}

/// `swell.external_url` and `swell.route_prefix`; one that is empty is not told.
pub(super) fn settings(
    raw: &RawSwell,
    faults: &mut Vec<String>,
) -> (Option<ExternalUrl>, Option<RoutePrefix>) {
    let url = raw.external_url.as_deref().filter(|text| !text.is_empty());
    let url = url.and_then(|text| match ExternalUrl::parse(text) {
        Ok(url) => Some(url),
        Err(why) => {
            faults.push(format!("swell.external_url: {why}"));
            None
        }
    });
    let prefix = raw.route_prefix.as_deref().filter(|text| !text.is_empty());
    let prefix = prefix.and_then(|text| match RoutePrefix::new(text) {
        Ok(prefix) => Some(prefix),
        Err(why) => {
            faults.push(format!("swell.route_prefix: {why}"));
            None
        }
    });
    (url, prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(url: Option<&str>, prefix: Option<&str>) -> [String; 3] {
        let url = url.map(|text| ExternalUrl::parse(text).expect("a URL"));
        let prefix = prefix.map(|text| RoutePrefix::new(text).expect("a path"));
        let at = Location::new(url.as_ref(), prefix.as_ref(), "http://host:9090");
        [at.external_url, at.external_path.to_string(), at.prefix.to_string()]
    }

    #[test]
    fn what_is_not_told_follows_from_the_rest() {
        for (url, prefix, expected) in [
            (None, None, ["http://host:9090", "/", "/"]),
            (Some(""), None, ["http://host:9090", "/", "/"]),
            (Some("http://h"), None, ["http://h", "/", "/"]),
            (Some("http://h/"), None, ["http://h", "/", "/"]),
            (Some("https://h:8443/prom/"), None, ["https://h:8443/prom", "/prom", "/prom"]),
            (Some("http://h/a/b//"), None, ["http://h/a/b", "/a/b", "/a/b"]),
            // A proxy in front takes the path off.
            (Some("http://h/prom"), Some("/"), ["http://h/prom", "/prom", "/"]),
            // Or puts one on.
            (Some("http://h/"), Some("prom/"), ["http://h", "/", "/prom"]),
            (Some("http://h/a"), Some("/b/"), ["http://h/a", "/a", "/b"]),
            (Some("/prom/"), None, ["http://host:9090/prom", "/prom", "/prom"]),
            (None, Some("/prom"), ["http://host:9090/prom", "/prom", "/prom"]),
            (Some("http://u:p@h/x"), None, ["http://u:p@h/x", "/x", "/x"]),
            (Some("http://h/a b"), None, ["http://h/a%20b", "/a%20b", "/a%20b"]),
        ] {
            assert_eq!(located(url, prefix), expected, "{url:?} {prefix:?}");
        }
    }

    #[test]
    fn what_is_no_url_is_told_with_its_reason() {
        for (text, part) in [
            ("\"http://h/\"", "quotes"),
            ("'http://h/", "quotes"),
            ("h:9090/prom", "http://"),
            ("localhost:9090", "http://"),
            ("ftp://h/", "http://"),
            ("metrics.example.org/prom", "no URL"),
            ("http://", "no URL"),
            ("http://h/?a=b", "query"),
            ("http://h/#top", "fragment"),
            ("/a b", "percent-encoded"),
            ("/a?b", "'?'"),
        ] {
            let told = ExternalUrl::parse(text).expect_err(text);
            assert!(told.contains(part), "{text}: {told}");
        }
        assert!(RoutePrefix::new("/{x}").is_err());
        assert_eq!(ExternalUrl::parse("/a/").expect("a path").to_string(), "/a");
        assert_eq!(ExternalUrl::parse("http://h/a/").expect("a URL").to_string(), "http://h/a");
    }
}
