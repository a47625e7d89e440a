//! Relabel rules as a function from labels to labels (Prometheus' `relabel_configs`).
//!
//! A [`Rule`] is checked when it is built, so that applying it cannot fail. [`apply`] runs rules in order on a
//! builder and tells whether the target or series stays.

mod rule;

pub use rule::{Action, PATTERN, REPLACEMENT, Rule, RuleError, RuleSpec, SEPARATOR};

use swell_model::LabelsBuilder;

/// Applies rules in order; `false` when one of them dropped the labels.
#[must_use]
pub fn apply(rules: &[Rule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

#[cfg(test)]
mod tests;
