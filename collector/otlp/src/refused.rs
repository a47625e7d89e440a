//! Points that became nothing, counted, with the first reasons.

/// Reasons that are kept as text.
const REASONS_MAX: usize = 5;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    points: usize,
    reasons: Vec<String>,
}

impl Refused {
    /// Counts points; the reason is asked for while there is room for it.
    pub fn add(&mut self, points: usize, reason: impl FnOnce() -> String) {
        self.points += points;
        if self.reasons.len() < REASONS_MAX {
            let reason = reason();
            if !self.reasons.contains(&reason) {
                self.reasons.push(reason);
            }
        }
    }

    /// How many.
    #[must_use]
    pub const fn points(&self) -> usize {
        self.points
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.points == 0 && self.reasons.is_empty()
    }

    /// The reasons, as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.reasons.join("; ")
    }
}
