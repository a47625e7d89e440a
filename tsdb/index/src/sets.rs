//! Set algebra on sorted lists of series indices, each at most once.

/// Members of both.
#[must_use]
pub fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (few, many) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = many;
    let mut out = Vec::with_capacity(few.len());
    for member in few {
        rest = &rest[lower_bound(rest, *member)..];
        match rest.first() {
            None => break,
            Some(found) if found == member => out.push(*member),
            Some(_) => {}
        }
    }
    out
}

/// Members of `a` that are not in `b`.
#[must_use]
pub fn subtract(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut rest = b;
    let mut out = Vec::with_capacity(a.len());
    for member in a {
        rest = &rest[lower_bound(rest, *member)..];
        if rest.first() != Some(member) {
            out.push(*member);
        }
    }
    out
}

/// Collects lists into the set of members of any: by sorting while they are few, in a bitmap once they are many.
#[derive(Debug)]
pub struct Union {
    /// Members are below.
    bound: u32,
    members: Vec<u32>,
    /// Whether `members` is a list that rises.
    is_sorted: bool,
    bits: Vec<u64>,
}

/// A bitmap pays once there is a member for so many bits.
const BITS_PER_MEMBER: usize = 64;

impl Union {
    /// Nothing yet; members will be below `bound`.
    #[must_use]
    pub const fn new(bound: u32) -> Self {
        Self { bound, members: Vec::new(), is_sorted: true, bits: Vec::new() }
    }

    /// Adds a sorted list, or members of it in order.
    ///
    /// # Panics
    /// When a member is not below the bound.
    pub fn extend(&mut self, list: impl IntoIterator<Item = u32>) {
        if !self.bits.is_empty() {
            return list.into_iter().for_each(|member| self.set(member));
        }
        let start = self.members.len();
        self.members.extend(list);
        let joint = start.saturating_sub(1);
        self.is_sorted &= self.members[joint..].is_sorted_by(|a, b| a < b);
        if self.members.len() > self.bound as usize / BITS_PER_MEMBER && !self.is_sorted {
            self.bits = vec![0; (self.bound as usize).div_ceil(64)];
            for member in std::mem::take(&mut self.members) {
                self.set(member);
            }
        }
    }

    /// Adds neighbours: all from `first` to `last`.
    ///
    /// # Panics
    /// When `last` is not below the bound.
    pub fn extend_run(&mut self, first: u32, last: u32) {
        if self.bits.is_empty() {
            return self.extend(first..=last);
        }
        assert!(last < self.bound, "members are below the bound");
        let (from, to) = (first as usize / 64, last as usize / 64);
        let (low, high) = (u64::MAX << (first % 64), u64::MAX >> (63 - last % 64));
        if from == to {
            self.bits[from] |= low & high;
            return;
        }
        self.bits[from] |= low;
        self.bits[from + 1..to].fill(u64::MAX);
        self.bits[to] |= high;
    }

    fn set(&mut self, member: u32) {
        assert!(member < self.bound, "members are below the bound");
        self.bits[member as usize / 64] |= 1 << (member % 64);
    }

    /// The members, sorted.
    #[must_use]
    pub fn finish(mut self) -> Vec<u32> {
        for (idx, mut word) in (0u32..).zip(self.bits) {
            while word != 0 {
                self.members.push(idx * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
        if !self.is_sorted {
            self.members.sort_unstable();
            self.members.dedup();
        }
        self.members
    }
}

/// First position whose member is not below `target`: doubling steps from the front, since the next match is near.
pub(crate) fn lower_bound(list: &[u32], target: u32) -> usize {
    let mut step = 1;
    while step < list.len() && list[step] < target {
        step *= 2;
    }
    let from = step / 2;
    let to = list.len().min(step + 1);
    from + list[from..to].partition_point(|member| *member < target)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn algebra_agrees_with_sets(
            a in prop::collection::btree_set(0u32..200, 0..60),
            b in prop::collection::btree_set(0u32..200, 0..60),
        ) {
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<_>>();
            prop_assert_eq!(intersect(&list(&a), &list(&b)), list(&(&a & &b)));
            prop_assert_eq!(subtract(&list(&a), &list(&b)), list(&(&a - &b)));
            for bound in [200, 20_000] {
                let mut union = Union::new(bound);
                [&a, &b, &a].into_iter().for_each(|part| union.extend(part.iter().copied()));
                prop_assert_eq!(union.finish(), list(&(&a | &b)));
            }
        }

        #[test]
        fn runs_are_members(runs in prop::collection::vec((0u32..4000, 0u32..200), 0..20), bound in 5000u32..100_000) {
            let (mut union, mut set) = (Union::new(bound), BTreeSet::new());
            for (first, more) in runs {
                union.extend_run(first, first + more);
                set.extend(first..=first + more);
            }
            prop_assert_eq!(union.finish(), set.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_handled() {
        assert!(Union::new(0).finish().is_empty());
        assert!(intersect(&[], &[1]).is_empty());
        assert_eq!(subtract(&[1], &[]), [1]);
    }
}
