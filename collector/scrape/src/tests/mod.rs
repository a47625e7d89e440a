//! The scraper against local servers, and its ingestion against a storage in memory.

mod answers;
mod changes;
mod departures;
mod lab;
mod memory;
mod options;
mod security;
mod series;
