//! Duration expressions: in ranges and steps any arithmetic, after `offset` one signed term.

use super::Parser;
use crate::ast::{BinaryOp, DurationExpr, DurationKind, NumberLiteral, UnaryOp};
use crate::error::ParseError;
use crate::span::Span;
use crate::token::TokenKind;

/// The longest duration that can be written: Prometheus counts them in nanoseconds, in 64 bits.
const SECONDS_MAX: f64 = 9_223_372_036_854_775_808.0 / 1e9;

impl Parser<'_> {
    /// A duration expression whose operators bind at least as strongly as `precedence_min`.
    pub(super) fn duration(
        &mut self,
        precedence_min: u8,
        context: &str,
    ) -> Result<DurationExpr, ParseError> {
        self.enter()?;
        let mut lhs = self.signed_duration(context)?;
        let mut links = 0;
        while let Some(op) = self.binary_op_of(self.token()) {
            let arithmetic = op.precedence() >= BinaryOp::Add.precedence() && op != BinaryOp::Atan2;
            if !arithmetic || op.precedence() < precedence_min {
                break;
            }
            links += 1;
            if self.nesting + links > super::NESTING_MAX {
                return Err(self.too_deep(lhs.span));
            }
            self.take();
            let right_min = if op == BinaryOp::Pow { op.precedence() } else { op.precedence() + 1 };
            let rhs = self.duration(right_min, context)?;
            let span = lhs.span.to(rhs.span);
            lhs =
                DurationExpr { span, kind: DurationKind::Binary(op, Box::new(lhs), Box::new(rhs)) };
        }
        self.leave();
        Ok(lhs)
    }

    /// A duration expression for a range or step. One that is a plain number must be positive; of the others that is
    /// known only once the query's step and range are.
    pub(super) fn positive_duration(&mut self, context: &str) -> Result<DurationExpr, ParseError> {
        let duration = self.duration(0, context)?;
        match duration.kind {
            DurationKind::Number(number) if number.value.is_nan() || number.value <= 0.0 => {
                Err(self.fault(duration.span, "duration must be greater than 0"))
            }
            _ => Ok(duration),
        }
    }

    fn signed_duration(&mut self, context: &str) -> Result<DurationExpr, ParseError> {
        let Some((op, start)) = self.take_sign() else { return self.duration_term(context) };
        let operand = self.duration(BinaryOp::Pow.precedence(), context)?;
        Ok(signed(start, op, operand))
    }

    /// What `offset` takes: a term with an optional sign; operators behind it belong to the expression.
    pub(super) fn offset_duration(&mut self) -> Result<DurationExpr, ParseError> {
        const CONTEXT: &str = "offset";
        let Some((op, start)) = self.take_sign() else { return self.duration_term(CONTEXT) };
        let operand = self.duration_term(CONTEXT)?;
        Ok(signed(start, op, operand))
    }

    fn duration_term(&mut self, context: &str) -> Result<DurationExpr, ParseError> {
        let token = self.token();
        match token.kind {
            TokenKind::Number { value, is_duration } => {
                if value > SECONDS_MAX {
                    return Err(self.fault(token.span, "duration out of range"));
                }
                self.take();
                let kind = DurationKind::Number(NumberLiteral { value, is_duration });
                Ok(DurationExpr { span: token.span, kind })
            }
            TokenKind::LeftParen => {
                self.take();
                let inner = self.duration(0, context)?;
                let close = self.expect(TokenKind::RightParen, context, "\")\"")?;
                let kind = DurationKind::Paren(Box::new(inner));
                Ok(DurationExpr { span: token.span.to(close.span), kind })
            }
            TokenKind::Ident if self.kind_ahead(1) == TokenKind::LeftParen => {
                self.duration_function(context)
            }
            _ => Err(self.unexpected(context, "number, duration, step(), or range()")),
        }
    }

    fn duration_function(&mut self, context: &str) -> Result<DurationExpr, ParseError> {
        let name = self.token();
        let keyword = self.keyword();
        let keyword = keyword.as_deref().unwrap_or("");
        if !matches!(keyword, "step" | "range" | "min_of" | "max_of") {
            return Err(self.unexpected(context, "number, duration, step(), or range()"));
        }
        self.take();
        self.take();
        let kind = match keyword {
            "step" => DurationKind::Step,
            "range" => DurationKind::Range,
            _ => {
                let lhs = Box::new(self.duration(0, context)?);
                self.expect(TokenKind::Comma, context, "\",\"")?;
                let rhs = Box::new(self.duration(0, context)?);
                if keyword == "min_of" {
                    DurationKind::Min(lhs, rhs)
                } else {
                    DurationKind::Max(lhs, rhs)
                }
            }
        };
        let close = self.expect(TokenKind::RightParen, context, "\")\"")?;
        Ok(DurationExpr { span: name.span.to(close.span), kind })
    }
}

/// A literal takes its sign in; anything else is wrapped.
fn signed(start: Span, op: UnaryOp, operand: DurationExpr) -> DurationExpr {
    let span = start.to(operand.span);
    let kind = match operand.kind {
        DurationKind::Number(number) => {
            let value = if op == UnaryOp::Minus { -number.value } else { number.value };
            DurationKind::Number(NumberLiteral { value, ..number })
        }
        kind => DurationKind::Unary(op, Box::new(DurationExpr { span: operand.span, kind })),
    };
    DurationExpr { span, kind }
}
