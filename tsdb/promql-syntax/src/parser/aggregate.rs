//! Aggregations and label lists.

use super::{Parsed, Parser};
use crate::ast::{Aggregate, AggregateOp, Expr, ExprKind};
use crate::error::ParseError;
use crate::token::TokenKind;

/// A `by` or `without` clause.
struct Grouping {
    labels: Vec<String>,
    without: bool,
}

impl Parser<'_> {
    /// Whether the name at the current token starts an aggregation rather than being a metric's.
    pub(super) fn aggregate_follows(&self) -> bool {
        match self.kind_ahead(1) {
            TokenKind::LeftParen => true,
            TokenKind::Ident => {
                let next = self.text(self.tokens[self.at + 1]);
                next.eq_ignore_ascii_case("by") || next.eq_ignore_ascii_case("without")
            }
            _ => false,
        }
    }

    pub(super) fn aggregate(&mut self, op: AggregateOp) -> Result<Parsed, ParseError> {
        let start = self.take().span;
        let before = self.grouping()?;
        self.expect(TokenKind::LeftParen, "aggregation", "\"(\"")?;
        let (args, close, depth) = self.args(None)?;
        let span = start.to(close);
        let (grouping, end) = match before {
            Some(grouping) => (grouping, close),
            None => match self.grouping()? {
                Some(grouping) => (grouping, self.tokens[self.at - 1].span),
                None => (Grouping { labels: Vec::new(), without: false }, close),
            },
        };
        let wanted = if op.param_type().is_some() { 2 } else { 1 };
        if args.is_empty() {
            return Err(self.fault(span, "no arguments for aggregate expression provided"));
        }
        if args.len() != wanted {
            return Err(self.fault(
                span,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                    args.len()
                ),
            ));
        }
        let mut args = args.into_iter();
        let param = if wanted == 2 { args.next() } else { None };
        let expr = args.next().expect("the number of arguments was checked");
        let aggregate =
            Aggregate { op, param, expr, grouping: grouping.labels, without: grouping.without };
        let kind = ExprKind::Aggregate(Box::new(aggregate));
        self.node(Expr { span: start.to(end), kind }, depth)
    }

    fn grouping(&mut self) -> Result<Option<Grouping>, ParseError> {
        let without = match self.keyword().as_deref() {
            Some("by") => false,
            Some("without") => true,
            _ => return Ok(None),
        };
        self.take();
        Ok(Some(Grouping { labels: self.label_list()?, without }))
    }

    /// `(a, b, "c.d")`, a trailing comma allowed.
    pub(super) fn label_list(&mut self) -> Result<Vec<String>, ParseError> {
        const CONTEXT: &str = "grouping opts";
        self.expect(TokenKind::LeftParen, CONTEXT, "\"(\"")?;
        let mut labels = Vec::new();
        loop {
            if self.take_if(TokenKind::RightParen).is_some() {
                return Ok(labels);
            }
            let token = self.token();
            match token.kind {
                TokenKind::Ident if !self.text(token).contains(':') => {
                    labels.push(self.text(token).to_owned());
                }
                TokenKind::Text => {
                    let label = self.unquoted(token)?;
                    if label.is_empty() {
                        return Err(self.unexpected(CONTEXT, "label"));
                    }
                    labels.push(label);
                }
                _ => return Err(self.unexpected(CONTEXT, "label")),
            }
            self.take();
            if self.kind() != TokenKind::RightParen {
                self.expect(TokenKind::Comma, CONTEXT, "\",\" or \")\"")?;
            }
        }
    }
}
