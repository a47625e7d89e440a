//! Template text to tokens.

use swell_model::unquote;

use crate::parse::ParseError;

/// One token; `spaced` says whether white space stood before it inside an action.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) line: usize,
    pub(crate) spaced: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TokenKind {
    Text(String),
    Open,
    Close,
    /// Name without the dot.
    Field(String),
    /// Name with the `$`.
    Variable(String),
    Identifier(String),
    Dot,
    Str(String),
    Int(i64),
    Float(f64),
    Pipe,
    LeftParen,
    RightParen,
    Comma,
    Assign,
    Declare,
    End,
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
    line: usize,
    tokens: Vec<Token>,
}

/// Splits a template into tokens; trim markers are applied and comments are gone.
pub(crate) fn lex(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { text, position: 0, line: 1, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.text[self.position..self.position + bytes];
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.position += bytes;
    }

    fn push(&mut self, kind: TokenKind, spaced: bool) {
        self.tokens.push(Token { kind, line: self.line, spaced });
    }

    fn fault(&self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.line, message: message.into() }
    }

    fn run(&mut self) -> Result<(), ParseError> {
        let mut trim_next = false;
        loop {
            let rest = self.rest();
            let open = rest.find("{{");
            let mut text = &rest[..open.unwrap_or(rest.len())];
            let text_len = text.len();
            let trims_before = open.is_some_and(|at| starts_with_trim_marker(&rest[at + 2..]));
            if trim_next {
                text = text.trim_start_matches(is_space);
            }
            if trims_before {
                text = text.trim_end_matches(is_space);
            }
            if !text.is_empty() {
                self.push(TokenKind::Text(text.to_owned()), false);
            }
            self.advance(text_len);
            if open.is_none() {
                self.push(TokenKind::End, false);
                return Ok(());
            }
            self.advance(if trims_before { 3 } else { 2 });
            trim_next = self.action()?;
        }
    }

    /// Lexes one action after its opening; says whether its closing trims what follows.
    fn action(&mut self) -> Result<bool, ParseError> {
        let before = self.rest().trim_start_matches(is_space);
        if before.starts_with("/*") {
            return self.comment();
        }
        self.push(TokenKind::Open, false);
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            let space_len = rest.len() - rest.trim_start_matches(is_space).len();
            let spaced = space_len > 0;
            let after = &rest[space_len..];
            if spaced && after.starts_with("-}}") {
                self.advance(space_len);
                self.close(depth)?;
                self.advance(3);
                return Ok(true);
            }
            self.advance(space_len);
            if after.starts_with("}}") {
                self.close(depth)?;
                self.advance(2);
                return Ok(false);
            }
            if after.is_empty() {
                return Err(self.fault("unclosed action"));
            }
            match after.as_bytes()[0] {
                b'(' => depth += 1,
                b')' => {
                    depth =
                        depth.checked_sub(1).ok_or_else(|| self.fault("unexpected right paren"))?;
                }
                _ => {}
            }
            self.token(spaced)?;
        }
    }

    fn close(&mut self, depth: usize) -> Result<(), ParseError> {
        if depth > 0 {
            return Err(self.fault("unclosed left paren"));
        }
        self.push(TokenKind::Close, false);
        Ok(())
    }

    fn comment(&mut self) -> Result<bool, ParseError> {
        let rest = self.rest();
        let end = rest.find("*/").ok_or_else(|| self.fault("unclosed comment"))? + 2;
        self.advance(end);
        let after = self.rest();
        let trimmed = after.trim_start_matches(is_space);
        if trimmed.len() < after.len() && trimmed.starts_with("-}}") {
            self.advance(after.len() - trimmed.len() + 3);
            return Ok(true);
        }
        if after.starts_with("}}") {
            self.advance(2);
            return Ok(false);
        }
        Err(self.fault("comment ends before closing delimiter"))
    }

    fn token(&mut self, spaced: bool) -> Result<(), ParseError> {
        let rest = self.rest();
        let first = rest.chars().next().ok_or_else(|| self.fault("unclosed action"))?;
        let second = rest[first.len_utf8()..].chars().next();
        let single = match first {
            '|' => Some(TokenKind::Pipe),
            '(' => Some(TokenKind::LeftParen),
            ')' => Some(TokenKind::RightParen),
            ',' => Some(TokenKind::Comma),
            '=' => Some(TokenKind::Assign),
            _ => None,
        };
        if let Some(kind) = single {
            self.push(kind, spaced);
            self.advance(1);
            return Ok(());
        }
        match first {
            ':' if second == Some('=') => {
                self.push(TokenKind::Declare, spaced);
                self.advance(2);
                Ok(())
            }
            ':' => Err(self.fault("expected :=")),
            '"' => self.string(spaced),
            '`' => self.raw_string(spaced),
            '\'' => self.character(spaced),
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => self.number(spaced),
            '.' => self.field(spaced),
            '$' => {
                let name_len = word_len(&rest[1..]);
                let name = rest[..=name_len].to_owned();
                self.advance(1 + name_len);
                self.terminated(&name)?;
                self.push(TokenKind::Variable(name), spaced);
                Ok(())
            }
            '+' | '-' | '0'..='9' => self.number(spaced),
            c if is_word(c) => {
                let name = rest[..word_len(rest)].to_owned();
                self.advance(name.len());
                self.terminated(&name)?;
                self.push(TokenKind::Identifier(name), spaced);
                Ok(())
            }
            c => Err(self.fault(format!("unexpected {c:?} in command"))),
        }
    }

    fn field(&mut self, spaced: bool) -> Result<(), ParseError> {
        let rest = self.rest();
        let name_len = word_len(&rest[1..]);
        let name = rest[1..=name_len].to_owned();
        self.advance(1 + name_len);
        self.terminated(&name)?;
        let kind = if name.is_empty() { TokenKind::Dot } else { TokenKind::Field(name) };
        self.push(kind, spaced);
        Ok(())
    }

    /// A word must be followed by something that cannot belong to it.
    fn terminated(&self, word: &str) -> Result<(), ParseError> {
        let rest = self.rest();
        let ends = match rest.chars().next() {
            None => true,
            Some(c) => is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(' | '='),
        };
        if ends || rest.starts_with("}}") {
            return Ok(());
        }
        let c = rest.chars().next().unwrap_or(' ');
        Err(self.fault(format!("bad character {c:?} after {word:?}")))
    }

    fn string(&mut self, spaced: bool) -> Result<(), ParseError> {
        let rest = self.rest();
        let end = quoted_end(rest, '"').ok_or_else(|| self.fault("unterminated quoted string"))?;
        let value = unquote(&rest[..=end]).map_err(|error| self.fault(error.to_string()))?;
        self.push(TokenKind::Str(value), spaced);
        self.advance(end + 1);
        Ok(())
    }

    fn raw_string(&mut self, spaced: bool) -> Result<(), ParseError> {
        let rest = self.rest();
        let end =
            rest[1..].find('`').ok_or_else(|| self.fault("unterminated raw quoted string"))? + 1;
        self.push(TokenKind::Str(rest[1..end].replace('\r', "")), spaced);
        self.advance(end + 1);
        Ok(())
    }

    fn character(&mut self, spaced: bool) -> Result<(), ParseError> {
        let rest = self.rest();
        let end =
            quoted_end(rest, '\'').ok_or_else(|| self.fault("unterminated character constant"))?;
        let value = unquote(&rest[..=end]).map_err(|error| self.fault(error.to_string()))?;
        let mut chars = value.chars();
        let (Some(only), None) = (chars.next(), chars.next()) else {
            return Err(self.fault(format!("malformed character constant: {}", &rest[..=end])));
        };
        self.push(TokenKind::Int(i64::from(u32::from(only))), spaced);
        self.advance(end + 1);
        Ok(())
    }

    fn number(&mut self, spaced: bool) -> Result<(), ParseError> {
        let rest = self.rest();
        let len = number_len(rest);
        let text = &rest[..len];
        let kind =
            parse_number(text).ok_or_else(|| self.fault(format!("bad number syntax: {text:?}")))?;
        self.advance(len);
        self.terminated(text)?;
        self.push(kind, spaced);
        Ok(())
    }
}

fn starts_with_trim_marker(after_open: &str) -> bool {
    let mut chars = after_open.chars();
    chars.next() == Some('-') && chars.next().is_some_and(is_space)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// Where the literal that starts `text` ends; `None` when it does not, or runs over a line end.
fn quoted_end(text: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return Some(at),
            _ => {}
        }
    }
    None
}

fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let hexadecimal = text.trim_start_matches(['+', '-']).to_ascii_lowercase().starts_with("0x");
    let mut len = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    while len < bytes.len() {
        let byte = bytes[len];
        let after_exponent = matches!(bytes[len - usize::from(len > 0)], b'e' | b'E' | b'p' | b'P');
        let sign_of_exponent = matches!(byte, b'+' | b'-')
            && len > 0
            && after_exponent
            && (!hexadecimal || matches!(bytes[len - 1], b'p' | b'P'));
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || sign_of_exponent {
            len += 1;
        } else {
            break;
        }
    }
    len
}

/// Go's number syntax without complex and hexadecimal floating point constants.
fn parse_number(text: &str) -> Option<TokenKind> {
    let plain = text.replace('_', "").to_ascii_lowercase();
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let radix = match digits.get(..2) {
        Some("0x") => Some(16),
        Some("0b") => Some(2),
        Some("0o") => Some(8),
        _ => None,
    };
    let integer = if let Some(radix) = radix {
        i128::from_str_radix(&digits[2..], radix).ok()?
    } else if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
        let radix = if digits.len() > 1 && digits.starts_with('0') { 8 } else { 10 };
        i128::from_str_radix(digits, radix).ok()?
    } else {
        if !digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'))
        {
            return None;
        }
        let value: f64 = digits.parse().ok()?;
        return Some(TokenKind::Float(if negative { -value } else { value }));
    };
    i64::try_from(if negative { -integer } else { integer }).ok().map(TokenKind::Int)
}
