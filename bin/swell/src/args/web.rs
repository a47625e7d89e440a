//! The HTTP port, under Prometheus' names.

use std::net::SocketAddr;

use clap::Args;
use swell_http::RoutePrefix;
use swell_model::DurationMs;
use swell_tsdb_http::{Notices, Origins};

use super::{parse_count, parse_time};
use crate::config::ExternalUrl;

/// Flags of the HTTP port.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct WebArgs {
    /// Where users reach the server, such as `https://metrics.example.org/swell`, for links and redirects; before the configuration's swell.external_url
    #[arg(long = "web.external-url", value_name = "URL", value_parser = ExternalUrl::parse)]
    pub(crate) external_url: Option<ExternalUrl>,
    /// Path below which everything is served; the path of the external URL unless given, / where a proxy takes that off
    #[arg(long = "web.route-prefix", value_name = "PATH", value_parser = GivenPrefix::parse)]
    route_prefix: Option<GivenPrefix>,
    /// Whose pages may read the API, by a pattern of origins such as `https://(grafana|status)\.example\.org`; all unless given
    #[arg(long = "web.cors.origin", value_name = "PATTERN", value_parser = Origins::matching)]
    pub(crate) cors_origin: Option<Origins>,
    /// Streams of notifications at once, each a page that is open; 16 unless given
    #[arg(long = "web.max-notifications-subscribers", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) notification_streams_max: Option<usize>,
    /// Title of the web UI's pages; Swell unless given
    #[arg(long = "web.page-title", value_name = "TEXT")]
    pub(crate) page_title: Option<String>,
    /// Connections at once, of all addresses together; others wait. 512 unless given
    #[arg(long = "web.max-connections", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) connections_max: Option<usize>,
    /// Longest that reading a request may take, and that a connection stands without one; 5m unless given
    #[arg(long = "web.read-timeout", value_name = "TIME", value_parser = parse_time)]
    pub(crate) read_timeout: Option<DurationMs>,
}

/// A prefix as it is given: an empty one is none, as in Prometheus.
#[derive(Clone, Debug)]
struct GivenPrefix(Option<RoutePrefix>);

impl GivenPrefix {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        RoutePrefix::new(text).map(|prefix| Self(Some(prefix))).map_err(|error| error.to_string())
    }
}

impl WebArgs {
    /// Path below which everything is served, where one is given.
    pub(crate) fn route_prefix(&self) -> Option<&RoutePrefix> {
        self.route_prefix.as_ref().and_then(|given| given.0.as_ref())
    }

    /// Streams of notifications at once.
    pub(crate) fn notification_streams_max(&self) -> usize {
        self.notification_streams_max.unwrap_or(Notices::STREAMS_MAX)
    }

    /// Title of pages.
    pub(crate) fn page_title(&self) -> &str {
        self.page_title.as_deref().unwrap_or("Swell")
    }

    /// Connections at once.
    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max.unwrap_or(512)
    }

    /// Time to read a request.
    pub(crate) fn read_timeout(&self) -> DurationMs {
        self.read_timeout.unwrap_or(DurationMs::from_secs(300))
    }
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListenAddress {
    /// There.
    At(SocketAddr),
    /// At an address of a host, which is looked up at the start.
    Named {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
}

/// An address as Prometheus takes it: without a host it is every one of IPv4, and `localhost` asks no resolver.
pub(super) fn parse_address(text: &str) -> Result<ListenAddress, String> {
    let fault = || {
        format!("{text:?} is no address such as 127.0.0.1:9090, metrics.example.org:9090 or :9090")
    };
    if let Ok(address) = text.parse() {
        return Ok(ListenAddress::At(address));
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
    let port: u16 = port.parse().map_err(|_| fault())?;
    let of_name = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    match host {
        "" => Ok(ListenAddress::At(SocketAddr::from(([0, 0, 0, 0], port)))),
        "localhost" => Ok(ListenAddress::At(SocketAddr::from(([127, 0, 0, 1], port)))),
        // Numbers alone are an address with a fault.
        host if host.chars().all(of_name)
            && host.contains(|letter: char| letter.is_alphabetic()) =>
        {
            Ok(ListenAddress::Named { host: host.to_owned(), port })
        }
        _ => Err(fault()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_as_prometheus_takes_them() {
        for (text, expected) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            (":9090", "0.0.0.0:9090"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::]:9090", "[::]:9090"),
            ("[::1]:9090", "[::1]:9090"),
        ] {
            let expected = ListenAddress::At(expected.parse().expect("an address"));
            assert_eq!(parse_address(text), Ok(expected), "{text}");
        }
        let named = ListenAddress::Named { host: "metrics.example.org".to_owned(), port: 9090 };
        assert_eq!(parse_address("metrics.example.org:9090"), Ok(named));
        for text in
            ["9090", ":", ":99999", "::1", "::1:9090", "host", "host:", "a b:1", "1.2.3.400:1", ""]
        {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
