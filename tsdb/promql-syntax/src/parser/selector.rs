//! Vector selectors: a name, matchers in braces.

use swell_model::{METRIC_NAME, MatchOp, Matcher};

use super::Parser;
use crate::ast::{Boundary, Expr, ExprKind, VectorSelector};
use crate::error::ParseError;
use crate::span::Span;
use crate::token::TokenKind;

/// Whether a word in lower case has a meaning of its own somewhere in the language.
pub(super) fn is_keyword(word: &str) -> bool {
    is_reserved(word)
        || matches!(
            word,
            "by" | "without"
                | "offset"
                | "anchored"
                | "smoothed"
                | "fill"
                | "fill_left"
                | "fill_right"
                | "start"
                | "end"
                | "step"
                | "range"
        )
}

/// Whether a word in lower case cannot be a metric's name without quotes.
pub(super) fn is_reserved(word: &str) -> bool {
    matches!(word, "bool" | "on" | "ignoring" | "group_left" | "group_right" | "atan2")
}

impl Parser<'_> {
    /// A selector without modifiers. `may_be_empty` lifts the rule that it must name something.
    pub(super) fn vector_selector(&mut self, may_be_empty: bool) -> Result<Expr, ParseError> {
        let start = self.token();
        let mut matchers = Vec::new();
        let mut name = None;
        if start.kind == TokenKind::Ident {
            let text = self.text(start).to_owned();
            matchers.push(Matcher::equal(METRIC_NAME, text.clone()));
            name = Some(text);
            self.take();
        } else if start.kind != TokenKind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        let mut span = start.span;
        if self.take_if(TokenKind::LeftBrace).is_some() {
            let outside = matchers.len();
            let close = self.label_matchers(&mut name, &mut matchers)?;
            span = span.to(close);
            let mut named = matchers[outside..].iter().filter(|it| it.name == METRIC_NAME);
            if outside > 0
                && let (Some(first), Some(second)) = (&name, named.next())
            {
                return Err(self.name_twice(span, first, &second.value));
            }
            // Of several names in braces none is the name: all have to hold.
            if outside == 0 && named.nth(1).is_some() {
                name = None;
            }
        }
        if !may_be_empty && matchers.iter().all(Matcher::matches_empty) {
            let message = "vector selector must contain at least one non-empty matcher";
            return Err(self.fault(span, message));
        }
        let selector =
            VectorSelector { name, matchers, offset: None, at: None, boundary: Boundary::Plain };
        Ok(Expr { span, kind: ExprKind::Vector(Box::new(selector)) })
    }

    /// Conditions up to the closing brace, whose span is given.
    fn label_matchers(
        &mut self,
        name: &mut Option<String>,
        matchers: &mut Vec<Matcher>,
    ) -> Result<Span, ParseError> {
        const CONTEXT: &str = "label matching";
        loop {
            if let Some(close) = self.take_if(TokenKind::RightBrace) {
                return Ok(close.span);
            }
            let label = self.token();
            let (label_name, quoted) = match label.kind {
                TokenKind::Ident => (self.text(label).to_owned(), false),
                TokenKind::Text => (self.unquoted(label)?, true),
                _ => return Err(self.unexpected(CONTEXT, "identifier or \"}\"")),
            };
            self.take();
            match self.match_op() {
                Some(op) => {
                    self.take();
                    matchers.push(self.matcher(label.span, label_name, op)?);
                }
                None if quoted
                    && matches!(self.kind(), TokenKind::Comma | TokenKind::RightBrace) =>
                {
                    matchers.push(Matcher::equal(METRIC_NAME, label_name.clone()));
                    name.get_or_insert(label_name);
                }
                None => return Err(self.unexpected(CONTEXT, "label matching operator")),
            }
            if self.kind() != TokenKind::RightBrace {
                self.expect(TokenKind::Comma, CONTEXT, "\",\" or \"}\"")?;
            }
        }
    }

    fn match_op(&self) -> Option<MatchOp> {
        Some(match self.kind() {
            TokenKind::Assign => MatchOp::Equal,
            TokenKind::NotEqual => MatchOp::NotEqual,
            TokenKind::RegexEqual => MatchOp::Regex,
            TokenKind::RegexNotEqual => MatchOp::NotRegex,
            _ => return None,
        })
    }

    /// The value of a condition whose label stands at `label`, where a fault of the pattern is told, as upstream.
    fn matcher(
        &mut self,
        label: Span,
        label_name: String,
        op: MatchOp,
    ) -> Result<Matcher, ParseError> {
        let token = self.expect(TokenKind::Text, "label matching", "string")?;
        let value = self.unquoted(token)?;
        Matcher::new(label_name, op, value)
            .map_err(|error| self.fault(label.to(token.span), error.source.to_string()))
    }

    fn name_twice(&self, span: Span, first: &str, second: &str) -> ParseError {
        self.fault(
            span,
            format!(
                "metric name must not be set twice: {} or {}",
                swell_model::quote(first),
                swell_model::quote(second)
            ),
        )
    }
}
