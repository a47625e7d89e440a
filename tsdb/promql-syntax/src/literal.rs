//! Numbers and durations as the language writes them.

use swell_model::DurationMs;

/// Reads a number: decimal, hexadecimal, octal with a leading zero, exponent, `Inf`, `NaN` in any case,
/// underscores between digits, an optional sign.
#[must_use]
pub fn parse_number(text: &str) -> Option<f64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let value = parse_unsigned(digits)?;
    Some(if negative { -value } else { value })
}

/// A number that is written as a word where an expression may stand: `inf` or `nan`, in any case.
pub(crate) fn number_word(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "inf" => Some(f64::INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    }
}

fn parse_unsigned(text: &str) -> Option<f64> {
    let first = *text.as_bytes().first()?;
    if !(first.is_ascii_digit() || first == b'.') {
        return match text.to_ascii_lowercase().as_str() {
            "inf" | "infinity" => Some(f64::INFINITY),
            "nan" => Some(f64::NAN),
            _ => None,
        };
    }
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if let Some(digits) = hex {
        let digits = without_separators(digits.strip_prefix('_').unwrap_or(digits))?;
        if digits.is_empty() {
            return None;
        }
        return digits.bytes().try_fold(0.0_f64, |value, byte| {
            let digit = (byte as char).to_digit(16)?;
            Some(value.mul_add(16.0, f64::from(digit)))
        });
    }
    let digits = without_separators(text)?;
    let octal = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if octal {
        return digits
            .bytes()
            .try_fold(0.0_f64, |value, byte| Some(value.mul_add(8.0, f64::from(byte - b'0'))));
    }
    let numeric = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    if !digits.bytes().all(numeric) {
        return None;
    }
    digits.parse().ok()
}

/// The digits without `_`, each of which must stand between two digits.
fn without_separators(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    for (idx, byte) in bytes.iter().enumerate() {
        let between = idx > 0
            && bytes[idx - 1].is_ascii_hexdigit()
            && bytes.get(idx + 1).is_some_and(u8::is_ascii_hexdigit);
        if *byte == b'_' && !between {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// Reads a duration literal (`1h30m`) as seconds; `None` when the text has no unit or is none.
#[must_use]
pub fn parse_duration_seconds(text: &str) -> Option<f64> {
    let last = *text.as_bytes().last()?;
    if !last.is_ascii_alphabetic() {
        return None;
    }
    DurationMs::parse_prometheus(text).ok().map(DurationMs::as_seconds)
}

/// Prints a float as Prometheus does (`strconv.FormatFloat(v, 'f', -1, 64)`): shortest digits, no exponent,
/// `+Inf`, `-Inf`, `NaN`.
#[must_use]
pub fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    format!("{value}")
}

/// Prints a float as Go's `%g` does: shortest digits, an exponent below 1e-4 and from 1e6 on.
#[must_use]
pub fn format_float_short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 || (1e-4..1e6).contains(&size) {
        return format_float(value);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_parse_as_in_go() {
        for (text, expected) in [
            ("1", 1.0),
            ("-1.5e3", -1500.0),
            ("0x1F", 31.0),
            ("0x_ff", 255.0),
            ("010", 8.0),
            ("089", 89.0),
            ("1_000", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+inF", f64::INFINITY),
        ] {
            assert_eq!(parse_number(text), Some(expected), "{text}");
        }
        assert!(parse_number("nan").is_some_and(f64::is_nan));
        for text in ["", "-", "1__0", "_1", "0x", "1e", "1x", "abc", "1.2.3", "--1"] {
            assert_eq!(parse_number(text), None, "{text}");
        }
    }

    #[test]
    fn floats_print_as_in_go() {
        for (value, plain, short) in [
            (0.25, "0.25", "0.25"),
            (1e21, "1000000000000000000000", "1e+21"),
            (1e-7, "0.0000001", "1e-07"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(format_float(value), plain);
            assert_eq!(format_float_short(value), short);
        }
    }
}
