//! One line: `measurement,tag=value field=1,other=2i 1700000000000000000`.

use std::borrow::Cow;

/// A line, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line<'a> {
    pub(crate) measurement: Cow<'a, str>,
    /// In the order of the line.
    pub(crate) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Fields that are numbers or truths; texts are no samples.
    pub(crate) fields: Vec<(Cow<'a, str>, f64)>,
    /// In the unit of the request.
    pub(crate) timestamp: Option<i64>,
}

/// Which rule a line breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineFault {
    #[error("it has no measurement")]
    NoMeasurement,
    #[error("tag {0:?} has no value: write name=value")]
    Tag(String),
    #[error("it has no fields")]
    NoFields,
    #[error("field {0:?} has no value: write name=value")]
    Field(String),
    #[error("value {0:?} is no number, truth or quoted text")]
    Value(String),
    #[error("a quoted text does not end")]
    OpenText,
    #[error("timestamp {0:?} is no whole number")]
    Timestamp(String),
}

/// A position in a line.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Takes text up to one of the letters in `ends`, which a backslash takes the meaning of.
    fn until(&mut self, ends: &[u8]) -> Cow<'a, str> {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        let mut is_escaped = false;
        while at < bytes.len() {
            if bytes[at] == b'\\' && bytes.get(at + 1).is_some_and(|next| is_special(*next)) {
                is_escaped = true;
                at += 2;
            } else if ends.contains(&bytes[at]) {
                break;
            } else {
                at += 1;
            }
        }
        let (text, rest) = self.rest.split_at(at);
        self.rest = rest;
        if is_escaped { Cow::Owned(unescaped(text)) } else { Cow::Borrowed(text) }
    }

    fn takes(&mut self, letter: char) -> bool {
        match self.rest.strip_prefix(letter) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Passes over a quoted text, whose first quote is taken.
    fn pass_text(&mut self) -> Result<(), LineFault> {
        let bytes = self.rest.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 2,
                b'"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(());
                }
                _ => at += 1,
            }
        }
        Err(LineFault::OpenText)
    }
}

/// Whether a backslash takes the meaning of a letter, outside of quotes.
pub(crate) const fn is_special(byte: u8) -> bool {
    matches!(byte, b',' | b'=' | b' ' | b'\\')
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letters.peek() {
            Some(next) if letter == '\\' && matches!(next, ',' | '=' | ' ' | '\\') => {
                out.extend(letters.next());
            }
            _ => out.push(letter),
        }
    }
    out
}

/// Takes a line apart.
pub(crate) fn parse(line: &str) -> Result<Line<'_>, LineFault> {
    let mut reader = Reader { rest: line };
    let measurement = reader.until(b", ");
    if measurement.is_empty() {
        return Err(LineFault::NoMeasurement);
    }
    let mut tags = Vec::new();
    while reader.takes(',') {
        let name = reader.until(b"=, ");
        if name.is_empty() || !reader.takes('=') {
            return Err(LineFault::Tag(name.into_owned()));
        }
        tags.push((name, reader.until(b", ")));
    }
    reader.rest = reader.rest.trim_start_matches(' ');
    let mut fields = Vec::new();
    let mut field_count = 0;
    while !reader.rest.is_empty() {
        let name = reader.until(b"=, ");
        if name.is_empty() || !reader.takes('=') {
            return Err(LineFault::Field(name.into_owned()));
        }
        field_count += 1;
        if reader.takes('"') {
            reader.pass_text()?;
        } else {
            let text = reader.until(b", ");
            match number(&text) {
                Some(value) => fields.push((name, value)),
                None => return Err(LineFault::Value(text.into_owned())),
            }
        }
        if !reader.takes(',') {
            break;
        }
    }
    if field_count == 0 {
        return Err(LineFault::NoFields);
    }
    let timestamp = match reader.rest.trim_matches(' ') {
        "" => None,
        text => Some(text.parse().map_err(|_| LineFault::Timestamp(text.to_owned()))?),
    };
    Ok(Line { measurement, tags, fields, timestamp })
}

#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
fn number(text: &str) -> Option<f64> {
    match text {
        "t" | "T" | "true" | "True" | "TRUE" => return Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => return Some(0.0),
        _ => {}
    }
    if let Some(whole) = text.strip_suffix('i') {
        return whole.parse::<i64>().ok().map(|it| it as f64);
    }
    if let Some(whole) = text.strip_suffix('u') {
        return whole.parse::<u64>().ok().map(|it| it as f64);
    }
    // Words such as inf and nan are none here.
    let is_plain = text.bytes().all(|it| it.is_ascii_digit() || b"+-.eE".contains(&it));
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(line) => format!(
                "{} {:?} {:?} {:?}",
                line.measurement, line.tags, line.fields, line.timestamp
            ),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn lines_are_taken_apart() {
        for (line, expected) in [
            ("cpu usage=0.5", r#"cpu [] [("usage", 0.5)] None"#),
            (
                "cpu,host=a,zone=b usage=0.5,count=3i,max=4u 17",
                r#"cpu [("host", "a"), ("zone", "b")] [("usage", 0.5), ("count", 3.0), ("max", 4.0)] Some(17)"#,
            ),
            ("m up=t,down=FALSE -5", r#"m [] [("up", 1.0), ("down", 0.0)] Some(-5)"#),
            (r#"m name="a, b=\" c",x=1 2"#, r#"m [] [("x", 1.0)] Some(2)"#),
            (r#"m name="only a text""#, "m [] [] None"),
            (
                r"my\ disk,pa\=th=C:\\a\,b fr\ ee=1e3",
                r#"my disk [("pa=th", "C:\\a,b")] [("fr ee", 1000.0)] None"#,
            ),
            ("größe,ort=köln wert=1", r#"größe [("ort", "köln")] [("wert", 1.0)] None"#),
            ("m,empty= x=1", r#"m [("empty", "")] [("x", 1.0)] None"#),
        ] {
            assert_eq!(shown(line), expected, "{line}");
        }
    }

    #[test]
    fn faults_name_what_is_wrong() {
        for (line, part) in [
            (" x=1", "no measurement"),
            ("m", "no fields"),
            ("m,a x=1", "tag \"a\""),
            ("m x", "field \"x\""),
            ("m x=abc", "\"abc\" is no number"),
            ("m x=nan", "\"nan\" is no number"),
            ("m x=1i2", "\"1i2\" is no number"),
            ("m x=\"a", "does not end"),
            ("m x=1 1.5", "timestamp \"1.5\""),
            ("m x=1 2 3", "timestamp \"2 3\""),
        ] {
            assert!(shown(line).contains(part), "{line}: {}", shown(line));
        }
    }
}
