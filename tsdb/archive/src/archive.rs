//! An archive as a source of series.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use swell_env::{Clock, Monotonic};
use swell_model::{Matcher, SelectError, SeriesData, TimeRange};
use swell_telemetry::chain;

use crate::cache::SegmentCache;
use crate::catalogue::{Catalogue, CatalogueError};
use crate::decode::{DecodeError, FileFacts, Segments, Wanted};
use crate::labels::may_match;
use crate::layout::Window;
use crate::manifest::{Manifest, Part, Segment};
use crate::omissions::Omissions;
use crate::plan::Uploaded;
use crate::rows::Collected;
use crate::store::Store;

/// Bytes of files kept in memory after a read.
const CACHE_BYTES: usize = 64 << 20;
/// A read that takes longer is given up: whoever asked gets what is known without the archive.
const READ_DEADLINE: Duration = Duration::from_secs(30);
/// After a failure the store is left alone this long, so that queries do not wait for it one by one.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// For how long an omission is told of, unless it is set: longer than a query takes.
const OMISSION_TOLD: Duration = Duration::from_secs(150);

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

/// What one read may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadLimits {
    samples_max: usize,
    /// `None` for one who may wait.
    deadline: Option<Duration>,
}

impl ReadLimits {
    /// All there is, however long it takes.
    pub(crate) const NONE: Self = Self { samples_max: usize::MAX, deadline: None };
}

/// Files of one archive, read through their lists.
pub struct Archive {
    store: Store,
    clock: Arc<dyn Clock>,
    limits: ReadLimits,
    catalogue: RwLock<Catalogue>,
    cache: Mutex<SegmentCache>,
    health: Mutex<Health>,
    omissions: Mutex<Omissions>,
}

#[derive(Debug, Default)]
struct Health {
    /// Whether the lists were read once.
    is_known: bool,
    /// Whether something was read before that, and no warning was given since.
    has_read_unknown: bool,
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
            limits: ReadLimits { samples_max, deadline: Some(READ_DEADLINE) },
            catalogue: RwLock::default(),
            cache: Mutex::new(SegmentCache::new(CACHE_BYTES)),
            health: Mutex::default(),
            omissions: Mutex::new(Omissions::new(OMISSION_TOLD)),
        }
    }

    /// The same, with answers that may take this long after a read: until then its omission is told of.
    #[must_use]
    pub fn with_answers_within(self, timeout: Duration) -> Self {
        // What is read last may take all of its own time.
        let told = timeout.saturating_add(READ_DEADLINE);
        Self { omissions: Mutex::new(Omissions::new(told)), ..self }
    }

    /// The same, for a tool: a read may take as long as it takes.
    #[must_use]
    pub fn without_deadline(mut self) -> Self {
        self.limits.deadline = None;
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

    /// An upload whose files and list are removed.
    pub(crate) fn forget(&self, name: &str) {
        self.catalogue.write().remove(name);
    }

    /// Uploads as planning sees them.
    pub(crate) fn planned(&self) -> Vec<Uploaded> {
        let catalogue = self.catalogue.read();
        let planned = |(name, manifest): (&str, &Arc<Manifest>)| Uploaded {
            name: name.to_owned(),
            window: manifest.window(),
            is_current: manifest.is_current(),
            metric_samples_max: manifest.metric_samples_max(),
        };
        catalogue.named().map(planned).collect()
    }

    /// Uploads that others stand for, and that are not removed yet.
    pub(crate) fn replaced(&self) -> Vec<(String, Arc<Manifest>)> {
        self.catalogue.read().replaced()
    }

    /// Uploads by the names of their lists.
    pub(crate) fn named(&self, names: &[String]) -> Vec<Arc<Manifest>> {
        let catalogue = self.catalogue.read();
        names.iter().filter_map(|name| catalogue.get(name).cloned()).collect()
    }

    /// Why answers about these times may lack what is archived, as sentences for the reader; none when all is well. What a
    /// read left out is told for a while to everyone who asks about its times, whatever was read since.
    #[must_use]
    pub fn warnings(&self, range: TimeRange) -> Vec<String> {
        let omitted = self.omissions.lock().warnings(range, self.clock.monotonic());
        if !omitted.is_empty() {
            return omitted;
        }
        // Not under the lock of `health`: a refresh takes both the other way round.
        let is_concerned = !self.overlapping(range).is_empty();
        let mut health = self.health.lock();
        let was_unknown = std::mem::take(&mut health.has_read_unknown) || !health.is_known;
        match &health.failing {
            Some((_, why)) if is_concerned || was_unknown => {
                vec![format!("archived samples may be missing: {why}")]
            }
            None if was_unknown => {
                let location = self.store.location();
                vec![format!(
                    "archived samples may be missing: the lists of {location} were not read yet"
                )]
            }
            _ => Vec::new(),
        }
    }

    /// Notes what an answer lacks: whoever asks may go on without it, and asks for the warnings later.
    fn note_omission<T>(&self, range: TimeRange, read: &Result<T, ReadError>) {
        let failing = self.health.lock().failing.as_ref().map(|(_, why)| why.clone());
        let why = match read {
            // One cause in the same words, whoever met it first.
            Err(ReadError::Unreachable { source: Some(source), .. }) => chain(source),
            Err(error @ ReadError::Unreachable { .. }) => failing.unwrap_or_else(|| chain(error)),
            Err(error) if error.is_passing() => chain(error),
            _ => return,
        };
        let omitted = self.range().map_or(range, |archived| TimeRange {
            start_incl: range.start_incl.max(archived.start_incl),
            end_incl: range.end_incl.min(archived.end_incl),
        });
        self.omissions.lock().note(omitted, why, self.clock.monotonic());
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
        self.answered(range, |uploads| {
            self.read_of(uploads, matchers, range, labels_only, self.limits)
        })
    }

    /// An answer out of the uploads that have samples in the range: once more when they turn out to be merged meanwhile. What
    /// it lacks is noted.
    pub(crate) fn answered<T>(
        &self,
        range: TimeRange,
        answer: impl Fn(&[Arc<Manifest>]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        {
            let mut health = self.health.lock();
            health.has_read_unknown |= !health.is_known;
        }
        let uploads = self.overlapping(range);
        let answered = match answer(&uploads) {
            Err(error @ ReadError::Damaged { .. }) => {
                // Files go when their uploads are merged, perhaps while they are read.
                let listed = self.refresh().map(|()| self.overlapping(range));
                match listed {
                    Ok(now) if now != uploads => answer(&now),
                    _ => Err(error),
                }
            }
            answered => answered,
        };
        self.note_omission(range, &answered);
        answered
    }

    pub(crate) const fn limits(&self) -> ReadLimits {
        self.limits
    }

    pub(crate) fn overlapping(&self, range: TimeRange) -> Vec<Arc<Manifest>> {
        self.catalogue.read().overlapping(range)
    }

    pub(crate) fn read_of(
        &self,
        uploads: &[Arc<Manifest>],
        matchers: &[Matcher],
        range: TimeRange,
        labels_only: bool,
        limits: ReadLimits,
    ) -> Result<Vec<SeriesData>, ReadError> {
        let began = self.clock.monotonic();
        let mut collected = Collected::default();
        for manifest in uploads {
            for part in manifest.parts.iter().filter(|part| may_match(part, matchers)) {
                let spent = self.clock.monotonic().since(began);
                if limits.deadline.is_some_and(|deadline| spent > deadline) {
                    return Err(ReadError::Slow { location: self.store.location().to_owned() });
                }
                let metric = part.only_metric();
                let wanted = Wanted { metric, matchers, range, labels_only };
                self.read_part(part, wanted, limits.samples_max, &mut collected)?;
            }
        }
        Ok(collected.into_series())
    }

    fn read_part(
        &self,
        part: &Part,
        wanted: Wanted<'_>,
        samples_max: usize,
        collected: &mut Collected,
    ) -> Result<(), ReadError> {
        let groups: Vec<usize> = (0..part.row_groups.len())
            .filter(|idx| part.row_groups[*idx].overlaps(wanted.range))
            .collect();
        if groups.is_empty() {
            return Ok(());
        }
        let damaged =
            |offset: u64| move |error: DecodeError| self.damaged(&part.path, offset, chain(&error));
        let footer = self.segment(&part.path, part.footer)?;
        let mut file = Segments::new(part.size_bytes, vec![footer.clone()]);
        let facts = FileFacts::read(&file).map_err(damaged(part.footer.offset))?;
        if facts.row_groups().len() != part.row_groups.len() {
            let what = "its footer and its upload's list differ".to_owned();
            return Err(self.damaged(&part.path, part.footer.offset, what));
        }
        for idx in groups {
            if !facts.may_match(&facts.row_groups()[idx], wanted.matchers) {
                continue;
            }
            let segment = part.row_groups[idx].bytes;
            let group = self.segment(&part.path, segment)?;
            file = Segments::new(part.size_bytes, vec![footer.clone(), group]);
            facts.collect(&file, idx, wanted, collected).map_err(damaged(segment.offset))?;
            if collected.sample_count > samples_max {
                return Err(ReadError::TooMany { samples_max });
            }
        }
        Ok(())
    }

    pub(crate) fn damaged(&self, object: &str, offset: u64, what: String) -> ReadError {
        let (location, object) = (self.store.location().to_owned(), object.to_owned());
        ReadError::Damaged { location, object, offset, what }
    }

    /// A stretch of a file whose bytes are those that were uploaded, and its offset.
    pub(crate) fn segment(&self, path: &str, segment: Segment) -> Result<(u64, Bytes), ReadError> {
        if let Some(bytes) = self.cache.lock().get(path, segment.offset) {
            return Ok((segment.offset, bytes));
        }
        let bytes = self.fetch(path, segment)?;
        let found = crc32fast::hash(&bytes);
        if bytes.len() as u64 != segment.len || found != segment.crc32 {
            let what = format!(
                "the checksum of {} bytes is {found:08x}, not {:08x}",
                bytes.len(),
                segment.crc32
            );
            return Err(self.damaged(path, segment.offset, what));
        }
        self.cache.lock().put(path, segment.offset, bytes.clone());
        Ok((segment.offset, bytes))
    }

    fn fetch(&self, path: &str, segment: Segment) -> Result<Bytes, ReadError> {
        let location = || self.store.location().to_owned();
        if let Some((since, _)) = &self.health.lock().failing
            && self.clock.monotonic().since(*since) < RETRY_AFTER
        {
            return Err(ReadError::Unreachable { location: location(), source: None });
        }
        match self.store.get_range(path, segment.offset..segment.end()) {
            Ok(bytes) => {
                self.note(None);
                Ok(bytes)
            }
            Err(error) if error.is_not_found() => Err(self.damaged(
                path,
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
}

pub(crate) fn select_error(error: &ReadError) -> SelectError {
    match error {
        ReadError::TooMany { .. } => SelectError::Stopped { why: chain(error) },
        _ => SelectError::Storage { what: chain(error) },
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
