//! Values of a series by position, as Prometheus writes them in test scripts and in unit tests of rules:
//! `1 2 _ stale 5+5x3 {{schema:0 sum:5 count:4 buckets:[1 2 1]}}x2`.

mod histogram;

pub use histogram::format_histogram;

use std::sync::Arc;

use swell_model::{NativeHistogram, SampleValue, stale_nan};

use crate::literal::{parse_duration_seconds, parse_number};

/// Reads the values of a series line: numbers, `_` for none, `stale`, histograms, each with steps and repetitions.
///
/// # Errors
/// The item that has none of the forms, as text.
pub fn parse_series_values(text: &str) -> Result<Vec<Option<SampleValue>>, String> {
    let mut slots = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let start = rest;
        rest = if rest.starts_with("{{") {
            histogram_item(rest, &mut slots)?
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (item, tail) = rest.split_at(end);
            plain_item(item, &mut slots)
                .ok_or_else(|| format!("value {item:?} is none of the known forms"))?;
            tail
        };
        if rest.len() == start.len() {
            return Err(format!("cannot read values at {start:?}"));
        }
        rest = rest.trim_start();
    }
    Ok(slots)
}

/// Longest list of values one item may stand for.
const REPEAT_MAX: usize = 1_000_000;

fn repeat_count(text: &str) -> Option<usize> {
    let digits = text.strip_prefix('x')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count = digits.parse().ok()?;
    (plain && count <= REPEAT_MAX).then_some(count)
}

/// `_`, `_xN`, `stale`, `v`, `vxN`, `v±dxN`.
fn plain_item(item: &str, slots: &mut Vec<Option<SampleValue>>) -> Option<()> {
    if let Some(rest) = item.strip_prefix('_') {
        let count = if rest.is_empty() { 1 } else { repeat_count(rest)? };
        slots.extend(std::iter::repeat_n(None, count));
        return Some(());
    }
    if let Some(rest) = item.strip_prefix("stale") {
        let count = if rest.is_empty() { 0 } else { repeat_count(rest)? };
        let marker = Some(SampleValue::Float(stale_nan()));
        slots.extend(std::iter::repeat_n(marker, count + 1));
        return Some(());
    }
    let (mut value, rest) = leading_number(item)?;
    if rest.is_empty() {
        slots.push(Some(SampleValue::Float(value)));
        return Some(());
    }
    let (step, rest) = if rest.starts_with('x') {
        (0.0, rest)
    } else {
        let sign = if rest.starts_with('-') { -1.0 } else { 1.0 };
        let (step, rest) = leading_number(rest.strip_prefix(['+', '-'])?)?;
        (sign * step, rest)
    };
    for _ in 0..=repeat_count(rest)? {
        slots.push(Some(SampleValue::Float(value)));
        if step != 0.0 {
            value += step;
        }
    }
    Some(())
}

/// The number a text begins with, and the rest. `0x5` is not hexadecimal here but 0 repeated, unless it has a digit
/// above 9.
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let begin = at;
    let run = |from: usize, accept: fn(&u8) -> bool| {
        from + bytes[from..].iter().take_while(|byte| accept(byte)).count()
    };
    if bytes.get(at)?.is_ascii_alphabetic() {
        at = run(at, u8::is_ascii_alphabetic);
        // `NaNx3`
        while at > begin && parse_number(&text[begin..at]).is_none() {
            at -= 1;
        }
    } else {
        let hex_end = run(at + 2.min(bytes.len() - at), u8::is_ascii_hexdigit);
        let hex = text[at..].starts_with("0x")
            && text[at + 2..hex_end].bytes().any(|b| b.is_ascii_alphabetic());
        if hex {
            at = hex_end;
        } else {
            at = run(at, |byte| byte.is_ascii_digit() || *byte == b'.');
            if matches!(bytes.get(at), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
                let end = run(at + 1 + sign, u8::is_ascii_digit);
                if end > at + 1 + sign {
                    at = end;
                }
            }
            let unit_end = run(at, |byte| byte.is_ascii_alphanumeric() && *byte != b'x');
            if unit_end > at {
                let seconds = parse_duration_seconds(&text[begin..unit_end])?;
                let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
                return Some((sign * seconds, &text[unit_end..]));
            }
        }
    }
    Some((parse_number(&text[..at])?, &text[at..]))
}

/// `{{…}}`, `{{…}}xN`, `{{…}}±{{…}}xN`.
fn histogram_item<'a>(
    text: &'a str,
    slots: &mut Vec<Option<SampleValue>>,
) -> Result<&'a str, String> {
    let (first, mut rest) = histogram::histogram(text)?;
    let mut step: Option<(NativeHistogram, bool)> = None;
    if let Some(tail) = rest.strip_prefix(['+', '-'])
        && tail.starts_with("{{")
    {
        let subtract = rest.starts_with('-');
        let (histogram, tail) = histogram::histogram(tail)?;
        step = Some((histogram, subtract));
        rest = tail;
    }
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (repeat, tail) = rest.split_at(end);
    let count = if repeat.is_empty() {
        0
    } else {
        repeat_count(repeat).ok_or_else(|| format!("{repeat:?} is no repetition"))?
    };
    let mut value = first;
    for idx in 0..=count {
        slots.push(Some(SampleValue::Histogram(Arc::new(value.clone()))));
        let Some((step, subtract)) = step.as_ref().filter(|_| idx < count) else { continue };
        if value.schema > step.schema {
            return Err("the first histogram's schema is finer than that of the step".to_owned());
        }
        let next = if *subtract { value.subtracted(step) } else { value.added(step) };
        let (next, _) = next.map_err(|error| error.to_string())?;
        value = NativeHistogram { reset_hint: value.reset_hint, ..next };
    }
    Ok(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> Vec<Option<f64>> {
        parse_series_values(text)
            .expect("known forms")
            .into_iter()
            .map(|slot| match slot {
                Some(SampleValue::Float(value)) => Some(value),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn values_expand() {
        for (text, expected) in [
            ("1 _ 2", vec![Some(1.0), None, Some(2.0)]),
            ("_x3 0x1", vec![None, None, None, Some(0.0), Some(0.0)]),
            ("-5-2x2 1+1x0", vec![Some(-5.0), Some(-7.0), Some(-9.0), Some(1.0)]),
            (
                "1e2 0x1f 1m 2m+1mx1",
                vec![Some(100.0), Some(31.0), Some(60.0), Some(120.0), Some(180.0)],
            ),
            (
                "-Inf +infx1",
                vec![Some(f64::NEG_INFINITY), Some(f64::INFINITY), Some(f64::INFINITY)],
            ),
        ] {
            assert_eq!(floats(text), expected, "{text}");
        }
        for text in ["x", "1x", "1+x3", "{{", "1+1", "{{}}y"] {
            assert!(parse_series_values(text).is_err(), "{text}");
        }
    }
}
