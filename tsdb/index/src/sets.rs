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

/// Members of any.
#[must_use]
pub fn union(mut lists: Vec<Vec<u32>>) -> Vec<u32> {
    match lists.len() {
        0 => Vec::new(),
        1 => lists.remove(0),
        _ => {
            let mut out = lists.concat();
            out.sort_unstable();
            out.dedup();
            out
        }
    }
}

/// First position whose member is not below `target`: doubling steps from the front, since the next match is near.
fn lower_bound(list: &[u32], target: u32) -> usize {
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
            prop_assert_eq!(union(vec![list(&a), list(&b), list(&a)]), list(&(&a | &b)));
        }
    }

    #[test]
    fn nothing_is_handled() {
        assert!(union(Vec::new()).is_empty());
        assert!(intersect(&[], &[1]).is_empty());
        assert_eq!(subtract(&[1], &[]), [1]);
    }
}
