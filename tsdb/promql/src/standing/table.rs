//! The questions that were asked lately, and the selections that are kept for those that come again and again.

use std::collections::HashMap;
use std::sync::Arc;

use swell_model::TimestampMs;

use super::decide::Question;
use super::selection::Selection;

/// Questions that are remembered: more than rules there are, as a rule.
const QUESTIONS_MAX: usize = 4096;
/// A selection that nobody asked for in this time is not kept.
const IDLE_MS: i64 = 10 * 60_000;
/// Between two searches for such selections.
const SEARCH_MS: i64 = 60_000;
/// After so many evaluations in a row that are earlier than the last one the clock was set back, and they are followed.
const EARLIER_MAX: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Table {
    questions: HashMap<Question, Entry>,
    /// Counts questions, to tell which was not asked for longest.
    now: u64,
    searched_at: TimestampMs,
    /// What all that is kept takes, in samples.
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    /// The time of the last evaluation that counted.
    at: TimestampMs,
    asked: u64,
    earlier_count: u32,
    weight: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It was asked, and read in full.
    Asked,
    /// Whoever brings its selection up to date has it.
    Taken,
    Kept(Arc<Selection>),
    /// It could not be kept; it is not tried before that time.
    Resting(TimestampMs),
}

/// What a reader is to do.
#[derive(Debug)]
pub(super) enum Turn {
    /// Read in full.
    Full,
    /// Begin to keep.
    Begin,
    /// Bring this one up to date.
    Update(Arc<Selection>),
}

impl Table {
    /// Notes that a question is asked.
    pub(super) fn ask(&mut self, question: &Question, at: TimestampMs) -> Turn {
        self.now += 1;
        self.forget_idle(at);
        let (now, length_ms) = (self.now, question.length().0);
        let Some(entry) = self.questions.get_mut(question) else {
            self.make_room();
            let new = Entry { at, asked: now, earlier_count: 0, weight: 0, state: State::Asked };
            self.questions.insert(question.clone(), new);
            return Turn::Full;
        };
        entry.asked = now;
        let since_ms = at.0.saturating_sub(entry.at.0);
        if since_ms < 0 {
            // Another evaluation is ahead of this one, or the clock was set back.
            entry.earlier_count += 1;
            if entry.earlier_count > EARLIER_MAX && !matches!(entry.state, State::Taken) {
                self.weight -= std::mem::take(&mut entry.weight);
                (entry.at, entry.earlier_count, entry.state) = (at, 0, State::Asked);
            }
            return Turn::Full;
        }
        entry.earlier_count = 0;
        match &entry.state {
            State::Taken => Turn::Full,
            State::Kept(_) => {
                entry.at = at;
                match std::mem::replace(&mut entry.state, State::Taken) {
                    // What is far behind has nothing of the window any more.
                    State::Kept(_) if since_ms >= length_ms => Turn::Begin,
                    State::Kept(kept) => Turn::Update(kept),
                    _ => unreachable!("it was kept"),
                }
            }
            State::Resting(until) if at < *until => Turn::Full,
            State::Asked | State::Resting(_) => {
                if since_ms == 0 {
                    return Turn::Full;
                }
                let begins =
                    matches!(entry.state, State::Asked) && question.is_worth_keeping(since_ms);
                (entry.at, entry.state) = (at, if begins { State::Taken } else { State::Asked });
                if begins { Turn::Begin } else { Turn::Full }
            }
        }
    }

    /// Keeps a selection, with what it takes, that was brought up to date, or made.
    pub(super) fn keep(
        &mut self,
        question: &Question,
        (kept, weight): (Arc<Selection>, usize),
        weight_max: usize,
    ) {
        let Some(entry) = self.questions.get_mut(question) else { return };
        self.weight = self.weight - entry.weight + weight;
        (entry.weight, entry.state) = (weight, State::Kept(kept));
        let asked = entry.asked;
        while self.weight > weight_max {
            // Those that were not asked for longest go first, this one last.
            let others = self.questions.iter().filter(|(_, entry)| entry.weight > 0);
            let oldest = others.min_by_key(|(_, entry)| entry.asked);
            let Some((oldest, is_this)) =
                oldest.map(|(question, entry)| (question.clone(), entry.asked == asked))
            else {
                return;
            };
            self.rest(&oldest);
            if is_this {
                return;
            }
        }
    }

    /// A selection could not be kept: it is not tried again before its window holds other samples.
    pub(super) fn rest(&mut self, question: &Question) {
        if let Some(entry) = self.questions.get_mut(question) {
            self.weight -= std::mem::take(&mut entry.weight);
            entry.state = State::Resting(entry.at + question.length());
        }
    }

    /// What all that is kept takes, in samples.
    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    /// Number of selections that are kept, and what they take in samples.
    pub(super) fn size(&self) -> (usize, usize) {
        let kept = self.questions.values().filter(|entry| entry.weight > 0);
        (kept.count(), self.weight)
    }

    fn forget_idle(&mut self, at: TimestampMs) {
        // A clock that was set back is followed.
        let since_ms = at.0.saturating_sub(self.searched_at.0);
        if (0..SEARCH_MS).contains(&since_ms) {
            return;
        }
        self.searched_at = at;
        self.retain(|entry| match entry.state {
            // It is not tried again, however often it is asked for.
            State::Resting(until) => at < until,
            _ => at.0.saturating_sub(entry.at.0) <= IDLE_MS,
        });
    }

    /// Questions with a time of their own come once: the older half goes when there are too many.
    fn make_room(&mut self) {
        if self.questions.len() >= QUESTIONS_MAX {
            let mut asked: Vec<u64> = self.questions.values().map(|entry| entry.asked).collect();
            let middle = asked.len() / 2;
            let (_, middle, _) = asked.select_nth_unstable(middle);
            let middle = *middle;
            self.retain(|entry| entry.asked >= middle);
        }
    }

    fn retain(&mut self, stays: impl Fn(&Entry) -> bool) {
        let weight = &mut self.weight;
        self.questions.retain(|_, entry| {
            let stays = matches!(entry.state, State::Taken) || stays(entry);
            if !stays {
                *weight -= entry.weight;
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{Matcher, SelectHints, TimeRange};

    use super::*;

    /// A minute of a metric, asked at that second.
    fn question(metric: &str, at_s: i64) -> (Question, TimestampMs) {
        let at = TimestampMs(at_s * 1000);
        let range = TimeRange { start_incl: TimestampMs(at.0 - 59_999), end_incl: at };
        let matchers = [Matcher::equal("__name__", metric)];
        let question = Question::of(&matchers, &SelectHints::range(range), at);
        (question.expect("it may be kept"), at)
    }

    fn ask(table: &mut Table, metric: &str, at_s: i64) -> &'static str {
        let (question, at) = question(metric, at_s);
        match table.ask(&question, at) {
            Turn::Full => "full",
            Turn::Begin => "begin",
            Turn::Update(kept) => {
                let weight = kept.weight();
                table.keep(&question, (kept, weight), usize::MAX);
                "update"
            }
        }
    }

    fn keep(table: &mut Table, metric: &str, weight_max: usize) {
        let (question, _) = question(metric, 0);
        let selection = Selection::of_weight(question.what(), 100);
        table.keep(&question, (Arc::new(selection), 100), weight_max);
    }

    #[test]
    fn a_question_is_kept_from_the_second_time_on() {
        let mut table = Table::default();
        assert_eq!(ask(&mut table, "a", 100), "full");
        assert_eq!(ask(&mut table, "a", 100), "full", "by two rules of a group");
        assert_eq!(ask(&mut table, "a", 101), "begin");
        assert_eq!(ask(&mut table, "a", 101), "full", "someone else is at it");
        keep(&mut table, "a", 1000);
        assert_eq!(table.size(), (1, 100));
        assert_eq!(ask(&mut table, "a", 101), "update");
        assert_eq!(ask(&mut table, "a", 102), "update");
        assert_eq!(ask(&mut table, "a", 100), "full", "an earlier one does not disturb it");
        assert_eq!(ask(&mut table, "a", 103), "update");
        assert_eq!(ask(&mut table, "a", 170), "begin", "nothing of the window is left");
        assert_eq!([ask(&mut table, "b", 100), ask(&mut table, "b", 116)], ["full"; 2], "seldom");
    }

    #[test]
    fn a_clock_that_was_set_back_is_followed() {
        let mut table = Table::default();
        ask(&mut table, "a", 10_000);
        ask(&mut table, "a", 10_001);
        keep(&mut table, "a", 1000);
        let back: Vec<&str> = (0..8).map(|nr| ask(&mut table, "a", 6000 + nr)).collect();
        assert_eq!(back, ["full", "full", "full", "full", "full", "begin", "full", "full"]);
        assert_eq!(table.size(), (0, 0));
    }

    #[test]
    fn what_cannot_be_kept_rests_while_its_window_holds_the_same() {
        let mut table = Table::default();
        ask(&mut table, "a", 100);
        assert_eq!(ask(&mut table, "a", 101), "begin");
        table.rest(&question("a", 0).0);
        assert_eq!(ask(&mut table, "a", 160), "full");
        assert_eq!(ask(&mut table, "a", 161), "full", "asked as if for the first time");
        assert_eq!(ask(&mut table, "a", 162), "begin");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut table = Table::default();
        for metric in ["a", "b", "c"] {
            ask(&mut table, metric, 100);
            assert_eq!(ask(&mut table, metric, 101), "begin");
            keep(&mut table, metric, 250);
        }
        assert_eq!(table.size(), (2, 200), "the one that was not asked for longest has gone");
        assert_eq!(ask(&mut table, "a", 102), "full");
        assert_eq!(ask(&mut table, "b", 102), "update");
        for nr in 0..3 * QUESTIONS_MAX {
            ask(&mut table, &format!("once-{nr}"), 103);
        }
        assert!(table.questions.len() <= QUESTIONS_MAX);
        assert_eq!(ask(&mut table, "d", 104 + IDLE_MS / 1000), "full");
        assert_eq!((table.size(), table.questions.len()), ((0, 0), 1), "nobody asks for them");
    }
}
