//! The scraper against local servers, and its ingestion against a storage in memory.

mod answers;
mod changes;
mod lab;
mod memory;
mod options;
mod security;
mod series;
