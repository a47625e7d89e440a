//! Series of the storage here and of another place, as one.

use std::collections::HashMap;

use swell_model::{Labels, SelectError, SeriesData, SeriesIter, join_samples};

/// Series of here, each with its samples of elsewhere, then the series that are only there. Where both have a sample at a time
/// that of here counts.
pub(crate) struct Joined<'a> {
    elsewhere: HashMap<Labels, SeriesData>,
    here: Option<SeriesIter<'a>>,
}

impl<'a> Joined<'a> {
    pub(crate) fn new(elsewhere: Vec<SeriesData>, here: SeriesIter<'a>) -> Self {
        let elsewhere = elsewhere.into_iter().map(|it| (it.labels.clone(), it)).collect();
        Self { elsewhere, here: Some(here) }
    }
}

impl Iterator for Joined<'_> {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(here) = &mut self.here {
            match here.next() {
                Some(Ok(series)) => {
                    return Some(Ok(match self.elsewhere.remove(&series.labels) {
                        Some(other) => join_samples(other, series),
                        None => series,
                    }));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => self.here = None,
            }
        }
        let labels = self.elsewhere.keys().next()?.clone();
        self.elsewhere.remove(&labels).map(Ok)
    }
}
