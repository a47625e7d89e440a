//! Go string literals.

use std::fmt::Write as _;

/// A text that is no Go string literal body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnquoteError {
    /// A backslash with something after it that is no escape.
    #[error("{escape:?} is not an escape sequence")]
    Escape {
        /// The sequence as written.
        escape: String,
    },
    /// The escapes spell bytes that are no UTF-8.
    #[error("the escapes do not spell UTF-8")]
    NotUtf8,
    /// A newline inside double quotes.
    #[error("a newline stands inside the quotes")]
    Newline,
}

/// Decodes the inside of a double-quoted Go literal (without its quotes): `\a \b \f \n \r \t \v \\ \" \'`,
/// `\xHH`, `\OOO`, `\uHHHH`, `\UHHHHHHHH`.
///
/// # Errors
/// [`UnquoteError`] for an unknown escape, for bytes that are no UTF-8, and for a bare newline.
pub fn unquote(body: &str) -> Result<String, UnquoteError> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        if first == '\n' {
            return Err(UnquoteError::Newline);
        }
        if first != '\\' {
            bytes.extend_from_slice(first.to_string().as_bytes());
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let used = unquote_escape(rest, &mut bytes)
            .ok_or_else(|| UnquoteError::Escape { escape: rest.chars().take(2).collect() })?;
        rest = &rest[used..];
    }
    String::from_utf8(bytes).map_err(|_| UnquoteError::NotUtf8)
}

/// Decodes the escape at the start of `text`; returns how many bytes it takes.
fn unquote_escape(text: &str, out: &mut Vec<u8>) -> Option<usize> {
    let kind = text[1..].chars().next()?;
    let simple = match kind {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        '\\' => Some(b'\\'),
        '"' => Some(b'"'),
        '\'' => Some(b'\''),
        _ => None,
    };
    if let Some(byte) = simple {
        out.push(byte);
        return Some(2);
    }
    match kind {
        'x' => {
            let digits = text.get(2..4)?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            Some(4)
        }
        '0'..='7' => {
            let digits = text.get(1..4)?;
            out.push(u8::from_str_radix(digits, 8).ok()?);
            Some(4)
        }
        'u' | 'U' => {
            let end = if kind == 'u' { 6 } else { 10 };
            let code = u32::from_str_radix(text.get(2..end)?, 16).ok()?;
            out.extend_from_slice(char::from_u32(code)?.to_string().as_bytes());
            Some(end)
        }
        _ => None,
    }
}

/// Encodes as Go's `strconv.Quote` does.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                write!(out, "\\x{:02x}", c as u32).expect("writing to a string cannot fail");
            }
            c if c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}' || is_control_range(c) => {
                write!(out, "\\u{:04x}", c as u32).expect("writing to a string cannot fail");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Characters above ASCII that do not print: C1 controls and spaces other than U+0020.
fn is_control_range(c: char) -> bool {
    !c.is_ascii() && (c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_as_in_go() {
        for (body, expected) in [
            (r"a\nb", "a\nb"),
            (r#"\""#, "\""),
            (r"\x41\102\u00e9\U0001F642", "AB\u{e9}\u{1F642}"),
            (r"\xf0\x9f\x99\x82", "\u{1F642}"),
        ] {
            assert_eq!(unquote(body).as_deref(), Ok(expected), "{body}");
        }
        for body in [r"\d", r"\xff", r"\x4", "\\", "a\nb", r"\ud800"] {
            assert!(unquote(body).is_err(), "{body}");
        }
    }

    #[test]
    fn quoting_reverses() {
        for text in ["", "a\"b\\c\n\t\u{1}é 日本", "\u{2028}\u{a0}"] {
            let quoted = quote(text);
            assert_eq!(unquote(&quoted[1..quoted.len() - 1]).as_deref(), Ok(text));
        }
    }
}
