//! From a body to a batch: the series that a target is known to have, what is new, and what is gone.
//!
//! A text that was seen before is a look-up; labels are built, relabelled and resolved only for new ones.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHasher};
use swell_exposition::{
    BodyFault, BodyFormat, CurrentFamily, Entry, HistogramOptions, RepeatedLabel, SeriesText,
    Visitor, visit_known_body,
};
use swell_model::{
    AppendError, AppendReport, Exemplar, ExemplarSample, HistogramSample, Labels, NativeHistogram,
    SampleSink, SeriesRef, TimestampMs, stale_nan,
};

use crate::claims::{Claimant, Claimed};
use crate::config::ScrapeConfig;
use crate::described::Described;
use crate::families::{descriptions, with_type_and_unit};
use crate::limits::{self, check_label_limits};
use crate::report::{ReportSeries, ScrapeReport};
use crate::rows::Rows;
use crate::texts::{Place, Texts};

/// A series that the storage had no room for is offered again after this many scrapes.
const SHED_RETRY_SCRAPES: u64 = 10;
/// Put before a label of the target's own whose name we use.
const EXPORTED_PREFIX: &str = "exported_";

/// Why nothing of a body was stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IngestError {
    #[error(transparent)]
    Body(#[from] BodyFault),
    #[error(transparent)]
    RepeatedLabel(#[from] RepeatedLabel),
    #[error("metric relabelling leaves {series} without a name")]
    NameMissing { series: String },
    #[error("series {series} has a label without a name")]
    LabelNameMissing { series: String },
    #[error("the scrape has {count} samples, more than the limit of {limit}")]
    SampleLimit {
        /// Samples in the body.
        scraped: usize,
        count: usize,
        limit: usize,
    },
    #[error("series {series} has {what} of {found}, more than the limit of {limit}")]
    LabelLimit { series: String, what: &'static str, found: usize, limit: usize },
    #[error(
        "series {series} has the {what} {name:?}, which is not of classic form: metric_name_validation_scheme is legacy"
    )]
    NameNotClassic { series: String, what: &'static str, name: String },
    #[error(
        "a native histogram has {found} buckets at the lowest resolution, more than the limit of {limit}"
    )]
    BucketLimit { found: usize, limit: usize },
    #[error("store the samples")]
    Append(#[from] AppendError),
}

/// What a scrape brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ingested {
    /// Samples in the body.
    pub(crate) scraped: usize,
    /// Samples left by metric relabelling.
    pub(crate) kept: usize,
    /// Series not known from the scrape before.
    pub(crate) added: usize,
    /// Samples that repeat a series and time of the same body.
    pub(crate) repeated: usize,
    /// Samples of new series that the storage has no room for.
    pub(crate) shed: usize,
    /// What the storage made of them.
    pub(crate) report: AppendReport,
}

/// How far a body came.
enum Attempt {
    /// It is stored.
    Stored(Ingested),
    /// Types or units are others than when its texts became known, and are labels: the texts stand for other series now.
    TypesChanged,
}

/// A series of the target.
#[derive(Clone, Copy, Debug)]
struct Known {
    series: SeriesRef,
    /// Number of the scrape that brought it last.
    scrape: u64,
    /// Time of its last sample.
    last: TimestampMs,
    /// Whether it ends with a staleness marker: its last stored sample was no marker and had no time of its own.
    live: bool,
    /// What `live` becomes when the scrape under way is stored.
    live_next: bool,
    /// Whether a scrape that brought it was stored.
    stored: bool,
}

/// Exemplars of one sample that have no time of their own: labels, and bits of the value.
type Untimed = Vec<(Labels, u64)>;

/// All that is remembered of one target from scrape to scrape.
#[derive(Debug)]
pub(crate) struct TargetSeries {
    labels: Labels,
    /// Those that others may give as well.
    claimed: Claimed,
    /// What it tells of its families.
    described: Arc<Described>,
    /// What becomes of its histograms, where that is not as the job has it.
    histograms: Option<HistogramOptions>,
    /// By text as it stands in bodies of that format.
    texts: Texts,
    format: Option<BodyFormat>,
    known: Vec<Option<Known>>,
    /// Indices of `known` that are free.
    free: Vec<u32>,
    /// Index by reference: several texts may name one series.
    by_series: FxHashMap<SeriesRef, u32>,
    /// The exemplars without a time of the last sample that had any, by index: they stand in bodies until others take their
    /// place, and are no new ones each time.
    untimed: FxHashMap<u32, Untimed>,
    reports: ReportSeries,
    /// Scrapes so far.
    scrape: u64,
    /// Of all metadata in the last body that was stored, if that is what the texts stand under.
    metadata_hash: Option<u64>,
    /// Why the storage had no room for a series, the last time that happened.
    shed_reason: Option<String>,
}

impl TargetSeries {
    /// Nothing is known of the target with these labels yet.
    pub(crate) fn new(labels: Labels, claimed: Claimed, described: Described) -> Self {
        Self {
            labels,
            claimed,
            described: Arc::new(described),
            histograms: None,
            texts: Texts::default(),
            format: None,
            known: Vec::new(),
            free: Vec::new(),
            by_series: FxHashMap::default(),
            untimed: FxHashMap::default(),
            reports: ReportSeries::default(),
            scrape: 0,
            metadata_hash: None,
            shed_reason: None,
        }
    }

    /// The target as others that give its series see it.
    pub(crate) const fn claimant(&self) -> &Arc<Claimant> {
        self.claimed.claimant()
    }

    /// From now on its histograms are taken so.
    pub(crate) const fn take_histograms(&mut self, histograms: HistogramOptions) {
        self.histograms = Some(histograms);
    }

    /// What it tells of its families.
    pub(crate) const fn described(&self) -> &Arc<Described> {
        &self.described
    }

    /// Why series were shed, if any were since this was asked last.
    pub(crate) fn take_shed_reason(&mut self) -> Option<String> {
        self.shed_reason.take()
    }

    /// Forgets what texts stand for, since rules changed; series that do not come back still end.
    pub(crate) fn forget_texts(&mut self) {
        self.texts.clear();
        self.metadata_hash = None;
    }

    /// Stores a body as a whole, with markers for series that are gone, or nothing of it; after an error
    /// [`Self::end_all`] is due.
    pub(crate) fn ingest(
        &mut self,
        body: &[u8],
        format: BodyFormat,
        at: TimestampMs,
        config: &ScrapeConfig,
        sink: &dyn SampleSink,
    ) -> Result<Ingested, IngestError> {
        match self.try_ingest(body, format, at, config, sink) {
            Ok(Attempt::Stored(ingested)) => return Ok(ingested),
            Ok(Attempt::TypesChanged) => self.forget_texts(),
            // The storage dropped a series that it had not heard of for long: references are asked for anew.
            Err(IngestError::Append(AppendError::UnknownSeries(_))) => self.forget(),
            Err(error) => return Err(error),
        }
        match self.try_ingest(body, format, at, config, sink)? {
            Attempt::Stored(ingested) => Ok(ingested),
            Attempt::TypesChanged => unreachable!("no text is known, so none is from before"),
        }
    }

    fn try_ingest(
        &mut self,
        body: &[u8],
        format: BodyFormat,
        at: TimestampMs,
        config: &ScrapeConfig,
        sink: &dyn SampleSink,
    ) -> Result<Attempt, IngestError> {
        self.scrape += 1;
        if self.format.replace(format) != Some(format) {
            // What is a series' text in one format need not be one in another.
            self.texts.clear();
        }
        self.texts.begin();
        let histograms = self.histograms.unwrap_or(config.histograms);
        let known_texts = self.texts.len();
        let mut reading = Reading {
            at,
            config,
            samples_max: limits::given(config.limits.samples_max).unwrap_or(usize::MAX),
            sink,
            rows: Rows::new(known_texts),
            ingested: Ingested::default(),
            metadata: FxHasher::default(),
            family: config.type_and_unit_labels.then(CurrentFamily::default),
            untimed: Vec::new(),
            target: self,
        };
        visit_known_body(body, format, &histograms, &mut reading)?;
        let Reading { samples_max, mut rows, mut ingested, metadata, family, untimed, .. } =
            reading;
        if ingested.kept > samples_max {
            let Ingested { scraped, kept: count, .. } = ingested;
            return Err(IngestError::SampleLimit { scraped, count, limit: samples_max });
        }
        let metadata_hash = Some(metadata.finish());
        let is_news = metadata_hash != self.metadata_hash;
        if family.is_some() && known_texts > 0 && is_news {
            return Ok(Attempt::TypesChanged);
        }
        self.end_missing(at, &mut rows);
        if is_news {
            rows.batch.descriptions = descriptions(body, format, &histograms)?;
        }
        ingested.report = sink.append(&rows.batch)?;
        self.untimed.extend(untimed);
        self.settle();
        self.described.stored(is_news.then_some(rows.batch.descriptions.as_slice()));
        self.metadata_hash = metadata_hash;
        Ok(Attempt::Stored(ingested))
    }

    /// What a text stands for, made known when it is new.
    fn place(
        &mut self,
        series: SeriesText<'_>,
        family: Option<&CurrentFamily>,
        config: &ScrapeConfig,
        sink: &dyn SampleSink,
        ingested: &mut Ingested,
    ) -> Result<Place, IngestError> {
        if let Some(place) = self.texts.find(series.raw(), self.scrape) {
            let is_due = |offered: u64| self.scrape - offered >= SHED_RETRY_SCRAPES;
            if !matches!(place, Place::Shed(offered) if is_due(offered)) {
                return Ok(place);
            }
        }
        let place = match self.stored_labels(series, family, config)? {
            None => Place::Dropped,
            Some(labels) => match sink.resolve(&labels) {
                Ok(reference) => {
                    // Also one that is known: a failed scrape gave it up.
                    self.claimed.claim(reference, &labels, &self.labels);
                    Place::Known(match self.by_series.get(&reference) {
                        Some(idx) => *idx,
                        None => {
                            ingested.added += 1;
                            self.remember(reference)
                        }
                    })
                }
                Err(error @ AppendError::TooManySeries { .. }) => {
                    self.shed_reason = Some(error.to_string());
                    Place::Shed(self.scrape)
                }
                Err(error) => return Err(error.into()),
            },
        };
        self.texts.set(series.raw(), place, self.scrape);
        Ok(place)
    }

    fn remember(&mut self, series: SeriesRef) -> u32 {
        let known = Known {
            series,
            scrape: 0,
            last: TimestampMs::MIN,
            live: false,
            live_next: false,
            stored: false,
        };
        let idx = self.free.pop().unwrap_or_else(|| {
            self.known.push(None);
            u32::try_from(self.known.len() - 1).expect("a body has fewer than 2^32 lines")
        });
        self.known[idx as usize] = Some(known);
        self.by_series.insert(series, idx);
        idx
    }

    /// The labels under which a series is stored, with those of its family if there is one; `None` when metric relabelling
    /// drops it.
    fn stored_labels(
        &self,
        series: SeriesText<'_>,
        family: Option<&CurrentFamily>,
        config: &ScrapeConfig,
    ) -> Result<Option<Labels>, IngestError> {
        let mut exposed = series.to_labels()?;
        if let Some(family) = family {
            exposed = with_type_and_unit(exposed, family);
        }
        let mut labels = exposed.to_builder();
        if config.honor_labels {
            // A label with an empty value says that the target wants ours not to be there.
            for (name, value) in self.labels.iter() {
                if !series.pairs().any(|(exposed, _)| exposed == name) {
                    labels.set(name, value);
                }
            }
        } else {
            let mut colliding = Vec::new();
            for (name, value) in self.labels.iter() {
                colliding.extend(exposed.get(name).map(|own| (name, own)));
                labels.set(name, value);
            }
            // As upstream: the shorter name has its first choice.
            colliding.sort_by_key(|(name, _)| name.len());
            for (name, own) in colliding {
                let mut renamed = format!("{EXPORTED_PREFIX}{name}");
                while labels.get(&renamed).is_some() {
                    renamed.insert_str(0, EXPORTED_PREFIX);
                }
                labels.set(&renamed, own);
            }
        }
        if !swell_relabel::apply(&config.metric_relabel, &mut labels) {
            return Ok(None);
        }
        let labels = labels.build();
        if labels.metric_name().is_none() {
            return Err(IngestError::NameMissing { series: series.raw().to_owned() });
        }
        // Names are in order, and an empty one comes first
        if labels.iter().next().is_some_and(|(name, _)| name.is_empty()) {
            return Err(IngestError::LabelNameMissing { series: series.raw().to_owned() });
        }
        if config.names.classic_only {
            limits::check_names(&labels)?;
        }
        check_label_limits(&labels, config)?;
        Ok(Some(labels))
    }

    /// Markers for live series that this scrape did not bring.
    fn end_missing(&mut self, at: TimestampMs, rows: &mut Rows) {
        for known in self.known.iter_mut().flatten() {
            if known.scrape != self.scrape && known.live {
                rows.push(at, known.series, stale_nan(), 0);
                known.live = false;
            }
        }
    }

    /// The scrape is stored: what it brought is live, what it did not bring is forgotten.
    fn settle(&mut self) {
        let scrape = self.scrape;
        self.texts.settle(scrape);
        self.retain(|known| {
            let is_brought = known.scrape == scrape;
            if is_brought {
                known.live = known.live_next;
                known.stored = true;
            }
            is_brought
        });
    }

    /// Forgets series that do not stay.
    fn retain(&mut self, mut stays: impl FnMut(&mut Known) -> bool) {
        for (idx, slot) in self.known.iter_mut().enumerate() {
            let Some(known) = slot else { continue };
            if stays(known) {
                continue;
            }
            let idx = u32::try_from(idx).expect("indices fit when they are made");
            self.by_series.remove(&known.series);
            self.claimed.release(known.series);
            self.untimed.remove(&idx);
            self.free.push(idx);
            *slot = None;
        }
    }

    /// Ends all live series that nobody else went on with: the scrape failed, or the target is gone. Those of the last
    /// scrape that was stored stay known, so that they are not new when they come back, but are the target's no longer.
    pub(crate) fn end_all(
        &mut self,
        at: TimestampMs,
        sink: &dyn SampleSink,
    ) -> Result<AppendReport, AppendError> {
        self.scrape += 1;
        self.described.failed();
        let mut rows = Rows::new(0);
        self.end_missing(at, &mut rows);
        // Texts of a body that failed may have been read under types that are not those of the next.
        self.forget_texts();
        self.retain(|known| known.stored);
        self.claimed.release_all();
        if rows.batch.rows.is_empty() {
            return Ok(AppendReport::default());
        }
        rows.batch.in_order_only = true;
        sink.append(&rows.batch)
    }

    /// The target is not scraped for the time being: its series go on, if not by it then by others.
    pub(crate) fn part(&mut self) {
        self.forget_texts();
        self.claimed.release_all();
        self.claimed.claim_up(None, &self.labels);
    }

    /// Whether there is anything to end.
    pub(crate) fn was_scraped(&self) -> bool {
        self.reports.up().is_some()
    }

    fn forget(&mut self) {
        self.forget_texts();
        self.known.clear();
        self.free.clear();
        self.by_series.clear();
        self.untimed.clear();
        self.claimed.release_all();
    }

    /// Stores the series that tell about the scrape.
    pub(crate) fn report(
        &mut self,
        at: TimestampMs,
        report: &ScrapeReport,
        sink: &dyn SampleSink,
    ) -> Result<(), AppendError> {
        let stored = self.reports.store(&self.labels, at, report, sink);
        self.claimed.claim_up(self.reports.up(), &self.labels);
        stored
    }

    /// Ends the series that tell about scrapes: the target is gone.
    pub(crate) fn end_reports(
        &mut self,
        at: TimestampMs,
        sink: &dyn SampleSink,
    ) -> Result<(), AppendError> {
        let ended = self.reports.end(at, sink);
        self.claimed.claim_up(None, &self.labels);
        ended
    }
}

/// A body that is being read.
struct Reading<'a> {
    target: &'a mut TargetSeries,
    at: TimestampMs,
    config: &'a ScrapeConfig,
    samples_max: usize,
    sink: &'a dyn SampleSink,
    rows: Rows,
    ingested: Ingested,
    /// Of all metadata so far.
    metadata: FxHasher,
    /// Where types and units are labels.
    family: Option<CurrentFamily>,
    /// Exemplars without a time, by index of the series.
    untimed: Vec<(u32, Untimed)>,
}

impl Visitor<IngestError> for Reading<'_> {
    fn expected(&self) -> &str {
        self.target.texts.expected()
    }

    fn visit(&mut self, entry: Entry<'_>) -> Result<(), IngestError> {
        if let Some(family) = &mut self.family {
            family.note(&entry);
        }
        match entry {
            Entry::Type { family, word, .. } => (family, word).hash(&mut self.metadata),
            Entry::Help { family, text } => (family, text).hash(&mut self.metadata),
            Entry::Unit { family, unit } => (family, unit).hash(&mut self.metadata),
            Entry::Sample(ref sample) => self.take(&Taken {
                series: sample.series,
                timestamp: sample.timestamp,
                start: sample.start,
                value: TakenValue::Float(sample.value),
                exemplars: sample.exemplar.as_slice(),
            })?,
            Entry::Histogram(ref sample) => self.take(&Taken {
                series: sample.series,
                timestamp: sample.timestamp,
                start: sample.start,
                value: TakenValue::Histogram(sample.value.clone()),
                exemplars: &sample.exemplars,
            })?,
        }
        Ok(())
    }
}

impl Reading<'_> {
    /// Puts one sample into the batch.
    fn take(&mut self, sample: &Taken<'_>) -> Result<(), IngestError> {
        let Self { target, at, config, sink, rows, ingested, family, .. } = self;
        ingested.scraped += 1;
        if ingested.kept >= self.samples_max && !target.texts.contains(sample.series.raw()) {
            // Too many: they are counted for the error, and no series are made for them.
            let is_kept = target.stored_labels(sample.series, family.as_ref(), config)?.is_some();
            ingested.kept += usize::from(is_kept);
            return Ok(());
        }
        let own_time = sample.timestamp.filter(|_| config.honor_timestamps);
        let family = family.as_ref();
        let known_idx = match target.place(sample.series, family, config, *sink, ingested)? {
            Place::Known(known_idx) => known_idx,
            Place::Dropped => return Ok(()),
            Place::Shed(_) => {
                ingested.shed += 1;
                return Ok(());
            }
        };
        ingested.kept += 1;
        let time = own_time.unwrap_or(*at);
        let slot = &mut target.known[known_idx as usize];
        let known = slot.as_mut().expect("texts point at series that are known");
        if known.scrape == target.scrape && known.last == time {
            ingested.repeated += 1;
            return Ok(());
        }
        known.scrape = target.scrape;
        known.last = time;
        known.live_next = own_time.is_none() || config.track_timestamps_staleness;
        // A start that is not before the sample is none, as for remote write.
        let start = sample.start.filter(|start| start.0 > 0 && *start <= time);
        let (series, start_ms) = (known.series, start.map_or(0, |start| start.0));
        match &sample.value {
            TakenValue::Float(value) => rows.push(time, series, *value, start_ms),
            TakenValue::Histogram(value) => rows.batch.histograms.push(HistogramSample {
                series,
                timestamp: time,
                value: limits::histogram(value, &config.limits)?,
                start_ms,
            }),
        }
        let mut untimed = Untimed::new();
        for exemplar in sample.exemplars {
            let labels = Labels::from_pairs(exemplar.pairs());
            if exemplar.timestamp.is_none() {
                let told = (labels.clone(), exemplar.value.to_bits());
                let is_known =
                    target.untimed.get(&known_idx).is_some_and(|known| known.contains(&told));
                untimed.push(told);
                if is_known {
                    continue;
                }
            }
            let timestamp = exemplar.timestamp.unwrap_or(time);
            let exemplar = Exemplar { labels, value: exemplar.value, timestamp };
            rows.batch.exemplars.push(ExemplarSample { series, exemplar });
        }
        if !untimed.is_empty() {
            self.untimed.push((known_idx, untimed));
        }
        Ok(())
    }
}

/// A sample of a body, in whatever format it came.
struct Taken<'a> {
    series: SeriesText<'a>,
    timestamp: Option<TimestampMs>,
    start: Option<TimestampMs>,
    value: TakenValue,
    exemplars: &'a [swell_exposition::Exemplar<'a>],
}

enum TakenValue {
    Float(f64),
    Histogram(Arc<NativeHistogram>),
}
