//! The samples of one series that a window may still look at, and what is folded of those inside it.

use std::collections::VecDeque;

use swell_model::{Aggregate, ExactSum, Figures, FloatColumn, TimeRange};

use super::decide::What;

/// Samples before the window that are carried along until they are worth moving the others.
const BEHIND_MAX: usize = 64;
/// Room that is made for more samples at least.
const MORE_MIN: usize = 4;
/// Runs of a window that falls; one that falls more often is no counter, and its samples are smaller than its runs.
const RUNS_MAX: usize = 16;

/// Samples in the order of time: `[0, low)` are before the window, `[low, high)` inside, the others after it.
#[derive(Debug)]
pub(super) struct Ring {
    times: Vec<i64>,
    values: Vec<f64>,
    low: usize,
    high: usize,
    /// Samples that were before the first one here.
    dropped: u64,
    /// Staleness markers and numbers that are none inside the window. Sums cannot be freed of these, so windows with
    /// them are given as samples.
    odd_count: usize,
    fold: Fold,
}

/// What is carried from one window to the next. Samples go by their number since the ring was made.
#[derive(Debug)]
enum Fold {
    Nothing,
    /// Windows are given as samples: a series that changes all the time would have a run for each.
    Samples,
    Sum(ExactSum),
    /// Those that may be the smallest or greatest of a window, none of which a later one wins against.
    Extremes {
        least: VecDeque<u64>,
        greatest: VecDeque<u64>,
    },
    /// Those below the sample before, which is in the window, too.
    Falls(VecDeque<u64>),
}

impl Fold {
    fn of(what: What) -> Self {
        match what {
            What::Newest | What::Samples | What::Folded(Figures::Ends) => Self::Nothing,
            What::Folded(Figures::Changes) => Self::Samples,
            What::Folded(Figures::Sums) => Self::Sum(ExactSum::default()),
            What::Folded(Figures::Extremes) => {
                Self::Extremes { least: VecDeque::new(), greatest: VecDeque::new() }
            }
            What::Folded(Figures::Falls) => Self::Falls(VecDeque::new()),
        }
    }
}

impl Ring {
    /// These samples, with a window before all of them.
    pub(super) fn new(what: What, floats: &FloatColumn) -> Self {
        Self {
            times: floats.timestamps.to_vec(),
            values: floats.values.to_vec(),
            low: 0,
            high: 0,
            dropped: 0,
            odd_count: 0,
            fold: Fold::of(what),
        }
    }

    /// Adds a sample that is later than all.
    pub(super) fn push(&mut self, at_ms: i64, value: f64) {
        debug_assert!(self.times.last().is_none_or(|last| *last < at_ms), "times rise");
        if self.times.len() == self.times.capacity() {
            // Doubling would leave half of the room unused: a window holds as much later as now.
            let more = (self.times.len() / 4).max(MORE_MIN);
            self.times.reserve_exact(more);
            self.values.reserve_exact(more);
        }
        self.times.push(at_ms);
        self.values.push(value);
    }

    /// What it takes, in samples of sixteen bytes; room for samples to come does not count.
    pub(super) fn weight(&self) -> usize {
        let carried = match &self.fold {
            Fold::Nothing | Fold::Samples | Fold::Sum(_) => 0,
            Fold::Extremes { least, greatest } => least.len() + greatest.len(),
            Fold::Falls(falls) => falls.len(),
        };
        self.times.len() + carried.div_ceil(2)
    }

    /// Moves the window on: neither of its ends may go back.
    pub(super) fn advance(&mut self, what: What, range: TimeRange) {
        let (first_ms, last_ms) = (range.start_incl.0, range.end_incl.0);
        if what == What::Newest {
            let passed = self.times[self.high..].iter().take_while(|at| **at <= last_ms).count();
            self.high += passed;
            self.low = self.high.saturating_sub(1);
            if self.times.get(self.low).is_some_and(|at| *at < first_ms) {
                self.low = self.high;
            }
        } else {
            while self.times.get(self.high).is_some_and(|at| *at <= last_ms) {
                self.enter();
            }
            while self.low < self.high && self.times[self.low] < first_ms {
                self.leave();
            }
        }
        if self.low > BEHIND_MAX && self.low > self.times.len() / 4 {
            self.times.drain(..self.low);
            self.values.drain(..self.low);
            self.dropped += self.low as u64;
            self.high -= self.low;
            self.low = 0;
        }
    }

    /// Takes the next sample into the window.
    fn enter(&mut self) {
        let (idx, value) = (self.high, self.values[self.high]);
        self.high += 1;
        if !value.is_finite() {
            self.odd_count += 1;
            return;
        }
        let number = self.dropped + idx as u64;
        match &mut self.fold {
            Fold::Nothing | Fold::Samples => {}
            Fold::Sum(sum) => sum.add(value),
            Fold::Extremes { least, greatest } => {
                let (values, dropped) = (&self.values, self.dropped);
                let other = |number| value_of(values, dropped, number);
                let is_same = |other: f64| value.to_bits() == other.to_bits();
                offer(least, number, |it| value < other(it) || is_same(other(it)));
                offer(greatest, number, |it| value > other(it) || is_same(other(it)));
            }
            Fold::Falls(falls) => {
                if idx > self.low && value < self.values[idx - 1] {
                    falls.push_back(number);
                }
            }
        }
    }

    /// Lets the oldest sample go out of the window.
    fn leave(&mut self) {
        let value = self.values[self.low];
        self.low += 1;
        if !value.is_finite() {
            self.odd_count -= 1;
        }
        let first = self.dropped + self.low as u64;
        match &mut self.fold {
            Fold::Nothing | Fold::Samples => {}
            Fold::Sum(sum) if self.low == self.high => *sum = ExactSum::default(),
            Fold::Sum(sum) if value.is_finite() => sum.add(-value),
            Fold::Sum(_) => {}
            Fold::Extremes { least, greatest } => {
                for best in [least, greatest] {
                    if best.front().is_some_and(|number| *number < first) {
                        best.pop_front();
                    }
                }
            }
            // The first sample of a window falls below none.
            Fold::Falls(falls) => {
                if falls.front().is_some_and(|number| *number <= first) {
                    falls.pop_front();
                }
            }
        }
    }

    /// Times and values inside the window.
    pub(super) fn window(&self) -> (&[i64], &[f64]) {
        (&self.times[self.low..self.high], &self.values[self.low..self.high])
    }

    /// Runs that stand for the samples of the window; `None` where the samples are to be taken.
    pub(super) fn runs(&self) -> Option<Vec<Aggregate>> {
        if self.odd_count > 0 || self.low == self.high {
            return None;
        }
        let mut whole = self.run(self.low, self.high);
        match &self.fold {
            Fold::Nothing => {}
            Fold::Samples => return None,
            Fold::Sum(sum) => [whole.sum, whole.sum_lost] = sum.in_two()?,
            Fold::Extremes { least, greatest } => {
                let value = |number: u64| value_of(&self.values, self.dropped, number);
                (whole.min, whole.max) = (value(*least.front()?), value(*greatest.front()?));
            }
            Fold::Falls(falls) if falls.is_empty() => {}
            Fold::Falls(falls) if falls.len() < RUNS_MAX => {
                let borders = falls.iter().map(|number| index_of(self.dropped, *number));
                let mut from = self.low;
                return Some(
                    borders
                        .chain([self.high])
                        .map(|to| self.run(std::mem::replace(&mut from, to), to))
                        .collect(),
                );
            }
            Fold::Falls(_) => return None,
        }
        Some(vec![whole])
    }

    /// Count and ends of a run.
    fn run(&self, from: usize, to: usize) -> Aggregate {
        let (last_ms, last) = (self.times[to - 1], self.values[to - 1]);
        let first = Aggregate::of_sample(self.times[from], self.values[from]);
        Aggregate { count: (to - from) as u64, last_ms, last, ..first }
    }
}

/// Puts a sample behind those that it does not win against.
fn offer(best: &mut VecDeque<u64>, number: u64, wins: impl Fn(u64) -> bool) {
    while best.back().is_some_and(|other| wins(*other)) {
        best.pop_back();
    }
    best.push_back(number);
}

fn index_of(dropped: u64, number: u64) -> usize {
    usize::try_from(number - dropped).expect("numbers of samples that are here")
}

fn value_of(values: &[f64], dropped: u64, number: u64) -> f64 {
    values[index_of(dropped, number)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swell_model::{TimestampMs, greatest, least, stale_nan};

    use super::*;

    fn any_value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0u32..50).prop_map(f64::from),
            4 => (0u32..100_000).prop_map(|value| f64::from(value) / 1000.0 - 30.0),
            1 => prop_oneof![Just(stale_nan()), Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)],
            1 => any::<f64>(),
        ]
    }

    fn total(pieces: &[Aggregate]) -> u64 {
        let mut sum = ExactSum::default();
        pieces.iter().for_each(|piece| piece.add_to(&mut sum));
        sum.value().to_bits()
    }

    fn check(what: What, ring: &Ring, inside: &[(i64, f64)]) -> Result<(), TestCaseError> {
        let (times, values): (Vec<i64>, Vec<f64>) = inside.iter().copied().unzip();
        if what == What::Newest {
            let newest = inside.last().map(|(at, value)| (*at, value.to_bits()));
            let (times, values) = ring.window();
            let found = times.last().zip(values.last());
            prop_assert_eq!(found.map(|(at, value)| (*at, value.to_bits())), newest);
            prop_assert!(times.len() <= 1);
            return Ok(());
        }
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
        prop_assert_eq!(ring.window().0, &times[..]);
        prop_assert_eq!(bits(ring.window().1), bits(&values));
        let Some(runs) = ring.runs() else {
            let falls = values.windows(2).filter(|pair| pair[1] < pair[0]).count();
            let is_odd = values.is_empty() || values.iter().any(|value| !value.is_finite());
            // Sums may not fit, and changes are counted of samples.
            let may_have_none = [What::Folded(Figures::Sums), What::Folded(Figures::Changes)];
            let is_wanted = !is_odd && falls + 1 < RUNS_MAX && !may_have_none.contains(&what);
            prop_assert!(!is_wanted, "runs are wanted");
            return Ok(());
        };
        prop_assert_ne!(what, What::Folded(Figures::Changes), "samples are wanted");
        prop_assert_eq!(runs.iter().map(|run| run.count).sum::<u64>(), values.len() as u64);
        let (first, last) = (runs[0], runs[runs.len() - 1]);
        prop_assert_eq!((first.first_ms, first.first.to_bits()), (times[0], values[0].to_bits()));
        let end = values.len() - 1;
        prop_assert_eq!((last.last_ms, last.last.to_bits()), (times[end], values[end].to_bits()));
        match what {
            What::Folded(Figures::Sums) => {
                let mut sum = ExactSum::default();
                sum.add_all(&values);
                prop_assert_eq!(total(&runs), sum.value().to_bits());
            }
            What::Folded(Figures::Extremes) => {
                prop_assert_eq!(
                    bits(&[first.min, first.max]),
                    bits(&[least(&values), greatest(&values)])
                );
            }
            What::Folded(Figures::Falls) => {
                let before: Vec<f64> = values
                    .windows(2)
                    .filter(|pair| pair[1] < pair[0])
                    .map(|pair| pair[0])
                    .collect();
                let ends: Vec<f64> = runs[..runs.len() - 1].iter().map(|run| run.last).collect();
                prop_assert_eq!(bits(&ends), bits(&before), "a run ends before each fall");
            }
            _ => prop_assert_eq!(runs.len(), 1),
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn what_is_carried_is_what_the_samples_give(
            steps in prop::collection::vec((1i64..5, any_value(), 0i64..6), 1..300),
            length in 1i64..120,
            lag in 0i64..20,
            nr in 0usize..7,
        ) {
            let what = [
                What::Newest,
                What::Samples,
                What::Folded(Figures::Ends),
                What::Folded(Figures::Sums),
                What::Folded(Figures::Extremes),
                What::Folded(Figures::Falls),
                What::Folded(Figures::Changes),
            ][nr];
            let mut ring = Ring::new(what, &FloatColumn::default());
            let (mut all, mut at, mut now): (Vec<(i64, f64)>, _, _) = (Vec::new(), 0, 0);
            for (gap, value, on) in steps {
                at += gap;
                ring.push(at, value);
                all.push((at, value));
                now += on;
                let (first, last) = (now - lag - length + 1, now - lag);
                let range =
                    TimeRange { start_incl: TimestampMs(first), end_incl: TimestampMs(last) };
                ring.advance(what, range);
                let inside: Vec<(i64, f64)> =
                    all.iter().filter(|(at, _)| (first..=last).contains(at)).copied().collect();
                check(what, &ring, &inside)?;
                prop_assert!(ring.times.len() <= all.len());
            }
        }
    }
}
