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

impl TargetGroup {
    /// One target with labels of its own on top of common ones.
    pub(crate) fn of_one(address: String, common: &LabelMap, own: LabelMap) -> Self {
        let mut labels = common.clone();
        labels.extend(own);
        Self { targets: vec![address], labels }
    }
}
