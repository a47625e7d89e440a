//! Splits a script into commands.

use swell_model::{DurationMs, TimestampMs};

/// A command and the number of its first line.
#[derive(Debug)]
pub(super) struct Command<'a> {
    pub(super) line: usize,
    pub(super) kind: CommandKind<'a>,
}

#[derive(Debug)]
pub(super) enum CommandKind<'a> {
    Clear,
    Load {
        step: DurationMs,
        with_nhcb: bool,
        lines: Vec<&'a str>,
    },
    Eval(EvalCommand<'a>),
    /// A line that is no command: an error of the script.
    Fault(String),
}

/// When an `eval` evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EvalTime {
    Instant(TimestampMs),
    Range { start: TimestampMs, end: TimestampMs, step: DurationMs },
}

#[derive(Debug)]
pub(super) struct EvalCommand<'a> {
    pub(super) time: EvalTime,
    pub(super) query: &'a str,
    /// The part of the first word after `eval_`, or "".
    pub(super) suffix: String,
    pub(super) lines: Vec<&'a str>,
}

/// The commands of a script, in order.
pub(super) fn commands(text: &str) -> Vec<Command<'_>> {
    let mut commands = Vec::new();
    let mut lines = text.lines().map(str::trim).enumerate().peekable();
    let is_empty = |line: &str| line.is_empty() || line.starts_with('#');
    while let Some((idx, line)) = lines.next() {
        if is_empty(line) {
            continue;
        }
        let word = line.split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        let mut block = Vec::new();
        if word.starts_with("load") || word.starts_with("eval") {
            while let Some((_, line)) = lines.next_if(|(_, line)| !is_empty(line)) {
                block.push(line);
            }
        }
        let kind = if word == "clear" {
            Ok(CommandKind::Clear)
        } else if word.starts_with("load") {
            load(line, &word, block)
        } else if word.starts_with("eval") {
            eval(line, &word, block).map(CommandKind::Eval)
        } else {
            Err(format!("{line:?} is no command"))
        };
        commands.push(Command { line: idx + 1, kind: kind.unwrap_or_else(CommandKind::Fault) });
    }
    commands
}

fn load<'a>(line: &str, word: &str, lines: Vec<&'a str>) -> Result<CommandKind<'a>, String> {
    let with_nhcb = match word {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(format!("{word:?} is no command")),
    };
    let step = line.split_whitespace().nth(1).ok_or("load needs a step")?;
    let step = DurationMs::parse_prometheus(step).map_err(|error| error.to_string())?;
    Ok(CommandKind::Load { step, with_nhcb, lines })
}

/// Takes the next word off a text.
fn word<'a>(text: &mut &'a str) -> &'a str {
    let trimmed = text.trim_start();
    let end = trimmed.find(char::is_whitespace).unwrap_or(trimmed.len());
    let (word, rest) = trimmed.split_at(end);
    *text = rest;
    word
}

/// A time or duration, which may be negative.
pub(super) fn duration(text: &str) -> Result<DurationMs, String> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text),
    };
    let DurationMs(millis) =
        DurationMs::parse_prometheus(body).map_err(|error| error.to_string())?;
    Ok(DurationMs(sign * millis))
}

fn time(text: &str) -> Result<TimestampMs, String> {
    duration(text).map(|DurationMs(millis)| TimestampMs(millis))
}

fn eval<'a>(line: &'a str, first: &str, lines: Vec<&'a str>) -> Result<EvalCommand<'a>, String> {
    let suffix = match first.strip_prefix("eval") {
        Some("") => String::new(),
        Some(suffix) => suffix.trim_start_matches('_').to_owned(),
        None => return Err(format!("{first:?} is no command")),
    };
    let mut rest = line;
    word(&mut rest);
    let expect = |rest: &mut &'a str, wanted: &str| match word(rest) {
        got if got == wanted => Ok(()),
        got => Err(format!("expected {wanted:?}, got {got:?}")),
    };
    let at = match word(&mut rest) {
        "instant" => {
            expect(&mut rest, "at")?;
            EvalTime::Instant(time(word(&mut rest))?)
        }
        "range" => {
            let (start, end, step) = range(&mut rest)?;
            EvalTime::Range { start, end, step }
        }
        other => return Err(format!("expected instant or range, got {other:?}")),
    };
    Ok(EvalCommand { time: at, query: rest.trim(), suffix, lines })
}

/// `from <start> to <end> step <step>`
pub(super) fn range(rest: &mut &str) -> Result<(TimestampMs, TimestampMs, DurationMs), String> {
    let mut part = |wanted: &str| match word(rest) {
        got if got == wanted => Ok(word(rest)),
        got => Err(format!("expected {wanted:?}, got {got:?}")),
    };
    let start = time(part("from")?)?;
    let end = time(part("to")?)?;
    let step = duration(part("step")?)?;
    Ok((start, end, step))
}
