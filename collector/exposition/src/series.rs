//! The text that names a series, and its labels on demand.

use std::borrow::Cow;

use swell_model::{Labels, METRIC_NAME};

use crate::float;

/// Name and labels of a series as they stand in the input: checked by the parser, taken apart on demand.
/// The same text under the same rewrite always names the same series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeriesText<'a> {
    raw: &'a str,
    /// Label whose value is written in its canonical form: `le` of histograms, `quantile` of summaries.
    rewritten: Option<&'static str>,
}

/// A series that names a label more than once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label {label:?} is given more than once in {series}")]
pub struct RepeatedLabel {
    /// The label.
    pub label: String,
    /// The series as it stands in the input.
    pub series: String,
}

impl<'a> SeriesText<'a> {
    /// `raw` has passed the parser.
    pub(crate) const fn new(raw: &'a str, rewritten: Option<&'static str>) -> Self {
        Self { raw, rewritten }
    }

    /// The text: a key under which a caller may remember the series.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.raw
    }

    /// Labels in the input's order, the metric's name as `__name__` wherever it stands.
    #[must_use]
    pub fn pairs(self) -> Pairs<'a> {
        let bare_end = self.raw.find(['{', ' ', '\t']).unwrap_or(self.raw.len());
        let name = (bare_end > 0).then(|| &self.raw[..bare_end]);
        let rest = self.raw[bare_end..].trim_start_matches(BLANKS);
        Pairs { name, rest: rest.strip_prefix('{').unwrap_or(""), rewritten: self.rewritten }
    }

    /// The label set; labels with an empty value drop out.
    ///
    /// # Errors
    /// [`RepeatedLabel`] when a name is given twice.
    pub fn to_labels(self) -> Result<Labels, RepeatedLabel> {
        let mut pairs: Vec<_> = self.pairs().collect();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let label = twice[0].0.clone().into_owned();
            return Err(RepeatedLabel { label, series: self.raw.to_owned() });
        }
        let kept = pairs.iter().filter(|(_, value)| !value.is_empty());
        Ok(Labels::from_sorted(kept.map(|(name, value)| (name.as_ref(), value.as_ref()))))
    }
}

const BLANKS: [char; 2] = [' ', '\t'];
const BETWEEN: [char; 3] = [' ', '\t', ','];

/// Iterates over the labels of a [`SeriesText`].
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    /// The name in front of the braces.
    name: Option<&'a str>,
    /// What is left inside the braces.
    rest: &'a str,
    rewritten: Option<&'static str>,
}

impl<'a> Pairs<'a> {
    /// Labels in braces without a metric's name, as an exemplar has them.
    pub(crate) fn in_braces(raw: &'a str) -> Self {
        Self { name: None, rest: raw.strip_prefix('{').unwrap_or(""), rewritten: None }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(name) = self.name.take() {
            return Some((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
        }
        let text = self.rest.trim_start_matches(BETWEEN);
        let (label, after) = if text.starts_with('"') {
            let (inner, after) = split_quoted(text)?;
            (unescape(inner), after)
        } else {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
            (Cow::Borrowed(&text[..end]), &text[end..])
        };
        if label.is_empty() && !text.starts_with('"') {
            return None;
        }
        let after = after.trim_start_matches(BLANKS);
        let Some(value) = after.strip_prefix('=') else {
            self.rest = after;
            return Some((Cow::Borrowed(METRIC_NAME), label));
        };
        let (inner, after) = split_quoted(value.trim_start_matches(BLANKS))?;
        self.rest = after;
        let value = unescape(inner);
        let canonical =
            if self.rewritten == Some(label.as_ref()) { float::canonical(&value) } else { None };
        Some((label, canonical.map_or(value, Cow::Owned)))
    }
}

/// The inside of a quoted text at the start of `text`, and what follows it.
fn split_quoted(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = quote_end(inner.as_bytes())?;
    Some((&inner[..end], &inner[end + 1..]))
}

/// Index of the quote that closes a text whose opening quote stands before `inner`.
pub(crate) fn quote_end(inner: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match inner.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Resolves `\\`, `\"` and `\n`; any other backslash stays.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    replace_escapes(text, true)
}

/// The same for help texts of the text format, where `\"` is no escape.
pub(crate) fn unescape_help(text: &str) -> Cow<'_, str> {
    replace_escapes(text, false)
}

fn replace_escapes(text: &str, quotes: bool) -> Cow<'_, str> {
    let Some(first) = text.find('\\') else { return Cow::Borrowed(text) };
    let mut plain = text[..first].to_owned();
    let mut characters = text[first..].chars().peekable();
    while let Some(character) = characters.next() {
        let resolved = match characters.peek() {
            Some('\\') if character == '\\' => Some('\\'),
            Some('n') if character == '\\' => Some('\n'),
            Some('"') if character == '\\' && quotes => Some('"'),
            _ => None,
        };
        if resolved.is_some() {
            characters.next();
        }
        plain.push(resolved.unwrap_or(character));
    }
    Cow::Owned(plain)
}
