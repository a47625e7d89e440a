//! String literals of Go: as PromQL, templates and matchers of Alertmanager write texts, and as messages quote them.

/// What is wrong with a text that is to be a string literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LiteralFault {
    /// It does not begin and end with one kind of quotes, or has these within.
    #[error("invalid syntax")]
    Quotes,
    /// A line ends between `"` or `'`.
    #[error("newline in string")]
    Newline,
    /// It ends within an escape sequence.
    #[error("escape sequence not terminated")]
    EscapeEnds,
    /// No digit where the sequence wants one.
    #[error("illegal character in escape sequence")]
    EscapeDigit,
    /// A surrogate, or beyond U+10FFFF.
    #[error("escape sequence is an invalid Unicode code point")]
    EscapeCodePoint,
    /// A backslash with something behind it that is no escape.
    #[error("unknown escape sequence")]
    EscapeUnknown,
    /// An octal sequence beyond a byte.
    #[error("escape sequence is out of range")]
    EscapeRange,
    /// The bytes that it spells are not UTF-8.
    #[error("string is not UTF-8")]
    NotUtf8,
}

/// Reads a quoted string: `"…"` and `'…'` with the escapes `\a \b \f \n \r \t \v \\`, the quote itself, `\xHH`, `\OOO`, `\uHHHH` and
/// `\UHHHHHHHH`; `` `…` `` as it stands.
///
/// # Errors
/// [`LiteralFault`], also where the escapes spell bytes that are not UTF-8.
pub fn unquote(literal: &str) -> Result<String, LiteralFault> {
    String::from_utf8(unquote_bytes(literal)?).map_err(|_| LiteralFault::NotUtf8)
}

/// Reads a quoted string like [`unquote`], whatever bytes it denotes.
///
/// # Errors
/// [`LiteralFault`] when the text is no string literal.
pub fn unquote_bytes(literal: &str) -> Result<Vec<u8>, LiteralFault> {
    let quote = literal.chars().next().ok_or(LiteralFault::Quotes)?;
    if literal.len() < 2 || !literal.ends_with(quote) || !matches!(quote, '"' | '\'' | '`') {
        return Err(LiteralFault::Quotes);
    }
    let body = &literal[1..literal.len() - 1];
    if quote == '`' {
        let raw = !body.contains('`');
        return if raw { Ok(body.as_bytes().to_vec()) } else { Err(LiteralFault::Quotes) };
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut chars = body.chars();
    while let Some(c) = chars.next() {
        match c {
            '\n' => return Err(LiteralFault::Newline),
            c if c == quote => return Err(LiteralFault::Quotes),
            '\\' => unescape(&mut chars, quote, &mut bytes)?,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(bytes)
}

fn unescape(
    chars: &mut std::str::Chars<'_>,
    quote: char,
    bytes: &mut Vec<u8>,
) -> Result<(), LiteralFault> {
    let escape = chars.next().ok_or(LiteralFault::EscapeEnds)?;
    let simple = match escape {
        'a' => Some(0x07),
        'b' => Some(0x08),
        'f' => Some(0x0c),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(0x0b),
        '\\' => Some(b'\\'),
        '\'' if quote == '\'' => Some(b'\''),
        '"' if quote == '"' => Some(b'"'),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return Ok(());
    }
    let mut number = |first: Option<char>, count: usize, radix: u32| {
        let mut value = first.and_then(|digit| digit.to_digit(radix)).unwrap_or(0);
        for _ in 0..count {
            let digit = chars.next().and_then(|digit| digit.to_digit(radix));
            let digit = digit.ok_or(LiteralFault::EscapeDigit)?;
            value = value
                .checked_mul(radix)
                .and_then(|value| value.checked_add(digit))
                .ok_or(LiteralFault::EscapeCodePoint)?;
        }
        Ok(value)
    };
    let value = match escape {
        'x' => number(None, 2, 16)?,
        '0'..='7' => number(Some(escape), 2, 8)?,
        'u' | 'U' => {
            let value = number(None, if escape == 'u' { 4 } else { 8 }, 16)?;
            let c = char::from_u32(value).ok_or(LiteralFault::EscapeCodePoint)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(());
        }
        _ => return Err(LiteralFault::EscapeUnknown),
    };
    bytes.push(u8::try_from(value).map_err(|_| LiteralFault::EscapeRange)?);
    Ok(())
}

/// Writes a string literal that [`unquote`] reads back, as Go's `strconv.Quote` does.
#[must_use]
pub fn quote(text: &str) -> String {
    quote_bytes(text.as_bytes())
}

/// Writes a string literal that [`unquote_bytes`] reads back, as Go's `strconv.Quote` does.
#[must_use]
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| quote_into(&mut out, c));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

fn quote_into(out: &mut String, c: char) {
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
        c if is_printed(c) => out.push(c),
        c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

/// Whether Go prints the character as it is: letters, marks, numbers, punctuation, symbols and the space of ASCII.
fn is_printed(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // The standard library has the table, but escapes marks where they come first.
    let mut buffer = [b'-'; 5];
    let len = 1 + c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..len]).is_ok_and(|text| text.escape_debug().eq(text.chars()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_by_the_rules_of_go() {
        for (literal, expected) in [
            (r#""a\"b""#, "a\"b"),
            (r"'it\'s'", "it's"),
            (r"`raw\n`", r"raw\n"),
            (r#""\x41\102\u00e9\U0001F600\t""#, "AB\u{e9}\u{1F600}\t"),
            (r#""\xc3\xa9""#, "\u{e9}"),
        ] {
            assert_eq!(unquote(literal).as_deref(), Ok(expected), "{literal}");
        }
        for (literal, fault) in [
            ("", LiteralFault::Quotes),
            ("\"", LiteralFault::Quotes),
            ("\"a", LiteralFault::Quotes),
            (r#""\q""#, LiteralFault::EscapeUnknown),
            (r#""\xff""#, LiteralFault::NotUtf8),
            (r#""\x4""#, LiteralFault::EscapeDigit),
            (r#""\400""#, LiteralFault::EscapeRange),
            (r#""\ud800""#, LiteralFault::EscapeCodePoint),
            (r#""\'""#, LiteralFault::EscapeUnknown),
            ("\"a\nb\"", LiteralFault::Newline),
        ] {
            assert_eq!(unquote(literal), Err(fault), "{literal}");
        }
    }

    /// As `strconv.Quote` of Go writes them.
    #[test]
    fn texts_are_quoted_as_in_go() {
        for (text, quoted) in [
            ("a\"b\\c\n\r\t", r#""a\"b\\c\n\r\t""#),
            ("\u{0}\u{1}\u{7}\u{8}\u{b}\u{c}\u{7f}", r#""\x00\x01\a\b\v\f\x7f""#),
            ("it's é 日本 e\u{301} \u{301}", "\"it's é 日本 e\u{301} \u{301}\""),
            (
                "\u{80}\u{a0}\u{ad}\u{200b}\u{2028}\u{feff}",
                r#""\u0080\u00a0\u00ad\u200b\u2028\ufeff""#,
            ),
            ("\u{1f600}\u{e0001}", "\"\u{1f600}\\U000e0001\""),
        ] {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted).as_deref(), Ok(text));
        }
        assert_eq!(quote_bytes(b"a\xff\xc3"), r#""a\xff\xc3""#);
        assert_eq!(unquote_bytes(r#""a\xff\xc3""#).as_deref(), Ok(&b"a\xff\xc3"[..]));
    }
}
