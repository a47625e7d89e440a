//! Flags of Prometheus' storage that old command lines have.

use clap::{Args, ValueEnum};

/// How Prometheus packs its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogPacking {
    /// Snappy
    Snappy,
    /// Zstandard
    Zstd,
}

/// Flags of the log. It has one form here, whatever they say: see [`StorageArgs::remark`].
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct StorageArgs {
    /// Taken from command lines of Prometheus: the log is packed in any case
    #[arg(long = "storage.tsdb.wal-compression", hide_short_help = true)]
    wal_compression: bool,
    /// Refused: the log is packed in any case
    #[arg(long = "no-storage.tsdb.wal-compression", hide = true)]
    no_wal_compression: bool,
    /// Taken from command lines of Prometheus: the log is packed in a way of its own
    #[arg(
        long = "storage.tsdb.wal-compression-type",
        value_name = "TYPE",
        value_enum,
        hide_short_help = true
    )]
    wal_compression_type: Option<LogPacking>,
}

impl StorageArgs {
    /// What is to be said of flags that change nothing, if one is given.
    ///
    /// # Errors
    /// Why one that asks for what is not there is refused.
    pub(crate) fn remark(&self) -> Result<Option<&'static str>, &'static str> {
        if self.no_wal_compression {
            return Err(
                "--no-storage.tsdb.wal-compression: the log is always columnar and packed, there is no other form of it. Start without the flag",
            );
        }
        let given = self.wal_compression || self.wal_compression_type.is_some();
        Ok(given.then_some(
            "--storage.tsdb.wal-compression changes nothing: the log is always columnar, and packed in a way of its own",
        ))
    }
}
