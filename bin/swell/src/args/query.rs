//! Limits of queries, under Prometheus' names; before `swell.query` in the configuration.

use clap::Args;
use swell_model::DurationMs;

use super::{parse_count, parse_size, parse_time};

/// Flags of queries.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct QueryArgs {
    /// Longest a query may take, such as 2m
    #[arg(long = "query.timeout", value_name = "TIME", value_parser = parse_time)]
    pub(crate) timeout: Option<DurationMs>,
    /// How far back a sample counts as current, such as 5m
    #[arg(long = "query.lookback-delta", value_name = "TIME", value_parser = parse_time)]
    pub(crate) lookback: Option<DurationMs>,
    /// Samples that one query may hold in memory
    #[arg(long = "query.max-samples", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) samples_max: Option<usize>,
    /// Series that one query may select; 0 for no limit, which counts unless given
    #[arg(long = "query.max-series", value_name = "COUNT")]
    pub(crate) series_max: Option<usize>,
    /// Memory that one query may take, such as 512MB; 0 for no limit, 2GiB unless given
    #[arg(long = "query.max-memory", value_name = "SIZE", value_parser = parse_size)]
    pub(crate) bytes_max: Option<u64>,
    /// Queries that run at once; others wait for their turn
    #[arg(long = "query.max-concurrency", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) concurrency_max: Option<usize>,
    /// Names that one search may ask for
    #[arg(long = "web.search.max-limit", value_name = "COUNT", value_parser = parse_count)]
    pub(crate) search_limit_max: Option<usize>,
}
