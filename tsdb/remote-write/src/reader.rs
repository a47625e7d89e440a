//! From the log to points for shards, a portion at a time; it blocks, and runs where that is allowed.

use std::collections::HashMap;
use std::sync::Arc;

use swell_engine::{FollowError, Followed, LogFollower, LoggedBatch};
use swell_model::{Exemplar, Labels, MetricDescription};
use swell_wire::remote_write::Message;

use crate::config::QueueConfig;
use crate::place::Place;
use crate::point::{Counts, Point, Series, Value};

/// Points of a portion: what may come beyond a shard's capacity.
const PORTION_POINTS: usize = 4096;
/// Records of a portion, so that one without any points ends too.
const PORTION_RECORDS: usize = 1024;

/// Reads the log for one queue.
#[derive(Debug)]
pub(crate) struct Reader {
    follower: LogFollower,
    config: Arc<QueueConfig>,
    /// The series of the segment at hand, by number.
    series: Vec<Slot>,
    segment: Option<u64>,
    /// Points of the record at hand that were not handed out.
    record: std::vec::IntoIter<(Place, Point)>,
    /// Up to here all points were handed out.
    upto: Place,
}

/// What is known of a series number.
#[derive(Clone, Debug)]
enum Slot {
    /// Its definition is damaged.
    Unknown,
    /// It is not sent.
    Dropped,
    Sent(Arc<Series>),
}

/// A stretch of the log.
#[derive(Debug, Default)]
pub(crate) struct Portion {
    pub(crate) points: Vec<(Place, Point)>,
    /// All points up to here were handed out.
    pub(crate) upto: Place,
    /// Whether there is no more at the moment.
    pub(crate) is_at_end: bool,
    /// The segment that is read.
    pub(crate) segment_nr: u64,
    pub(crate) record_count: u64,
    /// What is not sent by the rules.
    pub(crate) dropped: Counts,
    /// What is not sent since nobody knows whose it is.
    pub(crate) unknown: u64,
    /// Histograms that the message has no form for.
    pub(crate) without_form: u64,
    /// What metric families are, where that was new.
    pub(crate) descriptions: Vec<MetricDescription>,
    /// Segments that were deleted before they were read.
    pub(crate) lost_segments: u64,
    /// Bytes that were damaged.
    pub(crate) damaged_bytes: u64,
}

impl Portion {
    /// Whether something was read that would be lost with it.
    fn has_anything(&self) -> bool {
        !self.points.is_empty()
            || self.record_count > 0
            || self.lost_segments > 0
            || self.damaged_bytes > 0
    }
}

impl Reader {
    /// A reader that hands out what comes behind a place.
    pub(crate) fn new(follower: LogFollower, config: Arc<QueueConfig>, behind: Place) -> Self {
        Self {
            follower,
            config,
            series: Vec::new(),
            segment: None,
            record: Vec::new().into_iter(),
            upto: behind,
        }
    }

    /// The next portion. What lies before `settled` is not needed any more.
    ///
    /// # Errors
    /// [`FollowError`]; a later call goes on.
    pub(crate) fn read(&mut self, settled: Place) -> Result<Portion, FollowError> {
        self.follower.release(settled.segment);
        let mut portion = Portion::default();
        while portion.points.len() < PORTION_POINTS && portion.record_count < PORTION_RECORDS as u64
        {
            if let Some((at, point)) = self.record.next() {
                self.upto = at;
                portion.points.push((at, point));
                continue;
            }
            let next = match self.follower.read_next() {
                Ok(next) => next,
                // What was read by now is handed out first: the error comes again.
                Err(_) if portion.has_anything() => break,
                Err(error) => return Err(error),
            };
            match next {
                None => {
                    portion.is_at_end = true;
                    break;
                }
                Some(Followed::Lost(segments)) => portion.lost_segments += segments,
                Some(Followed::Damaged { bytes, .. }) => portion.damaged_bytes += bytes,
                Some(Followed::Batch(at, batch)) => {
                    portion.record_count += 1;
                    self.take(Place::before(at), batch, &mut portion);
                }
            }
        }
        portion.segment_nr = self.follower.segment_nr();
        portion.upto = self.upto;
        Ok(portion)
    }

    fn take(&mut self, at: Place, mut batch: LoggedBatch, portion: &mut Portion) {
        if self.segment != Some(at.segment) {
            self.segment = Some(at.segment);
            self.series.clear();
        }
        self.define(batch.first_id, &batch.defined);
        if at.end_of_record() <= self.upto {
            return;
        }
        portion.descriptions.append(&mut batch.descriptions);
        let mut found = Found {
            series: &self.series,
            config: &self.config,
            portion,
            exemplars: HashMap::new(),
            at,
            behind: self.upto,
            points: Vec::new(),
        };
        found.take(batch);
        self.record = found.points.into_iter();
        // Reached once these are handed out; the place of the last is before it.
        if self.record.len() == 0 {
            self.upto = self.upto.max(at.end_of_record());
        }
    }

    fn define(&mut self, first_id: u32, defined: &[Labels]) {
        let first = first_id as usize;
        if self.series.len() < first + defined.len() {
            self.series.resize(first + defined.len(), Slot::Unknown);
        }
        for (slot, labels) in self.series[first..].iter_mut().zip(defined) {
            *slot = match (self.config.rewrite.apply)(labels) {
                Some(sent) if !sent.is_empty() => {
                    Slot::Sent(Arc::new(Series::new(labels, sent, self.config.message)))
                }
                _ => Slot::Dropped,
            };
        }
    }
}

/// What is found in one record.
struct Found<'a> {
    series: &'a [Slot],
    config: &'a QueueConfig,
    portion: &'a mut Portion,
    exemplars: HashMap<u32, Vec<Exemplar>>,
    /// The place of the last point, sent or not.
    at: Place,
    /// Points up to here were handed out before.
    behind: Place,
    points: Vec<(Place, Point)>,
}

impl Found<'_> {
    fn take(&mut self, batch: LoggedBatch) {
        if self.config.send_exemplars {
            for (id, exemplar) in batch.exemplars {
                self.exemplars.entry(id).or_default().push(exemplar);
            }
        }
        for row in batch.rows {
            let starts = row.starts.iter().copied().chain(std::iter::repeat(0));
            for ((id, value), start_ms) in row.series.iter().zip(row.values).zip(starts) {
                self.add(*id, (row.timestamp.0, start_ms), Value::Float(value));
            }
        }
        for it in batch.histograms {
            let lacks_form = self.config.message == Message::V1 && it.value.uses_custom_buckets();
            if lacks_form && self.config.send_histograms {
                self.portion.without_form += 1;
            }
            if lacks_form || !self.config.send_histograms {
                self.at.sample += 1;
                continue;
            }
            self.add(it.series, (it.timestamp.0, it.start_ms), Value::Histogram(it.value));
        }
        // Of series that have no sample here, in an order that is the same at each reading.
        let mut left: Vec<(u32, Vec<Exemplar>)> = self.exemplars.drain().collect();
        left.sort_by_key(|(id, _)| *id);
        for (id, exemplars) in left {
            let at_ms = exemplars.last().map_or(0, |exemplar| exemplar.timestamp.0);
            self.exemplars.insert(id, exemplars);
            self.add(id, (at_ms, 0), Value::Absent);
        }
    }

    fn add(&mut self, id: u32, (timestamp_ms, start_ms): (i64, i64), value: Value) {
        self.at.sample += 1;
        let exemplars = match self.exemplars.is_empty() {
            true => None,
            false => self.exemplars.remove(&id).map(Vec::into_boxed_slice),
        };
        if self.at <= self.behind {
            return;
        }
        match self.series.get(id as usize) {
            Some(Slot::Sent(series)) => {
                let series = Arc::clone(series);
                let point = Point { series, timestamp_ms, start_ms, value, exemplars };
                self.points.push((self.at, point));
            }
            Some(Slot::Dropped) => {
                match value {
                    Value::Float(_) => self.portion.dropped.samples += 1,
                    Value::Histogram(_) => self.portion.dropped.histograms += 1,
                    Value::Absent => {}
                }
                self.portion.dropped.exemplars += exemplars.map_or(0, |some| some.len() as u64);
            }
            Some(Slot::Unknown) | None => self.portion.unknown += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use swell_engine::{Config, Db};
    use swell_env::{FsDir, SystemClock};
    use swell_http_client::ClientOptions;
    use swell_model::{Batch, Row, SampleSink as _, TimestampMs};

    use super::*;
    use crate::config::{Batching, Rewrite};

    fn config() -> Arc<QueueConfig> {
        Arc::new(QueueConfig {
            name: "q".to_owned(),
            url: "http://127.0.0.1:9/".parse().expect("a URL"),
            client: ClientOptions::default(),
            timeout: std::time::Duration::from_secs(1),
            message: Message::V1,
            send_exemplars: false,
            send_histograms: false,
            rewrite: Rewrite {
                text: String::new(),
                apply: Arc::new(|labels| Some(labels.clone())),
            },
            batching: Batching::standard(),
            metadata: None,
        })
    }

    fn open(root: &std::path::Path) -> Db {
        let dir = Arc::new(FsDir::open(root).expect("a directory"));
        let registry = swell_telemetry::Registry::new();
        Db::open(dir, Config::standard(), Arc::new(SystemClock::new()), &registry).expect("opens")
    }

    fn append(db: &Db, values: [f64; 3]) {
        let now = swell_env::Clock::now(&SystemClock::new());
        for (nr, value) in values.into_iter().enumerate() {
            let labels = Labels::from_pairs([("__name__", format!("m{nr}"))]);
            let series = db.resolve(&labels).expect("good labels");
            let row = Row::new(TimestampMs(now.0), vec![series], vec![value]);
            db.append(&Batch::of_rows(vec![row])).expect("stored");
        }
    }

    fn values(portion: &Portion) -> Vec<f64> {
        let points = portion.points.iter();
        points
            .map(|(_, point)| match point.value {
                Value::Float(value) => value,
                _ => panic!("a float"),
            })
            .collect()
    }

    /// A segment that cannot be opened costs nothing of what was read before it.
    #[test]
    fn what_was_read_before_an_error_is_handed_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let db = open(folder.path());
        append(&db, [1.0, 2.0, 3.0]);
        let first = db.log_end().segment_nr;
        drop(db);
        // A start begins a segment.
        let db = open(folder.path());
        append(&db, [4.0, 5.0, 6.0]);
        let last = db.log_end().segment_nr;
        assert!(first < last);
        let mut segments: Vec<_> = std::fs::read_dir(folder.path().join("wal"))
            .expect("readable")
            .map(|entry| entry.expect("readable").path())
            .collect();
        segments.sort();
        let newest = segments.pop().expect("segments");
        let aside = folder.path().join("aside");
        std::fs::rename(&newest, &aside).expect("moved");
        std::fs::create_dir(&newest).expect("made");
        let mut reader = Reader::new(db.follow_log(first), config(), Place::default());
        let settled = Place::default();
        let portion = reader.read(settled).expect("what could be read");
        assert_eq!(values(&portion), [1.0, 2.0, 3.0]);
        assert!(!portion.is_at_end);
        reader.read(settled).expect_err("a folder is no segment");
        std::fs::remove_dir(&newest).expect("removed");
        std::fs::rename(&aside, &newest).expect("moved back");
        let portion = reader.read(settled).expect("readable again");
        assert_eq!(values(&portion), [4.0, 5.0, 6.0]);
        assert!(portion.is_at_end);
    }
}
