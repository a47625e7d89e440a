//! One condition on a label: equal, not equal, matching or not matching a regular expression.

use std::borrow::Cow;
use std::fmt;

use regex::Regex;

/// How a [`Matcher`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

/// A condition on one label; an absent label has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// Label name.
    pub name: String,
    /// Comparison.
    pub op: MatchOp,
    /// Literal value or the pattern's source text.
    pub value: String,
    pattern: Option<Regex>,
}

/// A pattern that is no RE2-style regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("label {name}: {pattern:?} is not a regular expression")]
pub struct MatcherError {
    /// Label name.
    pub name: String,
    /// The pattern as given.
    pub pattern: String,
    /// What the regular expression parser says.
    #[source]
    pub source: Box<regex::Error>,
}

impl Matcher {
    /// Checks and compiles a matcher.
    ///
    /// # Errors
    /// [`MatcherError`] when the pattern of a regex matcher does not compile.
    pub fn new(
        name: impl Into<String>,
        op: MatchOp,
        value: impl Into<String>,
    ) -> Result<Self, MatcherError> {
        let (name, value) = (name.into(), value.into());
        let pattern = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => {
                Some(compile_anchored(&value).map_err(|source| MatcherError {
                    name: name.clone(),
                    pattern: value.clone(),
                    source: Box::new(source),
                })?)
            }
        };
        Ok(Self { name, op, value, pattern })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), op: MatchOp::Equal, value: value.into(), pattern: None }
    }

    /// Whether a label value (empty when absent) satisfies the condition.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        match self.op {
            MatchOp::Equal => self.value == value,
            MatchOp::NotEqual => self.value != value,
            MatchOp::Regex => self.pattern_matches(value),
            MatchOp::NotRegex => !self.pattern_matches(value),
        }
    }

    fn pattern_matches(&self, value: &str) -> bool {
        self.pattern.as_ref().expect("regex matchers are built with a pattern").is_match(value)
    }

    /// The compiled pattern of a regex matcher, anchored at both ends.
    #[must_use]
    pub const fn pattern(&self) -> Option<&Regex> {
        self.pattern.as_ref()
    }

    /// Whether series without the label satisfy the condition.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

/// Compiles a pattern anchored at both ends, `.` matching any character but `\n` not excluded (RE2 with `(?s)`, as Prometheus does).
fn compile_anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?s:{})$", escape_literal_braces(pattern)))
}

/// Escapes `{` where RE2 takes it literally since no repetition follows (`a{`, `{x}`); the regex crate refuses it there.
fn escape_literal_braces(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains('{') {
        return Cow::Borrowed(pattern);
    }
    let mut out = String::with_capacity(pattern.len() + 2);
    let mut in_class = false;
    let mut chars = pattern.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                let escaped = chars.next().map(|(_, escaped)| escaped);
                out.extend(escaped);
                // The braces of \p{Greek} and \x{1f} belong to the escape.
                if matches!(escaped, Some('p' | 'P' | 'x'))
                    && chars.peek().is_some_and(|(_, next)| *next == '{')
                {
                    out.extend(chars.next().map(|(_, brace)| brace));
                }
                continue;
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '{' if !in_class && !starts_repetition(&pattern[at..]) => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    Cow::Owned(out)
}

/// Whether a text starts with `{n}`, `{n,}` or `{n,m}`.
fn starts_repetition(text: &str) -> bool {
    let Some((inside, _)) = text[1..].split_once('}') else { return false };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    !least.is_empty() && digits(least) && digits(most)
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.op == other.op && self.value == other.value
    }
}

impl Eq for Matcher {}

impl fmt::Display for MatchOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        })
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:?}", self.name, self.op, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_and_absent_is_empty() {
        let matcher = Matcher::new("a", MatchOp::Regex, "b|c.").expect("valid pattern");
        assert!(matcher.matches("b") && matcher.matches("cd") && !matcher.matches("xb"));
        let absent = Matcher::new("a", MatchOp::NotRegex, ".+").expect("valid pattern");
        assert!(absent.matches_empty());
        assert!(Matcher::new("a", MatchOp::Regex, "(").is_err());
    }

    #[test]
    fn braces_without_a_repetition_are_literal_as_in_re2() {
        for (pattern, value) in [
            ("a{", "a{"),
            ("{x}", "{x}"),
            ("a{,3}", "a{,3}"),
            ("a{2}", "aa"),
            ("a{1,}b", "aab"),
            (r"\p{Greek}\x{62}[{]", "αb{"),
        ] {
            let matcher =
                Matcher::new("a", MatchOp::Regex, pattern).expect("RE2 takes the pattern");
            assert!(matcher.matches(value), "{pattern} {value}");
            assert_eq!(matcher.value, pattern);
        }
    }
}
