//! Parses the Prometheus text format 0.0.4, borrowing from the input.
//!
//! [`lines`] gives one [`Line`] after the other: a fault in one line is an error of that line, the rest goes on.
//! A sample keeps its series as the raw text before the value, so that a scraper that has seen the text before
//! needs to take nothing apart; [`parse_series`] does that for new ones.

mod line;
mod series;

pub use line::{Line, LineError, Lines, RawSample, lines};
pub use series::{SeriesError, parse_series};

#[cfg(test)]
mod tests;
