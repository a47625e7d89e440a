//! Metrics of one Linux machine in node_exporter's names, read from `/proc` and `/sys` under injectable
//! roots, each second: files are opened once, parsed in place, and series keep their numbers.
//!
//! [`NodeSource::collect`] writes one tick into a [`swell_model::Pass`], together with the series a
//! scrape of a `node` job would leave (`up`, `scrape_duration_seconds`, …). One file of `collectors/`
//! per collector; a failing one does not stop the others.
//!
//! Absent here: containers (swell-source-container), timers, sending.

mod collector;
mod collectors;
mod config;
mod families;
mod slow;
mod source;

pub use collector::CollectError;
pub use collectors::filesystem::{FilesystemStat, Statfs, statfs};
pub use config::{Config, Roots};
pub use families::describe;
pub use source::NodeSource;
pub use swell_source::{ReadError, Stopwatch};
