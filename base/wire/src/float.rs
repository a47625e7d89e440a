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
    if value == 0.0 || PLAIN.contains(&value.abs()) {
        write!(out, "{value}")
    } else {
        write_scientific(out, value)
    }
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
    if value == 0.0 || (1e-4..1e6).contains(&size) || (size < 1e21 && !is_short(size)) {
        write!(text, "{value}").expect("writing to a string cannot fail");
    } else {
        write_scientific(&mut text, value).expect("writing to a string cannot fail");
    }
    if !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

fn is_short(_size: f64) -> bool {
    true
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
