//! One condition on a label: equal, not equal, matching or not matching a regular expression.

use std::fmt;

use regex::Regex;

use crate::re2::{PatternError, anchored_regex};
use crate::wildcard::Wildcard;

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
    pattern: Option<Pattern>,
}

/// A pattern in the form in which it is matched. Compiling an expression costs as much as a small query, so the usual
/// simple ones are never compiled.
#[derive(Clone, Debug)]
enum Pattern {
    /// One of these texts.
    Texts(Vec<String>),
    /// What one of these matches.
    Wildcards(Vec<Wildcard>),
    Expression(Regex),
}

impl Pattern {
    fn new(source: &str) -> Result<Self, PatternError> {
        let wildcards: Option<Vec<Wildcard>> = source.split('|').map(Wildcard::read).collect();
        let Some(wildcards) = wildcards else {
            return anchored_regex(source).map(Self::Expression);
        };
        let texts = wildcards.iter().map(|one| one.as_text().map(str::to_owned));
        Ok(match texts.collect() {
            Some(texts) => Self::Texts(texts),
            None => Self::Wildcards(wildcards),
        })
    }

    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Texts(texts) => texts.iter().any(|text| text == value),
            Self::Wildcards(wildcards) => wildcards.iter().any(|one| one.matches(value)),
            Self::Expression(expression) => expression.is_match(value),
        }
    }
}

/// A pattern that is no RE2-style regular expression.
#[derive(Clone, Debug, thiserror::Error)]
#[error("label {name}: {pattern:?} is not a regular expression")]
pub struct MatcherError {
    /// Label name.
    pub name: String,
    /// The pattern as given.
    pub pattern: String,
    /// What is wrong with it.
    #[source]
    pub source: Box<PatternError>,
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
                Some(Pattern::new(&value).map_err(|source| MatcherError {
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
        self.pattern.as_ref().expect("regex matchers are built with a pattern").matches(value)
    }

    /// The compiled pattern of a regex matcher, anchored at both ends; patterns of plain text with `.`, `.*` and
    /// `.+` are not compiled.
    #[must_use]
    pub const fn pattern(&self) -> Option<&Regex> {
        match &self.pattern {
            Some(Pattern::Expression(expression)) => Some(expression),
            _ => None,
        }
    }

    /// Whether series without the label satisfy the condition.
    #[must_use]
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
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
        write!(f, "{}{}{}", self.name, self.op, crate::quote(&self.value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn patterns_that_are_not_compiled_match_as_those_that_are(
            pattern in r"([ab.|\\+*é-]|\.\*|\.\+){0,8}",
            value in "[ab.é\n-]{0,6}",
        ) {
            if let (Ok(matcher), Ok(expression)) =
                (Matcher::new("l", MatchOp::Regex, pattern.clone()), anchored_regex(&pattern))
            {
                prop_assert_eq!(matcher.matches(&value), expression.is_match(&value), "{}", pattern);
            }
            prop_assert_eq!(Pattern::new(&pattern).is_ok(), anchored_regex(&pattern).is_ok());
        }
    }

    #[test]
    fn usual_patterns_are_not_compiled() {
        for pattern in [
            "",
            "a|b-1|",
            "web-.*",
            "web-.+",
            ".*",
            ".+",
            r"10\.0\.0\.1:9100",
            "/a/b c",
            "app-.*-7",
            ".*b.*",
            "5..",
            "a.+|b.*c",
            "x.y",
        ] {
            let matcher = Matcher::new("l", MatchOp::Regex, pattern).expect("valid");
            assert!(matcher.pattern().is_none(), "{pattern}");
        }
    }

    #[test]
    fn patterns_are_anchored_and_absent_is_empty() {
        let matcher = Matcher::new("a", MatchOp::Regex, "b|c.").expect("valid pattern");
        assert!(matcher.matches("b") && matcher.matches("cd") && !matcher.matches("xb"));
        let absent = Matcher::new("a", MatchOp::NotRegex, ".+").expect("valid pattern");
        assert!(absent.matches_empty());
        assert!(Matcher::new("a", MatchOp::Regex, "(").is_err());
        for pattern in [")|(", ")|](", "a)|(b", ")"] {
            let refused = Matcher::new("a", MatchOp::Regex, pattern).expect_err(pattern);
            assert!(refused.source.to_string().contains(pattern), "{refused:?}");
        }
    }
}
