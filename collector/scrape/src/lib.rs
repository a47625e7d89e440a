//! Scrapes targets: one loop per target fetches, parses, relabels and appends, and ends the series that are gone.
//!
//! [`Scraper`] owns the loops; [`ScrapeHandle`] tells about targets and takes a new configuration. The rules are
//! those of Prometheus' `scrape` package: a scrape is stored as a whole or not at all, `up` tells which, and
//! series that vanish get a staleness marker.

mod board;
mod claims;
mod config;
mod departed;
mod described;
mod failure_log;
mod families;
mod fetch;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ingest;
mod limits;
mod metrics;
mod pool;
mod protocol;
mod report;
mod rows;
mod schedule;
mod scrape_loop;
mod scraper;
mod status;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod texts;

pub use config::{Escaping, Limits, NameRules, Scheme, ScrapeConfig};
pub use described::Families;
pub use protocol::ScrapeProtocol;
pub use scraper::{ScrapeError, ScrapeHandle, Scraper};
pub use status::{Health, TargetFamilies, TargetState};
pub use swell_exposition::HistogramOptions;

#[cfg(test)]
mod tests;
