//! PromQL as text: tokens, the tree with source positions on every node, type checks, and the printers of trees, numbers and
//! histograms.
//!
//! [`parse`] takes a query of at most [`QUERY_BYTES_MAX`] bytes and gives a tree at most [`DEPTH_MAX`] deep, or a
//! [`ParseError`] that names line, column and what was expected. Printing an [`Expr`] gives text that parses to
//! the same tree. The language is that of Prometheus 3.14; whether an experimental part of it may be used is for
//! the evaluation to decide.

mod ast;
mod check;
mod error;
mod functions;
mod histogram_text;
mod literal;
mod parser;
mod pretty;
mod printer;
mod series;
mod span;
#[cfg(test)]
mod tests;
mod token;

pub use ast::{
    Aggregate, AggregateOp, AtModifier, Binary, BinaryOp, Boundary, Call, Cardinality,
    DurationExpr, DurationKind, Expr, ExprKind, MatrixSelector, NumberLiteral, Subquery,
    TextLiteral, Unary, UnaryOp, ValueType, VectorMatching, VectorSelector,
};
pub use error::ParseError;
pub use functions::{Function, Variadic};
pub use histogram_text::histogram_text;
pub use literal::{format_float, format_float_short, parse_duration_seconds, parse_number};
pub use parser::{
    DEPTH_MAX, QUERY_BYTES_MAX, parse, parse_any_selector, parse_metric, parse_selector,
};
pub use pretty::Pretty;
pub use printer::format_label_name;
pub use series::{format_histogram, parse_series_values};
pub use span::{Position, Span};
