//! `swell tsdb`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use swell_model::TimestampMs;

use super::OutputForm;

/// What to do with a data directory.
#[derive(Debug, Subcommand)]
pub(crate) enum TsdbVerb {
    /// Print what it holds
    #[command(after_help = "Example: swell tsdb stat --data-dir ./swell-data --output json")]
    Stat(TsdbArgs),
    /// Read every byte and check it
    #[command(after_help = "Example: swell tsdb verify --data-dir ./swell-data")]
    Verify(TsdbArgs),
    /// Note that damage is known: queries that it touches carry no warning any more, and rules go on over it
    #[command(
        after_help = "Example: swell tsdb acknowledge --data-dir ./swell-data --file blocks/00000007.blk\nOf a running server: curl -X POST 'http://127.0.0.1:9090/api/swell/v1/damage/acknowledge?file=blocks/00000007.blk'"
    )]
    Acknowledge(TsdbAcknowledgeArgs),
    /// Write finished windows to blocks, merge blocks, take out what was deleted; apply retention with --config
    #[command(after_help = "Example: swell tsdb compact --data-dir ./swell-data")]
    Compact(TsdbCompactArgs),
    /// Copy it into snapshots/NAME inside the data directory, by hard links
    #[command(
        after_help = "Example: swell tsdb snapshot --data-dir ./swell-data --name before-upgrade"
    )]
    Snapshot(TsdbSnapshotArgs),
    /// Make a data directory out of a snapshot, and read every byte of it
    #[command(
        after_help = "Example: swell tsdb restore --snapshot ./swell-data/tsdb/snapshots/before-upgrade --data-dir ./restored"
    )]
    Restore(TsdbRestoreArgs),
    /// Write samples to Parquet files, as the archive has them, to Arrow record batches, or to an OpenMetrics text
    #[command(
        after_help = "Example: swell tsdb export --data-dir ./swell-data --format parquet --match '{job=\"node\"}' --from 2026-11-01T00:00:00Z -o ./export"
    )]
    Export(TsdbExportArgs),
    /// Store samples of Parquet files, an OpenMetrics text, or Prometheus' own blocks
    #[command(
        after_help = "Example: swell tsdb import --data-dir ./swell-data --format prometheus /var/lib/prometheus/metrics2\nInto a running server: swell tsdb import --data-dir ./swell-data --server http://127.0.0.1:9090 --format openmetrics samples.txt"
    )]
    Import(TsdbImportArgs),
}

/// What samples are exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// Parquet files in a folder, partitioned by day; nothing but exemplars is lost
    Parquet,
    /// One stream of Arrow record batches, as /api/swell/v1/arrow gives it; native histograms are left out
    Arrow,
    /// One text; native histograms and staleness markers have no form in it and are left out
    Openmetrics,
}

/// What samples are imported from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// A folder that export or the archive wrote, or Parquet files with columns timestamp, value and labels
    Parquet,
    /// A text with a time in each line
    Openmetrics,
    /// A block of Prometheus, or its data directory: all blocks in it
    Prometheus,
}

/// Arguments of `tsdb export`.
#[derive(Args, Debug)]
pub(crate) struct TsdbExportArgs {
    #[command(flatten)]
    pub(crate) common: TsdbArgs,
    /// Form of the export
    #[arg(long, value_enum)]
    pub(crate) format: ExportFormat,
    /// Series to export, such as '{job="node"}'; may be repeated; all series without
    #[arg(long = "match", value_name = "SELECTOR")]
    pub(crate) selectors: Vec<String>,
    /// First time, RFC 3339 or Unix seconds; from the first sample without
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) from: Option<TimestampMs>,
    /// Last time, which belongs to the export; to the last sample without
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    pub(crate) to: Option<TimestampMs>,
    /// Folder (parquet) or file (arrow, openmetrics; - for standard output) to write
    #[arg(short = 'o', long = "out", value_name = "PATH")]
    pub(crate) out: PathBuf,
    /// Server that uses the data directory: a snapshot of it is exported. It runs on this machine, with
    /// --enable-admin-api
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// With --server: authorities to trust over https, as PEM; those of the system unless given
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// Arguments of `tsdb import`.
#[derive(Args, Debug)]
pub(crate) struct TsdbImportArgs {
    #[command(flatten)]
    pub(crate) common: TsdbArgs,
    /// What the source is
    #[arg(long, value_enum)]
    pub(crate) format: ImportFormat,
    /// File or folder to read
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// Server that uses the data directory: it takes in what is older than what it has in memory. It runs on this machine,
    /// with --enable-admin-api
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// With --server: authorities to trust over https, as PEM; those of the system unless given
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) ca_file: Option<PathBuf>,
}

fn parse_instant(text: &str) -> Result<TimestampMs, String> {
    let fault =
        || format!("{text:?} is neither RFC 3339, as 2026-01-31T12:00:00Z, nor Unix seconds");
    if let Ok(seconds) = text.parse::<f64>() {
        let millis = (seconds * 1000.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
        return (millis.abs() < 9.2e18).then_some(TimestampMs(millis as i64)).ok_or_else(fault);
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| fault())?;
    Ok(TimestampMs(time.as_millisecond()))
}

/// Arguments of `tsdb acknowledge`.
#[derive(Args, Debug)]
pub(crate) struct TsdbAcknowledgeArgs {
    #[command(flatten)]
    pub(crate) common: TsdbArgs,
    /// File whose damage is meant, as stat names it; may be repeated
    #[arg(
        long = "file",
        value_name = "FILE",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) files: Vec<String>,
    /// All damage that is known now
    #[arg(long)]
    pub(crate) all: bool,
}

/// Arguments of `tsdb compact`.
#[derive(Args, Debug)]
pub(crate) struct TsdbCompactArgs {
    #[command(flatten)]
    pub(crate) common: TsdbArgs,
    /// The server's configuration: retention is applied as it says; without it nothing is deleted for its age
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Arguments of `tsdb snapshot`.
#[derive(Args, Debug)]
pub(crate) struct TsdbSnapshotArgs {
    #[command(flatten)]
    pub(crate) common: TsdbArgs,
    /// Name of the snapshot
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Leave out what is only in the log
    #[arg(long)]
    pub(crate) skip_head: bool,
}

/// Arguments of `tsdb restore`.
#[derive(Args, Debug)]
pub(crate) struct TsdbRestoreArgs {
    /// Folder of the snapshot
    #[arg(long, value_name = "DIR")]
    pub(crate) snapshot: PathBuf,
    #[command(flatten)]
    pub(crate) common: TsdbArgs,
}

/// Which data directory and how to print.
#[derive(Args, Debug)]
pub(crate) struct TsdbArgs {
    /// The server's data directory
    #[arg(long, value_name = "DIR", default_value = "swell-data")]
    pub(crate) data_dir: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) output: OutputForm,
}
