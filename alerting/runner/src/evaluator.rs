//! What rules need of a query engine.

use swell_model::TimestampMs;
use swell_promql_syntax::Expr;
use swell_rules::InstantValue;

/// Evaluates queries. Called from blocking threads, several at once.
pub trait RuleEvaluator: Send + Sync {
    /// The value of an expression at one instant.
    ///
    /// # Errors
    /// A message for the user; the rule counts as failed.
    fn instant(&self, expr: &Expr, at: TimestampMs) -> Result<InstantValue, String>;
}
