//! Go's built-in template functions, but for `and` and `or`, which the evaluator does (they stop early).

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::functions::query_escape;
use crate::printf::sprintf;
use crate::value::Value;

/// Names that every template knows.
pub(crate) const NAMES: [&str; 19] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "slice", "print",
    "printf", "println", "html", "js", "urlquery", "call",
];

/// Calls a built-in; `None` when `name` is none.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
    let result = match name {
        "not" => one(name, arguments).map(|value| Value::Bool(!value.truth())),
        "eq" => equal_to_any(arguments),
        "ne" => two(name, arguments).and_then(|(a, b)| Ok(Value::Bool(!equal(a, b)?))),
        "lt" => two(name, arguments).and_then(|(a, b)| Ok(Value::Bool(compare(a, b)?.is_lt()))),
        "le" => two(name, arguments).and_then(|(a, b)| Ok(Value::Bool(compare(a, b)?.is_le()))),
        "gt" => two(name, arguments).and_then(|(a, b)| Ok(Value::Bool(compare(a, b)?.is_gt()))),
        "ge" => two(name, arguments).and_then(|(a, b)| Ok(Value::Bool(compare(a, b)?.is_ge()))),
        "len" => one(name, arguments).and_then(length),
        "index" => index(arguments),
        "slice" => slice(arguments),
        "print" => Ok(Value::str(print(arguments))),
        "println" => {
            let texts: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            Ok(Value::str(texts.join(" ") + "\n"))
        }
        "printf" => match arguments {
            [format, rest @ ..] => format.to_text().map(|format| Value::str(sprintf(format, rest))),
            [] => Err("wrong number of args for printf: want at least 1 got 0".into()),
        },
        "html" => Ok(Value::str(html(&print(arguments)))),
        "js" => Ok(Value::str(js(&print(arguments)))),
        "urlquery" => Ok(Value::str(query_escape(&print(arguments)))),
        "call" => Err(match arguments {
            [] => "wrong number of args for call: want at least 1 got 0".into(),
            [value, ..] => format!("non-function {value} of type {}", value.type_name()),
        }),
        _ => return None,
    };
    Some(result)
}

fn one<'a>(name: &str, arguments: &'a [Value]) -> Result<&'a Value, String> {
    match arguments {
        [only] => Ok(only),
        _ => Err(format!("wrong number of args for {name}: want 1 got {}", arguments.len())),
    }
}

fn two<'a>(name: &str, arguments: &'a [Value]) -> Result<(&'a Value, &'a Value), String> {
    match arguments {
        [first, second] => Ok((first, second)),
        _ => Err(format!("wrong number of args for {name}: want 2 got {}", arguments.len())),
    }
}

fn equal_to_any(arguments: &[Value]) -> Result<Value, String> {
    match arguments {
        [] => Err("wrong number of args for eq: want at least 1 got 0".into()),
        [_] => Err("missing argument for comparison".into()),
        [first, rest @ ..] => {
            for other in rest {
                if equal(first, other)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
    }
}

fn equal(first: &Value, second: &Value) -> Result<bool, String> {
    match (first, second) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        _ => compare(first, second).map(Ordering::is_eq),
    }
}

fn compare(first: &Value, second: &Value) -> Result<Ordering, String> {
    match (first, second) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Ok(a.cmp(b)),
        (Value::Duration(a), Value::Int(b)) => Ok(a.0.cmp(b)),
        (Value::Int(a), Value::Duration(b)) => Ok(a.cmp(&b.0)),
        // With a NaN nothing is equal or less; "greater" would be as wrong, Go has all false.
        (Value::Float(a), Value::Float(b)) => {
            a.partial_cmp(b).ok_or_else(|| "NaN cannot be compared".to_owned())
        }
        (Value::Str(a), Value::Str(b)) => Ok(a.cmp(b)),
        (
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Duration(_),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_) | Value::Duration(_),
        ) => Err("incompatible types for comparison".into()),
        (a, _) => Err(format!("non-comparable type {}: {a}", a.type_name())),
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let len = value.length().ok_or_else(|| format!("len of type {}", value.type_name()))?;
    Ok(Value::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let [start, keys @ ..] = arguments else {
        return Err("wrong number of args for index: want at least 1 got 0".into());
    };
    let mut value = start.clone();
    for key in keys {
        value = match value.bare() {
            Value::List(items) => {
                let idx = key.to_int().map_err(|_| {
                    format!("cannot index slice/array with type {}", key.type_name())
                })?;
                let found = usize::try_from(idx).ok().and_then(|idx| items.get(idx));
                found.cloned().ok_or_else(|| format!("index out of range: {idx}"))?
            }
            Value::Str(text) => {
                let idx = key.to_int()?;
                let byte = usize::try_from(idx).ok().and_then(|idx| text.as_bytes().get(idx));
                Value::Int(i64::from(*byte.ok_or_else(|| format!("index out of range: {idx}"))?))
            }
            Value::StrMap(entries) => {
                Value::str(entries.get(key.to_text()?).map_or("", String::as_str))
            }
            Value::Map(entries) => entries.get(key.to_text()?).cloned().unwrap_or_default(),
            Value::Nil => return Err("index of untyped nil".into()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let [start, bounds @ ..] = arguments else {
        return Err("wrong number of args for slice: want at least 1 got 0".into());
    };
    let bare = start.bare();
    let len =
        bare.length().ok_or_else(|| format!("can't slice item of type {}", start.type_name()))?;
    if bounds.len() > 2 {
        return Err("too many slice indexes".into());
    }
    let bound = |idx: usize, default: usize| match bounds.get(idx) {
        None => Ok(default),
        Some(value) => {
            let at = value.to_int()?;
            usize::try_from(at)
                .ok()
                .filter(|at| *at <= len)
                .ok_or_else(|| format!("index out of range: {at}"))
        }
    };
    let (from, to) = (bound(0, 0)?, bound(1, len)?);
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match bare {
        Value::Str(text) => text
            .get(from..to)
            .map(Value::str)
            .ok_or_else(|| "the slice would cut a character".into()),
        Value::List(items) => Ok(Value::list(items[from..to].iter().cloned())),
        other => Err(format!("can't slice item of type {}", other.type_name())),
    }
}

/// `fmt.Sprint`: a space between operands when neither is a text.
fn print(arguments: &[Value]) -> String {
    let mut out = String::new();
    for (idx, argument) in arguments.iter().enumerate() {
        let apart = idx > 0
            && !matches!(argument, Value::Str(_))
            && !matches!(arguments[idx - 1], Value::Str(_));
        let separator = if apart { " " } else { "" };
        write!(out, "{separator}{argument}").expect("writing to a string cannot fail");
    }
    out
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => {
                write!(out, "\\u{:04X}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c if u32::from(c) < 0x20
                || (!c.is_ascii() && (c.is_control() || c.is_whitespace())) =>
            {
                write!(out, "\\u{:04X}", u32::from(c)).expect("writing to a string cannot fail");
            }
            c => out.push(c),
        }
    }
    out
}
