//! An archive as a source of series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use swell_env::{Clock, Monotonic};
use swell_model::{
    METRIC_NAME, Matcher, SelectError, SelectHints, SeriesData, SeriesIter, SeriesSource, TimeRange,
};
use swell_telemetry::chain;

use crate::cache::SegmentCache;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::decode::{Collected, DecodeError, FileFacts, Segments, Wanted};
use crate::layout::Window;
use crate::manifest::{Manifest, Part, Segment};
use crate::store::Store;

/// Bytes of files kept in memory after a read.
const CACHE_BYTES: usize = 64 << 20;
/// A read that takes longer is given up: whoever asked gets what is known without the archive.
const READ_DEADLINE: Duration = Duration::from_secs(30);
/// After a failure the store is left alone this long, so that queries do not wait for it one by one.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Files of metrics that match, up to which label values are read out of files: names of metrics are known without.
const LABEL_FILES_MAX: usize = 256;

/// Why an archive could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store gives no answer, or did not a moment ago.
    #[error("the archive {location} does not answer")]
    Unreachable {
        /// The archive.
        location: String,
        /// The first failure; `None` while the store is left alone after one.
        #[source]
        source: Option<Box<CatalogueError>>,
    },
    /// The read took too long.
    #[error("reading the archive {location} took longer than {} s", READ_DEADLINE.as_secs())]
    Slow {
        /// The archive.
        location: String,
    },
    /// Bytes are not those that were uploaded. They are not used.
    #[error("{location}/{object} is damaged at byte {offset}: {what}")]
    Damaged {
        /// The archive.
        location: String,
        /// The file.
        object: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// More samples are asked for than one read may hold.
    #[error(
        "the archive has more than {samples_max} samples of what was asked for: ask for less, or a shorter time"
    )]
    TooMany {
        /// The limit.
        samples_max: usize,
    },
}

impl ReadError {
    /// Whether the archive may answer later: the caller may go on without it.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Slow { .. })
    }
}

/// Files of one archive, read through their lists.
pub struct Archive {
    store: Store,
    clock: Arc<dyn Clock>,
    samples_max: usize,
    /// `None` for one who may wait.
    deadline: Option<Duration>,
    catalogue: RwLock<Catalogue>,
    cache: Mutex<SegmentCache>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// Whether the lists were read once.
    is_known: bool,
    /// Since when, and why, the store gives no answers.
    failing: Option<(Monotonic, String)>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Archive {
    /// An archive whose uploads are not known yet: see [`Archive::refresh`]. One read gives at most `samples_max` samples.
    #[must_use]
    pub fn new(store: Store, clock: Arc<dyn Clock>, samples_max: usize) -> Self {
        Self {
            store,
            clock,
            samples_max,
            deadline: Some(READ_DEADLINE),
            catalogue: RwLock::default(),
            cache: Mutex::new(SegmentCache::new(CACHE_BYTES)),
            health: Mutex::default(),
        }
    }

    /// The same, for a tool: a read may take as long as it takes.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.deadline = None;
        self
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Reads the lists of new uploads.
    ///
    /// # Errors
    /// [`CatalogueError`]; what was known before stays known.
    pub fn refresh(&self) -> Result<(), CatalogueError> {
        let known = self.catalogue.read().clone();
        let refreshed = known.refreshed(&self.store);
        self.note(refreshed.as_ref().err());
        let refreshed = refreshed?;
        let mut catalogue = self.catalogue.write();
        let added = std::mem::take(&mut *catalogue);
        *catalogue = refreshed.with(added);
        self.health.lock().is_known = true;
        Ok(())
    }

    fn note(&self, failure: Option<&CatalogueError>) {
        let mut health = self.health.lock();
        health.failing = failure.map(|error| (self.clock.monotonic(), chain(error)));
    }

    /// Whether the lists of uploads were read at least once.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.health.lock().is_known
    }

    /// Windows that are uploaded, as far as is known.
    #[must_use]
    pub fn windows(&self) -> Vec<Window> {
        self.catalogue.read().windows()
    }

    /// Number of samples and of bytes in all uploads known.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        let catalogue = self.catalogue.read();
        let samples = catalogue.all().map(Manifest::sample_count).sum();
        (samples, catalogue.all().map(Manifest::size_bytes).sum())
    }

    /// First and last time that has samples; `None` when there are none.
    #[must_use]
    pub fn range(&self) -> Option<TimeRange> {
        let catalogue = self.catalogue.read();
        let groups = || catalogue.all().flat_map(Manifest::row_groups);
        let first = groups().map(|group| group.first_ms).min()?;
        let last = groups().map(|group| group.last_ms).max()?;
        let at = swell_model::TimestampMs;
        Some(TimeRange { start_incl: at(first), end_incl: at(last) })
    }

    pub(crate) fn add(&self, name: String, manifest: Manifest) {
        self.catalogue.write().add(name, manifest);
    }

    /// Why answers about these times may lack what is archived, as sentences for the reader; none when all is well.
    #[must_use]
    pub fn warnings(&self, range: TimeRange) -> Vec<String> {
        let health = self.health.lock();
        let location = self.store.location();
        match &health.failing {
            Some((_, why)) => {
                let concerned =
                    !health.is_known || !self.catalogue.read().overlapping(range).is_empty();
                concerned
                    .then(|| format!("archived samples may be missing: {why}"))
                    .into_iter()
                    .collect()
            }
            None if !health.is_known => {
                vec![format!(
                    "archived samples may be missing: the lists of {location} are not read yet"
                )]
            }
            None => Vec::new(),
        }
    }

    /// Series that satisfy all matchers, with their samples in the range, sorted by labels.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        labels_only: bool,
    ) -> Result<Vec<SeriesData>, ReadError> {
        let began = self.clock.monotonic();
        let mut collected = Collected::default();
        for manifest in self.catalogue.read().overlapping(range) {
            for part in manifest.parts.iter().filter(|part| may_match(part, matchers)) {
                let spent = self.clock.monotonic().since(began);
                if self.deadline.is_some_and(|deadline| spent > deadline) {
                    return Err(ReadError::Slow { location: self.store.location().to_owned() });
                }
                let wanted = Wanted { metric: &part.metric, matchers, range, labels_only };
                self.read_part(part, wanted, &mut collected)?;
            }
        }
        Ok(collected.into_series())
    }

    fn read_part(
        &self,
        part: &Part,
        wanted: Wanted<'_>,
        collected: &mut Collected,
    ) -> Result<(), ReadError> {
        let groups: Vec<usize> = (0..part.row_groups.len())
            .filter(|idx| part.row_groups[*idx].overlaps(wanted.range))
            .collect();
        if groups.is_empty() {
            return Ok(());
        }
        let damaged =
            |offset: u64| move |error: DecodeError| self.damaged(part, offset, chain(&error));
        let footer = self.segment(part, part.footer)?;
        let mut file = Segments::new(part.size_bytes, vec![footer.clone()]);
        let facts = FileFacts::read(&file).map_err(damaged(part.footer.offset))?;
        if facts.row_groups().len() != part.row_groups.len() {
            let what = "its footer and its upload's list differ".to_owned();
            return Err(self.damaged(part, part.footer.offset, what));
        }
        for idx in groups {
            if !facts.may_match(&facts.row_groups()[idx], wanted.matchers) {
                continue;
            }
            let segment = part.row_groups[idx].bytes;
            file =
                Segments::new(part.size_bytes, vec![footer.clone(), self.segment(part, segment)?]);
            facts.collect(file.clone(), idx, wanted, collected).map_err(damaged(segment.offset))?;
            if collected.sample_count > self.samples_max {
                return Err(ReadError::TooMany { samples_max: self.samples_max });
            }
        }
        Ok(())
    }

    fn damaged(&self, part: &Part, offset: u64, what: String) -> ReadError {
        let (location, object) = (self.store.location().to_owned(), part.path.clone());
        ReadError::Damaged { location, object, offset, what }
    }

    /// A stretch of a file whose bytes are those that were uploaded, and its offset.
    fn segment(&self, part: &Part, segment: Segment) -> Result<(u64, Bytes), ReadError> {
        if let Some(bytes) = self.cache.lock().get(&part.path, segment.offset) {
            return Ok((segment.offset, bytes));
        }
        let bytes = self.fetch(part, segment)?;
        let found = crc32fast::hash(&bytes);
        if bytes.len() as u64 != segment.len || found != segment.crc32 {
            let what = format!(
                "the checksum of {} bytes is {found:08x}, not {:08x}",
                bytes.len(),
                segment.crc32
            );
            return Err(self.damaged(part, segment.offset, what));
        }
        self.cache.lock().put(&part.path, segment.offset, bytes.clone());
        Ok((segment.offset, bytes))
    }

    fn fetch(&self, part: &Part, segment: Segment) -> Result<Bytes, ReadError> {
        let location = || self.store.location().to_owned();
        if let Some((since, _)) = &self.health.lock().failing
            && self.clock.monotonic().since(*since) < RETRY_AFTER
        {
            return Err(ReadError::Unreachable { location: location(), source: None });
        }
        match self.store.get_range(&part.path, segment.offset..segment.end()) {
            Ok(bytes) => {
                self.note(None);
                Ok(bytes)
            }
            Err(error) if error.is_not_found() => Err(self.damaged(
                part,
                segment.offset,
                "the file is gone, its upload's list is still there".to_owned(),
            )),
            Err(error) => {
                let failure = CatalogueError::from(error);
                self.note(Some(&failure));
                Err(ReadError::Unreachable {
                    location: location(),
                    source: Some(Box::new(failure)),
                })
            }
        }
    }

    /// Number of files that a read with these matchers would look into.
    fn file_count(&self, matchers: &[Matcher], range: TimeRange) -> usize {
        let uploads = self.catalogue.read().overlapping(range);
        let parts = uploads.iter().flat_map(|manifest| &manifest.parts);
        parts.filter(|part| may_match(part, matchers)).count()
    }

    /// Names of the metrics whose files may have series that satisfy the matchers: no file is opened.
    fn metrics(&self, matchers: &[Matcher], range: TimeRange) -> BTreeSet<String> {
        let uploads = self.catalogue.read().overlapping(range);
        let parts = uploads.iter().flat_map(|manifest| &manifest.parts);
        parts
            .filter(|part| !part.metric.is_empty() && may_match(part, matchers))
            .map(|part| part.metric.clone())
            .collect()
    }

    /// Sorted label names of what is archived; those of files, whose series are not told apart.
    ///
    /// # Errors
    /// None today; the shape of [`Archive::label_values`].
    pub fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, ReadError> {
        let uploads = self.catalogue.read().overlapping(range);
        let parts = uploads.iter().flat_map(|manifest| &manifest.parts);
        let mut names = BTreeSet::new();
        for part in parts.filter(|part| may_match(part, matchers)) {
            names.extend(part.labels.iter().cloned());
            if !part.metric.is_empty() {
                names.insert(METRIC_NAME.to_owned());
            }
        }
        Ok(names.into_iter().collect())
    }

    /// Sorted values of a label; `None` when the matchers leave so many files that they are not read for this.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Option<Vec<String>>, ReadError> {
        let by_name_only = matchers.iter().all(|it| it.name == METRIC_NAME);
        if name == METRIC_NAME && by_name_only {
            return Ok(Some(self.metrics(matchers, range).into_iter().collect()));
        }
        if self.file_count(matchers, range) > LABEL_FILES_MAX {
            return Ok(None);
        }
        let series = self.read(matchers, range, true)?;
        let values: BTreeSet<&str> = series.iter().filter_map(|it| it.labels.get(name)).collect();
        Ok(Some(values.into_iter().map(str::to_owned).collect()))
    }
}

/// Whether a file may have series that satisfy the matchers, as far as its upload's list tells.
fn may_match(part: &Part, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|it| {
        if it.name == METRIC_NAME {
            it.matches(&part.metric)
        } else {
            it.matches_empty() || part.labels.contains(&it.name)
        }
    })
}

fn select_error(error: &ReadError) -> SelectError {
    match error {
        ReadError::TooMany { .. } => SelectError::Stopped { why: chain(error) },
        _ => SelectError::Storage { what: chain(error) },
    }
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
            why: format!("more than {LABEL_FILES_MAX} archived files would be read: name a metric"),
        })
    }
}

/// Uploads of an archive by window, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadSummary {
    /// The window.
    pub window: Window,
    /// Its files.
    pub file_count: usize,
    /// Its samples.
    pub sample_count: u64,
    /// Bytes of its files.
    pub size_bytes: u64,
}

impl Archive {
    /// All uploads known, oldest first.
    #[must_use]
    pub fn uploads(&self) -> Vec<UploadSummary> {
        let catalogue = self.catalogue.read();
        let by_window: BTreeMap<Window, UploadSummary> = catalogue
            .all()
            .map(|manifest| {
                let summary = UploadSummary {
                    window: manifest.window(),
                    file_count: manifest.parts.len(),
                    sample_count: manifest.sample_count(),
                    size_bytes: manifest.size_bytes(),
                };
                (manifest.window(), summary)
            })
            .collect();
        by_window.into_values().collect()
    }
}
