//! `swell tsdb`: a data directory that no server uses.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};
use swell_cli::CliError;
use swell_engine::{
    AcknowledgedDamage, Damage, Db, OpenError, SnapshotReport, TierStatus, WalSync, WhichDamage,
};
use swell_env::{Clock as _, FsDir, LockError, SystemClock};
use swell_model::{DurationMs, SelectHints, SeriesSource as _, TimeRange};
use swell_telemetry::{Registry, chain};

use crate::args::{
    OutputForm, TsdbAcknowledgeArgs, TsdbArgs, TsdbCompactArgs, TsdbRestoreArgs, TsdbSnapshotArgs,
    TsdbVerb,
};
use crate::config::Config;

/// Runs the verb; `false` when damage was found.
pub(crate) fn run(verb: &TsdbVerb) -> anyhow::Result<bool> {
    match verb {
        TsdbVerb::Stat(args) => stat(args),
        TsdbVerb::Verify(args) => verify(args),
        TsdbVerb::Acknowledge(args) => acknowledge(args),
        TsdbVerb::Compact(args) => compact(args),
        TsdbVerb::Snapshot(args) => snapshot(args),
        TsdbVerb::Restore(args) => restore(args),
        #[cfg(feature = "archive")]
        TsdbVerb::Export(args) => crate::exchange::export(args),
        #[cfg(feature = "archive")]
        TsdbVerb::Import(args) => crate::exchange::import(args),
        #[cfg(not(feature = "archive"))]
        TsdbVerb::Export(_) | TsdbVerb::Import(_) => {
            anyhow::bail!("this program was built without the feature archive")
        }
    }
}

/// The folder of the storage below a server's data directory.
const FOLDER: &str = "tsdb";

/// Settings for a tool: nothing is deleted for its age, nothing is held back, all of the machine may be used, and the log
/// is read whole.
pub(crate) fn tool_settings() -> swell_engine::Config {
    swell_engine::Config {
        wal_sync: WalSync::Never,
        retention_time: DurationMs(i64::MAX),
        background: None,
        reserve_bytes: 0,
        checkpoint_log_bytes: 0,
        ..swell_engine::Config::standard()
    }
}

/// The folder of a data directory's snapshots.
pub(crate) fn snapshots(data_dir: &Path) -> PathBuf {
    data_dir.join(FOLDER).join("snapshots")
}

/// The folder of a data directory where blocks are made for its server to take in.
#[cfg(feature = "archive")]
pub(crate) fn incoming(data_dir: &Path) -> anyhow::Result<PathBuf> {
    Ok(storage(data_dir)?.join("incoming"))
}

/// The folder of a data directory's storage, which must be there.
fn storage(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = data_dir.join(FOLDER);
    anyhow::ensure!(
        path.is_dir(),
        "there is no storage in {}: --data-dir names the directory of a server",
        data_dir.display()
    );
    Ok(path)
}

pub(crate) fn open(data_dir: &Path, settings: swell_engine::Config) -> anyhow::Result<Db> {
    open_storage(&storage(data_dir)?, settings)
}

pub(crate) fn open_storage(path: &Path, settings: swell_engine::Config) -> anyhow::Result<Db> {
    let dir = FsDir::open(path).with_context(|| format!("open {}", path.display()))?;
    let db = Db::open(Arc::new(dir), settings, Arc::new(SystemClock::new()), &Registry::new());
    let is_held = matches!(&db, Err(OpenError::Lock { source: LockError::Held { .. }, .. }));
    db.with_context(|| {
        let way_out = match is_held {
            true => ": these tools work on files that no server uses; of a running one export or import with --server, take a snapshot (POST /api/v1/admin/tsdb/snapshot), read /api/swell/v1/arrow, or send to /api/v1/write",
            false => "",
        };
        format!("open the storage in {}{way_out}", path.display())
    })
}

fn print(output: OutputForm, json: &Value, text: &str) -> anyhow::Result<()> {
    let line = match output {
        OutputForm::Json => json.to_string(),
        OutputForm::Text => text.to_owned(),
    };
    Ok(writeln!(std::io::stdout(), "{line}").map_err(CliError::Write)?)
}

fn stat(args: &TsdbArgs) -> anyhow::Result<bool> {
    let db = open(&args.data_dir, tool_settings())?;
    let status = db.status();
    let (head, blocks, wal) = (&status.head, &status.blocks, &status.wal);
    let json = json!({
        "head": {
            "series": head.series_count, "samples": head.sample_count, "bytes": head.bytes,
        },
        "blocks": {
            "count": blocks.block_count, "series": blocks.series_count,
            "samples": blocks.sample_count, "bytes": blocks.bytes,
            "index_bytes": blocks.index_bytes, "deleted_series": blocks.deleted_series_count,
        },
        "downsampled": status.tiers.iter().map(tier_json).collect::<Vec<_>>(),
        "wal": {"segments": wal.segment_count, "bytes": wal.bytes, "torn_bytes": wal.torn_bytes},
        "bytes_per_sample": status.bytes_per_sample,
        "damage": status.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "acknowledged": db.acknowledged_damage().iter().map(acknowledged_json).collect::<Vec<_>>(),
    });
    let text = format!(
        "head     {} series, {} samples, {} bytes\n\
         blocks   {} blocks, {} series, {} samples, {} bytes ({} of them index)\n\
         deleted  {} series in part, until compaction takes them out\n\
{}\
         log      {} segments, {} bytes\n\
         samples  {:.2} bytes each",
        head.series_count,
        head.sample_count,
        head.bytes,
        blocks.block_count,
        blocks.series_count,
        blocks.sample_count,
        blocks.bytes,
        blocks.index_bytes,
        blocks.deleted_series_count,
        status.tiers.iter().map(tier_line).collect::<String>(),
        wal.segment_count,
        wal.bytes,
        status.bytes_per_sample
    );
    print(args.output, &json, &text)?;
    report_damage(&db);
    let good = status.damage.is_empty();
    db.close().context("close the storage")?;
    Ok(good)
}

fn damage_json(damage: &Damage) -> Value {
    json!({"file": damage.file, "offset": damage.offset, "what": damage.what})
}

fn acknowledged_json(it: &AcknowledgedDamage) -> Value {
    let mut shown = damage_json(&it.damage);
    shown["acknowledged_ms"] = json!(it.at.0);
    shown
}

fn tier_json(tier: &TierStatus) -> Value {
    json!({
        "resolution": tier.resolution.to_string(), "blocks": tier.block_count,
        "series": tier.series_count, "stretches": tier.aggregate_count, "bytes": tier.bytes,
        "from_ms": tier.range.start_incl.0, "to_ms": tier.range.end_incl.0,
    })
}

fn tier_line(tier: &TierStatus) -> String {
    let days = tier.range.end_incl.since(tier.range.start_incl).0 / 86_400_000;
    format!(
        "each {:<4}{} blocks, {} series, {} stretches of {days} days, {} bytes\n",
        tier.resolution.to_string(),
        tier.block_count,
        tier.series_count,
        tier.aggregate_count,
        tier.bytes
    )
}

/// What reading everything found.
struct Reading {
    series_count: u64,
    sample_count: u64,
    faults: Vec<String>,
    damage_count: usize,
    /// Damage that an operator has acknowledged.
    acknowledged_count: usize,
}

impl Reading {
    fn is_good(&self) -> bool {
        self.faults.is_empty() && self.damage_count == 0 && self.acknowledged_count == 0
    }

    fn json(&self) -> Value {
        json!({
            "series": self.series_count, "samples": self.sample_count,
            "faults": self.faults, "damage": self.damage_count,
            "acknowledged": self.acknowledged_count,
        })
    }

    fn text(&self) -> String {
        let verdict = if self.is_good() { "no damage" } else { "damaged" };
        format!("{} series, {} samples read: {verdict}", self.series_count, self.sample_count)
    }
}

/// Opening reads the log and every block's footer under their checksums; selecting everything reads the rest, but for
/// the checkpoint.
fn read_all(db: &Db) -> Reading {
    let mut reading = Reading {
        series_count: 0,
        sample_count: 0,
        faults: Vec::new(),
        damage_count: 0,
        acknowledged_count: 0,
    };
    match db.select(&[], &SelectHints::range(TimeRange::ALL)) {
        Ok(all) => {
            for series in all {
                match series {
                    Ok(series) => {
                        reading.series_count += 1;
                        let samples = series.floats.values.len() + series.histograms.values.len();
                        reading.sample_count += samples as u64;
                    }
                    Err(error) => reading.faults.push(chain(&error)),
                }
            }
        }
        Err(error) => reading.faults.push(chain(&error)),
    }
    for tier in db.status().tiers {
        match db.aggregates(tier.resolution) {
            Ok(all) => {
                let faults = all.filter_map(Result::err).map(|error| chain(&error));
                reading.faults.extend(faults);
            }
            Err(error) => reading.faults.push(chain(&error)),
        }
    }
    reading.damage_count = db.status().damage.len();
    reading.acknowledged_count = db.acknowledged_damage().len();
    report_damage(db);
    reading.faults.extend(db.verify_checkpoint().err());
    for fault in &reading.faults {
        eprintln!("{fault}");
    }
    reading
}

fn verify(args: &TsdbArgs) -> anyhow::Result<bool> {
    let db = open(&args.data_dir, tool_settings())?;
    let reading = read_all(&db);
    print(args.output, &reading.json(), &reading.text())?;
    db.close().context("close the storage")?;
    Ok(reading.is_good())
}

/// All that was stored is read first, so that damage which no start meets is known.
fn acknowledge(args: &TsdbAcknowledgeArgs) -> anyhow::Result<bool> {
    let db = open(&args.common.data_dir, tool_settings())?;
    let all = SelectHints { passes_over_damage: true, ..SelectHints::range(TimeRange::ALL) };
    for series in db.select(&[], &all).context("read what is stored")? {
        series.context("read what is stored")?;
    }
    let which = if args.all { WhichDamage::All } else { WhichDamage::Files(args.files.clone()) };
    let done = db.acknowledge_damage(&which)?;
    let json = json!({"acknowledged": done.iter().map(damage_json).collect::<Vec<_>>()});
    let lines = done.iter().map(|it| format!("{} at byte {}: {}", it.file, it.offset, it.what));
    let mut lines: Vec<String> = lines.collect();
    lines.push(format!("{} acknowledged", done.len()));
    print(args.common.output, &json, &lines.join("\n"))?;
    db.close().context("close the storage")?;
    Ok(true)
}

fn compact(args: &TsdbCompactArgs) -> anyhow::Result<bool> {
    let mut settings = tool_settings();
    if let Some(file) = &args.config {
        let config = Config::load(file)?.storage;
        settings.retention_time = config.retention_time;
        settings.retention_size_bytes = config.retention_size_bytes;
        settings.retention_rules = config.retention_rules;
        settings.tiers = config.tiers;
    }
    let db = open(&args.common.data_dir, settings)?;
    let (mut flushed, mut merged, mut rewritten, mut retired, mut downsampled) = (0, 0, 0, 0, 0);
    // A run does one merge: the work is done when a run finds none.
    loop {
        let report = db.maintain(SystemClock::new().now()).context("maintain the storage")?;
        flushed += report.flushed_block_count;
        merged += report.compacted_block_count;
        rewritten += report.rewritten_block_count;
        retired += report.retired_block_count;
        downsampled += report.downsampled_block_count;
        let done = report.compacted_block_count
            + report.downsampled_block_count
            + report.rewritten_block_count
            + report.retired_block_count;
        if done == 0 {
            break;
        }
    }
    let cleaned = db.clean_tombstones().context("take out what was deleted")?;
    rewritten += cleaned.rewritten_block_count;
    let json = json!({
        "flushed_blocks": flushed, "compacted_blocks": merged, "rewritten_blocks": rewritten,
        "retired_blocks": retired, "downsampled_blocks": downsampled,
    });
    let text = format!(
        "{flushed} blocks written from the head, {merged} merges, {downsampled} downsampled, {rewritten} blocks written anew, {retired} retired"
    );
    print(args.common.output, &json, &text)?;
    db.close().context("close the storage")?;
    Ok(true)
}

fn snapshot(args: &TsdbSnapshotArgs) -> anyhow::Result<bool> {
    let db = open(&args.common.data_dir, tool_settings())?;
    let report = db.snapshot(&args.name, !args.skip_head).context("make the snapshot")?;
    let path = snapshots(&args.common.data_dir).join(&args.name);
    print_copy(args.common.output, &path, &report, None)?;
    db.close().context("close the storage")?;
    Ok(true)
}

/// The copy is made beside its place and read through before it takes it, so that a restore that fails leaves
/// nothing that a server would open.
fn restore(args: &TsdbRestoreArgs) -> anyhow::Result<bool> {
    let (source, data_dir) = (&args.snapshot, &args.common.data_dir);
    anyhow::ensure!(
        source.is_dir(),
        "{} is no folder: --snapshot names a snapshot",
        source.display()
    );
    let target = data_dir.join(FOLDER);
    anyhow::ensure!(
        !target.exists(),
        "{} is there already: restore into a new data directory",
        target.display()
    );
    let unfinished = data_dir.join("tsdb.restoring");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)
            .with_context(|| format!("remove {}", unfinished.display()))?;
    }
    let from = FsDir::open(source).with_context(|| format!("open {}", source.display()))?;
    let to = FsDir::open(&unfinished).with_context(|| format!("make {}", unfinished.display()))?;
    let copied = swell_engine::restore(&from, &to).map_err(anyhow::Error::new);
    let read = copied.and_then(|report| {
        let db = open_storage(&unfinished, tool_settings())?;
        let reading = read_all(&db);
        db.close().context("close the copy")?;
        anyhow::ensure!(reading.is_good(), "the snapshot is damaged: {}", reading.text());
        Ok((report, reading))
    });
    let (report, reading) = match read {
        Ok(done) => done,
        Err(error) => {
            fs::remove_dir_all(&unfinished)
                .with_context(|| format!("remove {}", unfinished.display()))?;
            return Err(error.context(format!("restore {}", source.display())));
        }
    };
    fs::rename(&unfinished, &target)
        .and_then(|()| fs::File::open(data_dir)?.sync_all())
        .with_context(|| format!("put the copy at {}", target.display()))?;
    print_copy(args.common.output, &target, &report, Some(&reading))?;
    Ok(true)
}

fn print_copy(
    output: OutputForm,
    path: &Path,
    report: &SnapshotReport,
    reading: Option<&Reading>,
) -> anyhow::Result<()> {
    let mut json = json!({
        "path": path.display().to_string(), "blocks": report.block_count,
        "segments": report.segment_count, "bytes": report.bytes,
    });
    let mut text = format!(
        "{}: {} blocks, {} log segments, {} bytes",
        path.display(),
        report.block_count,
        report.segment_count,
        report.bytes
    );
    if let Some(reading) = reading {
        json["verified"] = reading.json();
        text = format!("{text}\n{}", reading.text());
    }
    print(output, &json, &text)
}

fn report_damage(db: &Db) {
    let line =
        |Damage { file, offset, what, .. }: &Damage| format!("{file} at byte {offset}: {what}");
    for damage in db.status().damage {
        eprintln!("{}", line(&damage));
    }
    for AcknowledgedDamage { damage, at } in db.acknowledged_damage() {
        let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        eprintln!("{} (acknowledged at {at})", line(&damage));
    }
}
