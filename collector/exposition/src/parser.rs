//! From bytes to entries, line by line.

use std::borrow::Cow;

use swell_model::{MetricKind, TimestampMs};

use crate::entry::{Entry, Exemplar, Format, Sample};
use crate::fault::{Fault, LineError};
use crate::float;
use crate::series::{SeriesText, quote_end, unescape, unescape_help};

/// Yields the entries of a body. Nothing is allocated for a sample that parses.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    input: &'a [u8],
    format: Format,
    at: usize,
    /// Kind that the last TYPE line named: it decides which label is rewritten.
    kind: MetricKind,
    /// Lines are counted when asked for: up to `counted_to` there are `counted_lines` ends of lines.
    counted_to: usize,
    counted_lines: usize,
    done: bool,
}

impl<'a> Parser<'a> {
    /// A parser at the start of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8], format: Format) -> Self {
        Self {
            input,
            format,
            at: 0,
            kind: MetricKind::Unknown,
            counted_to: 0,
            counted_lines: 0,
            done: false,
        }
    }

    fn line_of(&mut self, at: usize) -> usize {
        let between = &self.input[self.counted_to..at];
        self.counted_lines += between.iter().filter(|byte| **byte == b'\n').count();
        self.counted_to = at;
        self.counted_lines + 1
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn strict(&self) -> bool {
        self.format == Format::OpenMetrics
    }

    /// Takes `expected` if it is next.
    fn take(&mut self, expected: &[u8]) -> bool {
        let found = self.input[self.at..].starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Takes bytes while `wanted`.
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Between tokens: any blanks in the text format, none in OpenMetrics.
    fn blanks(&mut self) {
        if !self.strict() {
            self.take_while(is_blank);
        }
    }

    /// In front of a value or timestamp: any blanks in the text format, exactly one space in OpenMetrics.
    fn gap(&mut self) -> bool {
        if self.strict() {
            return self.take(b" ");
        }
        self.take_while(is_blank);
        true
    }

    fn text(&self, start: usize) -> Result<&'a str, Fault> {
        utf8(&self.input[start..self.at])
    }

    /// The next entry; `None` at the end of the body. Comments and empty lines are passed over.
    fn entry(&mut self, expected: &str) -> Result<Option<Entry<'a>>, Fault> {
        if self.strict() {
            return self.openmetrics_entry(expected);
        }
        loop {
            self.take_while(is_blank);
            match self.peek() {
                // As upstream: a NUL at the start of a line ends the body.
                None | Some(0) => return Ok(None),
                Some(b'\n') => self.at += 1,
                Some(b'#') => {
                    if let Some(entry) = self.text_comment()? {
                        return Ok(Some(entry));
                    }
                }
                Some(_) => return self.sample(expected).map(Some),
            }
        }
    }

    fn text_comment(&mut self) -> Result<Option<Entry<'a>>, Fault> {
        self.at += 1;
        if !self.take_while(is_blank).is_empty() {
            for keyword in ["HELP", "TYPE"] {
                let before = self.at;
                if self.take(keyword.as_bytes()) && !self.take_while(is_blank).is_empty() {
                    return self.metadata(keyword).map(Some);
                }
                self.at = before;
            }
        }
        self.skip_line();
        Ok(None)
    }

    fn openmetrics_entry(&mut self, expected: &str) -> Result<Option<Entry<'a>>, Fault> {
        if self.at == self.input.len() {
            self.done = true;
            return Err(Fault::EofMissing);
        }
        if self.peek() != Some(b'#') {
            return self.sample(expected).map(Some);
        }
        if !self.take(b"# ") {
            return Err(Fault::Comment);
        }
        for keyword in ["HELP", "TYPE", "UNIT"] {
            let before = self.at;
            if self.take(keyword.as_bytes()) && self.take(b" ") {
                return self.metadata(keyword).map(Some);
            }
            self.at = before;
        }
        if !self.take(b"EOF") {
            return Err(Fault::Comment);
        }
        self.take(b"\n");
        if self.at < self.input.len() {
            self.done = true;
            return Err(Fault::AfterEof);
        }
        Ok(None)
    }

    fn metadata(&mut self, keyword: &'static str) -> Result<Entry<'a>, Fault> {
        let start = self.at;
        let family = if self.take(b"\"") {
            let length = quote_end(&self.input[self.at..]).ok_or(Fault::FamilyName(keyword))?;
            self.at += length + 1;
            unescape(utf8(&self.input[start + 1..self.at - 1])?)
        } else if self.peek().is_some_and(is_name_start) {
            Cow::Borrowed(utf8(self.take_while(is_name_part))?)
        } else {
            return Err(Fault::FamilyName(keyword));
        };
        let rest = self.take_while(|byte| byte != b'\n');
        // The text format drops whichever byte follows the name; OpenMetrics wants a space.
        if self.strict() && (!rest.starts_with(b" ") || self.peek().is_none()) {
            return Err(Fault::MetadataText(keyword));
        }
        let text = utf8(rest.get(1..).unwrap_or_default())?;
        match keyword {
            "HELP" if self.strict() => Ok(Entry::Help { family, text: unescape(text) }),
            "HELP" => Ok(Entry::Help { family, text: unescape_help(text) }),
            "TYPE" => {
                let kind = kind(text, self.format).ok_or_else(|| Fault::Kind(text.to_owned()))?;
                self.kind = kind;
                Ok(Entry::Type { family, kind, word: text })
            }
            _ => {
                let prefix = family.strip_suffix(text);
                if !text.is_empty() && !prefix.is_some_and(|prefix| prefix.ends_with('_')) {
                    let family = family.into_owned();
                    return Err(Fault::Unit { unit: text.to_owned(), family });
                }
                Ok(Entry::Unit { family, unit: text })
            }
        }
    }

    fn sample(&mut self, expected: &str) -> Result<Entry<'a>, Fault> {
        let start = self.at;
        if self.is_next(expected.as_bytes()) {
            self.at += expected.len();
        } else {
            self.name_and_labels()?;
        }
        let rewritten = match self.kind {
            MetricKind::Histogram => Some("le"),
            MetricKind::Summary => Some("quantile"),
            _ => None,
        };
        let series = SeriesText::new(self.text(start)?, rewritten);
        let value = self.value()?;
        let (timestamp, exemplar) =
            if self.strict() { self.openmetrics_end()? } else { (self.text_end()?, None) };
        Ok(Entry::Sample(Sample { series, value, timestamp, start: None, exemplar }))
    }

    /// Whether a series' whole text is `expected`, which has been read as one before. What stands in braces ends with
    /// them; a bare name may go on, or braces may follow it, unless a blank and something else do.
    fn is_next(&self, expected: &[u8]) -> bool {
        let rest = &self.input[self.at..];
        if !rest.starts_with(expected) {
            return false;
        }
        match (expected.last(), &rest[expected.len()..]) {
            (Some(b'}'), _) => true,
            (Some(_), [b' ', next, ..]) => !is_blank(*next) && *next != b'{',
            _ => false,
        }
    }

    fn name_and_labels(&mut self) -> Result<(), Fault> {
        let mut has_name = self.peek().is_some_and(is_name_start);
        if has_name {
            self.take_while(is_name_part);
        } else if self.peek() != Some(b'{') {
            return Err(Fault::Start);
        }
        let name_end = self.at;
        self.blanks();
        if self.peek() == Some(b'{') {
            self.labels(&mut has_name, false)?;
        } else {
            self.at = name_end;
        }
        if has_name { Ok(()) } else { Err(Fault::NameMissing) }
    }

    /// Checks what stands in braces; `has_name` tells whether the metric has a name yet.
    fn labels(&mut self, has_name: &mut bool, exemplar: bool) -> Result<(), Fault> {
        self.at += 1;
        loop {
            self.blanks();
            let start = self.at;
            let quoted = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"') => {
                    self.quoted(false).ok_or(Fault::LabelName)?;
                    true
                }
                Some(byte) if is_name_start(byte) && byte != b':' => {
                    self.take_while(|byte| is_name_part(byte) && byte != b':');
                    false
                }
                _ => return Err(Fault::LabelName),
            };
            let is_name_label = &self.input[start..self.at] == b"__name__";
            self.blanks();
            match self.peek() {
                Some(b'=') => self.at += 1,
                Some(b',' | b'}') if quoted && !exemplar => {
                    if std::mem::replace(has_name, true) {
                        return Err(Fault::NameTwice);
                    }
                    self.take(b",");
                    continue;
                }
                _ => return Err(Fault::Equals),
            }
            self.blanks();
            let start = self.at;
            self.quoted(self.strict()).ok_or(Fault::LabelValue)?;
            self.text(start)?;
            *has_name |= is_name_label;
            self.blanks();
            if !self.take(b",") && self.strict() && self.peek() != Some(b'}') {
                return Err(Fault::Comma);
            }
        }
    }

    /// Takes a quoted text; `None` when there is none that ends.
    fn quoted(&mut self, one_line: bool) -> Option<()> {
        let inner = self.input[self.at..].strip_prefix(b"\"")?;
        let end = quote_end(inner)?;
        if one_line && inner[..end].contains(&b'\n') {
            return None;
        }
        self.at += end + 2;
        Some(())
    }

    /// A token that ends at a blank or the end of the line.
    fn token(&mut self) -> &'a [u8] {
        let strict = self.strict();
        self.take_while(|byte| match byte {
            b' ' | b'\n' => false,
            b'\t' | b'{' => strict,
            _ => true,
        })
    }

    fn value(&mut self) -> Result<f64, Fault> {
        if !self.gap() {
            return Err(Fault::Value);
        }
        let token = self.token();
        if token.is_empty() {
            return Err(Fault::Value);
        }
        number(token)
    }

    /// What follows a value in the text format.
    fn text_end(&mut self) -> Result<Option<TimestampMs>, Fault> {
        self.blanks();
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let timestamp = if digits.is_empty() {
            None
        } else {
            let text = utf8(digits)?;
            let millis = text.parse().map_err(|_| Fault::Timestamp(text.to_owned()))?;
            Some(TimestampMs(millis))
        };
        self.blanks();
        match self.peek() {
            None => Ok(timestamp),
            Some(b'\n') => {
                self.at += 1;
                Ok(timestamp)
            }
            Some(_) => Err(Fault::EndOfLine),
        }
    }

    /// What follows a value in OpenMetrics.
    fn openmetrics_end(&mut self) -> Result<(Option<TimestampMs>, Option<Exemplar<'a>>), Fault> {
        let mut timestamp = None;
        if !self.input[self.at..].starts_with(EXEMPLAR_START) && self.take(b" ") {
            timestamp = Some(self.seconds()?);
        }
        let mut exemplar = None;
        if self.input[self.at..].starts_with(EXEMPLAR_START) {
            self.at += EXEMPLAR_START.len() - 1;
            exemplar = Some(self.exemplar()?);
        }
        if self.take(b"\n") {
            return Ok((timestamp, exemplar));
        }
        Err(if self.peek().is_none() { Fault::EofMissing } else { Fault::EndOfLine })
    }

    fn exemplar(&mut self) -> Result<Exemplar<'a>, Fault> {
        let start = self.at;
        self.labels(&mut true, true)?;
        let labels = self.text(start)?;
        let value = self.value()?;
        let timestamp = if self.take(b" ") { Some(self.seconds()?) } else { None };
        Ok(Exemplar::new(labels, value, timestamp))
    }

    #[expect(clippy::cast_possible_truncation, reason = "finite; a cast cuts to the range")]
    fn seconds(&mut self) -> Result<TimestampMs, Fault> {
        let token = self.token();
        if token.is_empty() {
            return Err(Fault::EndOfLine);
        }
        let seconds = number(token)?;
        if !seconds.is_finite() {
            return Err(Fault::Timestamp(utf8(token)?.to_owned()));
        }
        Ok(TimestampMs((seconds * 1000.0) as i64))
    }

    fn skip_line(&mut self) {
        self.take_while(|byte| byte != b'\n');
        self.at = self.input.len().min(self.at + 1);
    }
}

const EXEMPLAR_START: &[u8] = b" # {";

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, LineError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_expecting("")
    }
}

impl<'a> Parser<'a> {
    /// [`Iterator::next`], quicker where a sample comes whose series has the text `expected`. That must be what
    /// [`SeriesText::raw`] gave under the same [`Format`], or empty for none; the outcome is the same.
    pub fn next_expecting(&mut self, expected: &str) -> Option<Result<Entry<'a>, LineError>> {
        if self.done {
            return None;
        }
        let fault = match self.entry(expected) {
            Ok(Some(entry)) => {
                if !matches!(entry, Entry::Sample(_)) {
                    self.take(b"\n");
                }
                return Some(Ok(entry));
            }
            Ok(None) => {
                self.done = true;
                return None;
            }
            Err(fault) => fault,
        };
        let line = self.line_of(self.at.min(self.input.len()));
        self.skip_line();
        Some(Err(LineError { line, fault }))
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::Utf8)
}

fn number(token: &[u8]) -> Result<f64, Fault> {
    let text = utf8(token)?;
    float::parse(text).ok_or_else(|| Fault::Number(text.to_owned()))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':')
}

const fn is_name_part(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit()
}

fn kind(word: &str, format: Format) -> Option<MetricKind> {
    Some(match (word, format) {
        ("counter", _) => MetricKind::Counter,
        ("gauge", _) => MetricKind::Gauge,
        ("histogram", _) => MetricKind::Histogram,
        ("summary", _) => MetricKind::Summary,
        ("untyped", Format::Text) | ("unknown", Format::OpenMetrics) => MetricKind::Unknown,
        ("gaugehistogram", Format::OpenMetrics) => MetricKind::GaugeHistogram,
        ("info", Format::OpenMetrics) => MetricKind::Info,
        ("stateset", Format::OpenMetrics) => MetricKind::StateSet,
        _ => return None,
    })
}
