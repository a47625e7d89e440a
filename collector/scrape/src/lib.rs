//! Scrapes targets: one loop per target fetches, parses, relabels and appends, and ends the series that are gone.
//!
//! [`Scraper`] owns the loops; [`ScrapeHandle`] tells about targets and takes a new configuration. The rules are
//! those of Prometheus' `scrape` package: a scrape is stored as a whole or not at all, `up` tells which, and
//! series that vanish get a staleness marker.

mod config;
mod discovery;
mod fetch;
mod ingest;
mod metrics;
mod protocol;
mod schedule;
mod scrape_loop;
mod scraper;
mod status;
mod target;

pub use config::{
    Auth, FileDiscovery, Limits, Pem, Scheme, ScrapeConfig, Secret, TargetGroup, TlsOptions,
};
pub use fetch::TlsError;
pub use protocol::ScrapeProtocol;
pub use scraper::{ScrapeError, ScrapeHandle, Scraper};
pub use status::{Health, TargetState};
pub use swell_exposition::HistogramOptions;

#[cfg(test)]
mod tests;
