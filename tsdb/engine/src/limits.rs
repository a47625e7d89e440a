//! How many series there may be, and who uses the room up. The newest are shed: those that are there go on.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use swell_env::Monotonic;
use swell_index::{LabelIndex as _, MemoryIndex};
use swell_model::{Labels, METRIC_NAME};

use crate::config::Config;

/// Which limit sheds series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitKind {
    /// Of all series.
    Process,
    /// Of a metric.
    Metric,
    /// Of a value of a label.
    Label,
}

impl LimitKind {
    pub(crate) const ALL: [Self; 3] = [Self::Process, Self::Metric, Self::Label];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Metric => "metric",
            Self::Label => "label",
        }
    }
}

/// A limit that leaves no room for a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) kind: LimitKind,
    /// What is full, for people.
    pub(crate) what: String,
    /// The label pair whose series fill it; `None` for all series.
    pub(crate) pair: Option<(String, String)>,
}

/// The first limit that leaves no room for one more series with these labels.
pub(crate) fn check_room(index: &MemoryIndex, labels: &Labels, config: &Config) -> Option<Full> {
    if index.series_count() >= config.head_series_max {
        return Some(Full {
            kind: LimitKind::Process,
            what: format!("{} series are in memory, which is the limit", config.head_series_max),
            pair: None,
        });
    }
    let of_metric = config.metric_series_max.map(|max| (METRIC_NAME, max));
    let of_labels = config.label_series_max.iter().map(|(name, max)| (name.as_str(), *max));
    for (name, max) in of_metric.into_iter().chain(of_labels) {
        let Some(value) = labels.get(name) else { continue };
        let Ok(series_count) = index.posting_count(name, value);
        if series_count < max {
            continue;
        }
        let (kind, what) = if name == METRIC_NAME {
            let what = format!("metric {value} has {max} series, which is the limit for a metric");
            (LimitKind::Metric, what)
        } else {
            let what = format!("{name}={value} has {max} series, which is the limit for {name}");
            (LimitKind::Label, what)
        };
        return Some(Full { kind, what, pair: Some((name.to_owned(), value.to_owned())) });
    }
    None
}

/// Names the metric and label that use up a limit. Looking it up walks over many series, so the last answer holds for
/// a while.
#[derive(Debug, Default)]
pub(crate) struct Blame(Mutex<Option<Found>>);

/// What was found, and when.
#[derive(Debug)]
struct Found {
    at: Monotonic,
    /// Of the limit that was looked into.
    pair: Option<(String, String)>,
    sentence: String,
}

/// How long an answer holds.
const BLAME_HOLDS: Duration = Duration::from_secs(10);
/// Series that are looked at.
const BLAME_SERIES_MAX: usize = 100_000;

impl Blame {
    /// A sentence about who uses up `full`, or an older one about another limit's user.
    pub(crate) fn sentence(&self, index: &MemoryIndex, full: &Full, now: Monotonic) -> String {
        let mut last = self.0.lock();
        let is_fresh = |found: &Found| now.since(found.at) < BLAME_HOLDS;
        match &*last {
            Some(found) if is_fresh(found) && found.pair == full.pair => found.sentence.clone(),
            // Another limit was looked into just now: not two walks in so short a time.
            Some(found) if is_fresh(found) => {
                "the status page names the labels with many values".to_owned()
            }
            _ => {
                let sentence = blame(index, full);
                let pair = full.pair.clone();
                *last = Some(Found { at: now, pair, sentence: sentence.clone() });
                sentence
            }
        }
    }
}

fn blame(index: &MemoryIndex, full: &Full) -> String {
    let (name, value) = match &full.pair {
        Some((name, value)) => (name.clone(), value.clone()),
        None => {
            let largest = index.values(METRIC_NAME).max_by_key(|(_, series_count)| *series_count);
            let Some((metric, _)) = largest else {
                return "they have no metric name".to_owned();
            };
            (METRIC_NAME.to_owned(), metric.to_owned())
        }
    };
    let Ok(series) = index.postings(&name, &value);
    let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for labels in series.iter().take(BLAME_SERIES_MAX).filter_map(|idx| index.labels(*idx)) {
        for (label, value) in labels.iter().filter(|(label, _)| *label != name) {
            match values.get_mut(label) {
                Some(known) if known.contains(value) => {}
                Some(known) => drop(known.insert(value.to_owned())),
                None => drop(values.insert(label.to_owned(), [value.to_owned()].into())),
            }
        }
    }
    let guilty =
        values.iter().max_by_key(|(label, values)| (values.len(), std::cmp::Reverse(*label)));
    let Some((label, values)) = guilty else {
        return format!("{name}={value} has {} series", series.len());
    };
    let seen = series.len().min(BLAME_SERIES_MAX);
    format!(
        "{name}={value} has {} series, and label {label} has {} values among {seen} of them: \
         drop that label, or raise the limit",
        series.len(),
        values.len()
    )
}
