//! What stands between a binary operator and its right side: `bool`, `on`, `group_left`, `fill` and so on.

use super::Parser;
use crate::ast::{BinaryOp, Cardinality, Expr, NumberLiteral, UnaryOp, ValueType, VectorMatching};
use crate::error::ParseError;
use crate::literal;
use crate::span::Span;
use crate::token::TokenKind;

#[derive(Default)]
pub(super) struct BinaryModifiers {
    pub(super) return_bool: bool,
    matching: VectorMatching,
    /// Span of `on`, `ignoring`, `group_*` or `fill*`, if there is one.
    explicit: Option<Span>,
}

impl Parser<'_> {
    pub(super) fn binary_modifiers(&mut self, op: BinaryOp) -> Result<BinaryModifiers, ParseError> {
        let mut modifiers = BinaryModifiers::default();
        if self.keyword().as_deref() == Some("bool") {
            let span = self.take().span;
            if !op.is_comparison() {
                let message = "bool modifier can only be used on comparison operators";
                return Err(self.fault(span, message));
            }
            modifiers.return_bool = true;
        }
        let keyword = self.keyword();
        if let Some(word @ ("on" | "ignoring")) = keyword.as_deref() {
            modifiers.explicit = Some(self.take().span);
            modifiers.matching.on = word == "on";
            modifiers.matching.labels = self.label_list()?;
            let keyword = self.keyword();
            if let Some(word @ ("group_left" | "group_right")) = keyword.as_deref() {
                self.group_modifier(op, word == "group_left", &mut modifiers)?;
            }
        }
        while self.kind_ahead(1) == TokenKind::LeftParen {
            let keyword = self.keyword();
            let Some(word @ ("fill" | "fill_left" | "fill_right")) = keyword.as_deref() else {
                break;
            };
            let matching = &modifiers.matching;
            let (sets_left, sets_right) = (word != "fill_right", word != "fill_left");
            if (sets_left && matching.fill_left.is_some())
                || (sets_right && matching.fill_right.is_some())
            {
                return Err(self.unexpected("", ""));
            }
            let span = self.take().span;
            if op.is_set() {
                let message = "filling in missing series not allowed for set operators";
                return Err(self.fault(span, message));
            }
            let value = self.fill_value()?;
            modifiers.explicit = modifiers.explicit.or(Some(span));
            let matching = &mut modifiers.matching;
            if sets_left {
                matching.fill_left = Some(value);
            }
            if sets_right {
                matching.fill_right = Some(value);
            }
        }
        Ok(modifiers)
    }

    fn group_modifier(
        &mut self,
        op: BinaryOp,
        left: bool,
        modifiers: &mut BinaryModifiers,
    ) -> Result<(), ParseError> {
        let span = self.take().span;
        if op.is_set() {
            return Err(
                self.fault(span, format!("no grouping allowed for \"{}\" operation", op.as_str()))
            );
        }
        let matching = &mut modifiers.matching;
        matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
        if self.kind() == TokenKind::LeftParen {
            matching.include = self.label_list()?;
        }
        if matching.on {
            let twice = matching.labels.iter().find(|label| matching.include.contains(label));
            if let Some(label) = twice {
                return Err(self.fault(
                    span,
                    format!(
                        "label {} must not occur in ON and GROUP clause at once",
                        swell_model::quote(label)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn fill_value(&mut self) -> Result<NumberLiteral, ParseError> {
        const CONTEXT: &str = "fill";
        self.take();
        let is_negative = self.take_sign().is_some_and(|(op, _)| op == UnaryOp::Minus);
        let token = self.token();
        let number = match token.kind {
            TokenKind::Number { value, is_duration } => Some(NumberLiteral { value, is_duration }),
            TokenKind::Ident => literal::number_word(self.text(token))
                .map(|value| NumberLiteral { value, is_duration: false }),
            _ => None,
        };
        let mut number = number.ok_or_else(|| self.unexpected(CONTEXT, "number"))?;
        if is_negative {
            number.value = -number.value;
        }
        self.take();
        self.expect(TokenKind::RightParen, CONTEXT, "\")\"")?;
        Ok(number)
    }
}

impl BinaryModifiers {
    /// The matching of the two sides, `None` when one is a scalar.
    pub(super) fn matching_for(
        &self,
        parser: &Parser<'_>,
        op: BinaryOp,
        lhs: &Expr,
        rhs: &Expr,
    ) -> Result<Option<VectorMatching>, ParseError> {
        let vectors = [lhs, rhs].iter().all(|side| side.value_type() == ValueType::Vector);
        if !vectors {
            // An empty list of labels says nothing, and is taken as said.
            let VectorMatching { labels, fill_left, fill_right, .. } = &self.matching;
            let refused = if !labels.is_empty() {
                "vector matching only allowed between instant vectors"
            } else if fill_left.is_some() || fill_right.is_some() {
                "filling in missing series only allowed between instant vectors"
            } else {
                return Ok(None);
            };
            return match self.explicit {
                Some(span) => Err(parser.fault(span, refused)),
                None => Ok(None),
            };
        }
        let mut matching = self.matching.clone();
        if op.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        Ok(Some(matching))
    }
}
