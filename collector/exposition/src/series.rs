//! From the raw text of a series to its labels.

use std::borrow::Cow;

use swell_model::{LabelsBuilder, METRIC_NAME};

/// A series text that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("series {series:?}: {message}")]
pub struct SeriesError {
    /// As written.
    pub series: String,
    /// What is wrong.
    pub message: &'static str,
}

/// Takes `name{label="value", …}` or `{"quoted name", …}` apart.
///
/// # Errors
/// [`SeriesError`] says what is wrong with the text.
pub fn parse_series(text: &str) -> Result<LabelsBuilder, SeriesError> {
    let fault = |message| SeriesError { series: text.to_owned(), message };
    let (name, rest) = match text.find('{') {
        Some(brace) => (text[..brace].trim(), Some(&text[brace + 1..])),
        None => (text.trim(), None),
    };
    let mut labels = LabelsBuilder::default();
    if !name.is_empty() {
        if !is_name(name, true) {
            return Err(fault("the metric name has characters that need quotes"));
        }
        labels.set(METRIC_NAME, name);
    }
    if let Some(rest) = rest {
        parse_labels(rest, &mut labels).map_err(fault)?;
    }
    if labels.get(METRIC_NAME).is_none() {
        return Err(fault("the metric has no name"));
    }
    Ok(labels)
}

fn parse_labels(mut rest: &str, labels: &mut LabelsBuilder) -> Result<(), &'static str> {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return if after.trim().is_empty() { Ok(()) } else { Err("text follows the labels") };
        }
        let (name, after, was_quoted) = if rest.starts_with('"') {
            let (name, after) = quoted(rest)?;
            (name, after.trim_start(), true)
        } else {
            let end = rest.find(['=', ',', '}']).ok_or("a label has no value")?;
            (Cow::Borrowed(rest[..end].trim()), &rest[end..], false)
        };
        match after.strip_prefix('=') {
            Some(value) => {
                if name.is_empty() || (!was_quoted && !is_name(&name, false)) {
                    return Err("a label name has characters that need quotes");
                }
                if labels.get(&name).is_some() {
                    return Err("a label is given twice");
                }
                let (value, after) = quoted(value.trim_start())?;
                labels.set(&name, &value);
                rest = after.trim_start();
            }
            None if was_quoted && labels.get(METRIC_NAME).is_none() => {
                labels.set(METRIC_NAME, &name);
                rest = after;
            }
            None => return Err("a label has no value"),
        }
        match rest.as_bytes().first() {
            Some(b',') => rest = &rest[1..],
            Some(b'}') => {}
            _ => return Err("labels are separated by commas and end with a brace"),
        }
    }
}

/// A text in double quotes, escapes resolved, and what follows.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let inner = text.strip_prefix('"').ok_or("a label value stands in double quotes")?;
    let mut resolved: Option<String> = None;
    let mut letters = inner.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let value = resolved.map_or(Cow::Borrowed(&inner[..at]), Cow::Owned);
                return Ok((value, &inner[at + 1..]));
            }
            '\\' => {
                let buffer = resolved.get_or_insert_with(|| inner[..at].to_owned());
                match letters.next() {
                    Some((_, 'n')) => buffer.push('\n'),
                    Some((_, '"')) => buffer.push('"'),
                    Some((_, '\\')) => buffer.push('\\'),
                    Some((_, other)) => {
                        buffer.push('\\');
                        buffer.push(other);
                    }
                    None => return Err("a label value does not end"),
                }
            }
            other => {
                if let Some(buffer) = &mut resolved {
                    buffer.push(other);
                }
            }
        }
    }
    Err("a label value does not end")
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, for metric names with colons too.
fn is_name(name: &str, colons: bool) -> bool {
    let mut bytes = name.bytes();
    let allowed = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
    bytes.next().is_some_and(allowed) && bytes.all(|byte| allowed(byte) || byte.is_ascii_digit())
}
