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

/// Labels as JSON or YAML gives them; null is an empty text.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(try_from = "BTreeMap<String, Option<String>>")]
pub(crate) struct ListedLabels(LabelMap);

impl TryFrom<BTreeMap<String, Option<String>>> for ListedLabels {
    type Error = &'static str;

    fn try_from(labels: BTreeMap<String, Option<String>>) -> Result<Self, Self::Error> {
        if labels.contains_key("") {
            return Err("a label has no name");
        }
        let labels = labels.into_iter();
        Ok(Self(labels.map(|(name, value)| (name, value.unwrap_or_default())).collect()))
    }
}

impl TargetGroup {
    /// A group of a list that JSON or YAML gives; what is null in it says nothing.
    pub(crate) fn of_list(targets: Option<Vec<String>>, labels: Option<ListedLabels>) -> Self {
        Self { targets: targets.unwrap_or_default(), labels: labels.unwrap_or_default().0 }
    }

    /// One target with labels of its own on top of common ones.
    pub(crate) fn of_one(address: String, common: &LabelMap, own: LabelMap) -> Self {
        let mut labels = common.clone();
        labels.extend(own);
        Self { targets: vec![address], labels }
    }
}
