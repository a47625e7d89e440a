//! Matchers as text: the UTF-8 grammar, the classic grammar, and the choice between them.

use std::sync::LazyLock;

use regex::Regex;
use swell_model::{Labels, MatchOp, Matcher, MatcherError, quote, unquote};

/// A text that holds no matchers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MatchersError {
    /// The grammar is broken.
    #[error("{text:?}: {message} at byte {position}")]
    Syntax {
        /// The text as given.
        text: String,
        /// Byte offset.
        position: usize,
        /// What was found and expected.
        message: String,
    },
    /// A pattern does not compile.
    #[error(transparent)]
    Pattern(#[from] MatcherError),
}

/// Which grammar a text was taken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackVerdict {
    /// The UTF-8 grammar.
    Utf8,
    /// The classic grammar, since the UTF-8 grammar refuses the text.
    Classic,
    /// The classic grammar, since the two understand different things.
    ClassicDisagreement,
}

/// Whether labels satisfy all matchers; an absent label is an empty one.
#[must_use]
pub fn matches_all(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.name).unwrap_or("")))
}

/// A matcher as Alertmanager prints it; part of group keys, so it must not change.
#[must_use]
pub fn canonical(matcher: &Matcher) -> String {
    if matcher.name.contains(is_reserved) {
        return format!("{}{}{}", quote(&matcher.name), matcher.op, quote(&matcher.value));
    }
    let value = matcher.value.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\"");
    format!("{}{}\"{value}\"", matcher.name, matcher.op)
}

/// Parses by the UTF-8 grammar, or by the classic one where only that accepts the text or understands it differently.
///
/// # Errors
/// The UTF-8 grammar's [`MatchersError`] when neither accepts the text.
pub fn parse_fallback(text: &str) -> Result<(Vec<Matcher>, FallbackVerdict), MatchersError> {
    match (parse_utf8(text), parse_classic(text)) {
        (Ok(utf8), Ok(classic)) if utf8 != classic => {
            Ok((classic, FallbackVerdict::ClassicDisagreement))
        }
        (Ok(utf8), _) => Ok((utf8, FallbackVerdict::Utf8)),
        (Err(_), Ok(classic)) => Ok((classic, FallbackVerdict::Classic)),
        (Err(error), Err(_)) => Err(error),
    }
}

/// Characters that end a bare word.
fn is_reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Op(MatchOp),
    Word(String),
    End,
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl Lexer<'_> {
    fn fault(&self, position: usize, message: impl Into<String>) -> MatchersError {
        MatchersError::Syntax { text: self.text.to_owned(), position, message: message.into() }
    }

    /// The next token and where it starts.
    fn next(&mut self) -> Result<(Token, usize), MatchersError> {
        let rest = &self.text[self.position..];
        let trimmed = rest.trim_start();
        let start = self.position + rest.len() - trimmed.len();
        let Some(first) = trimmed.chars().next() else {
            self.position = self.text.len();
            return Ok((Token::End, start));
        };
        let second = trimmed[first.len_utf8()..].chars().next();
        let (token, len) = match (first, second) {
            ('{', _) => (Token::Open, 1),
            ('}', _) => (Token::Close, 1),
            (',', _) => (Token::Comma, 1),
            ('=', Some('~')) => (Token::Op(MatchOp::Regex), 2),
            ('=', _) => (Token::Op(MatchOp::Equal), 1),
            ('!', Some('=')) => (Token::Op(MatchOp::NotEqual), 2),
            ('!', Some('~')) => (Token::Op(MatchOp::NotRegex), 2),
            ('!', _) => return Err(self.fault(start, "! must be followed by = or ~")),
            ('"', _) => self.quoted(trimmed, start)?,
            (c, _) if is_reserved(c) => {
                return Err(self.fault(start, format!("{c:?} cannot stand here")));
            }
            _ => {
                let len = trimmed.find(is_reserved).unwrap_or(trimmed.len());
                (Token::Word(trimmed[..len].to_owned()), len)
            }
        };
        self.position = start + len;
        Ok((token, start))
    }

    fn quoted(&self, text: &str, start: usize) -> Result<(Token, usize), MatchersError> {
        let mut escaped = false;
        for (at, c) in text.char_indices().skip(1) {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    let word = unquote(&text[..=at])
                        .map_err(|error| self.fault(start, error.to_string()))?;
                    return Ok((Token::Word(word), at + 1));
                }
                _ => {}
            }
        }
        Err(self.fault(start, "the closing quote is missing"))
    }
}

/// Parses by the UTF-8 grammar: `[{] name op value [, …] [,] [}]`, names and values bare or in double quotes.
///
/// # Errors
/// [`MatchersError`] with the byte offset.
pub fn parse_utf8(text: &str) -> Result<Vec<Matcher>, MatchersError> {
    let mut lexer = Lexer { text, position: 0 };
    let mut matchers = Vec::new();
    let (mut token, mut at) = lexer.next()?;
    let braces = token == Token::Open;
    if braces {
        (token, at) = lexer.next()?;
    }
    loop {
        match token {
            Token::End if braces => return Err(lexer.fault(at, "expected }")),
            Token::End => return Ok(matchers),
            Token::Close if !braces => return Err(lexer.fault(at, "} without {")),
            Token::Close => {
                return match lexer.next()? {
                    (Token::End, _) => Ok(matchers),
                    (_, at) => Err(lexer.fault(at, "expected nothing after }")),
                };
            }
            Token::Word(name) => {
                let op = match lexer.next()? {
                    (Token::Op(op), _) => op,
                    (_, at) => return Err(lexer.fault(at, "expected one of =, !=, =~ and !~")),
                };
                let value = match lexer.next()? {
                    (Token::Word(value), _) => value,
                    (_, at) => return Err(lexer.fault(at, "expected a label value")),
                };
                matchers.push(Matcher::new(name, op, value)?);
            }
            _ => return Err(lexer.fault(at, "expected a label name")),
        }
        (token, at) = lexer.next()?;
        match token {
            Token::Comma => (token, at) = lexer.next()?,
            Token::End | Token::Close => {}
            _ => return Err(lexer.fault(at, "expected a comma or }")),
        }
    }
}

/// One classic matcher; white space is ASCII, as in Go's regular expressions.
static CLASSIC: LazyLock<Regex> = LazyLock::new(|| {
    let space = r"[\t\n\f\r ]*";
    let pattern =
        format!("^{space}([a-zA-Z_:][a-zA-Z0-9_:]*){space}(=~|=|!=|!~){space}((?s:.)*?){space}$");
    Regex::new(&pattern).expect("the pattern is valid")
});

/// Parses by the classic grammar: values may be bare with nearly anything in them; of the escapes only
/// `\"`, `\n` and `\\` count; a lone brace at either end is tolerated.
///
/// # Errors
/// [`MatchersError`] with the matcher that does not parse.
pub fn parse_classic(text: &str) -> Result<Vec<Matcher>, MatchersError> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let mut tokens = Vec::new();
    let mut token = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in inner.chars() {
        match c {
            ',' if !quoted => {
                tokens.push(std::mem::take(&mut token));
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        if c == '"' {
            escaped = false;
        }
        token.push(c);
    }
    let last = token.trim();
    if !last.is_empty() {
        tokens.push(last.to_owned());
    }
    tokens.iter().map(|token| classic_matcher(token)).collect()
}

fn classic_matcher(text: &str) -> Result<Matcher, MatchersError> {
    let fault = |message: &str| MatchersError::Syntax {
        text: text.to_owned(),
        position: 0,
        message: message.to_owned(),
    };
    let parts = CLASSIC.captures(text).ok_or_else(|| fault("expected name, operator and value"))?;
    let op = match &parts[2] {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        _ => MatchOp::NotRegex,
    };
    let (raw, mut open_quote) = match parts[3].strip_prefix('"') {
        Some(raw) => (raw, true),
        None => (&parts[3], false),
    };
    let mut value = String::with_capacity(raw.len());
    let mut escaped = false;
    for (at, c) in raw.char_indices() {
        let last = at + c.len_utf8() == raw.len();
        match c {
            'n' if escaped => value.push('\n'),
            '"' | '\\' if escaped => value.push(c),
            c if escaped => value.extend(['\\', c]),
            '\\' if !last => {
                escaped = true;
                continue;
            }
            '"' if open_quote && last => open_quote = false,
            '"' => return Err(fault("the value has a double quote that is not escaped")),
            c => value.push(c),
        }
        escaped = false;
    }
    if open_quote {
        return Err(fault("the closing quote is missing"));
    }
    Ok(Matcher::new(&parts[1], op, value)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_grammars_differ_where_documented() {
        let check = |text: &str, verdict: Option<FallbackVerdict>, expected: &[&str]| {
            let result = parse_fallback(text);
            assert_eq!(result.as_ref().ok().map(|(_, verdict)| *verdict), verdict, "{text}");
            let printed: Vec<String> = result.map_or_else(
                |_| Vec::new(),
                |(matchers, _)| matchers.iter().map(canonical).collect(),
            );
            assert_eq!(printed, expected, "{text}");
        };
        check("", Some(FallbackVerdict::Utf8), &[]);
        check(
            "{foo=bar, baz!=\"q x\",}",
            Some(FallbackVerdict::Utf8),
            &["foo=\"bar\"", "baz!=\"q x\""],
        );
        check("日本=東京", Some(FallbackVerdict::Utf8), &["日本=\"東京\""]);
        check("foo=", Some(FallbackVerdict::Classic), &["foo=\"\""]);
        check(r#"foo="\d+""#, Some(FallbackVerdict::Classic), &[r#"foo="\\d+""#]);
        check(
            r#"foo="a\u00e9""#,
            Some(FallbackVerdict::ClassicDisagreement),
            &[r#"foo="a\\u00e9""#],
        );
        check("foo=~(", None, &[]);
        check("=bar", None, &[]);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(name in "[a-z{ \"é]{1,6}", value in any::<String>()) {
            let matcher = Matcher::equal(name, value);
            let printed = canonical(&matcher);
            // A control character has no escape in the bare form, which upstream shares.
            if let Ok(matchers) = parse_utf8(&printed) {
                prop_assert_eq!(matchers, vec![matcher]);
            } else {
                prop_assert!(matcher.value.contains(|c: char| c.is_control() || c == '\n'));
            }
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in r#"[{}=!~,"\\ a-c日\n]{0,20}"#) {
            if let Err(error) = parse_fallback(&text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
