//! What a regular expression says about the text it matches, read off its source: a set of literals, or a prefix.

/// A bound on what an anchored pattern matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Exactly these texts.
    Literals(Vec<String>),
    /// Every text.
    All,
    /// Every text but the empty one.
    NonEmpty,
    /// Some texts that start with this.
    Prefix(String),
}

/// Reads the bound off the source of a pattern; what is not understood has the bound `Prefix("")`.
pub(crate) fn bound(pattern: &str) -> Bound {
    match pattern {
        ".*" => return Bound::All,
        ".+" => return Bound::NonEmpty,
        _ => {}
    }
    let inner = pattern
        .strip_prefix('(')
        .and_then(|rest| rest.strip_prefix("?:").or(Some(rest)))
        .and_then(|rest| rest.strip_suffix(')'))
        .unwrap_or(pattern);
    let branches: Option<Vec<String>> = split_branches(inner).map(literal).collect();
    if let Some(literals) = branches {
        return Bound::Literals(literals);
    }
    if split_branches(pattern).nth(1).is_some() {
        return Bound::Prefix(String::new());
    }
    Bound::Prefix(literal_prefix(pattern))
}

/// Splits at each `|` that is not escaped; inside of groups and classes too, where the parts then are no literals.
fn split_branches(pattern: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    pattern.split(move |c| {
        let splits = c == '|' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    })
}

/// The text a pattern without any operator matches.
fn literal(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(char::is_ascii_punctuation)?),
            _ if is_operator(c) => return None,
            _ => out.push(c),
        }
    }
    Some(out)
}

fn literal_prefix(pattern: &str) -> String {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next().filter(char::is_ascii_punctuation) {
                Some(escaped) => escaped,
                None => break,
            },
            _ if is_operator(c) => break,
            _ => c,
        };
        // A quantifier makes the character before it optional, or a number of them.
        if matches!(chars.peek(), Some('*' | '?' | '+' | '{')) {
            break;
        }
        out.push(plain);
    }
    out
}

const fn is_operator(c: char) -> bool {
    matches!(c, '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::{MatchOp, Matcher};

    use super::*;

    fn literals(texts: &[&str]) -> Bound {
        Bound::Literals(texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn bounds_are_read_off() {
        for (pattern, expected) in [
            ("", literals(&[""])),
            ("abc", literals(&["abc"])),
            ("a|b|", literals(&["a", "b", ""])),
            ("(a|b)", literals(&["a", "b"])),
            ("(?:a|b)", literals(&["a", "b"])),
            (r"1\.2\.3\.4:80|x", literals(&["1.2.3.4:80", "x"])),
            (r"a\|b", literals(&["a|b"])),
            (".*", Bound::All),
            (".+", Bound::NonEmpty),
            ("web-.*", Bound::Prefix("web-".to_owned())),
            ("web-[0-9]+", Bound::Prefix("web-".to_owned())),
            ("ab*", Bound::Prefix("a".to_owned())),
            (r"a\.b?", Bound::Prefix("a.".to_owned())),
            (r"a\d", Bound::Prefix("a".to_owned())),
            ("(?i)abc", Bound::Prefix(String::new())),
            ("abc|d.*", Bound::Prefix(String::new())),
            ("(a|b)c", Bound::Prefix(String::new())),
            ("(a)|(b)", Bound::Prefix(String::new())),
            ("[a|b]", Bound::Prefix(String::new())),
            ("^abc", Bound::Prefix(String::new())),
        ] {
            assert_eq!(bound(pattern), expected, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn what_matches_lies_within_the_bound(pattern in r"[ab|().*+?\[\]\\{}^$0-]{0,8}", text in "[ab|.0-]{0,5}") {
            if let Ok(matcher) = Matcher::new("l", MatchOp::Regex, pattern.clone()) {
                let matched = matcher.matches(&text);
                match bound(&pattern) {
                    Bound::Literals(literals) => prop_assert_eq!(matched, literals.contains(&text)),
                    Bound::All => prop_assert!(matched),
                    Bound::NonEmpty => prop_assert_eq!(matched, !text.is_empty()),
                    Bound::Prefix(prefix) => prop_assert!(!matched || text.starts_with(&prefix)),
                }
            }
        }
    }
}
