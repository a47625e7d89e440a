//! What stands behind a selector: `[5m]`, `[1h:1m]`, `offset`, `@`, `anchored`, `smoothed`.

use swell_model::TimestampMs;

use super::{Parsed, Parser};
use crate::ast::{
    AtModifier, Boundary, DurationExpr, Expr, ExprKind, MatrixSelector, Subquery, UnaryOp,
};
use crate::error::ParseError;
use crate::literal;
use crate::span::Span;
use crate::token::TokenKind;

impl Parser<'_> {
    pub(super) fn brackets(&mut self, before: Parsed) -> Result<Parsed, ParseError> {
        const CONTEXT: &str = "subquery or range";
        let open = self.take().span;
        let range = self.positive_duration("subquery or range selector")?;
        if self.take_if(TokenKind::Colon).is_some() {
            let step = if self.kind() == TokenKind::RightBracket {
                None
            } else {
                Some(self.positive_duration("subquery selector")?)
            };
            let close = self.expect(TokenKind::RightBracket, "subquery selector", "\"]\"")?.span;
            let span = before.expr.span.to(close);
            let subquery = Subquery { expr: before.expr, range, step, offset: None, at: None };
            let kind = ExprKind::Subquery(Box::new(subquery));
            return self.node(Expr { span, kind }, before.depth);
        }
        let close = self.expect(TokenKind::RightBracket, CONTEXT, "\":\" or \"]\"")?.span;
        let refuse = |what: &str| Err(self.fault(open.to(close), what));
        let selector_span = before.expr.span;
        let ExprKind::Vector(selector) = before.expr.kind else {
            return refuse("ranges only allowed for vector selectors");
        };
        if selector.offset.is_some() {
            return refuse("no offset modifiers allowed before range");
        }
        if selector.at.is_some() {
            return refuse("no @ modifiers allowed before range");
        }
        if selector.boundary != Boundary::Plain {
            return refuse("no anchored or smoothed modifiers allowed before range");
        }
        let matrix = MatrixSelector { selector: *selector, selector_span, range };
        Ok(Parsed::leaf(Expr {
            span: selector_span.to(close),
            kind: ExprKind::Matrix(Box::new(matrix)),
        }))
    }

    pub(super) fn offset_modifier(&mut self, mut before: Parsed) -> Result<Parsed, ParseError> {
        let word = self.take().span;
        let offset = self.offset_duration()?;
        let end = offset.span;
        let Some((slot, _)) = time_modifiers(&mut before.expr) else {
            return Err(self.fault(
                before.expr.span,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if slot.is_some() {
            return Err(self.fault(word, "offset may not be set multiple times"));
        }
        *slot = Some(offset);
        before.expr.span = before.expr.span.to(end);
        Ok(before)
    }

    pub(super) fn at_modifier(&mut self, mut before: Parsed) -> Result<Parsed, ParseError> {
        let sign = self.take().span;
        let (at, end) = self.at_value()?;
        let Some((_, slot)) = time_modifiers(&mut before.expr) else {
            return Err(self.fault(
                before.expr.span,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            ));
        };
        if slot.is_some() {
            return Err(self.fault(sign, "@ <timestamp> may not be set multiple times"));
        }
        *slot = Some(at);
        before.expr.span = before.expr.span.to(end);
        Ok(before)
    }

    fn at_value(&mut self) -> Result<(AtModifier, Span), ParseError> {
        const CONTEXT: &str = "@";
        let is_negative = self.take_sign().is_some_and(|(op, _)| op == UnaryOp::Minus);
        let token = self.token();
        let seconds = match token.kind {
            TokenKind::Number { value, .. } => value,
            TokenKind::Ident => {
                let keyword = self.keyword();
                let fixed = match keyword.as_deref() {
                    Some("start") => AtModifier::Start,
                    Some("end") => AtModifier::End,
                    word => {
                        if word.and_then(literal::number_word).is_some() {
                            return Err(self.timestamp_fault(token.span));
                        }
                        return Err(self.unexpected(CONTEXT, "timestamp"));
                    }
                };
                self.take();
                self.expect(TokenKind::LeftParen, CONTEXT, "\"(\"")?;
                let close = self.expect(TokenKind::RightParen, CONTEXT, "\")\"")?;
                return Ok((fixed, close.span));
            }
            _ => return Err(self.unexpected(CONTEXT, "timestamp")),
        };
        self.take();
        let millis = (if is_negative { -seconds } else { seconds } * 1000.0).round();
        // i64::MAX is no float; the largest float below it bounds what fits.
        #[expect(clippy::cast_precision_loss, reason = "the bounds need not be exact")]
        let fits = millis > i64::MIN as f64 && millis < i64::MAX as f64;
        if !fits {
            return Err(self.timestamp_fault(token.span));
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
        let millis = millis as i64;
        Ok((AtModifier::Timestamp(TimestampMs(millis)), token.span))
    }

    fn timestamp_fault(&self, span: Span) -> ParseError {
        self.fault(
            span,
            format!("timestamp out of bounds for @ modifier: {}", span.text(self.query)),
        )
    }

    pub(super) fn boundary_modifier(
        &mut self,
        mut before: Parsed,
        word: &str,
    ) -> Result<Parsed, ParseError> {
        let span = self.take().span;
        let wanted = if word == "anchored" { Boundary::Anchored } else { Boundary::Smoothed };
        let selector = match &mut before.expr.kind {
            ExprKind::Vector(selector) => selector,
            ExprKind::Matrix(matrix) => &mut matrix.selector,
            ExprKind::Subquery(_) => {
                return Err(
                    self.fault(span, format!("{word} modifier is not supported for subqueries"))
                );
            }
            _ => {
                return Err(self.fault(span, format!("{word} modifier not implemented")));
            }
        };
        if selector.boundary != Boundary::Plain && selector.boundary != wanted {
            let message = "anchored and smoothed modifiers cannot be used together";
            return Err(self.fault(span, message));
        }
        selector.boundary = wanted;
        before.expr.span = before.expr.span.to(span);
        Ok(before)
    }
}

/// The places of `offset` and `@` of an expression that can have them.
fn time_modifiers(expr: &mut Expr) -> Option<(&mut Option<DurationExpr>, &mut Option<AtModifier>)> {
    match &mut expr.kind {
        ExprKind::Vector(selector) => Some((&mut selector.offset, &mut selector.at)),
        ExprKind::Matrix(matrix) => Some((&mut matrix.selector.offset, &mut matrix.selector.at)),
        ExprKind::Subquery(subquery) => Some((&mut subquery.offset, &mut subquery.at)),
        _ => None,
    }
}
