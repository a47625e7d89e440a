//! Functions that the rule engine's and the notifier's sets share, as plain Rust functions.

use swell_model::{quote, replace_all, searching_regex};

use crate::printf::format_float;
use crate::time::GoTime;
use crate::value::Value;

/// Checks the number of arguments.
///
/// # Errors
/// A message in Go's words when it differs.
pub fn arity<const N: usize>(name: &str, arguments: &[Value]) -> Result<[Value; N], String> {
    <[Value; N]>::try_from(arguments.to_vec())
        .map_err(|_| format!("wrong number of args for {name}: want {N} got {}", arguments.len()))
}

/// `reReplaceAll pattern replacement text`, the pattern as RE2 reads it; `$1` and `${name}` in the replacement are what groups
/// matched, as in Go's `ReplaceAllString`.
///
/// # Errors
/// Go's message when the pattern is no regular expression.
pub fn re_replace_all(pattern: &str, replacement: &str, text: &str) -> Result<String, String> {
    let regex = searching_regex(pattern)
        .map_err(|error| format!("regexp: Compile({}): {error}", quoted_pattern(pattern)))?;
    Ok(replace_all(&regex, text, replacement).into_owned())
}

/// `match pattern text`, the pattern as RE2 reads it: found anywhere in the text.
///
/// # Errors
/// Go's message when the pattern is no regular expression.
pub fn is_match(pattern: &str, text: &str) -> Result<bool, String> {
    let regex = searching_regex(pattern).map_err(|error| error.to_string())?;
    Ok(regex.is_match(text))
}

/// In backquotes where these can hold it, as Go's package `regexp` quotes patterns.
fn quoted_pattern(pattern: &str) -> String {
    let is_plain = |c: char| c == '\t' || !(c.is_ascii_control() || c == '`' || c == '\u{feff}');
    if pattern.chars().all(is_plain) { format!("`{pattern}`") } else { quote(pattern) }
}

/// Upper-cases the first letter of each word and leaves the rest (Go's `strings.Title`).
#[must_use]
pub fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let separator = if before.is_ascii() { !word(before) } else { before.is_whitespace() };
        if separator {
            out.extend(c.to_uppercase())
        } else {
            out.push(c)
        }
        before = c;
    }
    out
}

/// Upper-cases the first letter of each word and lower-cases the rest.
#[must_use]
pub fn title_lowering(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_' || (in_word && c == '\'');
        if word && !in_word {
            out.extend(c.to_uppercase())
        } else {
            out.extend(c.to_lowercase())
        }
        in_word = word;
    }
    out
}

/// Escapes for a query string (Go's `url.QueryEscape`).
#[must_use]
pub fn query_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte))
            }
            b' ' => out.push('+'),
            byte => {
                out.push('%');
                out.push_str(&format!("{byte:02X}"));
            }
        }
    }
    out
}

/// Reverses [`query_escape`].
///
/// # Errors
/// A message in Go's words when a `%` is not followed by two hexadecimal digits, or the bytes are no UTF-8.
pub fn query_unescape(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'+' => out.push(b' '),
            b'%' => {
                let code =
                    text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let shown = text.get(at..(at + 3).min(text.len())).unwrap_or("%");
                out.push(code.ok_or_else(|| format!("invalid URL escape {shown:?}"))?);
                at += 2;
            }
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).map_err(|_| "the escapes do not spell UTF-8".into())
}

/// Parses as Go's `strconv.ParseFloat`.
#[must_use]
pub fn parse_go_float(text: &str) -> Option<f64> {
    let valid = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'+' | b'-' | b'e' | b'E'));
    let special = matches!(
        text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str(),
        "inf" | "infinity" | "nan"
    );
    if valid || special { text.parse().ok() } else { None }
}

fn four_digits(number: f64) -> String {
    format_float(number, 'g', Some(4))
}

const SMALL: [&str; 8] = ["m", "u", "n", "p", "f", "a", "z", "y"];

/// Scales a number below one up until it reaches one.
fn scale_small(number: f64) -> (f64, &'static str) {
    let (mut number, mut prefix) = (number, "");
    for next in SMALL {
        if number.abs() >= 1.0 {
            break;
        }
        prefix = next;
        number *= 1000.0;
    }
    (number, prefix)
}

fn scale_large(number: f64, base: f64, prefixes: [&'static str; 8]) -> (f64, &'static str) {
    let (mut number, mut prefix) = (number, "");
    for next in prefixes {
        if number.abs() < base {
            break;
        }
        prefix = next;
        number /= base;
    }
    (number, prefix)
}

/// A number with an SI prefix: `1.235M`.
#[must_use]
pub fn humanize(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return four_digits(number);
    }
    let (scaled, prefix) = if number.abs() >= 1.0 {
        scale_large(number, 1000.0, ["k", "M", "G", "T", "P", "E", "Z", "Y"])
    } else {
        scale_small(number)
    };
    four_digits(scaled) + prefix
}

/// A number with a binary prefix: `2ki`.
#[must_use]
pub fn humanize1024(number: f64) -> String {
    if number.abs() <= 1.0 || !number.is_finite() {
        return four_digits(number);
    }
    let (scaled, prefix) =
        scale_large(number, 1024.0, ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"]);
    four_digits(scaled) + prefix
}

/// Seconds as days, hours, minutes and seconds: `1d 2h 3m 4s`, `1.23ms`.
#[must_use]
pub fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return four_digits(seconds);
    }
    if seconds == 0.0 {
        return "0s".into();
    }
    if seconds.abs() < 1.0 {
        let (scaled, prefix) = scale_small(seconds);
        return format!("{}{prefix}s", four_digits(scaled));
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    let seconds = seconds.abs();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates; the value is positive"
    )]
    let whole = seconds as u64;
    let (days, hours, minutes, rest) =
        (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    if days > 0 {
        format!("{sign}{days}d {hours}h {minutes}m {rest}s")
    } else if hours > 0 {
        format!("{sign}{hours}h {minutes}m {rest}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m {rest}s")
    } else {
        format!("{sign}{}s", four_digits(seconds))
    }
}

/// A ratio as per cent: `12.3%`.
#[must_use]
pub fn humanize_percentage(ratio: f64) -> String {
    four_digits(ratio * 100.0) + "%"
}

/// Unix seconds as a time in UTC.
///
/// # Errors
/// A message when the number is beyond what milliseconds can tell.
pub fn time_from_seconds(seconds: f64) -> Result<GoTime, String> {
    let millis = (seconds * 1000.0).round();
    if millis.is_nan() || millis.abs() >= 9.0e15 {
        return Err(format!(
            "{} cannot be represented as a timestamp since it overflows int64",
            four_digits(seconds)
        ));
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let millis = millis as i64;
    Ok(GoTime::from_millis(millis))
}

/// Encodes as Go's `encoding/json` does: `<`, `>`, `&`, U+2028 and U+2029 escaped, keys sorted.
///
/// # Errors
/// A message for a number JSON cannot hold.
pub fn to_json(value: &Value) -> Result<String, String> {
    Ok(match value.bare() {
        Value::Nil => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Duration(duration) => duration.0.to_string(),
        Value::Float(number) if !number.is_finite() => {
            return Err(format!("json: unsupported value: {}", format_float(number, 'g', None)));
        }
        Value::Float(number) => {
            let plain = number == 0.0 || (1e-6..1e21).contains(&number.abs());
            if plain {
                format_float(number, 'f', None)
            } else {
                format_float(number, 'e', None).replace("e-0", "e-")
            }
        }
        Value::Str(text) => json_text(&text),
        Value::Time(time) => json_text(&time.rfc3339()),
        Value::List(items) => {
            let items: Result<Vec<String>, String> = items.iter().map(to_json).collect();
            format!("[{}]", items?.join(","))
        }
        Value::StrMap(entries) => {
            let entries = entries
                .iter()
                .map(|(name, entry)| format!("{}:{}", json_text(name), json_text(entry)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Map(entries) => {
            let entries: Result<Vec<String>, String> = entries
                .iter()
                .map(|(name, entry)| Ok(format!("{}:{}", json_text(name), to_json(entry)?)))
                .collect();
            format!("{{{}}}", entries?.join(","))
        }
        Value::Object(object) => object
            .json()
            .ok_or_else(|| format!("json: unsupported type: {}", object.type_name()))?,
    })
}

fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_made_readable() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (0.001_23, "1.23ms"),
            (1.5, "1.5s"),
            (61.0, "1m 1s"),
            (3661.0, "1h 1m 1s"),
            (90_061.5, "1d 1h 1m 1s"),
            (-75.0, "-1m 15s"),
            (12.3456, "12.35s"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(humanize_duration(seconds), expected);
        }
        assert_eq!(humanize(1_234_567.0), "1.235M");
        assert_eq!(humanize(0.0012), "1.2m");
        assert_eq!(humanize1024(2048.0), "2ki");
        assert_eq!(humanize_percentage(0.123), "12.3%");
        assert_eq!(
            time_from_seconds(1_700_000_000.0).map(|time| time.to_string()),
            Ok("2023-11-14 22:13:20 +0000 UTC".into())
        );
        assert!(time_from_seconds(1e300).is_err());
    }

    #[test]
    fn texts_are_transformed() {
        assert_eq!(title("hello WORLD a_b sda"), "Hello WORLD A_b Sda");
        assert_eq!(title_lowering("hello WORLD élan A-B_c d"), "Hello World Élan A-B_c D");
        assert_eq!(query_escape("a b&c=d/é"), "a+b%26c%3Dd%2F%C3%A9");
        assert_eq!(query_unescape("a%20b%2Bc+d").as_deref(), Ok("a b+c d"));
        assert!(query_unescape("%zz").is_err());
    }

    #[test]
    fn patterns_and_replacements_are_those_of_go() {
        for (pattern, replacement, text, expected) in [
            ("(.)d(.)", "$2$1", "sda", "as"),
            ("(?P<host>[^:]+):(?<port>\\d+)", "${port}@$host", "web-1:9100", "9100@web-1"),
            // The name of a group is as long as it can be: there is none called 1x.
            ("(a)", "$1x", "bab", "bb"),
            ("(a)", "${1}x", "bab", "baxb"),
            ("(a)", "$$1", "bab", "b$1b"),
            (r"\pN", "#", "a1٣", "a##"),
            // Of ASCII, other than in the regex crate.
            (r"\d|\w", "#", "a1٣é", "##٣é"),
            ("a{,2}", "x", "aa{,2}", "ax"),
            ("b*", "-", "abba", "-a-a-"),
        ] {
            let replaced = re_replace_all(pattern, replacement, text);
            assert_eq!(replaced.as_deref(), Ok(expected), "{pattern} by {replacement}");
        }
        assert_eq!(is_match(r"^\pL+$", "é"), Ok(true));
        assert_eq!(is_match("[[:upper:]]", "aBc"), Ok(true));
        assert_eq!(is_match("a.b", "a\nb"), Ok(false));
        assert_eq!(
            is_match("(", "x"),
            Err("error parsing regexp: missing closing ): `(`".to_owned())
        );
        assert_eq!(
            re_replace_all("a**", "", "x"),
            Err("regexp: Compile(`a**`): error parsing regexp: invalid nested repetition operator: `**`".to_owned())
        );
        // Go has only the control characters of ASCII in mind here.
        assert_eq!(
            re_replace_all("\u{85}(", "", "x"),
            Err("regexp: Compile(`\u{85}(`): error parsing regexp: missing closing ): `\u{85}(`"
                .to_owned())
        );
        assert_eq!(
            re_replace_all("`(", "", "x"),
            Err("regexp: Compile(\"`(\"): error parsing regexp: missing closing ): ``(`".to_owned())
        );
    }
}
