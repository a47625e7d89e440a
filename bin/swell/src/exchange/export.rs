//! `swell tsdb export`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use serde_json::json;
use swell_archive::{
    Archive, Location, Store, StreamedSamples, Window, export_window, write_arrow_stream,
};
use swell_cli::CliError;
use swell_engine::Db;
use swell_env::SystemClock;
use swell_model::{Matcher, TimeRange, TimestampMs};

use super::openmetrics::{self, Written};
use super::progress::Progress;
use super::source::Source;
use super::{DAY, parts};
use crate::args::{ExportFormat, OutputForm, TsdbExportArgs};

/// Writes what was asked for; `true` when there was something.
pub(crate) fn export(args: &TsdbExportArgs) -> anyhow::Result<bool> {
    let selectors = selectors(&args.selectors)?;
    let (server, ca_file) = (args.server.as_deref(), args.ca_file.as_deref());
    let source = Source::open(&args.common.data_dir, server, ca_file)?;
    let done = write(args, &source.db, &selectors);
    let closed = source.close();
    let done = done?;
    closed?;
    tell(args, &done)?;
    Ok(done.sample_count > 0)
}

fn write(args: &TsdbExportArgs, db: &Db, selectors: &[Vec<Matcher>]) -> anyhow::Result<Written> {
    let all =
        db.range().unwrap_or(TimeRange { start_incl: TimestampMs(0), end_incl: TimestampMs(-1) });
    let range = TimeRange {
        start_incl: args.from.map_or(all.start_incl, |from| from.max(all.start_incl)),
        end_incl: args.to.map_or(all.end_incl, |to| to.min(all.end_incl)),
    };
    match args.format {
        ExportFormat::Parquet => parquet(db, selectors, range, &args.out),
        ExportFormat::Arrow => file(&args.out, |out, _| arrow(db, selectors, range, out)),
        ExportFormat::Openmetrics => {
            file(&args.out, |out, progress| openmetrics::write(db, selectors, range, out, progress))
        }
    }
}

fn selectors(texts: &[String]) -> anyhow::Result<Vec<Vec<Matcher>>> {
    let parse = |text: &String| {
        swell_promql_syntax::parse_selector(text)
            .map(|selector| selector.matchers)
            .with_context(|| format!("--match {text}"))
    };
    if texts.is_empty() { Ok(vec![Vec::new()]) } else { texts.iter().map(parse).collect() }
}

fn parquet(
    db: &Db,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    out: &Path,
) -> anyhow::Result<Written> {
    let [matchers] = selectors else {
        bail!("give --match once with --format parquet: a second one may select the same series");
    };
    let out = std::path::absolute(out).with_context(|| format!("resolve {}", out.display()))?;
    let store = Store::open(&Location::Folder(out))?;
    let archive = Archive::new(store, Arc::new(SystemClock::new()), usize::MAX);
    let mut progress = Progress::new();
    let mut written = Written::default();
    for part in parts(range, DAY) {
        let window =
            Window { start: part.start_incl, end: TimestampMs(part.end_incl.0.saturating_add(1)) };
        let before = written.sample_count;
        let exported = export_window(&archive, db, matchers, window, &mut |now| {
            progress.tell(|| {
                format!(
                    "{} of {} metrics of the day, {} samples",
                    now.metric_count,
                    now.metric_total,
                    before + now.sample_count
                )
            });
        })?;
        if let Some(exported) = exported {
            written.sample_count += exported.sample_count;
            written.bytes += exported.size_bytes;
        }
    }
    progress.end();
    Ok(written)
}

/// Writes one file, or standard output.
fn file(
    out: &Path,
    write: impl FnOnce(&mut dyn Write, &mut Progress) -> anyhow::Result<Written>,
) -> anyhow::Result<Written> {
    let mut progress = Progress::new();
    let written = if out == Path::new("-") {
        let mut stdout = BufWriter::new(std::io::stdout().lock());
        let written = write(&mut stdout, &mut progress)?;
        stdout.flush().map_err(CliError::Write)?;
        written
    } else {
        // Under another name until it is whole.
        let mut name = out.as_os_str().to_owned();
        name.push(".part");
        let unfinished = Path::new(&name);
        let file =
            File::create(unfinished).with_context(|| format!("create {}", unfinished.display()))?;
        let mut file = BufWriter::new(file);
        let written = write(&mut file, &mut progress)?;
        let file = file.into_inner().map_err(std::io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .with_context(|| format!("write {}", unfinished.display()))?;
        std::fs::rename(unfinished, out).with_context(|| format!("name {}", out.display()))?;
        written
    };
    progress.end();
    Ok(written)
}

fn arrow(
    db: &Db,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    out: &mut dyn Write,
) -> anyhow::Result<Written> {
    let mut bytes = 0;
    let mut failure = None;
    let mut send = |piece: bytes::Bytes| {
        bytes += piece.len() as u64;
        failure = out.write_all(&piece).err();
        failure.is_none()
    };
    let rows = write_arrow_stream(db, selectors, range, StreamedSamples::Floats, &mut send);
    if let Some(failure) = failure {
        return Err(CliError::Write(failure).into());
    }
    Ok(Written { sample_count: rows?, bytes, ..Written::default() })
}

fn tell(args: &TsdbExportArgs, done: &Written) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    match args.common.output {
        OutputForm::Json => lines.push(
            json!({
                "samples": done.sample_count, "bytes": done.bytes,
                "left_out": {"histograms": done.histograms_left_out, "staleness_markers": done.markers_left_out},
            })
            .to_string(),
        ),
        OutputForm::Text => {
            lines.push(format!(
                "{} samples, {} bytes written to {}",
                done.sample_count,
                done.bytes,
                args.out.display()
            ));
            for (count, what) in [
                (done.histograms_left_out, "native histograms"),
                (done.markers_left_out, "staleness markers"),
            ] {
                if count > 0 {
                    lines.push(format!(
                        "{count} {what} left out: OpenMetrics has no form for them, --format parquet has"
                    ));
                }
            }
        }
    }
    let report: &mut dyn Write =
        if args.out == Path::new("-") { &mut std::io::stderr() } else { &mut std::io::stdout() };
    for line in lines {
        writeln!(report, "{line}").map_err(CliError::Write)?;
    }
    Ok(())
}
