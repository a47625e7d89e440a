//! Regular expressions as Prometheus reads them (RE2, by Go's package `regexp`), for the regex crate, whose syntax differs in
//! corners; and texts made of what one matched.

use std::borrow::Cow;

use regex::{Captures, Regex};

/// Compiles a pattern as Prometheus reads it: anchored at both ends, `.` matching any character, `\n` too (RE2 with
/// `(?s)`), `{` literal where no repetition follows, `\d`, `\s` and `\w` of ASCII, `\Q…\E`, octal characters, and no
/// operations between character classes. `\B` is that of Unicode.
///
/// # Errors
/// When the pattern is no regular expression.
pub fn anchored_regex(pattern: &str) -> Result<Regex, regex::Error> {
    let pattern = translated(pattern);
    if pattern.contains(')') {
        // Inside of ours its parentheses might find partners: `)|(` is no pattern, `^(?s:)|()$` is one.
        Regex::new(&pattern)?;
    }
    Regex::new(&format!("^(?s:{pattern})$"))
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

/// The same pattern in the syntax of the regex crate.
fn translated(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['\\', '[', '{']) {
        return Cow::Borrowed(pattern);
    }
    let out = String::with_capacity(pattern.len() + 8);
    let mut translation = Translation { out, rest: pattern };
    translation.expression();
    Cow::Owned(translation.out)
}

/// Names of classes, as in `[[:alpha:]]`.
const CLASS_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

struct Translation<'p> {
    out: String,
    /// What is not read yet.
    rest: &'p str,
}

impl<'p> Translation<'p> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(next)
    }

    /// Reads a text, if it is the next.
    fn take(&mut self, text: &str) -> bool {
        let behind = self.rest.strip_prefix(text);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    fn expression(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => {
                    self.escape(false);
                }
                '[' => self.class(),
                '{' => self.out.push_str(if starts_repetition(self.rest) { "{" } else { "\\{" }),
                _ => self.out.push(c),
            }
        }
    }

    /// What stands behind `[`, with the `]`.
    fn class(&mut self) {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut is_first = true;
        while !self.rest.is_empty() {
            if !is_first && self.take("]") {
                return self.out.push(']');
            }
            is_first = false;
            let is_set = self.class_item();
            // A range, unless the dash is the last of the class. None begins with a set.
            let goes_on = |rest: &str| !rest.is_empty() && !rest.starts_with(']');
            if !is_set && self.rest.strip_prefix('-').is_some_and(goes_on) {
                self.take("-");
                self.out.push('-');
                self.class_item();
            }
        }
    }

    /// A character of a class, or a set of them. Gives whether it is a set.
    fn class_item(&mut self) -> bool {
        if let Some(name) = self.class_name() {
            self.out.push_str(name);
            return true;
        }
        match self.next() {
            None => {}
            Some('\\') => return self.escape(true),
            // Twice, or within a class, these are operations of the regex crate.
            Some(c) if "[]&~-^".contains(c) => self.out.extend(['\\', c]),
            Some(c) => self.out.push(c),
        }
        false
    }

    /// Reads a class by its name, as `[:alpha:]` or `[:^alpha:]`.
    fn class_name(&mut self) -> Option<&'p str> {
        let inside = self.rest.strip_prefix("[:")?;
        let inside = inside.strip_prefix('^').unwrap_or(inside);
        let end = inside.find(|c: char| !c.is_ascii_lowercase())?;
        let (name, behind) = inside.split_at(end);
        let behind = behind.strip_prefix(":]").filter(|_| CLASS_NAMES.contains(&name))?;
        let read = &self.rest[..self.rest.len() - behind.len()];
        self.rest = behind;
        Some(read)
    }

    /// What stands behind a backslash. Gives whether it is a set of characters.
    fn escape(&mut self, in_class: bool) -> bool {
        const DIGITS: &str = "0-9";
        const WORD: &str = "0-9A-Za-z_";
        const SPACE: &str = r"\t\n\f\r ";
        let Some(c) = self.next() else {
            self.out.push('\\');
            return false;
        };
        match c {
            'd' => self.ascii("", DIGITS, in_class),
            'w' => self.ascii("", WORD, in_class),
            's' => self.ascii("", SPACE, in_class),
            'D' => self.ascii("^", DIGITS, in_class),
            'W' => self.ascii("^", WORD, in_class),
            'S' => self.ascii("^", SPACE, in_class),
            'b' if !in_class => self.out.push_str(r"(?-u:\b)"),
            // Ends of words in the regex crate.
            '<' | '>' => self.out.push(c),
            'Q' if !in_class => {
                let (literal, behind) = self.rest.split_once(r"\E").unwrap_or((self.rest, ""));
                self.out.push_str(&regex::escape(literal));
                self.rest = behind;
            }
            '0'..='7' => self.octal(c),
            _ => {
                self.out.extend(['\\', c]);
                // The braces of \p{Greek} and \x{1f} belong to the escape.
                if matches!(c, 'p' | 'P' | 'x') && self.take("{") {
                    self.out.push('{');
                }
            }
        }
        matches!(c, 'd' | 'w' | 's' | 'D' | 'W' | 'S' | 'p' | 'P')
    }

    fn octal(&mut self, first: char) {
        let digits = self.rest.bytes().take(2).take_while(|byte| matches!(byte, b'0'..=b'7'));
        let (digits, behind) = self.rest.split_at(digits.count());
        // A single digit but zero would mean a group that matched before, which there is not.
        if first != '0' && digits.is_empty() {
            return self.out.extend(['\\', first]);
        }
        let code = digits
            .chars()
            .fold(first.to_digit(8), |code, digit| Some(code? * 8 + digit.to_digit(8)?));
        self.out.push_str(&format!("\\x{{{:x}}}", code.unwrap_or_default()));
        self.rest = behind;
    }

    /// A set of ASCII characters, or all others.
    fn ascii(&mut self, not: &str, set: &str, in_class: bool) {
        if in_class && not.is_empty() {
            self.out.push_str(set);
        } else {
            self.out.push_str(&format!("[{not}{set}]"));
        }
    }
}

/// Whether a text is what stands behind the `{` of `{n}`, `{n,}` or `{n,m}`.
fn starts_repetition(text: &str) -> bool {
    let behind_digits = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        (end, text.len() - end)
    };
    let (least, left) = behind_digits(text);
    let rest = &text[text.len() - left..];
    if least == 0 {
        return false;
    }
    let Some(most) = rest.strip_prefix(',') else { return rest.starts_with('}') };
    most[behind_digits(most).0..].starts_with('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_they_mean_in_re2() {
        for (pattern, matched, others) in [
            // Without a repetition behind them braces are literal.
            ("a{", &["a{"][..], &["a"][..]),
            ("{x}", &["{x}"], &["x"]),
            ("a{,3}", &["a{,3}"], &["aaa"]),
            ("a{2}", &["aa"], &["a{2}"]),
            ("a{1,}b", &["aab"], &["b"]),
            (r"\p{Greek}\x{62}[{]", &["αb{"], &["ab{"]),
            // Classes of ASCII.
            (r"\d", &["7"], &["٣", "\\d"]),
            (r"\w+", &["a_9"], &["é", "-"]),
            (r"\s", &[" ", "\t"], &["\u{a0}", "\u{b}"]),
            (r"\D\W\S", &["é-é", "٣٣٣"], &["1-a", "aaa"]),
            (r"[\d_]+", &["1_2"], &["٣"]),
            (r"[\D]", &["a", "٣"], &["1"]),
            (r"[^\W]", &["a"], &["-", "é"]),
            (r"[\d-z]+", &["1-z"], &["y"]),
            (r"é\bé|a\b-", &["a-"], &["éé"]),
            // No operations between classes, and no classes within classes.
            ("[a&&b]+", &["a&b"], &["c"]),
            ("[a~~b]+", &["a~b"], &["c"]),
            ("[!--b]+", &["#-b"], &["a", "."]),
            ("[+--]", &[",", "-"], &["."]),
            ("[a-]+", &["a-"], &["b"]),
            ("[-a^]+", &["-a^"], &["b"]),
            ("[[:foo:]]+", &["[]", "o]"], &["a]"]),
            (r"\<init\>", &["<init>"], &["init"]),
            ("[[a]+", &["[a"], &["]"]),
            ("[^[]", &["a"], &["["]),
            ("[a[b]", &["a", "[", "b"], &["ab"]),
            ("[]a]", &["]", "a"], &["[]a]"]),
            ("[[:alpha:]_]+", &["a_"], &[":", "["]),
            ("[[:^alpha:]]", &["1"], &["a"]),
            // Quoted texts and octal characters.
            (r"\Qa.b\E.", &["a.bc"], &["axbc"]),
            (r"a\Q.*", &["a.*"], &["abc"]),
            (r"\101\07\0", &["A\u{7}\0"], &["101"]),
            (r"\.\[\{\\", &[r".[{\"], &["a"]),
        ] {
            let regex =
                anchored_regex(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
            for text in matched {
                assert!(regex.is_match(text), "{pattern} {text:?}");
            }
            for text in others {
                assert!(!regex.is_match(text), "{pattern} {text:?}");
            }
        }
        for pattern in ["{", "[[", r"\Q\E", r"\", "{1"] {
            let long = pattern.repeat(1 << 18);
            assert!(translated(&long).len() <= 2 * long.len(), "read once, whatever stands in it");
        }
        for pattern in [r"\1", "[a", "(", r"a\", ")|(", "[b-a]", "[a--b]"] {
            assert!(anchored_regex(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn templates_are_filled_as_by_go() {
        let regex = anchored_regex("(a+)(?P<name>b+)(c)?").expect("a pattern");
        let captures = regex.captures("aabbb").expect("matches");
        for (template, expected) in [
            ("$1-$2", "aa-bbb"),
            ("${1}x$name", "aaxbbb"),
            ("$0", "aabbb"),
            ("$1x", ""),
            ("$3$4$other", ""),
            ("$$1", "$1"),
            ("$01${01}", ""),
            ("${a-b}${}", "${a-b}${}"),
            ("x$é", "x"),
            ("$1é", ""),
            ("$1²", "aa²"),
            ("$-$", "$-$"),
            ("${1", "${1"),
        ] {
            assert_eq!(expand(&captures, template), expected, "{template}");
        }
    }
}
