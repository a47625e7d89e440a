//! How many samples were looked at: in all, and at each step where that is asked for.

use super::Column;

/// Samples that were looked at, each once for each step that looked at it; histograms as many as their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    total: u64,
    /// By step of the grid that is evaluated; empty where steps are not told apart.
    by_step: Vec<u64>,
}

impl Tally {
    /// Nothing so far, at that many steps.
    pub(crate) fn by_step(steps: usize) -> Self {
        Self { total: 0, by_step: vec![0; steps] }
    }

    /// The same without anything counted.
    pub(crate) fn emptied(&self) -> Self {
        Self::by_step(self.by_step.len())
    }

    /// At all steps together.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// In all, and at each step where that was asked for.
    pub(crate) fn into_parts(self) -> (u64, Vec<u64>) {
        (self.total, self.by_step)
    }

    /// Whether steps are told apart.
    pub(crate) fn tells_steps(&self) -> bool {
        !self.by_step.is_empty()
    }

    /// Samples that a step looked at.
    #[inline]
    pub(crate) fn at(&mut self, step: usize, samples: u64) {
        self.total += samples;
        if let Some(count) = self.by_step.get_mut(step) {
            *count += samples;
        }
    }

    /// Samples that all steps looked at together; only where steps are not told apart.
    pub(crate) fn together(&mut self, samples: u64) {
        debug_assert!(!self.tells_steps(), "each step's own would be missing");
        self.total += samples;
    }

    /// As many samples at each of some steps.
    pub(crate) fn at_each(&mut self, steps: usize, samples: u64) {
        self.total = self.total.saturating_add(samples.saturating_mul(steps as u64));
        for count in &mut self.by_step {
            *count += samples;
        }
    }

    /// A column in which each value is a sample; they weigh so much together.
    pub(crate) fn column(&mut self, column: &Column, weight: u64) {
        if !self.tells_steps() {
            self.total += weight;
            return;
        }
        for step in 0..column.len() {
            self.at(step, column.weight_at(step) as u64);
        }
    }

    /// What was counted elsewhere at the same steps.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.total += other.total;
        for (count, more) in self.by_step.iter_mut().zip(&other.by_step) {
            *count += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up_to_the_total() {
        let mut tally = Tally::by_step(3);
        tally.at(1, 4);
        tally.at_each(3, 2);
        let mut other = tally.emptied();
        let mut column = Column::absent(3);
        column.set_float(2, 1.5);
        other.column(&column, 1);
        tally.merge(&other);
        assert_eq!(tally.into_parts(), (11, vec![2, 6, 3]));
    }

    #[test]
    fn steps_that_nobody_asked_for_cost_nothing() {
        let mut tally = Tally::default();
        tally.at(1, 4);
        tally.at_each(3, 2);
        tally.together(5);
        tally.column(&Column::constant(1.0, 3), 3);
        assert_eq!(tally.emptied(), Tally::default());
        assert_eq!(tally.into_parts(), (18, Vec::new()));
    }
}
