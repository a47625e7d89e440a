//! Names and values of labels, from the lists of uploads and their indices of series; and an archive as a source of series.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use swell_index::{IndexError, SliceIndex, select};
use swell_model::{
    METRIC_NAME, Matcher, SelectError, SelectHints, SeriesIter, SeriesSource, TimeRange,
};

use crate::archive::{Archive, ReadError, select_error};
use crate::manifest::{Manifest, Part, SeriesFile};

/// Bytes of indices up to which they are read for one question: a month of some hundred thousand series.
const INDEX_BYTES_MAX: u64 = 128 << 20;
/// Files that match, up to which label values are read out of files: of uploads of format 1, which have no index.
const LABEL_FILES_MAX: usize = 256;

/// Whether a file may have series that satisfy the matchers, as far as its upload's list tells.
pub(crate) fn may_match(part: &Part, matchers: &[Matcher]) -> bool {
    let (by_name, others): (Vec<&Matcher>, Vec<&Matcher>) =
        matchers.iter().partition(|it| it.name == METRIC_NAME);
    others.iter().all(|it| it.matches_empty() || part.labels.contains(&it.name))
        && part.metrics.keys().any(|metric| by_name.iter().all(|it| it.matches(metric)))
}

impl Archive {
    /// Names of the metrics whose files may have series that satisfy the matchers: no file is opened.
    pub(crate) fn metrics_of(
        &self,
        uploads: &[Arc<Manifest>],
        matchers: &[Matcher],
        range: TimeRange,
    ) -> BTreeSet<String> {
        let overlaps = |part: &&Part| part.row_groups.iter().any(|group| group.overlaps(range));
        let parts = uploads.iter().flat_map(|manifest| &manifest.parts);
        let parts = parts.filter(overlaps).filter(|part| may_match(part, matchers));
        let by_name: Vec<&Matcher> = matchers.iter().filter(|it| it.name == METRIC_NAME).collect();
        let is_wanted =
            |name: &&String| !name.is_empty() && by_name.iter().all(|it| it.matches(name));
        parts.flat_map(|part| part.metrics.keys()).filter(is_wanted).cloned().collect()
    }

    /// Names of the labels of files that may have series that satisfy the matchers.
    pub(crate) fn names_of(
        &self,
        uploads: &[Arc<Manifest>],
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Vec<String> {
        let overlaps = |part: &&Part| part.row_groups.iter().any(|group| group.overlaps(range));
        let parts = uploads.iter().flat_map(|manifest| &manifest.parts);
        let mut names = BTreeSet::new();
        for part in parts.filter(overlaps).filter(|part| may_match(part, matchers)) {
            names.extend(part.labels.iter().cloned());
            if part.metrics.keys().any(|metric| !metric.is_empty()) {
                names.insert(METRIC_NAME.to_owned());
            }
        }
        names.into_iter().collect()
    }

    /// Sorted label names of what is archived. With matchers they are those of the series, in all of the uploads that the
    /// range touches; where there is no index of series, those of files.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, ReadError> {
        self.answered(range, |uploads| self.label_names_of(uploads, matchers, range))
    }

    fn label_names_of(
        &self,
        uploads: &[Arc<Manifest>],
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, ReadError> {
        if matchers.is_empty() || !are_small(uploads) {
            return Ok(self.names_of(uploads, matchers, range));
        }
        let mut names = BTreeSet::new();
        for upload in uploads {
            match &upload.series {
                Some(file) => {
                    names.extend(self.ask(file, matchers, |index, found| index.names_of(found))?)
                }
                None => names.extend(self.names_of(std::slice::from_ref(upload), matchers, range)),
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Sorted values of a label, in all of the uploads that the range touches; `None` when the indices of series to be read
    /// for that are too many.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Option<Vec<String>>, ReadError> {
        self.answered(range, |uploads| self.label_values_of(uploads, name, matchers, range))
    }

    fn label_values_of(
        &self,
        uploads: &[Arc<Manifest>],
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Option<Vec<String>>, ReadError> {
        let by_name_only = matchers.iter().all(|it| it.name == METRIC_NAME);
        if name == METRIC_NAME && by_name_only {
            let metrics = self.metrics_of(uploads, matchers, range);
            return Ok(Some(metrics.into_iter().collect()));
        }
        let (indexed, bare): (Vec<_>, Vec<_>) =
            uploads.iter().cloned().partition(|upload| upload.series.is_some());
        let parts = bare.iter().flat_map(|upload| &upload.parts);
        let file_count = parts.filter(|part| may_match(part, matchers)).count();
        if !are_small(&indexed) || file_count > LABEL_FILES_MAX {
            return Ok(None);
        }
        let mut values = BTreeSet::new();
        for file in indexed.iter().filter_map(|upload| upload.series.as_ref()) {
            values.extend(self.ask(file, matchers, |index, found| index.values_of(found, name))?);
        }
        let series = self.read_of(&bare, matchers, range, true, self.limits())?;
        values.extend(series.iter().filter_map(|it| it.labels.get(name)).map(str::to_owned));
        Ok(Some(values.into_iter().collect()))
    }

    /// An answer of an index about the series that satisfy the matchers.
    fn ask(
        &self,
        file: &SeriesFile,
        matchers: &[Matcher],
        answer: impl FnOnce(&SliceIndex<Bytes>, &[u32]) -> Result<Vec<String>, IndexError>,
    ) -> Result<Vec<String>, ReadError> {
        let (_, bytes) = self.segment(&file.path, file.bytes)?;
        SliceIndex::new(bytes)
            .and_then(|index| select(&index, matchers).and_then(|found| answer(&index, &found)))
            .map_err(|error| self.damaged(&file.path, 0, error.to_string()))
    }
}

fn are_small(uploads: &[Arc<Manifest>]) -> bool {
    let files = uploads.iter().filter_map(|upload| upload.series.as_ref());
    files.map(|file| file.bytes.len).sum::<u64>() <= INDEX_BYTES_MAX
}

impl SeriesSource for Archive {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let found = self.read(matchers, hints.range, hints.labels_only);
        let series = found.map_err(|error| select_error(&error))?;
        let limit = if hints.limit == 0 { usize::MAX } else { hints.limit };
        Ok(Box::new(series.into_iter().take(limit).map(Ok)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        Self::label_names(self, matchers, range).map_err(|error| select_error(&error))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let found = Self::label_values(self, name, matchers, range);
        let values = found.map_err(|error| select_error(&error))?;
        values.ok_or_else(|| SelectError::Stopped {
            why: "too much of the archive would be read for the values of a label: name a metric, or a shorter time"
                .to_owned(),
        })
    }
}
