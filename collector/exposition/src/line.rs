//! Lines of an exposition: comments with meaning, and samples.

use std::borrow::Cow;

use swell_model::MetricKind;

/// One line that says something.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// `# HELP name text`
    Help {
        /// Name of the family.
        name: &'a str,
        /// The sentence, escapes resolved.
        text: Cow<'a, str>,
    },
    /// `# TYPE name kind`
    Type {
        /// Name of the family.
        name: &'a str,
        /// Its kind.
        kind: MetricKind,
    },
    /// A sample.
    Sample(RawSample<'a>),
}

/// A sample whose series is not taken apart yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawSample<'a> {
    /// Name and labels as written, without surrounding white space.
    pub series: &'a str,
    /// The value.
    pub value: f64,
    /// Milliseconds since the epoch, where the line has them.
    pub timestamp_ms: Option<i64>,
}

/// A line that is no exposition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: &'static str,
}

/// Iterates over the lines of an exposition.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

/// The lines of `text` that say something, each with its own verdict.
#[must_use]
pub const fn lines(text: &str) -> Lines<'_> {
    Lines { rest: text, line: 0 }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<Line<'a>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let end = self.rest.find('\n');
            let line = &self.rest[..end.unwrap_or(self.rest.len())];
            self.rest = end.map_or("", |end| &self.rest[end + 1..]);
            self.line += 1;
            let line = line.trim_matches([' ', '\t', '\r']);
            if line.is_empty() {
                continue;
            }
            let parsed = match line.strip_prefix('#') {
                Some(comment) => match comment_line(comment) {
                    Ok(None) => continue,
                    Ok(Some(line)) => Ok(line),
                    Err(message) => Err(message),
                },
                None => sample(line).map(Line::Sample),
            };
            return Some(parsed.map_err(|message| LineError { line: self.line, message }));
        }
    }
}

/// `HELP` and `TYPE`; any other comment says nothing.
fn comment_line(comment: &str) -> Result<Option<Line<'_>>, &'static str> {
    let comment = comment.trim_start_matches([' ', '\t']);
    let (keyword, rest) = split_word(comment);
    match keyword {
        "HELP" => {
            let (name, text) = name_word(rest)?;
            Ok(Some(Line::Help { name, text: unescape_help(text) }))
        }
        "TYPE" => {
            let (name, kind) = name_word(rest)?;
            let kind = match kind.trim() {
                "counter" => MetricKind::Counter,
                "gauge" => MetricKind::Gauge,
                "histogram" => MetricKind::Histogram,
                "summary" => MetricKind::Summary,
                "untyped" | "unknown" => MetricKind::Unknown,
                _ => return Err("a TYPE is counter, gauge, histogram, summary or untyped"),
            };
            Ok(Some(Line::Type { name, kind }))
        }
        _ => Ok(None),
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches([' ', '\t']))
}

/// The family's name, which may be quoted, and what follows.
fn name_word(text: &str) -> Result<(&str, &str), &'static str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"').ok_or("a quoted metric name does not end")?;
        return Ok((&quoted[..end], quoted[end + 1..].trim_start_matches([' ', '\t'])));
    }
    let (name, rest) = split_word(text);
    if name.is_empty() { Err("a metric name is missing") } else { Ok((name, rest)) }
}

/// In help texts only `\\` and `\n` are escapes.
fn unescape_help(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut resolved = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('\\', Some('\\')) => {
                resolved.push('\\');
                letters.next();
            }
            ('\\', Some('n')) => {
                resolved.push('\n');
                letters.next();
            }
            _ => resolved.push(letter),
        }
    }
    Cow::Owned(resolved)
}

/// `name{labels} value [timestamp]`
fn sample(line: &str) -> Result<RawSample<'_>, &'static str> {
    let end = series_end(line)?;
    let series = line[..end].trim_end_matches([' ', '\t']);
    let (value, rest) = split_word(line[end..].trim_start_matches([' ', '\t']));
    if value.is_empty() {
        return Err("a sample has no value");
    }
    let value = parse_value(value).ok_or("the value is not a number")?;
    let (timestamp, rest) = split_word(rest);
    if !rest.is_empty() {
        return Err("after value and timestamp nothing may follow");
    }
    let timestamp_ms = if timestamp.is_empty() {
        None
    } else {
        Some(timestamp.parse().map_err(|_| "the timestamp is not a whole number of milliseconds")?)
    };
    Ok(RawSample { series, value, timestamp_ms })
}

/// Where name and labels end: after the closing brace outside of quotes, or at the first white space when no
/// brace follows it.
fn series_end(line: &str) -> Result<usize, &'static str> {
    let bytes = line.as_bytes();
    let name_end = bytes.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'{'));
    let name_end = name_end.ok_or("a sample has no value")?;
    let after = line[name_end..].trim_start_matches([' ', '\t']);
    if !after.starts_with('{') {
        return Ok(name_end);
    }
    let mut at = line.len() - after.len() + 1;
    let mut quoted = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return Ok(at + 1),
            _ => {}
        }
        at += 1;
    }
    Err("the labels do not end")
}

/// A decimal number, `Inf` or `NaN`, as Go reads them but for hexadecimal and underscores.
fn parse_value(text: &str) -> Option<f64> {
    let first = text.trim_start_matches(['+', '-']).as_bytes().first()?;
    if first.is_ascii_digit() || *first == b'.' {
        return text.parse().ok();
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    match unsigned.to_ascii_lowercase().as_str() {
        // The ordinary NaN of Prometheus, whose bits are not those of the staleness marker.
        "nan" => Some(f64::from_bits(0x7ff8_0000_0000_0001)),
        "inf" | "infinity" if text.starts_with('-') => Some(f64::NEG_INFINITY),
        "inf" | "infinity" => Some(f64::INFINITY),
        _ => None,
    }
}
