//! Which proxy a request goes through, if any.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use url::{Host, Url};

use crate::options::Secret;

/// Which proxies there are, and for whom they are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For `http:` addresses.
    pub http: Option<Url>,
    /// For `https:` addresses.
    pub https: Option<Url>,
    /// Who is reached directly all the same.
    pub exempt: Exempt,
    /// Whether this host's own names and loopback addresses are exempt, as with proxies from the environment.
    pub loopback_is_exempt: bool,
    /// Headers of the request that opens a tunnel.
    pub connect_headers: Vec<(HeaderName, Secret)>,
}

/// Why a proxy is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyFault {
    /// It is no URL.
    #[error("the proxy {url:?} is not a URL: {why}")]
    Url {
        /// As given, without a password.
        url: String,
        /// Why.
        why: String,
    },
    /// It is reached in a way that we do not speak.
    #[error("the proxy's scheme {scheme:?} is not http: that is how proxies are reached")]
    Scheme {
        /// The scheme.
        scheme: String,
    },
}

impl Proxy {
    /// The proxy at a URL; without a scheme it is `http:`.
    ///
    /// # Errors
    /// [`ProxyFault`] when it is none.
    pub fn parse(text: &str) -> Result<Url, ProxyFault> {
        let full = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&full).map_err(|error| ProxyFault::Url {
            url: text.rsplit('@').next().unwrap_or_default().to_owned(),
            why: error.to_string(),
        })?;
        if url.scheme() != "http" {
            return Err(ProxyFault::Scheme { scheme: url.scheme().to_owned() });
        }
        Ok(url)
    }

    /// The proxy for an address.
    pub(crate) fn of(&self, scheme: &str, host: &str, port: u16) -> Option<&Url> {
        let proxy = if scheme == "https" { self.https.as_ref() } else { self.http.as_ref() };
        let proxy = proxy?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let loopback = || match host.parse::<IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => host == "localhost",
        };
        if (self.loopback_is_exempt && loopback()) || self.exempt.covers(host, port) {
            return None;
        }
        Some(proxy)
    }
}

/// What a proxy is told about who asks, from its URL.
pub(crate) fn credentials(proxy: &Url) -> Option<String> {
    if proxy.username().is_empty() && proxy.password().is_none() {
        return None;
    }
    let decoded = |text: &str| {
        let pair = format!("a={}", text.replace('+', "%2B"));
        let mut pairs = url::form_urlencoded::parse(pair.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let user = decoded(proxy.username());
    let password = decoded(proxy.password().unwrap_or_default());
    Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// Hosts that are reached directly (`no_proxy`): names with their sub-domains, addresses and networks, with or
/// without a port; `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exempt(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    who: Who,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    All,
    Address(IpAddr),
    /// Addresses that share the first bits.
    Network(IpAddr, u8),
    /// A name and what is below it.
    Domain(String),
    /// What is below a name.
    Below(String),
}

impl Exempt {
    /// Reads a comma-separated list; blanks around entries do not count.
    #[must_use]
    pub fn parse(list: &str) -> Self {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        Self(entries.map(entry).collect())
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let ip = host.parse::<IpAddr>().ok();
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|wanted| wanted == port)
                && match (&entry.who, ip) {
                    (Who::All, _) => true,
                    (Who::Address(address), Some(ip)) => *address == ip,
                    (Who::Network(network, bits), Some(ip)) => is_within(ip, *network, *bits),
                    (Who::Domain(domain), None) => name == *domain || is_below(&name, domain),
                    (Who::Below(domain), None) => is_below(&name, domain),
                    (Who::Address(_) | Who::Network(..), None)
                    | (Who::Domain(_) | Who::Below(_), Some(_)) => false,
                }
        })
    }
}

fn entry(text: &str) -> Entry {
    if text == "*" {
        return Entry { who: Who::All, port: None };
    }
    if let Ok(ip) = text.trim_start_matches('[').trim_end_matches(']').parse() {
        return Entry { who: Who::Address(ip), port: None };
    }
    if let Some((network, bits)) = text.split_once('/')
        && let (Ok(network), Ok(bits)) = (network.parse(), bits.parse())
    {
        return Entry { who: Who::Network(network, bits), port: None };
    }
    let (host, port) = match text.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host, Some(port)),
        _ => (text, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let who = match (host.parse(), host.strip_prefix("*.").or(host.strip_prefix('.'))) {
        (Ok(ip), _) => Who::Address(ip),
        (Err(_), Some(below)) => Who::Below(below.to_owned()),
        (Err(_), None) => Who::Domain(host),
    };
    Entry { who, port }
}

fn is_below(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

pub(crate) fn is_within(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (ip, network, width) = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => {
            (u128::from(ip.to_bits()), u128::from(network.to_bits()), 32_u32)
        }
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let free = width.saturating_sub(u32::from(bits));
    ip.checked_shr(free).unwrap_or(0) == network.checked_shr(free).unwrap_or(0)
}

/// Host without brackets, and port, of a URL that has both.
pub(crate) fn host_and_port(url: &Url) -> Option<(String, u16)> {
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(ip) => ip.to_string(),
        Host::Ipv6(ip) => ip.to_string(),
    };
    Some((host, url.port_or_known_default()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_exempt() {
        let list =
            Exempt::parse("example.org, .inner.net,10.0.0.0/8,192.0.2.7:9100,[fd00::1], *.w:80");
        for (host, port, expected) in [
            ("example.org", 80, true),
            ("EXAMPLE.org.", 80, true),
            ("a.example.org", 80, true),
            ("badexample.org", 80, false),
            ("inner.net", 80, false),
            ("a.inner.net", 80, true),
            ("10.200.1.1", 80, true),
            ("11.0.0.1", 80, false),
            ("192.0.2.7", 9100, true),
            ("192.0.2.7", 80, false),
            ("fd00::1", 80, true),
            ("fd00::2", 80, false),
            ("a.w", 80, true),
            ("a.w", 81, false),
        ] {
            assert_eq!(list.covers(host, port), expected, "{host}:{port}");
        }
        assert!(Exempt::parse("*").covers("any", 1));
        assert!(!Exempt::parse("").covers("any", 1));
    }

    #[test]
    fn a_proxy_is_chosen_by_scheme() {
        let proxy = Proxy {
            http: Some(Proxy::parse("p:3128").expect("a proxy")),
            loopback_is_exempt: true,
            ..Proxy::default()
        };
        let shown = |scheme, host| proxy.of(scheme, host, 80).map(Url::as_str);
        assert_eq!(shown("http", "a"), Some("http://p:3128/"));
        assert_eq!(shown("https", "a"), None);
        assert_eq!(shown("http", "localhost"), None);
        assert_eq!(shown("http", "[::1]"), None);
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_refused() {
        assert!(matches!(Proxy::parse("socks5://p:1"), Err(ProxyFault::Scheme { .. })));
        let refused = Proxy::parse("http://user:secret@:x").expect_err("no URL");
        assert!(!refused.to_string().contains("secret"), "{refused}");
        let named = Proxy::parse("http://us%3Aer:pa%2Bss@p:1").expect("a proxy");
        let expected = format!("Basic {}", STANDARD.encode("us:er:pa+ss"));
        assert_eq!(credentials(&named), Some(expected));
    }
}
