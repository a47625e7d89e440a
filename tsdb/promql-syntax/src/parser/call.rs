//! Function calls and argument lists.

use super::{Parsed, Parser};
use crate::ast::{Call, Expr, ExprKind};
use crate::error::ParseError;
use crate::functions::Function;
use crate::span::Span;
use crate::token::TokenKind;

impl Parser<'_> {
    /// The second argument of `info()`: conditions that need not select anything by themselves. What stands behind them
    /// has no effect, but may stand there. A name in them is a condition like others, and no metric's name.
    fn label_selector(&mut self) -> Result<Parsed, ParseError> {
        let mut expr = self.vector_selector(true)?;
        if let ExprKind::Vector(selector) = &mut expr.kind {
            selector.name = None;
        }
        self.modified(Parsed::leaf(expr))
    }

    pub(super) fn call(&mut self) -> Result<Parsed, ParseError> {
        let name = self.take();
        let text = self.text(name);
        let function = Function::find(text).ok_or_else(|| {
            self.fault(
                name.span,
                format!("unknown function with name {}", swell_model::quote(text)),
            )
        })?;
        self.take();
        let (args, close, depth) = self.args(Some(function))?;
        let expr =
            Expr { span: name.span.to(close), kind: ExprKind::Call(Call { function, args }) };
        self.node(expr, depth)
    }

    /// Arguments up to the closing parenthesis, whose span is given too, with the depth of the deepest.
    pub(super) fn args(
        &mut self,
        function: Option<&Function>,
    ) -> Result<(Vec<Expr>, Span, usize), ParseError> {
        let mut args = Vec::new();
        let mut depth = 0;
        if let Some(close) = self.take_if(TokenKind::RightParen) {
            return Ok((args, close.span, depth));
        }
        loop {
            let is_label_selector = args.len() == 1
                && function.is_some_and(|function| function.name == "info")
                && self.kind() == TokenKind::LeftBrace;
            let arg = if is_label_selector { self.label_selector()? } else { self.binary(0)? };
            depth = depth.max(arg.depth);
            args.push(arg.expr);
            if let Some(close) = self.take_if(TokenKind::RightParen) {
                return Ok((args, close.span, depth));
            }
            let comma = self.expect(TokenKind::Comma, "", "\",\" or \")\"")?;
            if self.kind() == TokenKind::RightParen {
                return Err(
                    self.fault(comma.span, "trailing commas not allowed in function call args")
                );
            }
        }
    }
}
