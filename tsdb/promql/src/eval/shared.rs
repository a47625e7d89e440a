//! Selections that a query names more than once are read once.

use rustc_hash::FxHashMap;
use swell_model::{Coarse, Matcher, SelectHints, SeriesData, TimeRange};

use crate::plan::Node;

/// What was selected so far, for selections that come again.
#[derive(Debug, Default)]
pub(super) struct SharedSelections {
    /// How often each set of matchers stands in the query, by their text.
    wanted: FxHashMap<String, usize>,
    read: FxHashMap<Selection, Vec<SeriesData>>,
}

/// Matchers as text, times, what may stand for samples, and whether histograms are reduced to their figures.
type Selection = (String, TimeRange, Coarse, bool);

fn text_of(matchers: &[Matcher]) -> String {
    matchers.iter().map(|matcher| format!("{matcher},")).collect()
}

impl SharedSelections {
    pub(super) fn of(node: &Node) -> Self {
        let mut wanted: FxHashMap<String, usize> = FxHashMap::default();
        node.each_selection(&mut |matchers| *wanted.entry(text_of(matchers)).or_default() += 1);
        wanted.retain(|_, count| *count > 1);
        Self { wanted, read: FxHashMap::default() }
    }

    /// The key of a selection that stands more than once in the query.
    pub(super) fn key(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        figures_only: bool,
    ) -> Option<Selection> {
        if self.wanted.is_empty() {
            return None;
        }
        let text = text_of(matchers);
        self.wanted.contains_key(&text).then_some((text, hints.range, hints.coarse, figures_only))
    }

    /// What was read under a key; samples are shared, not copied.
    pub(super) fn get(&self, key: &Selection) -> Option<Vec<SeriesData>> {
        self.read.get(key).cloned()
    }

    pub(super) fn put(&mut self, key: Selection, series: Vec<SeriesData>) {
        self.read.insert(key, series);
    }
}
