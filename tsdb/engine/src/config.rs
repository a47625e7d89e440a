//! What an operator may set.

use swell_model::DurationMs;

use crate::compact::downsample::Tier;
use crate::pace::BackgroundShare;
use crate::retention::RetentionRule;

/// When the write-ahead log is synced to the device: what a power cut may take. A killed process loses nothing
/// in any mode, since a batch is written before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalSync {
    /// Before each acknowledgement, many batches at a time: a power cut takes nothing acknowledged.
    Always,
    /// At the latest this long after a batch was written: a power cut takes at most that much.
    Interval(DurationMs),
    /// When the system likes: a power cut may take up to half a minute and leave holes.
    Never,
}

/// Settings of the database. Limits are inclusive.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Durability of the write-ahead log.
    pub wal_sync: WalSync,
    /// Samples older than this, measured from the newest block, are deleted.
    pub retention_time: DurationMs,
    /// Oldest blocks are deleted while all blocks together are larger; `None` for no limit.
    pub retention_size_bytes: Option<u64>,
    /// Series that are kept for another time; the first rule that names a series counts.
    pub retention_rules: Vec<RetentionRule>,
    /// Resolutions that are kept as aggregates, beside the samples and after them.
    pub tiers: Vec<Tier>,
    /// What merging and rewriting of blocks may take; `None` for all there is.
    pub background: Option<BackgroundShare>,
    /// Bytes kept back so that retention and deletion work on a full disk; 0 for none.
    pub reserve_bytes: u64,
    /// What is in memory is written down as a checkpoint once the log has grown by so many bytes, and by half of the last
    /// checkpoint; a start then reads that and the log behind it. 0 writes and reads none: the whole log is read.
    pub checkpoint_log_bytes: u64,
    /// Bytes of the log that are kept for those who follow it, beside what the database itself needs; on a full disk none.
    pub held_log_bytes_max: u64,
    /// Samples further than this ahead of the clock are refused.
    pub future_limit: DurationMs,
    /// How far behind the newest sample of all series a late one may be, to be taken: one that comes after a newer one
    /// of its series, or for a time that is in blocks. 0 takes none.
    pub out_of_order_window: DurationMs,
    /// Series the head may hold; new ones above are shed.
    pub head_series_max: usize,
    /// Series a metric may have in the head; new ones above are shed.
    pub metric_series_max: Option<usize>,
    /// Series that one value of a label may have in the head, by label name (`namespace`, `instance`); new ones above
    /// are shed.
    pub label_series_max: Vec<(String, usize)>,
    /// Exemplars kept in memory, the newest of all series together.
    pub exemplars_max: usize,
    /// Labels a series may have, its name included.
    pub label_count_max: usize,
    /// Bytes of a label name.
    pub label_name_max_bytes: usize,
    /// Bytes of a label value.
    pub label_value_max_bytes: usize,
}

impl Config {
    /// What a server starts with: 15 days, sync each second, an hour for late samples, a quarter of a core and 32 MiB a
    /// second in the background, no aggregates, the limits of the failure specification (T13, T18).
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            wal_sync: WalSync::Interval(DurationMs(1000)),
            retention_time: DurationMs(15 * 24 * 3_600_000),
            retention_size_bytes: None,
            retention_rules: Vec::new(),
            tiers: Vec::new(),
            background: Some(BackgroundShare { cpu_percent: 25, bytes_per_second: 32 << 20 }),
            reserve_bytes: 16 << 20,
            checkpoint_log_bytes: 8 << 20,
            // A hundred thousand series each 15 seconds write 2.4 GB in a day, at 4.2 bytes a sample.
            held_log_bytes_max: 4 << 30,
            future_limit: DurationMs(600_000),
            // Windows stay in memory for an hour after they have ended, so late samples of an hour cost no block.
            out_of_order_window: DurationMs(3_600_000),
            head_series_max: 5_000_000,
            metric_series_max: None,
            label_series_max: Vec::new(),
            exemplars_max: 100_000,
            label_count_max: 64,
            label_name_max_bytes: 1024,
            label_value_max_bytes: 4096,
        }
    }
}
