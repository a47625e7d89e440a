//! A column of timestamps, shared by all series of a target: an integer column, all its parts in one.

use crate::bytes::{Cursor, put_zigzag};
use crate::error::DecodeError;
use crate::ints;

/// Timestamps in one column; more would let few damaged bytes ask for much memory.
pub const TIMES_MAX: usize = 1 << 24;

/// Appends the column.
///
/// # Panics
/// With more than [`TIMES_MAX`] timestamps.
pub fn write_times(timestamps_ms: &[i64], out: &mut Vec<u8>) {
    assert!(timestamps_ms.len() <= TIMES_MAX, "callers cut columns");
    ints::write_whole(timestamps_ms, out);
}

/// Reads a column of `count` timestamps and checks that they rise.
///
/// # Errors
/// [`DecodeError`] when the bytes are not what [`write_times`] writes for that many rising timestamps.
pub fn read_times(bytes: &[u8], count: usize) -> Result<Vec<i64>, DecodeError> {
    let mut cursor = Cursor::new(bytes);
    if count > TIMES_MAX {
        return Err(cursor.fault("a column has more timestamps than any written"));
    }
    let mut out = vec![0; count];
    ints::read_whole(&mut cursor, &mut out)?;
    cursor.finish()?;
    if out.is_sorted_by(|a, b| a < b) {
        Ok(out)
    } else {
        Err(cursor.fault("timestamps do not rise"))
    }
}

/// Timestamps of a target while they grow: the first, then differences of differences, a byte or two each.
#[derive(Clone, Debug, Default)]
pub struct TimesTail {
    bytes: Vec<u8>,
    last_ms: i64,
    delta: i64,
    count: u32,
}

impl TimesTail {
    /// Appends a timestamp.
    ///
    /// # Panics
    /// When it is not after the last.
    pub fn push(&mut self, timestamp_ms: i64) {
        assert!(self.count == 0 || timestamp_ms > self.last_ms, "timestamps rise");
        let delta = timestamp_ms.wrapping_sub(self.last_ms);
        put_zigzag(&mut self.bytes, delta.wrapping_sub(self.delta));
        self.delta = if self.count == 0 { 0 } else { delta };
        self.last_ms = timestamp_ms;
        self.count += 1;
    }

    /// Number of timestamps.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The last timestamp, if any.
    #[must_use]
    pub const fn last_ms(&self) -> Option<i64> {
        if self.count == 0 { None } else { Some(self.last_ms) }
    }

    /// Heap bytes in use.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// All timestamps.
    #[must_use]
    pub fn to_vec(&self) -> Vec<i64> {
        let mut cursor = Cursor::new(&self.bytes);
        let (mut last, mut delta): (i64, i64) = (0, 0);
        (0..self.count)
            .map(|idx| {
                delta = delta.wrapping_add(cursor.zigzag().expect("push wrote one for each"));
                last = last.wrapping_add(delta);
                if idx == 0 {
                    delta = 0;
                }
                last
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(times: &[i64], max_bytes: usize) {
        let mut bytes = Vec::new();
        write_times(times, &mut bytes);
        assert!(bytes.len() <= max_bytes, "{} > {max_bytes} bytes", bytes.len());
        assert_eq!(read_times(&bytes, times.len()).expect("decodes"), times);
        let mut tail = TimesTail::default();
        times.iter().for_each(|at| tail.push(*at));
        assert_eq!((tail.to_vec(), tail.last_ms()), (times.to_vec(), times.last().copied()));
    }

    #[test]
    fn a_steady_target_costs_next_to_nothing() {
        check(&[], 0);
        check(&[-5], 2);
        check(&(0..480).map(|i| 1_780_000_000_000 + i * 15_000).collect::<Vec<_>>(), 24);
        check(
            &(0..1800).map(|i| 1_780_000_000_123 + i * 1000 + (i * 7) % 4).collect::<Vec<_>>(),
            800,
        );
    }

    #[test]
    fn times_that_do_not_rise_are_refused() {
        let mut bytes = Vec::new();
        write_times(&[1, 2, 2], &mut bytes);
        assert!(read_times(&bytes, 3).is_err());
        assert!(read_times(&[], usize::MAX).is_err());
    }

    proptest! {
        #[test]
        fn rising_times_come_back(times in prop::collection::btree_set(any::<i64>(), 0..400)) {
            check(&times.into_iter().collect::<Vec<_>>(), usize::MAX);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0usize..5000) {
            if let Ok(times) = read_times(&bytes, count) {
                prop_assert!(times.len() == count && times.is_sorted());
            }
        }
    }
}
