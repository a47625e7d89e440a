//! Both indices answer as a scan over all labels does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;
use swell_model::{Grouping, Labels, MatchOp, Matcher};

use crate::sets::Union;
use crate::{
    Foreseen, Identity, Keep, KnownTexts, LabelIndex, MemoryIndex, Reach, SliceIndex, TableReader,
    VALUES_PER_SERIES, foresee, select, write_index,
};

fn any_labels() -> impl Strategy<Value = Labels> {
    let value =
        prop::sample::select(vec!["", "a", "b", "ab", "web-1", "web-2", "web-30", "x.y", "é"]);
    prop::collection::btree_map("[a-d]", value, 0..4).prop_map(Labels::from_pairs)
}

fn any_matcher() -> impl Strategy<Value = Matcher> {
    let equality = prop::sample::select(vec!["", "a", "ab", "web-1", "nothing"]);
    let pattern = prop::sample::select(vec![
        "",
        ".*",
        ".+",
        "a|b",
        "a|",
        "web-.*",
        "web-[12]",
        "(a|web-30)",
        r"x\.y",
        "x.y",
        "[^a]+",
        "a?b?",
    ]);
    prop_oneof![
        ("[a-e]", equality.clone(), any::<bool>()).prop_map(|(name, value, negative)| {
            let op = if negative { MatchOp::NotEqual } else { MatchOp::Equal };
            Matcher::new(name, op, value).expect("no pattern")
        }),
        ("[a-e]", pattern, any::<bool>()).prop_map(|(name, value, negative)| {
            let op = if negative { MatchOp::NotRegex } else { MatchOp::Regex };
            Matcher::new(name, op, value).expect("valid pattern")
        }),
    ]
}

fn scan<'a>(series: impl IntoIterator<Item = (u32, &'a Labels)>, matchers: &[Matcher]) -> Vec<u32> {
    let satisfies = |labels: &Labels| {
        matchers.iter().all(|m| m.matches(labels.get(&m.name).unwrap_or_default()))
    };
    let mut found: Vec<u32> =
        series.into_iter().filter(|(_, labels)| satisfies(labels)).map(|(idx, _)| idx).collect();
    found.sort_unstable();
    found
}

fn numbered(series: &[Labels]) -> impl Iterator<Item = (u32, &Labels)> {
    (0u32..).zip(series)
}

fn bytes_of(series: &[Labels]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_index(series, &mut bytes);
    bytes
}

proptest! {
    #[test]
    fn series_of_a_block_are_told_apart_and_grouped_without_their_labels(
        series in prop::collection::btree_set(any_labels(), 1..80),
        names in prop::collection::btree_set("[a-e]", 0..3),
        without in any::<bool>(),
        every in 1usize..3,
    ) {
        let series: Vec<Labels> = series.into_iter().collect();
        let index = SliceIndex::new(bytes_of(&series)).expect("reads back");
        let some: Vec<u32> = index.all().expect("sound").into_iter().step_by(every).collect();
        let of_some = || some.iter().map(|idx| &series[*idx as usize]);
        let hashes = index.symbol_hashes().expect("sound");
        let identities = index.identities(&some, &hashes).expect("sound");
        prop_assert!(identities.iter().copied().eq(of_some().map(Identity::of)));
        let distinct: std::collections::HashSet<Identity> = identities.into_iter().collect();
        prop_assert_eq!(distinct.len(), some.len());
        let names: Vec<String> = names.into_iter().collect();
        let grouping = Grouping { names: &names, without };
        let (group_of, groups) = index.group(&some, grouping).expect("sound");
        let expected = of_some().map(|labels| labels.filtered(|name| grouping.keeps(name)));
        let got = group_of.iter().map(|group| groups[*group as usize].clone());
        prop_assert!(got.eq(expected));
        let distinct: std::collections::BTreeSet<&Labels> = groups.iter().collect();
        prop_assert_eq!(distinct.len(), groups.len());
    }

    #[test]
    fn the_index_of_a_block_answers_as_a_scan(
        series in prop::collection::btree_set(any_labels(), 0..80),
        matchers in prop::collection::vec(any_matcher(), 0..4),
    ) {
        let series: Vec<Labels> = series.into_iter().collect();
        let index = SliceIndex::new(bytes_of(&series)).expect("reads back");
        prop_assert_eq!(select(&index, &matchers).expect("sound"), scan(numbered(&series), &matchers));
        let all: Vec<u32> = index.all().expect("sound");
        prop_assert_eq!(index.labels(&all).expect("sound"), series.clone());
        let backwards: Vec<u32> = all.into_iter().rev().collect();
        let labels = index.labels(&backwards).expect("sound");
        prop_assert!(labels.iter().rev().eq(series.iter()));
        let found = select(&index, &matchers).expect("sound");
        let of_found = || found.iter().map(|idx| &series[*idx as usize]);
        let names: std::collections::BTreeSet<&str> =
            of_found().flat_map(Labels::iter).map(|(name, _)| name).collect();
        prop_assert!(index.names_of(&found).expect("sound").iter().map(String::as_str).eq(names));
        for name in ["a", "b", "z"] {
            let mut values: BTreeMap<&str, usize> = BTreeMap::new();
            series.iter().filter_map(|l| l.get(name)).for_each(|v| *values.entry(v).or_default() += 1);
            prop_assert!(index.values(name).expect("sound").iter().map(String::as_str).eq(values.keys().copied()));
            let hashes = index.symbol_hashes().expect("sound");
            let mut known = KnownTexts::default();
            ["web-1", "b"].iter().for_each(|text| known.learn(text));
            let others = values.keys().copied().filter(|value| !["web-1", "b"].contains(value));
            let new = index.new_values(name, &hashes, &mut known).expect("sound");
            prop_assert!(new.iter().map(String::as_str).eq(others));
            prop_assert!(index.new_values(name, &hashes, &mut known).expect("sound").is_empty());
            let counted = index.values_with_counts(name).expect("sound");
            prop_assert!(counted.iter().map(|(value, count)| (value.as_str(), *count)).eq(values.clone()));
            let counts = index.names_with_counts().expect("sound");
            let counts = counts.iter().find(|entry| entry.0 == name).map(|entry| (entry.1, entry.2));
            let expected = (values.len(), values.values().sum());
            prop_assert_eq!(counts, (!values.is_empty()).then_some(expected));
            let values_of: std::collections::BTreeSet<&str> = of_found().filter_map(|l| l.get(name)).collect();
            prop_assert!(index.values_of(&found, name).expect("sound").iter().map(String::as_str).eq(values_of));
        }
    }

    #[test]
    fn the_index_in_memory_answers_as_a_scan(
        steps in prop::collection::vec((any_labels(), any::<bool>()), 0..80),
        matchers in prop::collection::vec(any_matcher(), 0..4),
    ) {
        let mut index = MemoryIndex::default();
        let mut model: BTreeMap<Labels, u32> = BTreeMap::new();
        for (labels, removes) in steps {
            prop_assert_eq!(index.find(&labels), model.get(&labels).copied());
            match model.get(&labels).copied() {
                None => drop(model.insert(labels.clone(), index.insert(&labels))),
                Some(idx) if removes => {
                    model.remove(&labels);
                    index.remove(&[idx, idx]);
                }
                Some(idx) => prop_assert_eq!(index.labels(idx), Some(labels)),
            }
        }
        let Ok(found) = select(&index, &matchers);
        prop_assert_eq!(&found, &scan(model.iter().map(|(labels, idx)| (*idx, labels)), &matchers));
        for effort_max in [0, 2, 6, 20, usize::MAX] {
            let Ok(foreseen) = foresee(&index, &matchers, effort_max);
            prop_assert!(found.len() <= foreseen.series_max, "{} for {}", foreseen.series_max, effort_max);
        }
        prop_assert_eq!(index.series_count(), model.len());
        let pairs: std::collections::BTreeSet<(&str, &str)> = model.keys().flat_map(Labels::iter).collect();
        prop_assert_eq!(index.pair_count(), pairs.len());
        let names: std::collections::BTreeSet<&str> = pairs.iter().map(|(name, _)| *name).collect();
        prop_assert!(index.names().eq(names));
        let values_of: std::collections::BTreeSet<&str> = model
            .iter()
            .filter(|(_, idx)| found.binary_search(idx).is_ok())
            .filter_map(|(labels, _)| labels.get("a"))
            .collect();
        prop_assert!(index.values_of(&found, "a").iter().map(String::as_str).eq(values_of));
    }

    #[test]
    fn a_table_is_gone_on_with_as_with_the_index(
        steps in prop::collection::vec((any_labels(), any::<bool>()), 0..80),
        meanwhile in prop::collection::vec(any_labels(), 0..12),
        more in prop::collection::vec((any_labels(), any::<bool>()), 0..40),
        matchers in prop::collection::vec(any_matcher(), 0..4),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
    ) {
        let change = |index: &mut MemoryIndex, steps: &[(Labels, bool)]| {
            for (labels, removes) in steps {
                match index.find(labels) {
                    None => drop(index.insert(labels)),
                    Some(idx) if *removes => index.remove(&[idx]),
                    Some(_) => {}
                }
            }
        };
        let mut index = MemoryIndex::default();
        change(&mut index, &steps);
        let (mut table, mut parts) = (index.table(), Vec::new());
        // Series come while it is written, before or after each part.
        let mut meanwhile = meanwhile.into_iter();
        loop {
            change(&mut index, &meanwhile.next().map(|labels| (labels, false)).into_iter().collect::<Vec<_>>());
            let mut part = Vec::new();
            if !index.write_part(&mut table, &mut part) {
                break;
            }
            parts.push(part);
        }
        change(&mut index, &meanwhile.map(|labels| (labels, false)).collect::<Vec<_>>());
        let since = index.since(&table.mark()).expect("nothing was removed");
        let since: Vec<(u32, Labels)> =
            since.into_iter().map(|idx| (idx, index.labels(idx).expect("was added"))).collect();
        let read = |parts: &[Vec<u8>]| {
            let mut reader = TableReader::default();
            parts.iter().try_for_each(|part| reader.take(part))?;
            let mut index = reader.finish()?;
            since.iter().try_for_each(|(idx, labels)| index.put_back(*idx, labels))?;
            index.settle();
            Ok::<_, crate::IndexError>(index)
        };
        let mut back = read(&parts).expect("reads back");
        let (Ok(all), Ok(all_back)) = (index.all(), back.all());
        prop_assert_eq!(&all, &all_back, "series keep their numbers");
        prop_assert!(all.iter().all(|idx| index.labels(*idx) == back.labels(*idx)));
        prop_assert!(read(&parts[..parts.len() - 1]).is_err(), "the end is missed");
        for steps in [&[][..], &more[..]] {
            change(&mut index, steps);
            change(&mut back, steps);
            let known = |index: &MemoryIndex| {
                let Ok(all) = index.all();
                all.iter().map(|idx| index.labels(*idx)).collect::<std::collections::BTreeSet<_>>()
            };
            prop_assert_eq!(known(&index), known(&back));
            prop_assert_eq!(index.pair_count(), back.pair_count());
            let labels_found = |index: &MemoryIndex| {
                let Ok(found) = select(index, &matchers);
                found.iter().map(|idx| index.labels(*idx)).collect::<std::collections::BTreeSet<_>>()
            };
            prop_assert_eq!(labels_found(&index), labels_found(&back));
        }
        // Damage is refused, or makes an index of other labels; it never panics.
        for (nr, mask) in flips {
            let total: usize = parts.iter().map(Vec::len).sum();
            let mut at = nr.index(total);
            let part = parts.iter_mut().find(|part| {
                let is_in = at < part.len();
                at -= if is_in { 0 } else { part.len() };
                is_in
            });
            part.expect("inside")[at] ^= mask;
        }
        if let Ok(mut damaged) = read(&parts) {
            let Ok(found) = select(&damaged, &matchers);
            prop_assert!(found.iter().all(|idx| damaged.contains(*idx)));
            let Ok(all) = damaged.all();
            all.iter().for_each(|idx| drop(damaged.labels(*idx)));
            change(&mut damaged, &more);
            damaged.remove(&all);
        }
    }

    #[test]
    fn groups_of_series_are_those_of_their_labels(
        steps in prop::collection::vec((any_labels(), any::<bool>()), 0..80),
        names in prop::sample::subsequence(vec!["__name__", "a", "b", "z"], 0..4),
        without in any::<bool>(),
    ) {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let grouping = Grouping { names: &names, without };
        let mut index = MemoryIndex::default();
        let mut known = None;
        for (labels, removes) in steps {
            match index.find(&labels) {
                None => drop(index.insert(&labels)),
                Some(idx) if removes => index.remove(&[idx]),
                Some(_) => {}
            }
            let Ok(all) = index.all();
            let grouped = index.group(all.clone(), grouping, known.as_ref());
            prop_assert_eq!(&grouped.series, &all);
            for (idx, group) in grouped.series.iter().zip(&grouped.group_of) {
                let labels = index.labels(*idx).expect("in use");
                let expected = labels.filtered(|name| grouping.keeps(name));
                prop_assert_eq!(&grouped.groups[*group as usize], &expected);
            }
            let distinct: std::collections::BTreeSet<&Labels> = grouped.groups.iter().collect();
            prop_assert_eq!(distinct.len(), grouped.groups.len());
            known = Some(grouped);
        }
    }

    #[test]
    fn a_damaged_index_never_panics(
        series in prop::collection::btree_set(any_labels(), 1..60),
        matchers in prop::collection::vec(any_matcher(), 0..3),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = bytes_of(&series.into_iter().collect::<Vec<_>>());
        for (at, mask) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        let cut = cut.index(bytes.len());
        for bytes in [&bytes[..], &bytes[..cut]] {
            if let Ok(index) = SliceIndex::new(bytes) {
                if let Ok(found) = select(&index, &matchers) {
                    prop_assert!(found.iter().all(|idx| *idx < index.series_count()));
                    if let Ok(labels) = index.labels(&found) {
                        prop_assert_eq!(labels.len(), found.len());
                    }
                }
                if let (Ok(values), Ok(counted)) = (index.values("a"), index.values_with_counts("a")) {
                    prop_assert!(values.len() <= bytes.len() && values.len() == counted.len());
                }
                if let Ok(all) = index.all()
                    && let (Ok(values), Ok(names)) = (index.values_of(&all, "b"), index.names_of(&all))
                {
                    prop_assert!(values.len() + names.len() <= 2 * bytes.len());
                }
            }
        }
    }
}

#[test]
fn many_values_and_series_are_found_through_the_skip_lists() {
    let series: Vec<Labels> = (0..5000)
        .map(|i| Labels::from_pairs([("__name__", "up"), ("pod", &format!("pod-{i:05}"))]))
        .collect();
    let bytes = bytes_of(&series);
    assert!(bytes.len() < 5000 * 18, "{} bytes", bytes.len());
    let index = SliceIndex::new(bytes).expect("reads back");
    for idx in [0, 1, 63, 64, 65, 4095, 4999] {
        let found =
            select(&index, &[Matcher::equal("pod", format!("pod-{idx:05}"))]).expect("sound");
        assert_eq!(found, [idx]);
    }
    let prefix = Matcher::new("pod", MatchOp::Regex, "pod-012.*").expect("valid");
    assert_eq!(select(&index, &[prefix]).expect("sound"), (1200..1300).collect::<Vec<_>>());
    assert_eq!(index.values("pod").expect("sound").len(), 5000);
}

/// An index that notes what is looked at in it.
struct Noting<'i> {
    index: &'i MemoryIndex,
    values: Cell<usize>,
    series: Cell<usize>,
}

impl Noting<'_> {
    fn note(&self, values: usize, series: usize) {
        self.values.set(self.values.get() + values);
        self.series.set(self.series.get() + series);
    }
}

impl LabelIndex for Noting<'_> {
    type Error = Infallible;

    fn all(&self) -> Result<Vec<u32>, Infallible> {
        self.note(0, self.index.bound() as usize);
        self.index.all()
    }

    fn bound(&self) -> u32 {
        self.index.bound()
    }

    fn value_count(&self, name: &str) -> usize {
        self.index.value_count(name)
    }

    fn posting_count(&self, name: &str, value: &str) -> Result<usize, Infallible> {
        self.index.posting_count(name, value)
    }

    fn postings(&self, name: &str, value: &str) -> Result<Vec<u32>, Infallible> {
        let found = self.index.postings(name, value);
        found.inspect(|found| self.note(1, found.len()))
    }

    fn retain_postings(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        value: &str,
    ) -> Result<(), Infallible> {
        self.note(0, series.len());
        self.index.retain_postings(series, name, value)
    }

    fn with_label(&self, name: &str) -> Result<Vec<u32>, Infallible> {
        let found = self.index.with_label(name);
        found.inspect(|found| self.note(self.index.value_count(name), found.len()))
    }

    fn prefixed(&self, name: &str, prefix: &str, limit: usize) -> Reach {
        self.index.prefixed(name, prefix, limit)
    }

    fn postings_where(
        &self,
        name: &str,
        prefix: &str,
        keep: &mut Keep<'_>,
        out: &mut Union,
    ) -> Result<(), Infallible> {
        let mut noted = |value: &str| {
            let is_kept = keep(value);
            let Ok(count) = self.index.posting_count(name, value);
            self.note(1, if is_kept { count } else { 0 });
            is_kept
        };
        self.index.postings_where(name, prefix, &mut noted, out)
    }

    fn retain(
        &self,
        series: &mut Vec<u32>,
        name: &str,
        keep: &mut Keep<'_>,
    ) -> Result<(), Infallible> {
        self.note(series.len() * VALUES_PER_SERIES, 0);
        self.index.retain(series, name, keep)
    }
}

#[test]
fn a_selection_looks_at_no_more_than_is_foreseen() {
    let mut index = MemoryIndex::default();
    for nr in 0..2000 {
        let (metric, pod) = (format!("metric_{}", nr % 20), format!("pod-{nr}"));
        let pairs = [("__name__", &*metric), ("pod", &*pod)];
        index.insert(&Labels::from_pairs(
            pairs.into_iter().chain((nr % 2 == 0).then_some(("even", "1"))),
        ));
    }
    let patterns = [
        "",
        "|pod-1",
        "pod-1",
        "pod-1|pod-2|none",
        "pod-1.*",
        "pod-.*",
        "pod-1?",
        ".*",
        ".+",
        ".*7",
        "(pod-7.*)?",
        "1",
    ];
    let few = Matcher::equal("__name__", "metric_3");
    let fewer = [few.clone(), Matcher::equal("pod", "pod-43")];
    let beside: [&[Matcher]; 3] = [&[], &[few], &fewer];
    for beside in beside {
        for (name, pattern) in
            ["pod", "even"].iter().flat_map(|name| patterns.map(|it| (*name, it)))
        {
            for op in [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex] {
                let matcher = Matcher::new(name, op, pattern).expect("valid");
                let matchers = [beside, &[matcher]].concat();
                let Ok(Foreseen { effort, series_max }) = foresee(&index, &matchers, usize::MAX);
                let noting = Noting { index: &index, values: Cell::new(0), series: Cell::new(0) };
                let Ok(found) = select(&noting, &matchers);
                assert!(found.len() <= series_max, "{matchers:?}");
                let looked_at = noting.values.get() + noting.series.get() / 16;
                // Each value that is looked up by itself, and what is rounded down, may come on top.
                assert!(looked_at <= effort + 6, "{looked_at} of {effort}: {matchers:?}");
                for effort_max in [0, 10, 200, 3000] {
                    let Ok(foreseen) = foresee(&index, &matchers, effort_max);
                    assert!(found.len() <= foreseen.series_max, "{matchers:?}");
                    assert_eq!(foreseen.effort > effort_max, effort > effort_max, "{matchers:?}");
                }
            }
        }
    }
}

#[test]
fn identities_tell_values_that_change_places_apart() {
    let identity = |a: &str, b: &str| Identity::of(&Labels::from_pairs([("a", a), ("b", b)]));
    assert_ne!(identity("x", "y"), identity("y", "x"));
    assert_ne!(identity("x", "x"), identity("y", "y"));
    assert_eq!(identity("x", "y"), identity("x", "y"));
}
