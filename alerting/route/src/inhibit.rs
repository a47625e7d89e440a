//! Inhibition: a firing alert mutes others (spec 2.5).

use swell_model::{Labels, Matcher};

use crate::alert::{Alert, Fingerprint};
use crate::matchers::matches_all;

/// One inhibition rule.
#[derive(Clone, Debug, PartialEq)]
pub struct InhibitRule {
    /// Name, if given.
    pub name: Option<String>,
    /// Alerts that mute.
    pub source: Vec<Matcher>,
    /// Alerts that are muted.
    pub target: Vec<Matcher>,
    /// Labels that must be equal on both; an absent one is empty.
    pub equal: Vec<String>,
}

/// The alert among `firing` (none of them resolved) that mutes `labels`, if any.
#[must_use]
pub fn inhibited_by<'a>(
    rules: &[InhibitRule],
    labels: &Labels,
    firing: impl Iterator<Item = &'a Alert> + Clone,
) -> Option<Fingerprint> {
    let applicable = rules.iter().filter(|rule| matches_all(&rule.target, labels));
    for rule in applicable {
        let both_sides = matches_all(&rule.source, labels);
        let source = firing.clone().find(|source| {
            matches_all(&rule.source, &source.labels)
                && rule.equal.iter().all(|name| source.labels.get(name) == labels.get(name))
                && !(both_sides && matches_all(&rule.target, &source.labels))
        });
        if let Some(source) = source {
            return Some(source.fingerprint());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use swell_model::TimestampMs;

    use super::*;

    #[test]
    fn sources_mute_targets_with_equal_labels() {
        let alert = |pairs: &[(&str, &str)]| Alert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: BTreeMap::new(),
            starts_at: TimestampMs(0),
            ends_at: TimestampMs(100),
            updated_at: TimestampMs(0),
            generator_url: String::new(),
            timeout: false,
        };
        let rule = InhibitRule {
            name: None,
            source: vec![Matcher::equal("sev", "critical")],
            target: vec![Matcher::equal("team", "a")],
            equal: vec!["cluster".into()],
        };
        let critical = alert(&[("sev", "critical"), ("cluster", "1")]);
        let both = alert(&[("sev", "critical"), ("cluster", "1"), ("team", "a")]);
        let check = |firing: &[&Alert], pairs: &[(&str, &str)], muted: bool| {
            let labels = Labels::from_pairs(pairs.iter().copied());
            let by = inhibited_by(std::slice::from_ref(&rule), &labels, firing.iter().copied());
            assert_eq!(by.is_some(), muted, "{pairs:?}");
        };
        check(&[&critical], &[("team", "a"), ("cluster", "1")], true);
        check(&[&critical], &[("team", "a"), ("cluster", "2")], false);
        check(&[&critical], &[("team", "a")], false);
        check(&[&critical], &[("team", "b"), ("cluster", "1")], false);
        // An alert that is on both sides is not muted by one that is on both sides, itself included.
        check(&[&both], &[("sev", "critical"), ("team", "a"), ("cluster", "1")], false);
        check(&[&critical], &[("sev", "critical"), ("team", "a"), ("cluster", "1")], true);
    }
}
