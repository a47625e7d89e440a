//! Targets that discovery names no longer. They may come back, or others may go on with their series, so that these end
//! only after a while, as upstream has it: when two further scrapes would have been over, and at the time of the first of
//! them. What got a sample since does not end.

use std::collections::BTreeMap;

use swell_model::{AppendError, DurationMs, SampleSink, TimestampMs};
use url::Url;

use crate::ingest::TargetSeries;
use crate::schedule;
use crate::target::{Identity, Target};

/// The part of an interval that is waited for beyond the scrapes.
const GRACE_PART: i64 = 10;

/// A target that is not scraped any more.
#[derive(Debug)]
pub(crate) struct Departed {
    pub(crate) url: Url,
    series: TargetSeries,
    /// When it would have been scraped next.
    ends_at: TimestampMs,
    /// When it has stayed away.
    due: TimestampMs,
}

impl Departed {
    /// Ends its series; those that tell about scrapes also where the others could not be ended.
    pub(crate) fn end(mut self, sink: &dyn SampleSink) -> Result<(), AppendError> {
        let ended = self.series.end_all(self.ends_at, sink).map(drop);
        ended.and(self.series.end_reports(self.ends_at, sink))
    }
}

/// Targets that may still come back, by job and by what tells them apart in it.
#[derive(Debug, Default)]
pub(crate) struct Departures(BTreeMap<(String, Identity), Departed>);

impl Departures {
    /// A target that was scraped at `last`, if it ever was, and goes now.
    pub(crate) fn add(
        &mut self,
        job: &str,
        target: &Target,
        mut series: TargetSeries,
        last: Option<TimestampMs>,
        now: TimestampMs,
    ) {
        if !series.was_scraped() {
            return;
        }
        series.part();
        let interval = target.interval;
        let ends_at = schedule::next(now, interval, target.spread(), last);
        let due = ends_at + interval + DurationMs(interval.0 / GRACE_PART);
        let departed = Departed { url: target.url.clone(), series, ends_at, due };
        self.0.insert((job.to_owned(), target.identity()), departed);
    }

    /// What is known of the series of a target that is scraped again.
    pub(crate) fn take_back(&mut self, job: &str, identity: Identity) -> Option<TargetSeries> {
        self.0.remove(&(job.to_owned(), identity)).map(|departed| departed.series)
    }

    /// When the first of them has stayed away.
    pub(crate) fn next_due(&self) -> Option<TimestampMs> {
        self.0.values().map(|departed| departed.due).min()
    }

    /// Those that have stayed away, whose series are to end.
    pub(crate) fn take_due(&mut self, now: TimestampMs) -> Vec<Departed> {
        let due = self.0.iter().filter(|(_, departed)| departed.due <= now);
        let due: Vec<_> = due.map(|(key, _)| key.clone()).collect();
        due.into_iter().filter_map(|key| self.0.remove(&key)).collect()
    }
}
