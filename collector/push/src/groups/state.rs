//! The groups: what was pushed last, until it is deleted. Decisions only; files and samples are the caller's.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use swell_model::{Labels, TimestampMs};

use super::body::{FAILURE_TIME, Families, PUSH_TIME, PushFault, Types, own_labels};
use super::key::GroupKey;
use super::limits::{
    GROUP_BYTES_MAX, GROUPS_MAX, SERIES_MAX, TOTAL_BYTES_MAX, group_bytes, group_too_large,
};

/// What was pushed for one set of labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) key: GroupKey,
    pub(crate) families: Families,
    /// Of the last push that went well, 0 for none; milliseconds since the epoch.
    pub(crate) pushed_ms: i64,
    /// Of the last one that did not.
    pub(crate) failed_ms: i64,
}

impl Group {
    fn series_count(&self) -> usize {
        self.families.values().map(|family| family.series.len()).sum()
    }

    fn bytes(&self) -> usize {
        group_bytes(&self.families)
    }

    /// All its samples, those of its own times included.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
    pub(crate) fn samples(&self, types: Types) -> Vec<(Labels, f64)> {
        let own = [(PUSH_TIME, self.pushed_ms), (FAILURE_TIME, self.failed_ms)];
        let own = own.map(|(name, ms)| (own_labels(name, &self.key, types), ms as f64 / 1000.0));
        let families = self.families.iter();
        families.flat_map(|(name, family)| family.samples(name, types)).chain(own).collect()
    }
}

/// How a push changes its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replace {
    /// All of it (`PUT`).
    Group,
    /// The families that are pushed (`POST`).
    Families,
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<GroupKey, Group>,
    types: Types,
    series_count: usize,
    bytes: usize,
}

impl Groups {
    /// No groups yet.
    pub(crate) fn new(types: Types) -> Self {
        Self { types, ..Self::default() }
    }

    /// All samples of a group, as they are stored.
    pub(crate) fn samples_of(&self, group: &Group) -> Vec<(Labels, f64)> {
        group.samples(self.types)
    }

    /// All samples of all groups.
    pub(crate) fn samples(&self) -> Vec<(Labels, f64)> {
        self.groups.values().flat_map(|group| group.samples(self.types)).collect()
    }

    /// The group as a push would leave it.
    ///
    /// # Errors
    /// [`PushFault`] when the push contradicts what other groups say, or there is no room for it.
    pub(crate) fn pushed(
        &self,
        key: &GroupKey,
        families: Families,
        replace: Replace,
        now: TimestampMs,
    ) -> Result<Group, PushFault> {
        let before = self.groups.get(key);
        for (other_key, other) in &self.groups {
            if other_key == key {
                continue;
            }
            for (name, family) in &families {
                let known = other.families.get(name).map_or(&family.kind, |known| &known.kind);
                if *known != family.kind {
                    return Err(PushFault::Inconsistent(format!(
                        "{name} is a {known:?} in group {other_key:?}, and a {:?} here",
                        family.kind
                    )));
                }
            }
        }
        let mut group = Group {
            key: key.clone(),
            families,
            pushed_ms: now.0,
            failed_ms: before.map_or(0, |before| before.failed_ms),
        };
        if let Some(before) = before.filter(|_| replace == Replace::Families) {
            for (name, family) in &before.families {
                group.families.entry(name.clone()).or_insert_with(|| family.clone());
            }
        }
        let names: BTreeSet<&Vec<(String, String)>> = group
            .families
            .values()
            .flat_map(|family| family.series.iter().map(|(labels, _)| labels))
            .collect();
        if names.len() != group.series_count() {
            let text = "two families of the group have a series in common".to_owned();
            return Err(PushFault::Inconsistent(text));
        }
        self.has_room(before, &group)?;
        Ok(group)
    }

    /// The group as a push that was refused leaves it; none where there is no room for one more.
    pub(crate) fn failed(&self, key: &GroupKey, now: TimestampMs) -> Option<Group> {
        let before = self.groups.get(key);
        let group =
            before.cloned().unwrap_or_else(|| Group { key: key.clone(), ..Group::default() });
        let group = Group { failed_ms: now.0, ..group };
        self.has_room(before, &group).is_ok().then_some(group)
    }

    fn has_room(&self, before: Option<&Group>, group: &Group) -> Result<(), PushFault> {
        if before.is_none() && self.groups.len() >= GROUPS_MAX {
            let text = format!("{GROUPS_MAX} groups are kept already: delete some");
            return Err(PushFault::TooMuch(text));
        }
        let others = self.series_count - before.map_or(0, Group::series_count);
        if others + group.series_count() > SERIES_MAX {
            let text =
                format!("more than {SERIES_MAX} pushed series would be kept: delete some groups");
            return Err(PushFault::TooMuch(text));
        }
        let bytes = group.bytes();
        if bytes > GROUP_BYTES_MAX {
            return Err(group_too_large());
        }
        if self.bytes - before.map_or(0, Group::bytes) + bytes > TOTAL_BYTES_MAX {
            return Err(PushFault::TooMuch(format!(
                "pushed groups would take more than {TOTAL_BYTES_MAX} bytes together: delete some groups"
            )));
        }
        Ok(())
    }

    /// Puts a group in its place; the series that are no more.
    pub(crate) fn put(&mut self, group: Group) -> Vec<Labels> {
        let now = self.samples_of(&group).into_iter().map(|(labels, _)| labels);
        let now: BTreeSet<Labels> = now.collect();
        self.series_count += group.series_count();
        self.bytes += group.bytes();
        let before = self.groups.insert(group.key.clone(), group);
        self.series_count -= before.as_ref().map_or(0, Group::series_count);
        self.bytes -= before.as_ref().map_or(0, Group::bytes);
        let before = before.map(|group| self.samples_of(&group)).unwrap_or_default();
        before.into_iter().map(|(labels, _)| labels).filter(|it| !now.contains(it)).collect()
    }

    /// Takes a group out; its series.
    pub(crate) fn remove(&mut self, key: &GroupKey) -> Option<Vec<Labels>> {
        let group = self.groups.remove(key)?;
        self.series_count -= group.series_count();
        self.bytes -= group.bytes();
        Some(self.samples_of(&group).into_iter().map(|(labels, _)| labels).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::body::read;
    use crate::groups::key::parse;

    fn push(
        groups: &mut Groups,
        path: &str,
        text: &str,
        replace: Replace,
    ) -> Result<usize, String> {
        let key = parse(path).expect("a good path");
        let families = read(text.as_bytes(), "", &key).expect("a good body");
        let group = groups.pushed(&key, families, replace, TimestampMs(1500));
        Ok(groups.put(group.map_err(|fault| fault.to_string())?).len())
    }

    fn samples(groups: &Groups) -> Vec<String> {
        let samples = groups.samples().into_iter();
        samples.map(|(labels, value)| format!("{labels} {value}")).collect()
    }

    #[test]
    fn put_replaces_the_group_and_post_its_families() {
        let mut groups = Groups::default();
        let text = "# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n# TYPE b counter\nb 3\n";
        assert_eq!(push(&mut groups, "job/j", text, Replace::Group), Ok(0));
        assert_eq!(
            push(&mut groups, "job/j", "# TYPE a gauge\na{x=\"1\"} 9\n", Replace::Families),
            Ok(1)
        );
        let expected = [
            r#"a{job="j", x="1"} 9"#,
            r#"b{job="j"} 3"#,
            r#"push_time_seconds{job="j"} 1.5"#,
            r#"push_failure_time_seconds{job="j"} 0"#,
        ];
        assert_eq!(samples(&groups), expected);
        assert_eq!(push(&mut groups, "job/j", "", Replace::Group), Ok(2));
        assert_eq!(samples(&groups), expected[2..]);
        assert_eq!(groups.remove(&parse("job/j").expect("good")).map(|gone| gone.len()), Some(2));
        assert_eq!(groups.remove(&parse("job/j").expect("good")), None);
        assert_eq!((groups.series_count, groups.bytes), (0, 0));
    }

    #[test]
    fn a_series_that_ends_has_its_type() {
        let mut groups = Groups::new(Types::Labelled);
        let key = parse("job/j").expect("a good path");
        push(&mut groups, "job/j", "# TYPE a gauge\na 1\n", Replace::Group).expect("stored");
        let gone = groups.remove(&key).expect("it was there");
        let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
        let expected = [
            r#"a{__type__="gauge", job="j"}"#,
            r#"push_time_seconds{__type__="gauge", job="j"}"#,
            r#"push_failure_time_seconds{__type__="gauge", job="j"}"#,
        ];
        assert_eq!(gone, expected);
    }

    #[test]
    fn groups_must_not_contradict_each_other() {
        let mut groups = Groups::default();
        push(&mut groups, "job/j", "# TYPE a gauge\na 1\n", Replace::Group).expect("stored");
        let told = push(&mut groups, "job/k", "# TYPE a counter\na 1\n", Replace::Group);
        assert!(told.expect_err("another kind").contains("inconsistent"));
        push(&mut groups, "job/k", "# TYPE a gauge\na 1\n", Replace::Group).expect("stored");
        let words = ["", "# TYPE n untyped\n", "# HELP n None.\n"];
        for (number, word) in words.into_iter().enumerate() {
            let path = format!("job/none{number}");
            push(&mut groups, &path, &format!("{word}n 1\n"), Replace::Group).expect("one kind");
        }
        let told = push(&mut groups, "job/k", "# TYPE n gauge\nn 1\n", Replace::Group);
        assert!(told.expect_err("another kind").contains("untyped"));
    }

    #[test]
    fn failures_are_remembered_also_of_groups_that_are_none_yet() {
        let mut groups = Groups::default();
        let key = parse("job/j").expect("good");
        groups.put(groups.failed(&key, TimestampMs(2500)).expect("room"));
        push(&mut groups, "job/j", "a 1\n", Replace::Group).expect("stored");
        assert_eq!(samples(&groups)[2], r#"push_failure_time_seconds{job="j"} 2.5"#);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut groups = Groups { series_count: SERIES_MAX - 1, ..Groups::default() };
        assert_eq!(push(&mut groups, "job/j", "a 1\n", Replace::Group), Ok(0));
        let told = push(&mut groups, "job/k", "b 1\n", Replace::Group).expect_err("no room");
        assert!(told.contains("delete some groups"), "{told}");
        let mut groups = Groups { bytes: TOTAL_BYTES_MAX - 1000, ..Groups::default() };
        assert_eq!(push(&mut groups, "job/j", "a 1\n", Replace::Group), Ok(0));
        let text: String = (0..10).map(|n| format!("b{n} 1\n")).collect();
        let told = push(&mut groups, "job/k", &text, Replace::Group).expect_err("no room");
        assert!(told.contains("bytes together: delete some groups"), "{told}");
    }

    #[test]
    fn many_small_pushes_make_no_group_that_is_too_large() {
        let mut groups = Groups::default();
        let value = "v".repeat(4096);
        let path = (0..8).fold("job/j".to_owned(), |path, n| format!("{path}/l{n}/{value}"));
        let mut post = |from: usize| {
            let text: String = (from..from + 2000).map(|n| format!("m{n} 1\n")).collect();
            push(&mut groups, &path, &text, Replace::Families)
        };
        assert_eq!((post(0), post(2000)), (Ok(0), Ok(0)));
        assert!(post(4000).expect_err("too large").contains("the group would take more"));
    }
}
