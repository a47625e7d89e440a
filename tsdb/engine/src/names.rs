//! Names and values of labels, from the head and the indexes of blocks.

use std::collections::BTreeSet;
use std::sync::Arc;

use swell_index::KnownTexts;
use swell_model::{Labels, Matcher, SelectError, TimeRange};

use crate::block::Block;
use crate::coarse;
use crate::db::Db;
use crate::head::Head;
use crate::select::{OnDamage, load};

impl Db {
    /// See [`swell_model::SeriesSource::label_names`].
    pub(crate) fn names_of(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let mut lists: Vec<Vec<String>> = Vec::new();
        let blocks = self.read_head(range, |head| {
            let names: BTreeSet<String> = if matchers.is_empty() {
                head.index.names().map(str::to_owned).collect()
            } else {
                let Ok(found) = swell_index::select(&head.index, matchers);
                let labels: Vec<Labels> =
                    found.into_iter().filter_map(|idx| head.index.labels(idx)).collect();
                let names: BTreeSet<&str> =
                    labels.iter().flat_map(Labels::iter).map(|(name, _)| name).collect();
                names.into_iter().map(str::to_owned).collect()
            };
            lists.push(names.into_iter().collect());
        });
        // Whoever asks for names shows the warnings too.
        let on_damage = OnDamage::PassOver;
        for loaded in load(&blocks, range, self.inner.clock.monotonic(), on_damage)? {
            let names = if matchers.is_empty() {
                Ok(loaded.index.names().map(str::to_owned).collect())
            } else {
                swell_index::select(&loaded.index, matchers)
                    .and_then(|found| loaded.index.names_of(&found))
            };
            lists.extend(on_damage.check(names.map_err(|error| loaded.index_fault(error)))?);
        }
        Ok(merged(lists))
    }

    /// See [`swell_model::SeriesSource::label_values`].
    pub(crate) fn values_of(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let mut lists: Vec<Vec<String>> = Vec::new();
        // Of all values: most stand in every block, and are not to be read in each.
        let mut known = KnownTexts::default();
        let blocks = self.read_head(range, |head| {
            if matchers.is_empty() {
                let values = head.index.values(name).map(|(value, _)| value);
                let values = values.inspect(|value| known.learn(value));
                lists.push(values.map(str::to_owned).collect());
            } else {
                let Ok(found) = swell_index::select(&head.index, matchers);
                lists.push(head.index.values_of(&found, name));
            }
        });
        let on_damage = OnDamage::PassOver;
        for loaded in load(&blocks, range, self.inner.clock.monotonic(), on_damage)? {
            let values = if matchers.is_empty() {
                loaded.new_values(name, &mut known)
            } else {
                swell_index::select(&loaded.index, matchers)
                    .and_then(|found| loaded.index.values_of(&found, name))
                    .map_err(|error| loaded.index_fault(error))
            };
            lists.extend(on_damage.check(values)?);
        }
        Ok(merged(lists))
    }

    /// Shows the head to `read` when it may have samples in the range, and gives the blocks of the same moment, those of
    /// aggregates where they reach into the range.
    fn read_head(&self, range: TimeRange, read: impl FnOnce(&Head)) -> Vec<Arc<Block>> {
        let state = self.inner.state.read();
        let parts = [state.head.range(), state.head.late_range()];
        if parts.iter().flatten().any(|part| part.overlaps(&range)) {
            read(&state.head);
        }
        let reaches = |block: &&Arc<Block>| coarse::may_have(&block.meta, range);
        state.blocks.iter().chain(state.coarse.iter().filter(reaches)).cloned().collect()
    }
}

/// Members of sorted lists, sorted, each once.
fn merged(mut lists: Vec<Vec<String>>) -> Vec<String> {
    if lists.len() > 1 {
        let mut all = lists.concat();
        // A stable sort merges runs that are sorted already.
        all.sort();
        all.dedup();
        return all;
    }
    lists.pop().unwrap_or_default()
}
