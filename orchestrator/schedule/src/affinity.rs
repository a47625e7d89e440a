//! Requirements on a node's labels and name.

use std::collections::BTreeMap;

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// One of the values.
    In,
    /// Missing, or none of the values.
    NotIn,
    /// There.
    Exists,
    /// Missing.
    DoesNotExist,
    /// A number greater than the only value.
    Gt,
    /// A number less than the only value.
    Lt,
}

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Comparison.
    pub operator: Operator,
    /// Values.
    pub values: Vec<String>,
}

impl Requirement {
    fn holds(&self, found: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|candidate| candidate == value);
        let number = |text: &str| text.parse::<i64>().ok();
        let bound = self.values.first().and_then(|value| number(value));
        match self.operator {
            Operator::In => found.is_some_and(listed),
            Operator::NotIn => !found.is_some_and(listed),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::Gt => {
                found.and_then(number).zip(bound).is_some_and(|(value, bound)| value > bound)
            }
            Operator::Lt => {
                found.and_then(number).zip(bound).is_some_and(|(value, bound)| value < bound)
            }
        }
    }
}

/// Requirements that hold together. A term without any matches no node, as in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelectorTerm {
    /// On labels.
    pub expressions: Vec<Requirement>,
    /// On `metadata.name`.
    pub names: Vec<Requirement>,
}

impl NodeSelectorTerm {
    pub(crate) fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        if self.expressions.is_empty() && self.names.is_empty() {
            return false;
        }
        self.expressions
            .iter()
            .all(|requirement| requirement.holds(labels.get(&requirement.key).map(String::as_str)))
            && self.names.iter().all(|requirement| requirement.holds(Some(name)))
    }
}
