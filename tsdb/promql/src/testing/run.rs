//! Runs the commands of a script in order.

use swell_model::{DurationMs, Labels, TimestampMs};
use swell_promql_syntax::{Expr, parse};

use super::compare::{
    check_annotations, check_instant, check_matrix, check_scalar, check_sorted, check_vector,
};
use super::expect::Expectation;
use super::script::{Command, CommandKind, EvalCommand, EvalTime, commands};
use super::storage::{LoadedSample, LoadedSeries, StorageFactory, TestStorage};
use super::values::{SeriesLine, series_line, split_series, start_offsets};
use super::ways::evaluate_in_all_ways;
use super::{nhcb, strict};
use crate::error::EvalError;
use crate::params::{EvalParams, Features, QueryKind};
use crate::value::{QueryOutput, QueryValue, VectorSample};

/// How scripts are run.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// Evaluate each instant query also pinned to its time at other times, and as part of a range query.
    pub strict: bool,
}

/// One `eval` that did not give what it should.
#[derive(Clone, Debug)]
pub struct EvalFailure {
    /// Line of the script.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What was wrong.
    pub why: String,
}

/// What became of a script.
#[derive(Clone, Debug, Default)]
pub struct FileReport {
    /// Evals as expected.
    pub passed: usize,
    /// Evals not as expected.
    pub failures: Vec<EvalFailure>,
    /// Lines that are no commands and loads that were refused.
    pub faults: Vec<String>,
}

/// Most samples a query may hold, as the scripts assume.
const SAMPLES_MAX: usize = 10_000;

/// Runs a script.
#[must_use]
pub fn run_script(text: &str, storage: StorageFactory<'_>, options: RunOptions) -> FileReport {
    let mut report = FileReport::default();
    let mut current = storage();
    for Command { line, kind } in commands(text) {
        match kind {
            CommandKind::Clear => current = storage(),
            CommandKind::Load { step, with_nhcb, lines } => {
                let loaded = current
                    .as_deref()
                    .map_err(String::clone)
                    .and_then(|storage| storage.append(&loaded_series(step, with_nhcb, &lines)?));
                if let Err(why) = loaded {
                    report.faults.push(format!("line {line}: {why}"));
                }
            }
            CommandKind::Eval(command) => {
                let outcome = current
                    .as_deref()
                    .map_err(String::clone)
                    .and_then(|storage| run_eval(storage, &command, options));
                match outcome {
                    Ok(()) => report.passed += 1,
                    Err(why) => report.failures.push(EvalFailure {
                        line,
                        query: command.query.to_owned(),
                        why,
                    }),
                }
            }
            CommandKind::Fault(why) => report.faults.push(format!("line {line}: {why}")),
        }
    }
    report
}

/// The series of a `load` block.
fn loaded_series(
    step: DurationMs,
    with_nhcb: bool,
    lines: &[&str],
) -> Result<Vec<LoadedSeries>, String> {
    let mut series: Vec<LoadedSeries> = Vec::new();
    let mut starts: Option<(&str, Vec<Option<i64>>)> = None;
    for line in lines {
        let (name, is_starts, rest) = split_series(line)?;
        if is_starts {
            starts = Some((name, start_offsets(rest)?));
            continue;
        }
        let SeriesLine { labels, slots } = series_line(line)?;
        let offsets = match starts.take() {
            Some((of, offsets)) if of == name && offsets.len() == slots.len() => offsets,
            Some((of, _)) => return Err(format!("the line after {of}@st does not fit it")),
            None => Vec::new(),
        };
        let mut samples = Vec::new();
        for (idx, slot) in slots.into_iter().enumerate() {
            let Some(value) = slot else { continue };
            let at = i64::try_from(idx).map_err(|error| error.to_string())? * step.0;
            let start_ms = offsets.get(idx).copied().flatten().map_or(0, |offset| at + offset);
            samples.push(LoadedSample { timestamp: TimestampMs(at), value, start_ms });
        }
        series.retain(|one| one.labels != labels);
        series.push(LoadedSeries { labels, samples });
    }
    if with_nhcb {
        let native = nhcb::convert(&series)?;
        series.extend(native);
    }
    Ok(series)
}

fn params(kind: QueryKind, start: TimestampMs, end: TimestampMs, step: DurationMs) -> EvalParams {
    EvalParams {
        start,
        end,
        step,
        lookback: EvalParams::LOOKBACK_DEFAULT,
        subquery_step: EvalParams::SUBQUERY_STEP_DEFAULT,
        features: Features { type_and_unit_labels: false, ..Features::all() },
        kind,
        counts_steps: false,
    }
}

fn instant(
    storage: &dyn TestStorage,
    expr: &Expr,
    at: TimestampMs,
) -> Result<QueryOutput, EvalError> {
    let params = params(QueryKind::Instant, at, at, DurationMs(1));
    evaluate_in_all_ways(expr, storage.source(), &params, SAMPLES_MAX)
}

fn range(
    storage: &dyn TestStorage,
    expr: &Expr,
    (start, end, step): (TimestampMs, TimestampMs, DurationMs),
) -> Result<QueryOutput, EvalError> {
    let params = params(QueryKind::Range, start, end, step);
    evaluate_in_all_ways(expr, storage.source(), &params, SAMPLES_MAX)
}

fn run_eval(
    storage: &dyn TestStorage,
    command: &EvalCommand<'_>,
    options: RunOptions,
) -> Result<(), String> {
    let expected = Expectation::of(command)?;
    let expr = parse(command.query).map_err(|error| error.to_string())?;
    match command.time {
        EvalTime::Range { start, end, step } => {
            let output = range(storage, &expr, (start, end, step));
            check_output(&expected, output, command.query, |value| match (value, expected.scalar) {
                (QueryValue::Matrix(_), Some(_)) => Err("expected a scalar".to_owned()),
                (QueryValue::Matrix(matrix), None) => {
                    check_matrix(&expected, matrix, start, end, step.0)
                }
                _ => Err("expected a matrix".to_owned()),
            })
        }
        EvalTime::Instant(at) => {
            let at = expected.range_vector.map_or(at, |times| times.end);
            run_instant(storage, &expected, &expr, command.query, at)?;
            if !options.strict || expected.fail.is_some() {
                return Ok(());
            }
            run_strict(storage, &expected, &expr, at)
        }
    }
}

fn run_instant(
    storage: &dyn TestStorage,
    expected: &Expectation,
    expr: &Expr,
    query: &str,
    at: TimestampMs,
) -> Result<(), String> {
    let output = instant(storage, expr, at);
    check_output(expected, output, query, |value| check_instant(expected, value))
}

fn check_output(
    expected: &Expectation,
    output: Result<QueryOutput, EvalError>,
    query: &str,
    check: impl Fn(&QueryValue) -> Result<(), String>,
) -> Result<(), String> {
    let output = match (output, &expected.fail) {
        (Err(error), Some(text)) => {
            let message = error.to_string();
            let fits = text.accepts(&message);
            return if fits { Ok(()) } else { Err(format!("expected {text:?}, got {message:?}")) };
        }
        (Err(error), None) => return Err(format!("failed: {error}")),
        (Ok(output), Some(_)) => return Err(format!("expected to fail, got {:?}", output.value)),
        (Ok(output), None) => output,
    };
    check_annotations("warnings", &expected.warn, &output.warnings, query)?;
    check_annotations("infos", &expected.info, &output.infos, query)?;
    check(&output.value)
}

fn run_strict(
    storage: &dyn TestStorage,
    expected: &Expectation,
    expr: &Expr,
    at: TimestampMs,
) -> Result<(), String> {
    as_middle_step(storage, expected, expr, at)
        .map_err(|why| format!("as a range query: {why}"))?;
    if !strict::can_be_pinned(expr) {
        return Ok(());
    }
    let mut pinned = expr.clone();
    strict::pin(&mut pinned, at);
    let query = pinned.to_string();
    let pinned = parse(&query).map_err(|error| format!("{query}: {error}"))?;
    for other in strict::other_times(at) {
        let fault = |why: String| format!("{query} at {} ms: {why}", other.0);
        run_instant(storage, expected, &pinned, &query, other).map_err(fault)?;
        as_middle_step(storage, expected, &pinned, other)
            .map_err(|why| format!("{query} at {} ms as a range query: {why}", other.0))?;
    }
    Ok(())
}

/// Evaluates a range query around a time and compares the step at that time.
fn as_middle_step(
    storage: &dyn TestStorage,
    expected: &Expectation,
    expr: &Expr,
    at: TimestampMs,
) -> Result<(), String> {
    const MINUTE: DurationMs = DurationMs::from_secs(60);
    let is_vector = expected.text.is_none() && expected.range_vector.is_none();
    if !is_vector || expected.ordered || strict::refers_to_range(expr) {
        return Ok(());
    }
    let output = range(storage, expr, (at - MINUTE, at + MINUTE, MINUTE))
        .map_err(|error| format!("failed: {error}"))?;
    let QueryValue::Matrix(matrix) = output.value else {
        return Err("expected a matrix".to_owned());
    };
    check_sorted(&matrix)?;
    let mut vector = Vec::new();
    for one in &matrix {
        let floats = one
            .floats
            .iter()
            .map(|point| (point.timestamp, swell_model::SampleValue::Float(point.value)));
        let histograms = one.histograms.iter().map(|point| {
            (point.timestamp, swell_model::SampleValue::Histogram(point.value.clone()))
        });
        for (timestamp, value) in floats.chain(histograms).filter(|(time, _)| *time == at) {
            vector.push(VectorSample { labels: one.labels.clone(), timestamp, value });
        }
    }
    if let Some(wanted) = expected.scalar {
        return match vector.as_slice() {
            [VectorSample { labels, value: swell_model::SampleValue::Float(value), .. }]
                if *labels == Labels::empty() =>
            {
                check_scalar(wanted, *value)
            }
            _ => Err(format!("expected one scalar, got {vector:?}")),
        };
    }
    check_vector(expected, &vector)
}
