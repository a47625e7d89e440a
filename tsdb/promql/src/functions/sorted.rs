//! The floats of a window in order, kept up as it slides: from one step to the next few come and go.

use super::quantile::order;
use crate::eval::WindowView;

/// Sorted floats of the window seen last, of one series.
#[derive(Debug, Default)]
pub(super) struct SortedWindow {
    /// Indexes in the series' column: of the first float, and behind the last one.
    first: usize,
    end: usize,
    sorted: Vec<f64>,
}

/// Sorting anew is cheaper once a window has changed by more than one in so many floats.
const WORTH_SHARE: usize = 8;

impl SortedWindow {
    /// Makes ready for another series.
    pub(super) fn clear(&mut self) {
        (self.first, self.end) = (0, 0);
        self.sorted.clear();
    }

    /// The floats of a window in order; windows may only move forward. `floats` is the series' column.
    pub(super) fn at(&mut self, view: &WindowView<'_>, floats: &[f64]) -> &[f64] {
        let (first, end) = (view.first_float, view.first_float + view.floats.len());
        let overlaps = first >= self.first && first < self.end && end >= self.end;
        let moved = (first - self.first.min(first)) + (end - self.end.min(end));
        if overlaps && moved <= view.floats.len() / WORTH_SHARE {
            for value in &floats[self.first..first] {
                let at = self.place(*value);
                self.sorted.remove(at);
            }
            for value in &floats[self.end..end] {
                let at = self.place(*value);
                self.sorted.insert(at, *value);
            }
        } else if (first, end) != (self.first, self.end) {
            self.sorted.clear();
            self.sorted.extend_from_slice(view.floats);
            self.sorted.sort_unstable_by(order);
        }
        (self.first, self.end) = (first, end);
        &self.sorted
    }

    /// Of the first float that is not below.
    fn place(&self, value: f64) -> usize {
        self.sorted.partition_point(|other| order(other, &value).is_lt())
    }
}
