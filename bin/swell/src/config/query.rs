//! `swell.query:`

use swell_model::DurationMs;

use super::raw::RawQuery;
use super::set;

/// Memory of one query unless told: some of these fit beside a head of a million series on a small machine.
const BYTES_MAX_DEFAULT: usize = 2 << 30;

/// Limits of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueryLimits {
    /// Longest a query may take.
    pub(crate) timeout: DurationMs,
    /// How far back a sample counts as current.
    pub(crate) lookback: DurationMs,
    /// Samples that one query may hold.
    pub(crate) samples_max: usize,
    /// Series that one query may select; none for no limit.
    pub(crate) series_max: Option<usize>,
    /// Bytes that one query may hold; none for no limit.
    pub(crate) bytes_max: Option<usize>,
    /// Queries at once.
    pub(crate) concurrency_max: usize,
    /// Samples of one remote read.
    pub(crate) remote_read_samples_max: usize,
    /// Remote reads at once.
    pub(crate) remote_reads_max: usize,
    /// Names that one search may ask for.
    pub(crate) search_limit_max: usize,
}

pub(super) fn limits(query: &RawQuery, faults: &mut Vec<String>) -> QueryLimits {
    let limits = QueryLimits {
        timeout: set(query.timeout, DurationMs::from_secs(120)),
        lookback: set(query.lookback_delta, DurationMs::from_secs(300)),
        samples_max: query
            .max_samples
            .map_or(50_000_000, |max| usize::try_from(max).unwrap_or(usize::MAX)),
        series_max: query.max_series.filter(|max| *max > 0),
        bytes_max: query
            .max_memory
            .map_or(Some(BYTES_MAX_DEFAULT), |size| usize::try_from(size.0).ok())
            .filter(|max| *max > 0),
        concurrency_max: query.max_concurrency.unwrap_or(20),
        remote_read_samples_max: query.remote_read_sample_limit.unwrap_or(50_000_000),
        remote_reads_max: query.remote_read_max_concurrency.unwrap_or(10),
        search_limit_max: 10_000,
    };
    for (key, count) in [
        ("max_concurrency", limits.concurrency_max),
        ("remote_read_max_concurrency", limits.remote_reads_max),
    ] {
        if count == 0 {
            faults.push(format!("swell.query.{key} must be above 0"));
        }
    }
    limits
}
