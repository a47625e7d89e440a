//! A list of series indices as bytes: varint count, then the shorter of two forms.
//!
//! ```text
//! varint  count * 2 + form
//! form 0  varint distance of each member from the one before (the first from 0)
//! form 1  runs of neighbours: varint distance from the end of the last run, varint length - 1
//! ```

use swell_chunk::{Cursor, put_varint, varint_len};

use crate::slice::IndexError;

/// Appends a sorted list.
pub(crate) fn write(members: &[u32], out: &mut Vec<u8>) {
    let (mut run_bytes, mut single_bytes) = (0, 0);
    let mut last = 0;
    for_each_run(members, |distance, run| {
        run_bytes += varint_len(u64::from(distance)) + varint_len(run.len() as u64 - 1);
        single_bytes += varint_len(u64::from(run[0] - last)) + run.len() - 1;
        last = run[run.len() - 1];
    });
    let use_runs = run_bytes <= single_bytes;
    put_varint(out, members.len() as u64 * 2 + u64::from(use_runs));
    if use_runs {
        for_each_run(members, |distance, run| {
            put_varint(out, u64::from(distance));
            put_varint(out, run.len() as u64 - 1);
        });
    } else {
        let mut last = 0;
        for member in members {
            put_varint(out, u64::from(member - last));
            last = *member;
        }
    }
}

/// Runs of neighbours, each with its distance from the end of the one before.
fn for_each_run(members: &[u32], mut each: impl FnMut(u32, &[u32])) {
    let mut end = 0;
    for run in members.chunk_by(|a, b| a + 1 == *b) {
        each(run[0] - end, run);
        end = run[run.len() - 1] + 1;
    }
}

/// Number of members of a list, without reading them.
pub(crate) fn count(bytes: &[u8]) -> Result<usize, IndexError> {
    Ok(Cursor::new(bytes).count(usize::MAX)? / 2)
}

/// Whether a list has a member whose bit is set; looks no further than the first.
pub(crate) fn meets(bytes: &[u8], series_count: u32, wanted: &[u64]) -> Result<bool, IndexError> {
    let mut is_met = false;
    visit(&mut Cursor::new(bytes), series_count, &mut |first, last| {
        is_met =
            (first..=last).any(|member| wanted[member as usize / 64] >> (member % 64) & 1 == 1);
        !is_met
    })?;
    Ok(is_met)
}

/// Reads a list whose members are below `series_count`.
pub(crate) fn read(cursor: &mut Cursor<'_>, series_count: u32) -> Result<Vec<u32>, IndexError> {
    let mut members = Vec::with_capacity(count(cursor.rest())?.min(series_count as usize));
    visit(cursor, series_count, &mut |first, last| {
        members.extend(first..=last);
        true
    })?;
    Ok(members)
}

/// Shows `take` the first and last of each run of members, in order, while it wants more.
pub(crate) fn visit(
    cursor: &mut Cursor<'_>,
    series_count: u32,
    take: &mut dyn FnMut(u32, u32) -> bool,
) -> Result<(), IndexError> {
    const OUTSIDE: IndexError = IndexError::at("a posting lies outside the block");
    let count_max = usize::try_from(series_count).expect("64-bit or 32-bit target") * 2 + 1;
    let header = cursor.count(count_max)?;
    let (mut left, by_runs) = (header / 2, header & 1 == 1);
    let mut end: u32 = 0;
    let mut is_first = true;
    while left > 0 {
        let distance = cursor.varint_u32()?;
        let first =
            end.checked_add(distance).filter(|first| *first < series_count).ok_or(OUTSIDE)?;
        let mut last = first;
        if by_runs {
            let extra = cursor.count(left - 1)?;
            left -= extra;
            let extra = u32::try_from(extra).ok();
            last = extra.and_then(|extra| first.checked_add(extra)).ok_or(OUTSIDE)?;
            if last >= series_count {
                return Err(OUTSIDE);
            }
            end = last + 1;
        } else {
            if distance == 0 && !is_first {
                return Err(IndexError::at("postings do not rise"));
            }
            end = first;
        }
        is_first = false;
        left -= 1;
        if !take(first, last) {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(members: &[u32], max_bytes: usize) {
        let mut bytes = Vec::new();
        write(members, &mut bytes);
        assert!(bytes.len() <= max_bytes, "{} > {max_bytes}", bytes.len());
        let series_count = members.last().map_or(0, |last| last + 1);
        assert_eq!(read(&mut Cursor::new(&bytes), series_count).expect("decodes"), members);
        if series_count > 0 {
            assert!(read(&mut Cursor::new(&bytes), series_count - 1).is_err());
        }
    }

    #[test]
    fn neighbours_are_runs() {
        check(&[], 1);
        check(&(0..10_000).collect::<Vec<_>>(), 8);
        check(&(0..10_000).step_by(3).collect::<Vec<_>>(), 3340);
    }

    proptest! {
        #[test]
        fn any_list_comes_back(members in prop::collection::btree_set(0u32..100_000, 0..200)) {
            check(&members.into_iter().collect::<Vec<_>>(), usize::MAX);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), series_count in 0u32..1000) {
            if let Ok(members) = read(&mut Cursor::new(&bytes), series_count) {
                prop_assert!(members.is_sorted_by(|a, b| a < b));
                prop_assert!(members.iter().all(|member| *member < series_count));
            }
        }
    }
}
