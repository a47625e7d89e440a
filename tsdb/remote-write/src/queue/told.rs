//! What may be told again and again, and when.

use std::time::Duration;

/// The same trouble is told this often.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// Kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The log cannot be read.
    Log,
    /// The receiver fails.
    Failure,
    /// The receiver refuses.
    Refusal,
    /// The place cannot be written down.
    Place,
}

impl Trouble {
    const COUNT: usize = 4;
}

/// When each kind was told last.
#[derive(Debug, Default)]
pub(super) struct Told([Option<Duration>; Trouble::COUNT]);

impl Told {
    /// Whether a trouble is to be told now; then it counts as told.
    pub(super) fn tells(&mut self, trouble: Trouble, now: Duration) -> bool {
        let told_at = &mut self.0[trouble as usize];
        let is_due = told_at.is_none_or(|told| now.saturating_sub(told) >= TOLD_INTERVAL);
        if is_due {
            *told_at = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_minute() {
        let mut told = Told::default();
        let at = Duration::from_secs;
        assert!(told.tells(Trouble::Log, at(0)));
        assert!(!told.tells(Trouble::Log, at(59)));
        assert!(told.tells(Trouble::Place, at(59)), "another kind");
        assert!(told.tells(Trouble::Log, at(60)));
        assert!(!told.tells(Trouble::Log, at(61)));
    }
}
