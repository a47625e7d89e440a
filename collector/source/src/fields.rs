//! Text of kernel files, taken apart in place.

/// Lines without their line ends; an empty last line is left out.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n')
}

/// Parts of a line between blanks and tabs.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|part| !part.is_empty())
}

/// `key value` or `key: value` with the colon left on the key: first field and the number after it.
#[must_use]
pub fn key_value(line: &[u8]) -> Option<(&[u8], u64)> {
    let mut parts = fields(line);
    Some((parts.next()?, parse_u64(parts.next()?)?))
}

/// An unsigned decimal number that takes up the whole text; `None` for anything else, overflow included.
#[must_use]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A decimal number with sign and fraction, as the kernel prints them.
#[must_use]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_and_fields_are_cut_where_the_kernel_cuts_them() {
        let cut: Vec<Vec<&[u8]>> =
            lines(b"a  1\t2\n\nb: 3 kB\n").map(|line| fields(line).collect()).collect();
        let expected: Vec<Vec<&[u8]>> =
            vec![vec![b"a", b"1", b"2"], vec![], vec![b"b:", b"3", b"kB"]];
        assert_eq!(cut, expected);
        assert_eq!(key_value(b"b: 3 kB"), Some((&b"b:"[..], 3)));
        assert_eq!(key_value(b"lonely"), None);
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-1", "1x", "+1", "18446744073709551616", " 1"] {
            assert_eq!(parse_u64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_f64(b"-0.25"), Some(-0.25));
        assert_eq!(parse_f64(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn numbers_read_back(number: u64) {
            prop_assert_eq!(parse_u64(number.to_string().as_bytes()), Some(number));
        }

        #[test]
        fn any_bytes_are_taken_without_panic(text: Vec<u8>) {
            for line in lines(&text) {
                for part in fields(line) {
                    prop_assert!(parse_u64(part).is_none_or(|_| part.iter().all(u8::is_ascii_digit)));
                }
            }
        }
    }
}
