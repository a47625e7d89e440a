//! Groups of selections that were asked for lately: dashboards, rules and autoscalers ask the same again and again,
//! and from one question to the next few series come or go.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use swell_index::{GroupedSeries, MemoryIndex};
use swell_model::{Grouping, Matcher};

/// Kept groupings hold this many series in all, or twice those in memory: eight bytes each.
const SERIES_KEPT: usize = 1 << 18;
/// Kept groupings at most.
const GROUPINGS_KEPT: usize = 256;

/// See the module. What is kept is only ever a shortcut: [`MemoryIndex::group`] checks it.
#[derive(Debug, Default)]
pub(crate) struct Groupings(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By matchers and grouping as text.
    by_question: HashMap<String, (Arc<GroupedSeries>, u64)>,
    /// Series in all of them.
    series_count: usize,
    /// Counts questions, to tell which was not asked for longest.
    now: u64,
}

impl Groupings {
    /// The series, which `matchers` selected in the index, in groups.
    pub(crate) fn group(
        &self,
        index: &MemoryIndex,
        matchers: &[Matcher],
        grouping: Grouping<'_>,
        series: Vec<u32>,
    ) -> Arc<GroupedSeries> {
        let question = text_of(matchers, grouping);
        let known = self.0.lock().by_question.get(&question).map(|(known, _)| Arc::clone(known));
        let grouped = index.group(series, grouping, known.as_ref());
        self.0.lock().keep(question, Arc::clone(&grouped), 2 * index.series_count());
        grouped
    }
}

impl Kept {
    fn keep(&mut self, question: String, grouped: Arc<GroupedSeries>, series_max: usize) {
        self.now += 1;
        self.series_count += grouped.series.len();
        if let Some((old, _)) = self.by_question.insert(question, (grouped, self.now)) {
            self.series_count -= old.series.len();
        }
        let series_max = series_max.max(SERIES_KEPT);
        while self.series_count > series_max || self.by_question.len() > GROUPINGS_KEPT {
            let oldest = self.by_question.iter().min_by_key(|(_, (_, asked))| *asked);
            let Some(question) = oldest.map(|(question, _)| question.clone()) else { break };
            if let Some((old, _)) = self.by_question.remove(&question) {
                self.series_count -= old.series.len();
            }
        }
    }
}

fn text_of(matchers: &[Matcher], grouping: Grouping<'_>) -> String {
    let mut text = String::new();
    for matcher in matchers {
        // Writing to a string cannot fail.
        write!(text, "{matcher},").expect("strings take all text");
    }
    text.push_str(if grouping.without { "without" } else { "by" });
    for name in grouping.names {
        write!(text, "{name:?},").expect("strings take all text");
    }
    text
}

#[cfg(test)]
mod tests {
    use swell_model::Labels;

    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_never_wrong() {
        let mut index = MemoryIndex::default();
        let groupings = Groupings::default();
        let names = ["job".to_owned()];
        let by_job = Grouping { names: &names, without: false };
        let labels = |nr: u32| {
            let job = format!("job-{}", nr % 3);
            Labels::from_pairs([("__name__", "up"), ("job", &job), ("nr", &nr.to_string())])
        };
        let mut there: Vec<u32> = Vec::new();
        for nr in 0..600 {
            there.push(index.insert(&labels(nr)));
            there.sort_unstable();
            if nr % 7 == 0 {
                index.remove(&[there.remove(0)]);
            }
            // Each question is another one, and the first one comes again and again.
            let asked = Matcher::equal("other", nr.to_string());
            for matchers in [&[][..], &[asked]] {
                let grouped = groupings.group(&index, matchers, by_job, there.clone());
                for (idx, group) in grouped.series.iter().zip(&grouped.group_of) {
                    let labels = index.labels(*idx).expect("in use");
                    assert_eq!(grouped.groups[*group as usize].get("job"), labels.get("job"));
                }
                assert_eq!(grouped.series, there);
            }
        }
        let kept = groupings.0.lock();
        assert_eq!(kept.by_question.len(), GROUPINGS_KEPT);
        let series: usize = kept.by_question.values().map(|(kept, _)| kept.series.len()).sum();
        assert_eq!(kept.series_count, series);
    }
}
