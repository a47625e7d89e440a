//! Kubernetes resource quantities (`500m`, `1.5Gi`, `2e3`).

use std::fmt;

/// An amount in thousandths of its unit, as Kubernetes counts CPU and metric values.
///
/// Text finer than a thousandth is rounded up, as `resource.Quantity.MilliValue` does; amounts beyond
/// ±(2^63−1)/1000 saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity {
    /// Thousandths.
    pub milli: i64,
}

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a quantity such as 250m, 1.5 or 512Mi")]
pub struct QuantityError {
    /// The text as given.
    pub text: String,
}

/// Suffixes with their factor; binary ones first, since `Mi` also ends in a letter that is none.
const SUFFIXES: [(&str, i32, i32); 16] = [
    // (suffix, base, exponent)
    ("Ki", 2, 10),
    ("Mi", 2, 20),
    ("Gi", 2, 30),
    ("Ti", 2, 40),
    ("Pi", 2, 50),
    ("Ei", 2, 60),
    ("n", 10, -9),
    ("u", 10, -6),
    ("m", 10, -3),
    ("k", 10, 3),
    ("M", 10, 6),
    ("G", 10, 9),
    ("T", 10, 12),
    ("P", 10, 15),
    ("E", 10, 18),
    ("", 10, 0),
];

impl Quantity {
    /// An amount of whole units, saturating.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self { milli: units.saturating_mul(1000) }
    }

    /// Whole units, rounded up (`Quantity.Value` of Kubernetes).
    #[must_use]
    pub const fn units_ceil(self) -> i64 {
        self.milli.div_euclid(1000) + (self.milli.rem_euclid(1000) != 0) as i64
    }

    /// Parses decimal digits with an optional fraction, and one suffix or decimal exponent.
    ///
    /// # Errors
    /// [`QuantityError`] for anything else.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let fault = || QuantityError { text: text.to_owned() };
        let (sign, rest) = match text.as_bytes().first() {
            Some(b'-') => (-1, &text[1..]),
            Some(b'+') => (1, &text[1..]),
            _ => (1, text),
        };
        let number_len =
            rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let (number, suffix) = rest.split_at(number_len);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(fault());
        }
        let (base, exponent) = Self::factor(suffix).ok_or_else(fault)?;
        let mut digits: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = digits
                .checked_mul(10)
                .and_then(|value| value.checked_add(i128::from(digit - b'0')))
                .ok_or_else(fault)?;
        }
        let fraction_len = i32::try_from(fraction.len()).map_err(|_| fault())?;
        let (decimal, binary) = if base == 10 { (exponent, 0) } else { (0, exponent) };
        let milli = scale(digits, decimal + 3 - fraction_len, binary);
        Ok(Self { milli: if sign < 0 { -milli } else { milli } })
    }

    fn factor(suffix: &str) -> Option<(i32, i32)> {
        if let Some(exponent) = suffix.strip_prefix(['e', 'E']).filter(|rest| !rest.is_empty()) {
            return exponent.parse().ok().filter(|e: &i32| e.abs() <= 60).map(|e| (10, e));
        }
        SUFFIXES.iter().find(|(name, _, _)| *name == suffix).map(|(_, base, exp)| (*base, *exp))
    }
}

/// `digits × 10^decimal × 2^binary`, rounded up and saturated to `i64`.
fn scale(digits: i128, decimal: i32, binary: i32) -> i64 {
    let mut value = digits;
    for _ in 0..binary {
        value = value.saturating_mul(2);
    }
    for _ in 0..decimal {
        value = value.saturating_mul(10);
    }
    let mut round_up = false;
    for _ in decimal..0 {
        round_up |= value % 10 != 0;
        value /= 10;
    }
    i64::try_from(value.saturating_add(i128::from(round_up))).unwrap_or(i64::MAX)
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.milli % 1000 == 0 {
            write!(f, "{}", self.milli / 1000)
        } else {
            write!(f, "{}m", self.milli)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_parse_as_in_kubernetes() {
        for (text, milli) in [
            ("500m", 500),
            ("1.5", 1500),
            ("2", 2000),
            ("1Ki", 1_024_000),
            ("1.5Gi", 1_610_612_736_000),
            ("2e3", 2_000_000),
            ("100n", 1),
            ("-1", -1000),
            (".5", 500),
            ("1E", 1_000_000_000_000_000_000_i64.saturating_mul(1000)),
        ] {
            assert_eq!(Quantity::parse(text), Ok(Quantity { milli }), "{text}");
        }
        for text in ["", "m", "1.2.3", "1Q", "one", "1 ", "--1", "1e", "1e999"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }
}
