//! A storage as somebody reads it who lets nothing be left out.

use swell_engine::Db;
use swell_model::{
    LabelsIter, Matcher, SelectError, SelectHints, SeriesIter, SeriesSource, TimeRange,
};

/// Selects with other hints than it is given; has no lists of labels.
pub(crate) struct Plain<'a> {
    pub(crate) db: &'a Db,
    pub(crate) hints: fn(&SelectHints) -> SelectHints,
}

impl SeriesSource for Plain<'_> {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        self.db.select(matchers, &(self.hints)(hints))
    }

    fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<LabelsIter, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        Ok(Vec::new())
    }
}
