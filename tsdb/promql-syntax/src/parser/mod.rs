//! Recursive descent over tokens, operators by binding strength. Depth is bounded: see [`DEPTH_MAX`].

mod aggregate;
mod call;
mod duration;
mod matching;
mod modifiers;
mod selector;

use swell_model::{Labels, LiteralFault, MatchOp};

use crate::ast::{
    AggregateOp, Binary, BinaryOp, Expr, ExprKind, NumberLiteral, TextLiteral, Unary, UnaryOp,
};
use crate::check;
use crate::error::ParseError;
use crate::literal;
use crate::span::Span;
use crate::token::{Token, TokenKind, tokenize};

/// Longest query text, in bytes. Longer ones are refused unread.
pub const QUERY_BYTES_MAX: usize = 1 << 20;

/// Deepest tree: bounds the recursion of the printer, the evaluation and every walk over the tree.
pub const DEPTH_MAX: usize = 250;

/// Deepest nesting of parentheses, arguments and signs: bounds the recursion of the parser, whose frames are
/// larger than those of a walk. A chain of operators (`a or b or …`) only counts for [`DEPTH_MAX`].
const NESTING_MAX: usize = 100;

/// Parses and type-checks a query.
///
/// # Errors
/// [`ParseError`] tells where the text is wrong and what was expected there.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query)?;
    if parser.kind() == TokenKind::End {
        return Err(parser.fault(parser.token().span, "no expression found in input"));
    }
    let parsed = parser.binary(0)?;
    parser.expect_end()?;
    check::check(query, &parsed.expr)?;
    Ok(parsed.expr)
}

/// Parses a vector selector without modifiers (`up{job="x"}`), as the series endpoints and rule matchers take it.
///
/// # Errors
/// [`ParseError`] when the text is something else.
pub fn parse_selector(text: &str) -> Result<crate::ast::VectorSelector, ParseError> {
    lone_selector(text, false)
}

/// The same, also one that matches the empty text (`{job=~".*"}`), as federation and deletion take it.
///
/// # Errors
/// [`ParseError`] when the text is something else.
pub fn parse_any_selector(text: &str) -> Result<crate::ast::VectorSelector, ParseError> {
    lone_selector(text, true)
}

fn lone_selector(text: &str, may_be_empty: bool) -> Result<crate::ast::VectorSelector, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.vector_selector(may_be_empty)?;
    parser.expect_end()?;
    match expr.kind {
        ExprKind::Vector(selector) => Ok(*selector),
        _ => Err(ParseError::new(text, expr.span, "expected a metric selector")),
    }
}

/// Parses a label set as a series description writes it: `name{label="value", "quoted.name"="value"}`. Only equality
/// is allowed; `{}` is the empty set.
///
/// # Errors
/// [`ParseError`] when the text is something else.
pub fn parse_metric(text: &str) -> Result<Labels, ParseError> {
    let mut parser = Parser::new(text)?;
    let expr = parser.vector_selector(true)?;
    parser.expect_end()?;
    let ExprKind::Vector(selector) = expr.kind else {
        return Err(ParseError::new(text, expr.span, "expected a metric"));
    };
    if let Some(matcher) = selector.matchers.iter().find(|matcher| matcher.op != MatchOp::Equal) {
        let message =
            format!("label {}: a metric has \"=\" only", swell_model::quote(&matcher.name));
        return Err(ParseError::new(text, expr.span, message));
    }
    Ok(Labels::from_pairs(selector.matchers.iter().map(|matcher| (&matcher.name, &matcher.value))))
}

/// An expression with the depth of its tree.
pub(crate) struct Parsed {
    pub(crate) expr: Expr,
    pub(crate) depth: usize,
}

impl Parsed {
    fn leaf(expr: Expr) -> Self {
        Self { expr, depth: 1 }
    }
}

pub(crate) struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn new(query: &'a str) -> Result<Self, ParseError> {
        if query.len() > QUERY_BYTES_MAX {
            let message = format!(
                "query of {} bytes is longer than the limit of {QUERY_BYTES_MAX}",
                query.len()
            );
            return Err(ParseError::new("", Span::default(), message));
        }
        Ok(Self { query, tokens: tokenize(query), at: 0, nesting: 0 })
    }

    fn token(&self) -> Token {
        self.tokens[self.at]
    }

    fn kind(&self) -> TokenKind {
        self.token().kind
    }

    fn kind_ahead(&self, ahead: usize) -> TokenKind {
        self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].kind
    }

    /// Takes the current token; the last one stays.
    fn take(&mut self) -> Token {
        let token = self.token();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Takes a plus or minus, where one stands.
    fn take_sign(&mut self) -> Option<(UnaryOp, Span)> {
        let op = match self.kind() {
            TokenKind::Add => UnaryOp::Plus,
            TokenKind::Sub => UnaryOp::Minus,
            _ => return None,
        };
        Some((op, self.take().span))
    }

    fn take_if(&mut self, kind: TokenKind) -> Option<Token> {
        (self.kind() == kind).then(|| self.take())
    }

    fn expect(
        &mut self,
        kind: TokenKind,
        context: &str,
        expected: &str,
    ) -> Result<Token, ParseError> {
        self.take_if(kind).ok_or_else(|| self.unexpected(context, expected))
    }

    fn expect_end(&mut self) -> Result<(), ParseError> {
        if self.kind() == TokenKind::End { Ok(()) } else { Err(self.unexpected("", "")) }
    }

    fn text(&self, token: Token) -> &'a str {
        token.span.text(self.query)
    }

    /// The current token's text in lower case, when it is a name.
    fn keyword(&self) -> Option<String> {
        (self.kind() == TokenKind::Ident).then(|| self.text(self.token()).to_ascii_lowercase())
    }

    fn fault(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, span, message)
    }

    /// The error for a current token that does not belong here.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.token();
        if let TokenKind::Error(what) = token.kind {
            let shown: String = self.text(token).chars().take(40).collect();
            return self.fault(token.span, format!("{what}: {}", swell_model::quote(&shown)));
        }
        let mut message = format!("unexpected {}", self.describe(token));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        self.fault(token.span, message)
    }

    fn describe(&self, token: Token) -> String {
        let text: String = self.text(token).chars().take(80).collect();
        match token.kind {
            TokenKind::End => "end of input".to_owned(),
            TokenKind::Ident => {
                let keyword = text.to_ascii_lowercase();
                if AggregateOp::from_keyword(&keyword).is_some() {
                    format!("<aggr:{keyword}>")
                } else if matches!(keyword.as_str(), "and" | "or" | "unless" | "atan2") {
                    format!("<op:{keyword}>")
                } else if selector::is_keyword(&keyword) {
                    format!("<{keyword}>")
                } else {
                    format!("identifier {}", swell_model::quote(&text))
                }
            }
            TokenKind::Number { is_duration: true, .. } => {
                format!("duration {}", swell_model::quote(&text))
            }
            TokenKind::Number { .. } => format!("number {}", swell_model::quote(&text)),
            TokenKind::Text => format!("string {text}"),
            _ if self.binary_op_of(token).is_some()
                || matches!(
                    token.kind,
                    TokenKind::RegexEqual | TokenKind::RegexNotEqual | TokenKind::At
                ) =>
            {
                format!("<op:{text}>")
            }
            _ => swell_model::quote(&text),
        }
    }

    /// Refuses nesting beyond [`DEPTH_MAX`], so that the parser's stack stays bounded.
    fn enter(&mut self) -> Result<(), ParseError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX { Err(self.too_deep(self.token().span)) } else { Ok(()) }
    }

    fn leave(&mut self) {
        self.nesting -= 1;
    }

    fn too_deep(&self, span: Span) -> ParseError {
        let message = format!(
            "expression is nested too deep: more than {NESTING_MAX} parentheses or {DEPTH_MAX} operators"
        );
        self.fault(span, message)
    }

    fn node(&self, expr: Expr, depth_below: usize) -> Result<Parsed, ParseError> {
        let depth = depth_below + 1;
        if depth > DEPTH_MAX {
            return Err(self.too_deep(expr.span));
        }
        Ok(Parsed { expr, depth })
    }

    fn binary_op_of(&self, token: Token) -> Option<BinaryOp> {
        Some(match token.kind {
            TokenKind::Add => BinaryOp::Add,
            TokenKind::Sub => BinaryOp::Sub,
            TokenKind::Mul => BinaryOp::Mul,
            TokenKind::Div => BinaryOp::Div,
            TokenKind::Mod => BinaryOp::Mod,
            TokenKind::Pow => BinaryOp::Pow,
            TokenKind::Equal => BinaryOp::Equal,
            TokenKind::NotEqual => BinaryOp::NotEqual,
            TokenKind::Less => BinaryOp::Less,
            TokenKind::LessEqual => BinaryOp::LessEqual,
            TokenKind::Greater => BinaryOp::Greater,
            TokenKind::GreaterEqual => BinaryOp::GreaterEqual,
            TokenKind::TrimUpper => BinaryOp::TrimUpper,
            TokenKind::TrimLower => BinaryOp::TrimLower,
            TokenKind::Ident => {
                let text = self.text(token);
                [BinaryOp::And, BinaryOp::Or, BinaryOp::Unless, BinaryOp::Atan2]
                    .into_iter()
                    .find(|op| op.as_str().eq_ignore_ascii_case(text))?
            }
            _ => return None,
        })
    }

    /// An expression whose operators bind at least as strongly as `precedence_min`.
    fn binary(&mut self, precedence_min: u8) -> Result<Parsed, ParseError> {
        self.enter()?;
        let mut lhs = self.unary()?;
        while let Some(op) = self.binary_op_of(self.token()) {
            if op.precedence() < precedence_min {
                break;
            }
            self.take();
            let modifiers = self.binary_modifiers(op)?;
            // `^` is right-associative, the others are left-associative.
            let right_min = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
            let rhs = self.binary(right_min)?;
            let depth = lhs.depth.max(rhs.depth);
            let span = lhs.expr.span.to(rhs.expr.span);
            let matching = modifiers.matching_for(self, op, &lhs.expr, &rhs.expr)?;
            let binary = Binary {
                op,
                return_bool: modifiers.return_bool,
                matching,
                lhs: lhs.expr,
                rhs: rhs.expr,
            };
            lhs = self.node(Expr { span, kind: ExprKind::Binary(Box::new(binary)) }, depth)?;
        }
        self.leave();
        Ok(lhs)
    }

    fn unary(&mut self) -> Result<Parsed, ParseError> {
        let Some((op, start)) = self.take_sign() else { return self.postfix() };
        // Weaker than `^`, stronger than `*`: -2 ^ 2 is -4.
        let operand = self.binary(BinaryOp::Pow.precedence())?;
        let span = start.to(operand.expr.span);
        if let ExprKind::Number(number) = operand.expr.kind {
            let value = if op == UnaryOp::Minus { -number.value } else { number.value };
            let kind = ExprKind::Number(NumberLiteral { value, ..number });
            return Ok(Parsed::leaf(Expr { span, kind }));
        }
        let unary = Unary { op, expr: operand.expr };
        self.node(Expr { span, kind: ExprKind::Unary(Box::new(unary)) }, operand.depth)
    }

    /// A primary expression with ranges, offsets and `@` behind it.
    fn postfix(&mut self) -> Result<Parsed, ParseError> {
        let parsed = self.primary()?;
        self.modified(parsed)
    }

    /// An expression with what stands behind it.
    fn modified(&mut self, mut parsed: Parsed) -> Result<Parsed, ParseError> {
        loop {
            parsed = match self.kind() {
                TokenKind::LeftBracket => self.brackets(parsed)?,
                TokenKind::At => self.at_modifier(parsed)?,
                TokenKind::Ident => match self.keyword().as_deref() {
                    Some("offset") => self.offset_modifier(parsed)?,
                    Some(word @ ("anchored" | "smoothed")) => {
                        self.boundary_modifier(parsed, word)?
                    }
                    _ => return Ok(parsed),
                },
                _ => return Ok(parsed),
            };
        }
    }

    fn primary(&mut self) -> Result<Parsed, ParseError> {
        let token = self.token();
        match token.kind {
            TokenKind::Number { value, is_duration } => {
                self.take();
                let kind = ExprKind::Number(NumberLiteral { value, is_duration });
                Ok(Parsed::leaf(Expr { span: token.span, kind }))
            }
            TokenKind::Text => {
                self.take();
                let bytes = swell_model::unquote_bytes(self.text(token))
                    .map_err(|what| self.unquote_fault(token, what))?;
                let kind = ExprKind::Text(TextLiteral { bytes });
                Ok(Parsed::leaf(Expr { span: token.span, kind }))
            }
            TokenKind::LeftParen => {
                self.take();
                let inner = self.binary(0)?;
                let close = self.expect(TokenKind::RightParen, "", "\")\"")?;
                let span = token.span.to(close.span);
                self.node(Expr { span, kind: ExprKind::Paren(Box::new(inner.expr)) }, inner.depth)
            }
            TokenKind::LeftBrace => self.vector_selector(false).map(Parsed::leaf),
            TokenKind::Ident => self.named(token),
            _ => Err(self.unexpected("", "")),
        }
    }

    /// What begins with a name: a number in words, an aggregation, a call, or a selector.
    fn named(&mut self, token: Token) -> Result<Parsed, ParseError> {
        let text = self.text(token);
        let next = self.kind_ahead(1);
        if let Some(value) = literal::number_word(text) {
            self.take();
            let kind = ExprKind::Number(NumberLiteral { value, is_duration: false });
            return Ok(Parsed::leaf(Expr { span: token.span, kind }));
        }
        let keyword = text.to_ascii_lowercase();
        if let Some(op) = AggregateOp::from_keyword(&keyword)
            && self.aggregate_follows()
        {
            return self.aggregate(op);
        }
        if next == TokenKind::LeftParen {
            return self.call();
        }
        if selector::is_reserved(&keyword) {
            return Err(self.unexpected("", ""));
        }
        self.vector_selector(false).map(Parsed::leaf)
    }

    fn unquoted(&self, token: Token) -> Result<String, ParseError> {
        swell_model::unquote(self.text(token)).map_err(|what| self.unquote_fault(token, what))
    }

    fn unquote_fault(&self, token: Token, what: LiteralFault) -> ParseError {
        let shown: String = self.text(token).chars().take(80).collect();
        self.fault(token.span, format!("error unquoting string {shown}: {what}"))
    }
}
