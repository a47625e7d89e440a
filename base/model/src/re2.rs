//! Regular expressions as Prometheus reads them (RE2, by Go's package `regexp`), for the regex crate, whose syntax differs in
//! corners; and texts made of what one matched.

mod error;
mod syntax;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use regex::{Captures, Regex};

pub use error::{PatternError, PatternFault};
use syntax::translated;

/// Compiles a pattern as Prometheus reads it: anchored at both ends, `.` matching any character, `\n` too (RE2 with
/// `(?s)`), `{` literal where no repetition follows, `\b`, `\d`, `\s` and `\w` of ASCII, `\Q…\E`, octal characters, and no
/// operations between character classes.
///
/// # Errors
/// When the pattern is no regular expression of RE2, in Go's words.
pub fn anchored_regex(pattern: &str) -> Result<Regex, PatternError> {
    compiled(pattern, &format!("^(?s:{})$", translated(pattern)?))
}

/// Compiles a pattern that is looked for anywhere in a text, as Go's `regexp.Compile` does: `.` matches all but `\n`.
///
/// # Errors
/// When the pattern is no regular expression of RE2, in Go's words.
pub fn searching_regex(pattern: &str) -> Result<Regex, PatternError> {
    compiled(pattern, &translated(pattern)?)
}

fn compiled(pattern: &str, translated: &str) -> Result<Regex, PatternError> {
    Regex::new(translated).map_err(|error| PatternError::of_engine(pattern, &error))
}

/// Puts a filled template in place of all that a pattern finds, as Go's `ReplaceAllString` does; see [`expand`].
#[must_use]
pub fn replace_all<'t>(regex: &Regex, text: &'t str, template: &str) -> Cow<'t, str> {
    regex.replace_all(text, |captures: &Captures<'_>| expand(captures, template))
}

/// Puts what groups matched in place of `$1`, `$name` and `${name}`; `$$` is a dollar. A name has letters, ASCII digits and `_`, as
/// many as there are; groups that are not there are empty, and a `$` that names nothing is left as it is.
#[must_use]
pub fn expand(captures: &Captures<'_>, template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(behind) = after.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some((name, behind)) = group_name(after) {
            out.push_str(group(captures, name).unwrap_or_default());
            rest = behind;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The name of a group at the start of a text, in braces or not, and what stands behind it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let inside = braced.unwrap_or(text);
    let is_part = |c: char| c.is_alphabetic() || c.is_ascii_digit() || c == '_';
    let end = inside.find(|c: char| !is_part(c)).unwrap_or(inside.len());
    let (name, behind) = inside.split_at(end);
    let behind = if braced.is_some() { behind.strip_prefix('}')? } else { behind };
    (!name.is_empty()).then_some((name, behind))
}

fn group<'t>(captures: &Captures<'t>, name: &str) -> Option<&'t str> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit());
    let found = if is_number && (name == "0" || !name.starts_with('0')) {
        captures.get(name.parse().ok()?)
    } else {
        captures.name(name)
    };
    found.map(|found| found.as_str())
}
