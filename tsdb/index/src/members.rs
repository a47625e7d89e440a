//! The series that have a label: runs of neighbours while those pay, a compressed bitmap otherwise. Series that come
//! together are numbered together, so most labels have few runs: all series of a pod are one, in eight bytes.

use roaring::RoaringBitmap;
use swell_chunk::Cursor;

use crate::postings;
use crate::sets::{Union, lower_bound};
use crate::slice::IndexError;

/// More runs than this are kept only when they are long, and a bitmap becomes runs again below half as many members.
const RUNS_MAX: usize = 16;
/// How long runs have to be on average: one takes eight bytes, a member of a bitmap two at most.
const RUN_LEN_MIN: usize = 4;
/// Among more runs than this no member is put between others: each would move all behind it.
const RUNS_INSERT_MAX: usize = 64;

/// Looking one number up in a bitmap costs as much as listing so many.
const LOOKUP_COST: usize = 8;

/// Neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    first: u32,
    /// Members up to its end, those of the runs before included.
    upto: u32,
}

#[derive(Debug)]
pub(crate) enum Members {
    /// A single run, as most labels have it: it needs no piece of memory of its own, which readers of many labels would
    /// wait for.
    One(Run),
    /// None or several; they rise and do not touch.
    Runs(Vec<Run>),
    Many(RoaringBitmap),
}

impl Default for Members {
    fn default() -> Self {
        Self::Runs(Vec::new())
    }
}

impl Members {
    /// Runs, unless there is a bitmap.
    fn runs(&self) -> &[Run] {
        match self {
            Self::One(run) => std::slice::from_ref(run),
            Self::Runs(runs) => runs,
            Self::Many(_) => &[],
        }
    }

    pub(crate) fn insert(&mut self, member: u32) {
        if end_of(self.runs()).is_some_and(|end| member < end) {
            self.insert_between(member);
        } else {
            self.push_run(member, member);
        }
    }

    /// Adds neighbours behind all others, which they may touch.
    pub(crate) fn push_run(&mut self, first: u32, last: u32) {
        let more = last - first + 1;
        match self {
            Self::One(run) if run.first + run.upto == first => run.upto += more,
            Self::One(run) => {
                *self = Self::Runs(vec![*run, Run { first, upto: run.upto + more }]);
            }
            Self::Runs(runs) if runs.is_empty() => *self = Self::One(Run { first, upto: more }),
            Self::Runs(runs) => {
                let touches = end_of(runs) == Some(first);
                let upto = runs.last().map_or(0, |run| run.upto) + more;
                match runs.last_mut() {
                    Some(run) if touches => run.upto = upto,
                    _ => runs.push(Run { first, upto }),
                }
                if runs.len() > RUNS_MAX && (upto as usize) < runs.len() * RUN_LEN_MIN {
                    *self = Self::Many(bitmap_of(runs));
                }
            }
            // Pushing behind the last would look for that first, bit by bit.
            Self::Many(bitmap) if first == last => {
                bitmap.insert(first);
            }
            Self::Many(bitmap) => {
                bitmap.insert_range(first..=last);
            }
        }
    }

    fn insert_between(&mut self, member: u32) {
        let runs = self.runs();
        if runs.len() > RUNS_INSERT_MAX {
            let mut bitmap = bitmap_of(runs);
            bitmap.insert(member);
            *self = Self::Many(bitmap);
            return;
        }
        let all: Vec<(u32, u32)> = spans(runs).collect();
        let at = all.partition_point(|(first, _)| *first <= member);
        if at > 0 && all[at - 1].1 >= member {
            return;
        }
        let mut with = Self::default();
        let (before, behind) = all.split_at(at);
        for (first, last) in before.iter().chain(&[(member, member)]).chain(behind) {
            with.push_run(*first, *last);
        }
        *self = with;
    }

    /// Reads a list of postings whose members are below `series_count`.
    pub(crate) fn read(cursor: &mut Cursor<'_>, series_count: u32) -> Result<Self, IndexError> {
        let mut members = Self::default();
        postings::visit(cursor, series_count, &mut |first, last| {
            members.push_run(first, last);
            true
        })?;
        if let Self::Runs(runs) = &mut members {
            runs.shrink_to_fit();
        }
        Ok(members)
    }

    pub(crate) fn remove_all(&mut self, removed: &RoaringBitmap) {
        match self {
            Self::One(_) | Self::Runs(_) => {
                let mut left = Self::default();
                for (first, last) in spans(self.runs()) {
                    match removed.range_cardinality(first..=last) {
                        0 => left.push_run(first, last),
                        gone if gone > u64::from(last - first) => {}
                        _ => (first..=last)
                            .filter(|member| !removed.contains(*member))
                            .for_each(|member| left.push_run(member, member)),
                    }
                }
                *self = left;
            }
            Self::Many(bitmap) => {
                *bitmap -= removed;
                if bitmap.len() < RUNS_MAX as u64 / 2 {
                    let mut runs = Self::default();
                    bitmap.iter().for_each(|member| runs.insert(member));
                    *self = runs;
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(_) | Self::Runs(_) => self.runs().last().map_or(0, |run| run.upto as usize),
            Self::Many(bitmap) => usize::try_from(bitmap.len()).expect("below 2^32"),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Members, rising, as a list.
    pub(crate) fn to_vec(&self) -> Vec<u32> {
        let mut list = Vec::with_capacity(self.len());
        match self {
            Self::One(_) | Self::Runs(_) => {
                spans(self.runs()).for_each(|(first, last)| list.extend(first..=last));
            }
            // Its runs are short, and finding them takes longer than going through them.
            Self::Many(bitmap) => list.extend(bitmap),
        }
        list
    }

    /// Leaves of a sorted list only what is a member.
    pub(crate) fn retain_in(&self, list: &mut Vec<u32>) {
        match self {
            Self::Many(bitmap) if list.len() * LOOKUP_COST < self.len() => {
                list.retain(|member| bitmap.contains(*member));
            }
            Self::Many(_) => *list = crate::sets::intersect(list, &self.to_vec()),
            Self::One(_) | Self::Runs(_) => retain_in_runs(self.runs(), list),
        }
    }

    /// Adds them to a union.
    pub(crate) fn add_to(&self, out: &mut Union) {
        match self {
            Self::One(_) | Self::Runs(_) => {
                spans(self.runs()).for_each(|(first, last)| out.extend_run(first, last));
            }
            Self::Many(bitmap) => out.extend(bitmap.iter()),
        }
    }
}

/// Leaves of a sorted list only what lies in a run.
fn retain_in_runs(runs: &[Run], list: &mut Vec<u32>) {
    if list.len() < runs.len() {
        let mut at = 0;
        list.retain(|member| {
            at += behind(&runs[at..], *member);
            at > 0 && is_in_run(runs, at - 1, *member)
        });
        return;
    }
    let (mut from, mut kept) = (0, 0);
    for (first, last) in spans(runs) {
        from += lower_bound(&list[from..], first);
        while from < list.len() && list[from] <= last {
            list[kept] = list[from];
            (from, kept) = (from + 1, kept + 1);
        }
        if from == list.len() {
            break;
        }
    }
    list.truncate(kept);
}

/// First and last member of each run.
fn spans(runs: &[Run]) -> impl DoubleEndedIterator<Item = (u32, u32)> + Clone {
    (0..runs.len()).map(|at| {
        let before = at.checked_sub(1).map_or(0, |before| runs[before].upto);
        let Run { first, upto } = runs[at];
        (first, first + (upto - before - 1))
    })
}

/// What follows the last member.
fn end_of(runs: &[Run]) -> Option<u32> {
    let (last, before) = match runs {
        [.., before, last] => (last, before.upto),
        [last] => (last, 0),
        [] => return None,
    };
    Some(last.first + (last.upto - before))
}

/// Runs at the front that begin at the member or before: found in doubling steps, since the next one is near.
fn behind(runs: &[Run], member: u32) -> usize {
    let mut step = 1;
    while step < runs.len() && runs[step].first <= member {
        step *= 2;
    }
    let from = step / 2;
    let to = runs.len().min(step + 1);
    from + runs[from..to].partition_point(|run| run.first <= member)
}

fn is_in_run(runs: &[Run], at: usize, member: u32) -> bool {
    let before = at.checked_sub(1).map_or(0, |before| runs[before].upto);
    member - runs[at].first < runs[at].upto - before
}

/// One by one: a range would be kept as an interval, and these are short.
fn bitmap_of(runs: &[Run]) -> RoaringBitmap {
    spans(runs).flat_map(|(first, last)| first..=last).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What is known of members is that of the set.
    fn check(members: &Members, set: &BTreeSet<u32>) {
        assert_eq!(members.len(), set.len());
        assert_eq!(members.is_empty(), set.is_empty());
        assert!(members.to_vec().into_iter().eq(set.iter().copied()));
        let mut bytes = Vec::new();
        postings::write(&members.to_vec(), &mut bytes);
        let back = Members::read(&mut Cursor::new(&bytes), u32::MAX).expect("reads");
        assert_eq!(back.to_vec(), members.to_vec());
    }

    proptest! {
        #[test]
        fn members_are_a_set(
            steps in prop::collection::vec((any::<bool>(), 0u32..200_000, 1u32..40), 0..300),
            bound in prop::sample::select(vec![60u32, 3000, 200_000]),
            rising in any::<bool>(),
        ) {
            let (mut members, mut set) = (Members::default(), BTreeSet::new());
            let mut next = 0;
            for (is_insert, member, len) in steps {
                let first = if rising { next + member % 5 } else { member % bound };
                if is_insert {
                    next = first + len;
                    (first..first + len).for_each(|member| members.insert(member));
                    set.extend(first..first + len);
                } else {
                    let removed = [member % bound, member % bound + 7];
                    members.remove_all(&removed.into_iter().collect());
                    set.retain(|member| !removed.contains(member));
                }
                prop_assert_eq!(members.len(), set.len());
            }
            check(&members, &set);
            let all: RoaringBitmap = set.iter().copied().collect();
            members.remove_all(&all);
            check(&members, &BTreeSet::new());
        }

        #[test]
        fn what_is_no_member_is_taken_out_of_a_list(
            members in prop::collection::btree_set(0u32..300, 0..200),
            list in prop::collection::btree_set(0u32..300, 0..200),
            few in any::<bool>(),
            stretch in prop::sample::select(vec![1u32, 6]),
        ) {
            // Of long runs there may be many.
            let members: BTreeSet<u32> =
                members.into_iter().filter(|member| member / stretch % 2 == 0 || stretch == 1).collect();
            let members: BTreeSet<u32> = members
                .into_iter()
                .flat_map(|member| member / stretch * stretch..(member / stretch + 1) * stretch)
                .collect();
            let mut set = Members::default();
            members.iter().for_each(|member| set.insert(*member));
            let mut list: Vec<u32> = list.into_iter().take(if few { 2 } else { 200 }).collect();
            let expected: Vec<u32> =
                list.iter().copied().filter(|one| members.contains(one)).collect();
            set.retain_in(&mut list);
            prop_assert_eq!(list, expected);
        }
    }

    #[test]
    fn long_runs_stay_runs_and_scattered_members_become_a_bitmap() {
        let (mut long, mut scattered) = (Members::default(), Members::default());
        for nr in 0..1000 {
            (0..5).for_each(|member| long.insert(nr * 10 + member));
            scattered.insert(nr * 3);
        }
        let mut pod = Members::default();
        (70..120).for_each(|member| pod.insert(member));
        assert!(matches!(&pod, Members::One(Run { first: 70, upto: 50 })));
        assert!(matches!(&long, Members::Runs(runs) if runs.len() == 1000));
        assert!(matches!(scattered, Members::Many(_)));
        long.insert(7);
        assert!(
            matches!(&long, Members::Many(bitmap) if bitmap.len() == 5001),
            "no runs are moved"
        );
    }
}
