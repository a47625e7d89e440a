//! Splits query text into tokens with positions. Keywords are identifiers here: whether `by` or `offset` is a
//! keyword or a metric's name depends on where it stands, so the parser decides.

use crate::literal;
use crate::span::Span;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TokenKind {
    /// A name or keyword.
    Ident,
    /// A number; `is_duration` when written with units, then `value` is in seconds.
    Number {
        value: f64,
        is_duration: bool,
    },
    /// A quoted string, not yet unescaped.
    Text,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    Assign,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    RegexEqual,
    RegexNotEqual,
    TrimUpper,
    TrimLower,
    At,
    End,
    /// Text that is no token; the tokens end here.
    Error(&'static str),
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// Splits `query` into tokens; the last is [`TokenKind::End`] or [`TokenKind::Error`].
///
/// The caller bounds the length of `query` below 4 GiB.
pub(crate) fn tokenize(query: &str) -> Vec<Token> {
    let mut lexer = Lexer { query, at: 0, brackets: 0, braces: 0 };
    let mut tokens = Vec::with_capacity(query.len() / 4 + 1);
    loop {
        let token = lexer.next_token();
        tokens.push(token);
        if matches!(token.kind, TokenKind::End | TokenKind::Error(_)) {
            return tokens;
        }
    }
}

struct Lexer<'a> {
    query: &'a str,
    at: usize,
    /// Open square brackets: inside, a colon separates range and step instead of belonging to a name.
    brackets: u32,
    /// Open braces: inside, a colon cannot belong to a name either.
    braces: u32,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.query.as_bytes().get(self.at + ahead).copied()
    }

    fn skip_blank(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' => {
                    let rest = &self.query[self.at..];
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                _ => return,
            }
        }
    }

    fn next_token(&mut self) -> Token {
        self.skip_blank();
        let start = self.at;
        let kind = match self.peek(0) {
            None => TokenKind::End,
            Some(b'"' | b'\'' | b'`') => self.text(),
            Some(b'0'..=b'9') => self.number(),
            Some(b'.') if self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() || byte == b'_' => self.ident(),
            Some(b':') if self.brackets == 0 && self.braces == 0 => self.ident(),
            Some(byte) => self.punctuation(byte),
        };
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Token { kind, span: Span { start: offset(start), end: offset(self.at) } }
    }

    fn ident(&mut self) -> TokenKind {
        let colons = self.brackets == 0 && self.braces == 0;
        while self.peek(0).is_some_and(|byte| {
            byte.is_ascii_alphanumeric() || byte == b'_' || (colons && byte == b':')
        }) {
            self.at += 1;
        }
        TokenKind::Ident
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let hex = self.peek(0) == Some(b'0') && matches!(self.peek(1), Some(b'x' | b'X'));
        while let Some(byte) = self.peek(0) {
            let exponent_sign = matches!(byte, b'+' | b'-')
                && !hex
                && self.at > start
                && matches!(self.query.as_bytes()[self.at - 1], b'e' | b'E')
                && self.peek(1).is_some_and(|byte| byte.is_ascii_digit());
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent_sign) {
                break;
            }
            self.at += 1;
        }
        let text = &self.query[start..self.at];
        if let Some(value) = literal::parse_number(text) {
            TokenKind::Number { value, is_duration: false }
        } else if let Some(value) = literal::parse_duration_seconds(text) {
            TokenKind::Number { value, is_duration: true }
        } else {
            TokenKind::Error("bad number or duration syntax")
        }
    }

    fn text(&mut self) -> TokenKind {
        let bytes = self.query.as_bytes();
        let quote = bytes[self.at];
        let mut at = self.at + 1;
        while let Some(byte) = bytes.get(at).copied() {
            match byte {
                byte if byte == quote => {
                    self.at = at + 1;
                    return TokenKind::Text;
                }
                b'\\' if quote != b'`' => at += 2,
                b'\n' if quote != b'`' => break,
                _ => at += 1,
            }
        }
        self.at = self.query.len();
        TokenKind::Error(if quote == b'`' {
            "unterminated raw string"
        } else {
            "unterminated quoted string"
        })
    }

    fn punctuation(&mut self, byte: u8) -> TokenKind {
        let next = self.peek(1);
        let (kind, len) = match (byte, next) {
            (b'=', Some(b'=')) => (TokenKind::Equal, 2),
            (b'=', Some(b'~')) => (TokenKind::RegexEqual, 2),
            (b'=', _) => (TokenKind::Assign, 1),
            (b'!', Some(b'=')) => (TokenKind::NotEqual, 2),
            (b'!', Some(b'~')) => (TokenKind::RegexNotEqual, 2),
            (b'<', Some(b'=')) => (TokenKind::LessEqual, 2),
            (b'<', Some(b'/')) => (TokenKind::TrimUpper, 2),
            (b'<', _) => (TokenKind::Less, 1),
            (b'>', Some(b'=')) => (TokenKind::GreaterEqual, 2),
            (b'>', Some(b'/')) => (TokenKind::TrimLower, 2),
            (b'>', _) => (TokenKind::Greater, 1),
            (b'+', _) => (TokenKind::Add, 1),
            (b'-', _) => (TokenKind::Sub, 1),
            (b'*', _) => (TokenKind::Mul, 1),
            (b'/', _) => (TokenKind::Div, 1),
            (b'%', _) => (TokenKind::Mod, 1),
            (b'^', _) => (TokenKind::Pow, 1),
            (b'@', _) => (TokenKind::At, 1),
            (b',', _) => (TokenKind::Comma, 1),
            (b':', _) => (TokenKind::Colon, 1),
            (b'(', _) => (TokenKind::LeftParen, 1),
            (b')', _) => (TokenKind::RightParen, 1),
            (b'{', _) => {
                self.braces = self.braces.saturating_add(1);
                (TokenKind::LeftBrace, 1)
            }
            (b'}', _) => {
                self.braces = self.braces.saturating_sub(1);
                (TokenKind::RightBrace, 1)
            }
            (b'[', _) => {
                self.brackets = self.brackets.saturating_add(1);
                (TokenKind::LeftBracket, 1)
            }
            (b']', _) => {
                self.brackets = self.brackets.saturating_sub(1);
                (TokenKind::RightBracket, 1)
            }
            _ => {
                let rest = &self.query[self.at..];
                let len = rest.chars().next().map_or(1, char::len_utf8);
                (TokenKind::Error("unexpected character"), len)
            }
        };
        self.at += len;
        kind
    }
}
