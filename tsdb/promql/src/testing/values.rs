//! Series lines: a label set and values, the same in `load` and in expectations.

use swell_model::{DurationMs, Labels, SampleValue};
use swell_promql_syntax::{parse_metric, parse_series_values};

/// One position of a series line.
pub(super) type Slot = Option<SampleValue>;

/// A label set and its values by position.
#[derive(Clone, Debug)]
pub(super) struct SeriesLine {
    pub(super) labels: Labels,
    pub(super) slots: Vec<Slot>,
}

/// Splits a line into the series and the rest; `true` when the series is followed by `@st`.
pub(super) fn split_series(line: &str) -> Result<(&str, bool, &str), String> {
    let mut quote: Option<char> = None;
    let mut escaped = false;
    let mut depth = 0;
    let mut end = line.len();
    for (at, c) in line.char_indices() {
        if let Some(open) = quote {
            if escaped {
                escaped = false;
            } else if c == '\\' && open != '`' {
                escaped = true;
            } else if c == open {
                quote = None;
            }
            continue;
        }
        match c {
            '"' | '\'' | '`' if depth > 0 => quote = Some(c),
            '{' => depth += 1,
            '}' => depth -= 1,
            c if c.is_whitespace() && depth == 0 => {
                end = at;
                break;
            }
            _ => {}
        }
    }
    let (series, rest) = line.split_at(end);
    match series.strip_suffix("@st") {
        Some(series) => Ok((series, true, rest.trim())),
        None => Ok((series, false, rest.trim())),
    }
}

/// Reads a series line.
pub(super) fn series_line(line: &str) -> Result<SeriesLine, String> {
    let (series, _, values) = split_series(line)?;
    let labels = parse_metric(series).map_err(|error| format!("series {series:?}: {error}"))?;
    Ok(SeriesLine { labels, slots: parse_series_values(values)? })
}

/// Reads the offsets of an `@st` line, in milliseconds from each sample's time.
pub(super) fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        start_item(item, &mut offsets)
            .ok_or_else(|| format!("start timestamp {item:?} is none of the known forms"))?;
    }
    Ok(offsets)
}

/// Longest list of offsets one item may stand for.
const REPEAT_MAX: usize = 1_000_000;

fn start_item(item: &str, offsets: &mut Vec<Option<i64>>) -> Option<()> {
    if let Some(rest) = item.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { repeat_count(rest)? };
        offsets.extend(std::iter::repeat_n(None, count));
        return Some(());
    }
    let (mut offset, rest) = leading_offset(item)?;
    let (step, rest) = if rest.starts_with(['+', '-']) { leading_offset(rest)? } else { (0, rest) };
    let count = if rest.is_empty() { 0 } else { repeat_count(rest)? };
    for _ in 0..=count {
        offsets.push(Some(offset));
        offset += step;
    }
    Some(())
}

/// An integer with a sign and a unit; a bare `0` needs none.
fn leading_offset(text: &str) -> Option<(i64, &str)> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let unit = body[digits..]
        .bytes()
        .take_while(|byte| byte.is_ascii_lowercase() && *byte != b'x')
        .count();
    let (number, rest) = body.split_at(digits + unit);
    let DurationMs(millis) = DurationMs::parse_prometheus(number).ok()?;
    Some((if negative { -millis } else { millis }, rest))
}

/// The number of `xN`.
fn repeat_count(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('x')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse().ok()?;
    (plain && count <= REPEAT_MAX).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_offsets_expand() {
        assert_eq!(
            start_offsets("_ _x2 -30s-1mx1 0-1mx1 1ms"),
            Ok(vec![
                None,
                None,
                None,
                Some(-30_000),
                Some(-90_000),
                Some(0),
                Some(-60_000),
                Some(1)
            ])
        );
    }
}
