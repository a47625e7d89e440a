//! `swell tsdb export` and `import`: samples between a data directory and files. Of one that a server uses, that server is
//! asked: for a snapshot to export, and to take in the blocks of an import.

mod export;
mod import;
mod openmetrics;
mod progress;
mod source;
mod staging;

use swell_model::{DurationMs, TimeRange, TimestampMs};

pub(crate) use export::export;
pub(crate) use import::import;

const DAY: DurationMs = DurationMs::from_secs(24 * 3600);

/// The parts of a range that windows of a length cut, oldest first; both ends belong.
fn parts(range: TimeRange, span: DurationMs) -> impl Iterator<Item = TimeRange> {
    let mut from = Some(range.start_incl);
    std::iter::from_fn(move || {
        let start = from.filter(|from| *from <= range.end_incl)?;
        let next = start.0.div_euclid(span.0).saturating_add(1).saturating_mul(span.0);
        let end = TimestampMs((next - 1).min(range.end_incl.0));
        from = (end < range.end_incl).then_some(TimestampMs(next));
        Some(TimeRange { start_incl: start, end_incl: end })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_at_days() {
        let range =
            |first, last| TimeRange { start_incl: TimestampMs(first), end_incl: TimestampMs(last) };
        let check = |whole, expected: &[TimeRange]| {
            assert_eq!(parts(whole, DAY).collect::<Vec<_>>(), expected);
        };
        check(range(5, 10), &[range(5, 10)]);
        check(range(5, DAY.0), &[range(5, DAY.0 - 1), range(DAY.0, DAY.0)]);
        check(range(-1, 0), &[range(-1, -1), range(0, 0)]);
        check(range(7, 6), &[]);
    }
}
