//! Go's `fmt.Sprintf`, for the verbs that templates can use.

use swell_model::quote;

use crate::value::Value;

/// Longest width or precision that is honoured, as in Go.
const WIDTH_MAX: usize = 1_000;

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Debug, Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats as Go's `fmt.Sprintf`: faults show up in the text (`%!d(string=x)`), never as errors.
#[must_use]
pub fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut formatter = Formatter { arguments, next: 0, reordered: false, out: String::new() };
    formatter.run(format);
    formatter.out
}

struct Formatter<'a> {
    arguments: &'a [Value],
    next: usize,
    reordered: bool,
    out: String,
}

impl Formatter<'_> {
    fn run(&mut self, format: &str) {
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            self.out.push_str(&rest[..at]);
            rest = self.verb(&rest[at + 1..]);
        }
        self.out.push_str(rest);
        if !self.reordered && self.next < self.arguments.len() {
            self.out.push_str("%!(EXTRA ");
            for (idx, argument) in self.arguments[self.next..].iter().enumerate() {
                let separator = if idx == 0 { "" } else { ", " };
                self.out.push_str(&match argument {
                    Value::Nil => format!("{separator}<nil>"),
                    value => format!("{separator}{}={value}", value.type_name()),
                });
            }
            self.out.push(')');
        }
    }

    /// Handles what follows a `%`; returns the text after the verb.
    fn verb<'t>(&mut self, text: &'t str) -> &'t str {
        let mut spec = Spec::default();
        let mut rest = text;
        while let Some(flag) = rest.chars().next() {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        rest = self.argument_index(rest);
        (spec.width, rest) = self.number(rest, &mut spec.minus);
        if let Some(after) = rest.strip_prefix('.') {
            rest = self.argument_index(after);
            let mut negative = false;
            let (precision, after) = self.number(rest, &mut negative);
            spec.precision = if negative { None } else { precision.or(Some(0)) };
            rest = after;
        }
        rest = self.argument_index(rest);
        let Some(verb) = rest.chars().next() else {
            self.out.push_str("%!(NOVERB)");
            return "";
        };
        rest = &rest[verb.len_utf8()..];
        if verb == '%' {
            self.out.push('%');
        } else if let Some(value) = self.arguments.get(self.next) {
            self.next += 1;
            let text = format_verb(verb, &spec, value);
            self.out.push_str(&text);
        } else {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        }
        rest
    }

    /// `[n]`: the next argument to take, counted from 1.
    fn argument_index<'t>(&mut self, text: &'t str) -> &'t str {
        let Some((inside, after)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        else {
            return text;
        };
        if let Ok(number) = inside.parse::<usize>()
            && number >= 1
        {
            self.next = number - 1;
            self.reordered = true;
        }
        after
    }

    /// Digits or `*`.
    fn number<'t>(&mut self, text: &'t str, negative: &mut bool) -> (Option<usize>, &'t str) {
        if let Some(after) = text.strip_prefix('*') {
            let value = self.arguments.get(self.next).and_then(|value| value.to_int().ok());
            self.next += 1;
            return match value.and_then(|value| usize::try_from(value.unsigned_abs()).ok()) {
                Some(size) if size <= WIDTH_MAX => {
                    *negative |= value.is_some_and(|value| value < 0);
                    (Some(size), after)
                }
                _ => {
                    self.out.push_str("%!(BADWIDTH)");
                    (None, after)
                }
            };
        }
        let len = text.bytes().take_while(u8::is_ascii_digit).count();
        let number = text[..len].parse::<usize>().ok().filter(|number| *number <= WIDTH_MAX);
        (number, &text[len..])
    }
}

fn format_verb(verb: char, spec: &Spec, value: &Value) -> String {
    match (verb, value) {
        ('T', value) => pad(value.type_name().to_owned(), spec, false),
        (_, Value::Nil) if verb == 'v' => pad("<nil>".into(), spec, false),
        (_, Value::Nil) => format!("%!{verb}(<nil>)"),
        (_, Value::Bool(flag)) if matches!(verb, 'v' | 't') => pad(flag.to_string(), spec, false),
        (_, Value::Int(number)) => format_int(verb, spec, *number, value),
        (_, Value::Duration(duration)) if !matches!(verb, 'v' | 's') => {
            format_int(verb, spec, duration.0, value)
        }
        (_, Value::Float(number)) => match verb {
            'v' => {
                pad_number(signed(format_float(*number, 'g', spec.precision), spec, *number), spec)
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let precision = match verb {
                    'g' | 'G' => spec.precision,
                    _ => Some(spec.precision.unwrap_or(6)),
                };
                pad_number(signed(format_float(*number, verb, precision), spec, *number), spec)
            }
            _ => bad_verb(verb, value),
        },
        (_, Value::Str(text)) => {
            format_text(verb, spec, text).unwrap_or_else(|| bad_verb(verb, value))
        }
        (_, Value::List(items)) => {
            let items: Vec<String> =
                items.iter().map(|item| format_verb(verb, spec, item)).collect();
            format!("[{}]", items.join(" "))
        }
        (_, Value::StrMap(entries)) => {
            let entries = entries.iter().map(|(name, entry)| {
                let name = format_verb(verb, spec, &Value::str(name));
                format!("{name}:{}", format_verb(verb, spec, &Value::str(entry)))
            });
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        (_, Value::Map(entries)) => {
            let entries = entries.iter().map(|(name, entry)| {
                let name = format_verb(verb, spec, &Value::str(name));
                format!("{name}:{}", format_verb(verb, spec, entry))
            });
            format!("map[{}]", entries.collect::<Vec<_>>().join(" "))
        }
        (_, value) => {
            format_text(verb, spec, &value.to_string()).unwrap_or_else(|| bad_verb(verb, value))
        }
    }
}

fn bad_verb(verb: char, value: &Value) -> String {
    format!("%!{verb}({}={value})", value.type_name())
}

fn format_text(verb: char, spec: &Spec, text: &str) -> Option<String> {
    let cut: String = match spec.precision {
        Some(count) if matches!(verb, 'v' | 's' | 'q') => text.chars().take(count).collect(),
        _ => text.to_owned(),
    };
    let hex = |upper: bool| {
        let separator = if spec.space { " " } else { "" };
        let bytes: Vec<String> = cut
            .bytes()
            .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") })
            .collect();
        bytes.join(separator)
    };
    let text = match verb {
        'v' if spec.sharp => quote(&cut),
        'v' | 's' => cut,
        'q' if spec.sharp && !cut.contains('`') => format!("`{cut}`"),
        'q' => quote(&cut),
        'x' => hex(false),
        'X' => hex(true),
        _ => return None,
    };
    Some(pad(text, spec, false))
}

fn format_int(verb: char, spec: &Spec, number: i64, value: &Value) -> String {
    let magnitude = number.unsigned_abs();
    let digits = match verb {
        'v' | 'd' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' | 'q' | 'U' => return format_rune(verb, spec, number),
        _ => return bad_verb(verb, value),
    };
    let digits = match spec.precision {
        Some(count) => format!("{digits:0>count$}"),
        None => digits,
    };
    let prefix = match verb {
        'x' if spec.sharp => "0x",
        'X' if spec.sharp => "0X",
        'o' if spec.sharp => "0",
        'b' if spec.sharp => "0b",
        'O' => "0o",
        _ => "",
    };
    let sign = if number < 0 {
        "-"
    } else if spec.plus {
        "+"
    } else if spec.space {
        " "
    } else {
        ""
    };
    let text = format!("{sign}{prefix}{digits}");
    if spec.precision.is_some() {
        pad(text, &Spec { zero: false, ..*spec }, false)
    } else {
        pad_number(text, spec)
    }
}

fn format_rune(verb: char, spec: &Spec, number: i64) -> String {
    let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let text = match verb {
        'c' => c.to_string(),
        'U' => format!("U+{number:04X}"),
        _ if c == '\'' => r"'\''".to_owned(),
        _ => {
            let quoted = quote(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    };
    pad(text, spec, false)
}

fn signed(text: String, spec: &Spec, number: f64) -> String {
    if number.is_sign_negative() && !number.is_nan() || text.starts_with('+') && spec.plus {
        return text;
    }
    let bare = text.trim_start_matches('+');
    if spec.plus {
        format!("+{bare}")
    } else if spec.space {
        format!(" {bare}")
    } else {
        text
    }
}

/// Pads with zeros after the sign, where asked to.
fn pad_number(text: String, spec: &Spec) -> String {
    if spec.zero && !spec.minus && !text.ends_with("Inf") && !text.ends_with("NaN") {
        pad(text, spec, true)
    } else {
        pad(text, &Spec { zero: false, ..*spec }, false)
    }
}

fn pad(text: String, spec: &Spec, zeros: bool) -> String {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        text
    } else if spec.minus {
        text + &" ".repeat(missing)
    } else if zeros {
        let sign_len = usize::from(text.starts_with(['+', '-', ' ']));
        format!("{}{}{}", &text[..sign_len], "0".repeat(missing), &text[sign_len..])
    } else {
        " ".repeat(missing) + &text
    }
}

/// Formats as Go's `strconv.FormatFloat` with verb `e`, `f` or `g` (upper case as well); no precision means
/// the shortest text that reads back equal.
#[must_use]
pub fn format_float(number: f64, verb: char, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let text = match verb.to_ascii_lowercase() {
        'e' => exponent_form(number, precision),
        'f' => match precision {
            Some(precision) => format!("{number:.precision$}"),
            None => format!("{number}"),
        },
        _ => general_form(number, precision),
    };
    if verb.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

/// `d.ddde±xx` with at least two digits of exponent.
fn exponent_form(number: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{number:.precision$e}"),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn general_form(number: f64, precision: Option<usize>) -> String {
    let rounded = match precision {
        Some(precision) => format!("{number:.*e}", precision.max(1) - 1),
        None => format!("{number:e}"),
    };
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let digit_count = digits.len().max(1);
    let mut limit = precision.map_or(6, |precision| precision.max(1));
    let point = exponent + 1;
    if precision.is_some()
        && limit > digit_count
        && i32::try_from(digit_count).unwrap_or(i32::MAX) >= point
    {
        limit = digit_count;
    }
    if exponent < -4 || exponent >= i32::try_from(limit).unwrap_or(i32::MAX) {
        return exponent_form(number, Some(digit_count - 1));
    }
    let decimals = i32::try_from(digit_count).unwrap_or(0) - point;
    format!("{number:.*}", usize::try_from(decimals).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_format_as_in_go() {
        let text = Value::str("str");
        let check = |format: &str, arguments: &[Value], expected: &str| {
            assert_eq!(sprintf(format, arguments), expected, "{format}");
        };
        check("%d", std::slice::from_ref(&text), "%!d(string=str)");
        check("%s", &[], "%!s(MISSING)");
        check("x", &[Value::Int(1)], "x%!(EXTRA int=1)");
        check(
            "%05.2f|%+d|%x|%t|%-6s|%6s|%%",
            &[
                Value::Float(2.504),
                Value::Int(7),
                Value::Int(255),
                Value::Bool(true),
                "l".into(),
                "r".into(),
            ],
            "02.50|+7|ff|true|l     |     r|%",
        );
        check("%*d", &[Value::Int(5), Value::Int(42)], "   42");
        check("%[2]s %[1]s", &["a".into(), "b".into()], "b a");
        check("%.3s", &["日本東京".into()], "日本東");
        check("%q", &["b\"c".into()], r#""b\"c""#);
        check("%v", &[Value::Float(1_234_567.0)], "1.234567e+06");
        check(
            "%.4g %g %g",
            &[Value::Float(1_234_567.0), Value::Float(100_000.0), Value::Float(0.00001)],
            "1.235e+06 100000 1e-05",
        );
        check("%e", &[Value::Float(1.0)], "1.000000e+00");
        check(
            "%5t|%v",
            &[Value::Bool(true), Value::list([Value::Int(1), "a".into()])],
            " true|[1 a]",
        );
        check("%", &[], "%!(NOVERB)");
    }
}
