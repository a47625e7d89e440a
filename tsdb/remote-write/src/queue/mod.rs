//! One queue: a task that does what its state decides. It waits for the next event, notes it, and starts what is due.

mod begin;
mod rates;
mod request;
mod state;
mod told;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use swell_engine::{Db, FollowError};
use swell_env::{Clock, Monotonic};
use swell_model::TimestampMs;
use swell_telemetry::chain;
use swell_wire::remote_write::Message;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::begin::{Before, begin};
use self::request::{Request, Sent, joined};
use self::state::{Bounds, State};
use self::told::{Told, Trouble};
use crate::answer::{Settled, Verdict, judge};
use crate::config::QueueConfig;
use crate::encode::{Encoded, Families};
use crate::metadata::MetadataSender;
use crate::metrics::{
    DROPPED_BY_RULES, DROPPED_LONE, DROPPED_TOO_OLD, DROPPED_UNKNOWN, DROPPED_WITHOUT_FORM,
    QueueMetrics,
};
use crate::place::Place;
use crate::place_file::{Found, PlaceFile, PlaceFileError};
use crate::point::Counts;
use crate::reader::{Portion, Reader};
use crate::shards::Limits;
use crate::transport::{Received, Transport};

/// Gauges are set this often.
const BEAT: Duration = Duration::from_secs(1);
/// The number of shards is looked at each so many beats, as in Prometheus; the places are made durable then.
const SHARD_BEATS: u32 = 10;

/// What a queue stands on.
#[derive(Clone)]
pub(crate) struct QueueDeps {
    pub(crate) db: Arc<Db>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Wakes when something is stored.
    pub(crate) stored: watch::Receiver<TimestampMs>,
}

/// See the module.
pub(crate) struct Queue {
    deps: QueueDeps,
    config: Arc<QueueConfig>,
    transport: Arc<Transport>,
    metrics: QueueMetrics,
    families: Arc<RwLock<Families>>,
    began: Monotonic,
    state: State,
    /// Unless it reads.
    reader: Option<Box<Reader>>,
    /// Unless it is written.
    file: Option<Box<PlaceFile>>,
    sends: JoinSet<Box<Sent>>,
    /// The reader and the file at work.
    blocking: JoinSet<Event>,
    /// Requests that are to be sent again as they are, by shard.
    kept: Vec<Option<Encoded>>,
    beats: u32,
    told: Told,
}

/// Keeps the log that a queue has not sent from being deleted.
pub(crate) struct LogHold {
    _reader: Option<Box<Reader>>,
}

/// What a queue waits for.
enum Event {
    Stop,
    Read(Box<Reader>, Result<Portion, FollowError>),
    Saved(Box<PlaceFile>, Vec<Place>, Result<(), PlaceFileError>),
    Sent(Box<Sent>),
    Beat,
    /// Something is due.
    Look,
}

impl Queue {
    /// A queue that goes on where its file says; a new one begins with what is stored from now on.
    pub(crate) fn open(
        deps: QueueDeps,
        config: Arc<QueueConfig>,
        transport: Transport,
        (mut file, found): (PlaceFile, Found),
        metrics: QueueMetrics,
    ) -> Result<Self, PlaceFileError> {
        let batching = &config.batching;
        let end = Place::before(deps.db.log_end());
        let queue = &config.name;
        let (before, places) = begin(found, end, (batching.shards_min, batching.shards_max));
        let oldest = places.iter().min().copied().unwrap_or(end);
        match before {
            Before::Known => info!(queue, segment = oldest.segment, "sending goes on in the log"),
            Before::Nowhere => {}
            Before::Damaged => {
                metrics.place_failures.inc();
                error!(
                    queue,
                    "the file of the place in the log is damaged: sending goes on with what is stored from now on"
                );
            }
        }
        // On a full disk as well queries go on, and so does sending: later places are written anew.
        if let Err(failure) = file.write(&places) {
            metrics.place_failures.inc();
            let error = chain(&failure);
            error!(queue, error, "the place in the log was not written down");
        }
        let follower = deps.db.follow_log(oldest.segment);
        let reader = Box::new(Reader::new(follower, Arc::clone(&config), oldest));
        let families = match config.message {
            Message::V1 => Families::new(),
            Message::V2 => deps.db.metadata(),
        };
        let bounds = Bounds {
            limits: Limits {
                capacity: batching.capacity,
                batch_max: batching.batch_max,
                batch_deadline: batching.batch_deadline,
                backoff_min: batching.backoff_min,
                backoff_max: batching.backoff_max,
            },
            shards_min: batching.shards_min,
            shards_max: batching.shards_max,
        };
        Ok(Self {
            began: deps.clock.monotonic(),
            kept: places.iter().map(|_| None).collect(),
            state: State::new(bounds, places, deps.db.samples_appended()),
            reader: Some(reader),
            file: Some(Box::new(file)),
            sends: JoinSet::new(),
            blocking: JoinSet::new(),
            transport: Arc::new(transport),
            families: Arc::new(RwLock::new(families)),
            deps,
            config,
            metrics,
            beats: 0,
            told: Told::default(),
        })
    }

    fn now(&self) -> Duration {
        self.deps.clock.monotonic().since(self.began)
    }

    /// Sends until `stop`, and then what is there, for a while. Where it stands is written down in any case. Gives what holds
    /// the log that was not sent, for as long as it lives.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> LogHold {
        let metadata = self.config.metadata.filter(|_| self.config.message == Message::V1);
        let mut helpers = JoinSet::new();
        if let Some(sending) = metadata {
            let sender = MetadataSender {
                db: Arc::clone(&self.deps.db),
                clock: Arc::clone(&self.deps.clock),
                config: Arc::clone(&self.config),
                transport: Arc::clone(&self.transport),
                metrics: self.metrics.clone(),
            };
            helpers.spawn(sender.run(sending));
        }
        self.metrics.shards.set(i64::try_from(self.state.shard_count()).unwrap_or(i64::MAX));
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_sends();
            self.start_reading();
            self.start_saving();
            if self.state.is_over(self.now()) {
                break;
            }
            let event = self.select(&stop, &mut beat).await;
            self.apply(event);
        }
        helpers.shutdown().await;
        // What is under way may have arrived: it is sent again at the next start.
        self.sends.shutdown().await;
        self.save_last().await;
        self.metrics.retire();
        LogHold { _reader: self.reader }
    }

    async fn select(
        &mut self,
        stop: &CancellationToken,
        beat: &mut tokio::time::Interval,
    ) -> Event {
        let now = self.now();
        let read_wake = {
            let reading = self.state.reading().filter(|_| self.reader.is_some());
            let mut stored = self.deps.stored.clone();
            async move {
                let Some(reading) = reading else { return std::future::pending().await };
                tokio::time::sleep(reading.at.saturating_sub(now)).await;
                if let Some(by) = reading.by {
                    tokio::select! {
                        () = tokio::time::sleep(by.saturating_sub(now.max(reading.at))) => {}
                        Ok(()) = stored.changed() => {}
                    }
                }
            }
        };
        let wake_at = self.state.wake_at();
        let due = async move {
            match wake_at {
                Some(at) => tokio::time::sleep(at.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled(), if !self.state.is_stopping() => Event::Stop,
            Some(sent) = self.sends.join_next() => Event::Sent(joined(sent)),
            Some(event) = self.blocking.join_next() => joined(event),
            () = read_wake => {
                self.state.may_have_more();
                Event::Look
            }
            () = due => Event::Look,
            _ = beat.tick() => Event::Beat,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Stop => self.state.stop(self.now()),
            Event::Read(reader, outcome) => self.read(reader, outcome),
            Event::Saved(file, places, outcome) => {
                self.file = Some(file);
                self.saved(places, outcome);
            }
            Event::Sent(sent) => self.sent(*sent),
            Event::Beat => self.beat(),
            Event::Look => {}
        }
    }

    fn start_reading(&mut self) {
        if !self.state.reads_now(self.now()) {
            return;
        }
        let Some(mut reader) = self.reader.take() else { return };
        self.deps.stored.borrow_and_update();
        let settled = self.state.settled_place();
        self.blocking.spawn_blocking(move || {
            let outcome = reader.read(settled);
            Event::Read(reader, outcome)
        });
    }

    fn read(&mut self, reader: Box<Reader>, outcome: Result<Portion, FollowError>) {
        self.reader = Some(reader);
        let now = self.now();
        let portion = match outcome {
            Ok(portion) => portion,
            Err(failure) => {
                self.state.read_failed(now);
                self.tell(Trouble::Log, |queue| {
                    error!(queue, error = chain(&failure), "the log cannot be read on");
                });
                return;
            }
        };
        self.metrics.current_segment.set(i64::try_from(portion.segment_nr).unwrap_or(i64::MAX));
        self.metrics.records_read.inc_by(portion.record_count);
        self.metrics.dropped(DROPPED_BY_RULES, portion.dropped);
        let of_samples = |samples| Counts { samples, ..Counts::default() };
        self.metrics.dropped(DROPPED_UNKNOWN, of_samples(portion.unknown));
        let without_form = Counts { histograms: portion.without_form, ..Counts::default() };
        self.metrics.dropped(DROPPED_WITHOUT_FORM, without_form);
        self.state.left_out(portion.dropped.values() + portion.unknown);
        if portion.lost_segments > 0 {
            self.metrics.lost_segments.inc_by(portion.lost_segments);
            let (queue, segments) = (&self.config.name, portion.lost_segments);
            error!(
                queue,
                segments,
                "a part of the log was deleted before it was sent: swell.limits.held_log says how much is kept"
            );
        }
        if portion.damaged_bytes > 0 {
            self.metrics.damaged_bytes.inc_by(portion.damaged_bytes);
            let (queue, bytes) = (&self.config.name, portion.damaged_bytes);
            error!(queue, bytes, "a part of the log is damaged and was not sent");
        }
        if self.config.message == Message::V2 && !portion.descriptions.is_empty() {
            let mut families = self.families.write();
            families
                .extend(portion.descriptions.into_iter().map(|it| (it.metric_name, it.metadata)));
        }
        if self.state.read(portion.points, portion.upto, portion.is_at_end, now) {
            self.metrics.enqueue_retries.inc();
        }
        self.metrics.highest_read.set(seconds(self.state.newest_read_ms()));
    }

    fn start_sends(&mut self) {
        if let Some(count) = self.state.reshard() {
            self.kept = (0..count).map(|_| None).collect();
            self.metrics.shards.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let now = self.now();
        for start in self.state.starts(now) {
            let request = Request {
                kept: self.kept[start.shard].take(),
                start,
                transport: Arc::clone(&self.transport),
                clock: Arc::clone(&self.deps.clock),
                config: Arc::clone(&self.config),
                families: Arc::clone(&self.families),
            };
            self.sends.spawn(request.send());
        }
    }

    fn sent(&mut self, sent: Sent) {
        let Sent { shard, encoded, took, answer } = sent;
        let now = self.now();
        if answer.is_some() {
            self.metrics.durations.observe(took.as_secs_f64());
            self.state.asked(took);
        }
        let verdict = match &answer {
            None => {
                let (written, failed) = (Counts::default(), Counts::default());
                Verdict::Settled(Settled { written, failed, refusal: None })
            }
            Some(Ok(received)) => judge(
                &received.answer(),
                self.config.message,
                encoded.counts,
                self.config.batching.retry_on_429,
                self.deps.clock.now(),
            ),
            Some(Err(_)) => Verdict::Retry(None),
        };
        match verdict {
            Verdict::Settled(settled) => {
                self.settled(shard, &encoded, &settled, answer.and_then(Result::ok));
            }
            Verdict::Retry(wait) => {
                self.metrics.retried(encoded.counts);
                self.tell(Trouble::Failure, |queue| match answer {
                    Some(Err(failure)) => {
                        warn!(queue, error = chain(&failure), "sending failed, and is tried again");
                    }
                    Some(Ok(Received { status, text, .. })) => {
                        warn!(
                            queue,
                            status,
                            answer = text,
                            "the receiver fails, and is asked again"
                        );
                    }
                    None => {}
                });
                self.state.retry(shard, wait, now);
                // What may become too old by then is made anew.
                if self.config.batching.sample_age_max.is_none() {
                    self.kept[shard] = Some(encoded);
                }
            }
        }
    }

    fn settled(
        &mut self,
        shard: usize,
        encoded: &Encoded,
        settled: &Settled,
        received: Option<Received>,
    ) {
        let is_taken = settled.refusal.is_none() && !encoded.body.is_empty();
        self.state.settled(shard, encoded, is_taken, self.now());
        self.metrics.settled(encoded.counts, settled.failed);
        self.metrics.dropped(DROPPED_TOO_OLD, encoded.too_old);
        let lone = Counts { exemplars: encoded.lone_exemplars, ..Counts::default() };
        self.metrics.dropped(DROPPED_LONE, lone);
        if let Some(refusal) = settled.refusal {
            let text = received.map(|received| received.text).unwrap_or_default();
            let (failed, exemplars) = (settled.failed.values(), settled.failed.exemplars);
            self.tell(Trouble::Refusal, |queue| {
                error!(queue, %refusal, answer = text, samples = failed, exemplars, "samples were not taken");
            });
        } else if is_taken {
            self.metrics.bytes.inc_by(encoded.body.len() as u64);
            self.metrics.highest_sent.set(seconds(self.state.newest_sent_ms()));
        }
    }

    /// Writes the places down, one time after the other.
    fn start_saving(&mut self) {
        let Some(places) = self.state.unsaved() else { return };
        let Some(mut file) = self.file.take() else { return };
        self.blocking.spawn_blocking(move || {
            let outcome = file.write(&places);
            Event::Saved(file, places, outcome)
        });
    }

    fn saved(&mut self, places: Vec<Place>, outcome: Result<(), PlaceFileError>) {
        self.state.written(places);
        if let Err(failure) = outcome {
            self.metrics.place_failures.inc();
            self.tell(Trouble::Place, |queue| {
                error!(
                    queue,
                    error = chain(&failure),
                    "the place in the log was not written down: after a start some samples are sent again"
                );
            });
        }
    }

    async fn save_last(&mut self) {
        while let Some(event) = self.blocking.join_next().await {
            let event: Event = joined(event);
            match event {
                Event::Read(reader, _) => self.reader = Some(reader),
                event => self.apply(event),
            }
        }
        let Some(mut file) = self.file.take() else { return };
        let places = self.state.places();
        let queue = self.config.name.clone();
        let written = tokio::task::spawn_blocking(move || {
            file.write(&places)?;
            file.sync()
        });
        if let Err(failure) = joined(written.await) {
            let error = chain(&failure);
            error!(queue, error, "the place in the log was not written down");
        }
    }

    fn beat(&mut self) {
        self.metrics.pending(self.state.pending());
        self.beats += 1;
        if self.beats.is_multiple_of(SHARD_BEATS) {
            self.consider_shards();
            self.sync_places();
        }
    }

    /// Looks whether the load asks for another number of shards.
    fn consider_shards(&mut self) {
        let stored = self.deps.db.samples_appended();
        let newest_ms = self.deps.db.range().map(|range| range.end_incl.0);
        let found = self.state.consider_shards(stored, newest_ms, self.now());
        self.metrics.shards_desired.set(found.exact);
        if let Some((from, to)) = found.change {
            info!(queue = self.config.name, from, to, "the number of shards changes");
        }
    }

    fn sync_places(&mut self) {
        let Some(file) = self.file.take() else { return };
        let places = self.state.saved().to_vec();
        self.blocking.spawn_blocking(move || {
            let outcome = file.sync();
            Event::Saved(file, places, outcome)
        });
    }

    /// Says something, unless something of the kind was said a moment ago.
    fn tell(&mut self, trouble: Trouble, say: impl FnOnce(&str)) {
        let now = self.now();
        if self.told.tells(trouble, now) {
            say(&self.config.name);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}
