//! Floats as Go prints them.

use std::fmt::{self, Write};

/// Exponent from which on, and below which, the API shows `1e+21` and `1e-07`.
const PLAIN: std::ops::Range<f64> = 1e-6..1e21;

/// Writes a sample's value as the Prometheus API does: the shortest decimal that reads back the same,
/// with an exponent below 1e-6 and from 1e21 on; `NaN`, `+Inf`, `-Inf`, `-0`.
///
/// # Errors
/// Only those of `out`.
pub fn write_float(out: &mut impl Write, value: f64) -> fmt::Result {
    if value.is_nan() {
        return out.write_str("NaN");
    }
    if value.is_infinite() {
        return out.write_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    }
    #[expect(clippy::cast_possible_truncation, reason = "a loss makes the two differ")]
    let whole = value as i64;
    #[expect(clippy::cast_precision_loss, reason = "below 2^53 there is none")]
    let is_whole = whole.unsigned_abs() < WHOLE_MAX && whole as f64 == value;
    if is_whole && (whole != 0 || value.is_sign_positive()) {
        return write_whole(out, whole);
    }
    if value == 0.0 || PLAIN.contains(&value.abs()) {
        write!(out, "{value}")
    } else {
        write_scientific(out, value)
    }
}

/// Whole numbers below this have their decimal digits as floats, too: 2^53.
const WHOLE_MAX: u64 = 1 << 53;

/// Writes a whole number in decimal: faster than formatting it, which counts where there are thousands.
///
/// # Errors
/// Only those of `out`.
pub fn write_whole(out: &mut impl Write, value: i64) -> fmt::Result {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    let mut rest = value.unsigned_abs();
    while rest > 0 || first == digits.len() {
        first -= 1;
        digits[first] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
    if value < 0 {
        out.write_char('-')?;
    }
    out.write_str(std::str::from_utf8(&digits[first..]).expect("digits are text"))
}

/// [`write_float`] into a new string.
#[must_use]
pub fn format_float(value: f64) -> String {
    let mut text = String::new();
    write_float(&mut text, value).expect("writing to a string cannot fail");
    text
}

/// The canonical form of `le` and `quantile` values (Go's `FormatFloat(v, 'g', -1, 64)`, with `.0` added to
/// integers): `1.0`, `0.5`, `1e+06`, `+Inf`.
#[must_use]
pub fn format_float_label(value: f64) -> String {
    if !value.is_finite() {
        return format_float(value);
    }
    let mut text = String::new();
    let size = value.abs();
    if value == 0.0 || (1e-4..1e6).contains(&size) {
        write!(text, "{value}").expect("writing to a string cannot fail");
    } else {
        write_scientific(&mut text, value).expect("writing to a string cannot fail");
    }
    if !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

/// `1.5e+21`: at least two digits of exponent, always with its sign.
fn write_scientific(out: &mut impl Write, value: f64) -> fmt::Result {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').expect("{:e} prints an exponent");
    match exponent.strip_prefix('-') {
        Some(digits) => write!(out, "{mantissa}e-{digits:0>2}"),
        None => write!(out, "{mantissa}e+{exponent:0>2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_written_as_they_are_formatted() {
        for value in [0, 1, -1, 9, 10, -99, 1_780_000_000, i64::MAX, i64::MIN] {
            let mut text = String::new();
            write_whole(&mut text, value).expect("strings take all text");
            assert_eq!(text, value.to_string());
        }
        for value in [0.0, -0.0, 7.0, -4096.0, 9_007_199_254_740_991.0, 9_007_199_254_740_992.0] {
            assert_eq!(format_float(value), value.to_string());
        }
    }

    #[test]
    fn values_are_the_shortest_that_read_back() {
        for (value, expected) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (-1.5e-10, "-1.5e-10"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(format_float(value), expected);
        }
    }

    #[test]
    fn bounds_have_a_dot_or_an_exponent() {
        for (value, expected) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (999_999.0, "999999.0"),
            (1e6, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(format_float_label(value), expected);
        }
    }
}
