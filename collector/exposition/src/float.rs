//! Numbers as Go reads and writes them.

/// Bits of the NaN that stands for "not a number" in a sample, as Prometheus stores it; all others are
/// turned into it, so that no exporter can forge a staleness marker.
const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// Reads a float as Go's `ParseFloat` does, without hex and underscores; overflow is an error.
pub(crate) fn parse(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    if value.is_nan() {
        let signed = text.starts_with(['+', '-']);
        return (!signed).then_some(f64::from_bits(NORMAL_NAN_BITS));
    }
    let overflowed = value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!overflowed).then_some(value)
}

/// The value with any NaN turned into the one that stands for "not a number".
pub(crate) fn normal(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}

/// From this decimal exponent on Go's shortest `g` format writes one.
const EXPONENT_FROM: i32 = 6;
/// Below this decimal exponent Go's shortest `g` format writes one.
const EXPONENT_BELOW: i32 = -4;

/// The canonical form of `le` and `quantile` values: `1.0`, `0.1`, `1e+06`, `+Inf`; `None` for what is no number.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let value = parse(text)?;
    if value.is_nan() {
        return Some("NaN".to_owned());
    }
    if value.is_infinite() {
        return Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned());
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (EXPONENT_BELOW..EXPONENT_FROM).contains(&exponent) {
        let plain = format!("{value}");
        return Some(if plain.contains('.') { plain } else { plain + ".0" });
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("+7", Some(7.0)),
            ("1E-3", Some(0.001)),
            ("iNf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("1e400", None),
            ("+NaN", None),
            ("0x10", None),
            ("1_000", None),
            ("", None),
            (".", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        assert_eq!(parse("nan").map(f64::to_bits), Some(NORMAL_NAN_BITS));
    }

    #[test]
    fn bounds_have_one_spelling() {
        for (text, expected) in [
            ("1", Some("1.0")),
            ("-1", Some("-1.0")),
            ("0", Some("0.0")),
            ("1e3", Some("1000.0")),
            ("100000", Some("100000.0")),
            ("1000000", Some("1e+06")),
            ("123456789", Some("1.23456789e+08")),
            ("0.10", Some("0.1")),
            ("0.0001", Some("0.0001")),
            ("1e-5", Some("1e-05")),
            ("inf", Some("+Inf")),
            ("-Inf", Some("-Inf")),
            ("NaN", Some("NaN")),
            ("abc", None),
        ] {
            assert_eq!(canonical(text).as_deref(), expected, "{text}");
        }
    }
}
