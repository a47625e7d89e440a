//! What a source tells: addresses with labels.

use std::collections::BTreeMap;

/// Targets with common labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// Labels under construction.
pub(crate) type LabelMap = BTreeMap<String, String>;

/// Labels as JSON or YAML gives them.
pub(crate) type ListedLabels = BTreeMap<String, Option<String>>;

impl TargetGroup {
    /// A group of a list that JSON or YAML gives; what is null in it says nothing.
    pub(crate) fn of_list(targets: Option<Vec<String>>, labels: Option<ListedLabels>) -> Self {
        let labels = labels.unwrap_or_default().into_iter();
        Self {
            targets: targets.unwrap_or_default(),
            labels: labels.map(|(name, value)| (name, value.unwrap_or_default())).collect(),
        }
    }

    /// One target with labels of its own on top of common ones.
    pub(crate) fn of_one(address: String, common: &LabelMap, own: LabelMap) -> Self {
        let mut labels = common.clone();
        labels.extend(own);
        Self { targets: vec![address], labels }
    }
}
