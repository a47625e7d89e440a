//! Why a query text was refused, and where.

use crate::span::{Position, Span};

/// A query that does not parse or does not type-check.
///
/// Prints as Prometheus does: `1:5: parse error: unexpected end of input in aggregation, expected "("`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{position}: parse error: {message}")]
pub struct ParseError {
    /// The offending text.
    pub span: Span,
    /// Line and column of the offending text.
    pub position: Position,
    /// What is wrong and what was expected.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        Self { span, position: span.position(query), message: message.into() }
    }
}
