//! `swell tsdb`: a data directory that no server uses.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use swell_engine::Db;
use swell_env::{Clock as _, FsDir, SystemClock};
use swell_telemetry::Registry;

use crate::args::{OutputForm, TsdbArgs, TsdbVerb};

/// Runs the verb; `false` when damage was found.
pub(crate) fn run(verb: &TsdbVerb) -> anyhow::Result<bool> {
    match verb {
        TsdbVerb::Stat(args) => stat(args),
        TsdbVerb::Verify(args) => verify(args),
        TsdbVerb::Compact(args) => compact(args),
    }
}

fn open(data_dir: &Path) -> anyhow::Result<Db> {
    let path = data_dir.join("tsdb");
    anyhow::ensure!(
        path.is_dir(),
        "there is no storage in {}: --data-dir names the directory of a server",
        data_dir.display()
    );
    let dir = FsDir::open(&path).with_context(|| format!("open {}", path.display()))?;
    Db::open(
        Arc::new(dir),
        swell_engine::Config::standard(),
        Arc::new(SystemClock::new()),
        &Registry::new(),
    )
    .with_context(|| format!("open the storage in {}", path.display()))
}

fn stat(args: &TsdbArgs) -> anyhow::Result<bool> {
    let db = open(&args.data_dir)?;
    let status = db.status();
    let (head, blocks, wal) = (&status.head, &status.blocks, &status.wal);
    match args.output {
        OutputForm::Json => println!(
            "{}",
            json!({
                "head": {
                    "series": head.series_count, "samples": head.sample_count, "bytes": head.bytes,
                },
                "blocks": {
                    "count": blocks.block_count, "series": blocks.series_count,
                    "samples": blocks.sample_count, "bytes": blocks.bytes,
                    "index_bytes": blocks.index_bytes,
                },
                "wal": {"segments": wal.segment_count, "bytes": wal.bytes, "torn_bytes": wal.torn_bytes},
                "bytes_per_sample": status.bytes_per_sample,
                "damage": status.damage.iter().map(|damage| json!({
                    "file": damage.file, "offset": damage.offset, "what": damage.what,
                })).collect::<Vec<_>>(),
            })
        ),
        OutputForm::Text => {
            println!(
                "head     {} series, {} samples, {} bytes",
                head.series_count, head.sample_count, head.bytes
            );
            println!(
                "blocks   {} blocks, {} series, {} samples, {} bytes ({} of them index)",
                blocks.block_count,
                blocks.series_count,
                blocks.sample_count,
                blocks.bytes,
                blocks.index_bytes
            );
            println!("log      {} segments, {} bytes", wal.segment_count, wal.bytes);
            println!("samples  {:.2} bytes each", status.bytes_per_sample);
        }
    }
    report_damage(&db);
    let good = status.damage.is_empty();
    db.close().context("close the storage")?;
    Ok(good)
}

/// Opening reads the log and every block's index under their checksums; selecting everything reads the rest.
fn verify(args: &TsdbArgs) -> anyhow::Result<bool> {
    use swell_model::{SelectHints, SeriesSource as _, TimeRange};
    let db = open(&args.data_dir)?;
    let (mut series_count, mut sample_count, mut faults) = (0_u64, 0_u64, Vec::new());
    for series in db.select(&[], &SelectHints::range(TimeRange::ALL))? {
        match series {
            Ok(series) => {
                series_count += 1;
                sample_count +=
                    (series.floats.values.len() + series.histograms.values.len()) as u64;
            }
            Err(error) => faults.push(swell_telemetry::chain(&error)),
        }
    }
    let damage_count = db.status().damage.len();
    report_damage(&db);
    for fault in &faults {
        eprintln!("{fault}");
    }
    let good = faults.is_empty() && damage_count == 0;
    match args.output {
        OutputForm::Json => println!(
            "{}",
            json!({"series": series_count, "samples": sample_count, "faults": faults, "damage": damage_count})
        ),
        OutputForm::Text => {
            let verdict = if good { "no damage" } else { "damaged" };
            println!("{series_count} series, {sample_count} samples read: {verdict}");
        }
    }
    db.close().context("close the storage")?;
    Ok(good)
}

fn compact(args: &TsdbArgs) -> anyhow::Result<bool> {
    let db = open(&args.data_dir)?;
    let report = db.maintain(SystemClock::new().now()).context("maintain the storage")?;
    match args.output {
        OutputForm::Json => println!(
            "{}",
            json!({
                "flushed_blocks": report.flushed_block_count,
                "compacted_blocks": report.compacted_block_count,
                "retired_blocks": report.retired_block_count,
            })
        ),
        OutputForm::Text => println!(
            "{} blocks written from the head, {} merged, {} retired",
            report.flushed_block_count, report.compacted_block_count, report.retired_block_count
        ),
    }
    db.close().context("close the storage")?;
    Ok(true)
}

fn report_damage(db: &Db) {
    for damage in db.status().damage {
        eprintln!("{} at byte {}: {}", damage.file, damage.offset, damage.what);
    }
}
