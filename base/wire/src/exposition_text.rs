//! The text format 0.0.4, written.

use std::fmt::{self, Write};

use swell_model::{Labels, METRIC_NAME, MetricKind, TimestampMs};

use crate::float::write_float;

/// Writes a `# HELP` line.
///
/// # Errors
/// Only those of `out`.
pub fn write_help(out: &mut impl Write, family: &str, help: &str) -> fmt::Result {
    out.write_str("# HELP ")?;
    write_name(out, family)?;
    out.write_char(' ')?;
    write_escaped(out, help, false)?;
    out.write_char('\n')
}

/// Writes a `# TYPE` line; kinds that the format does not have become `untyped`.
///
/// # Errors
/// Only those of `out`.
pub fn write_type(out: &mut impl Write, family: &str, kind: MetricKind) -> fmt::Result {
    let word = match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
        MetricKind::Summary => "summary",
        MetricKind::GaugeHistogram
        | MetricKind::Info
        | MetricKind::StateSet
        | MetricKind::Unknown => "untyped",
    };
    out.write_str("# TYPE ")?;
    write_name(out, family)?;
    writeln!(out, " {word}")
}

/// Writes a sample line; names outside the classic alphabet are quoted.
///
/// # Errors
/// Only those of `out`.
pub fn write_sample(
    out: &mut impl Write,
    labels: &Labels,
    value: f64,
    timestamp: Option<TimestampMs>,
) -> fmt::Result {
    let name = labels.metric_name().unwrap_or("");
    let pairs = labels.iter().filter(|(label, _)| *label != METRIC_NAME);
    write_sample_of(out, name, pairs, value, timestamp)
}

/// Writes a sample line of a metric with these labels, in this order; empty values are written too.
///
/// # Errors
/// Only those of `out`.
pub fn write_sample_of<'a>(
    out: &mut impl Write,
    name: &str,
    labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    value: f64,
    timestamp: Option<TimestampMs>,
) -> fmt::Result {
    let bare = is_bare(name, true);
    if bare {
        out.write_str(name)?;
    }
    let mut opening = '{';
    if !bare && !name.is_empty() {
        out.write_char(opening)?;
        opening = ',';
        write_quoted(out, name)?;
    }
    for (label, text) in labels {
        out.write_char(opening)?;
        opening = ',';
        if is_bare(label, false) {
            out.write_str(label)?;
        } else {
            write_quoted(out, label)?;
        }
        out.write_char('=')?;
        write_quoted(out, text)?;
    }
    if opening == ',' {
        out.write_char('}')?;
    }
    out.write_char(' ')?;
    write_float(out, value)?;
    if let Some(timestamp) = timestamp {
        write!(out, " {}", timestamp.0)?;
    }
    out.write_char('\n')
}

pub(crate) fn write_name(out: &mut impl Write, name: &str) -> fmt::Result {
    if is_bare(name, true) { out.write_str(name) } else { write_quoted(out, name) }
}

fn write_quoted(out: &mut impl Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    write_escaped(out, text, true)?;
    out.write_char('"')
}

pub(crate) fn write_escaped(out: &mut impl Write, text: &str, quotes: bool) -> fmt::Result {
    for character in text.chars() {
        match character {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '"' if quotes => out.write_str("\\\"")?,
            other => out.write_char(other)?,
        }
    }
    Ok(())
}

fn is_bare(name: &str, colons: bool) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':'))
}
