//! One queue: a task that owns its shards. It waits for the next event, notes it, and starts what is due.

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

use crate::answer::{Settled, Verdict, judge};
use crate::config::QueueConfig;
use crate::encode::{Encoded, Encoding, Families, encode};
use crate::metadata::MetadataSender;
use crate::metrics::{
    DROPPED_BY_RULES, DROPPED_LONE, DROPPED_TOO_OLD, DROPPED_UNKNOWN, DROPPED_WITHOUT_FORM,
    QueueMetrics,
};
use crate::place::Place;
use crate::place_file::{Found, PlaceFile, PlaceFileError};
use crate::point::{Counts, Point};
use crate::reader::{Portion, Reader};
use crate::shards::{Ewma, Limits, Load, Outcome, Shards, Start, desired};
use crate::transport::{Received, Transport, TransportError};

/// Gauges are set this often.
const BEAT: Duration = Duration::from_secs(1);
/// The number of shards is looked at each so many beats, as in Prometheus; the places are made durable then.
const SHARD_BEATS: u32 = 10;
const SHARD_SECONDS: f64 = 10.0;
/// At the end of the log: shortest and longest wait for more. Samples that come meanwhile share a look.
const READ_PAUSE: Duration = Duration::from_millis(100);
const READ_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a queue that stops may send what is there.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);
/// The same trouble is told this often.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);

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
    shards: Shards<Point>,
    /// Points up to here were offered to the shards.
    offered: Place,
    /// Unless it reads.
    reader: Option<Box<Reader>>,
    /// It reads on at that time.
    read_at: Duration,
    /// At the end of the log: it reads on when something was stored, and at that time at the latest.
    read_by: Option<Duration>,
    /// What is stored is read up to here before a queue that stops ends.
    is_read_up: bool,
    /// Unless it is written.
    file: Option<Box<PlaceFile>>,
    /// What the file says.
    saved: Vec<Place>,
    sends: JoinSet<Box<Sent>>,
    /// The reader and the file at work.
    blocking: JoinSet<Event>,
    /// Requests that are to be sent again as they are, by shard.
    kept: Vec<Option<Encoded>>,
    /// How many shards there are to be once these are drained.
    reshard_to: Option<usize>,
    rates: Rates,
    beats: u32,
    /// When something was taken last.
    taken_at: Option<Duration>,
    /// Newest time that was taken.
    newest_sent_ms: i64,
    /// When each kind of trouble was told last.
    told_at: [Option<Duration>; Trouble::COUNT],
    /// What waits or is under way.
    pending: Counts,
    /// When a queue that stops gives up.
    give_up_at: Option<Duration>,
}

/// Keeps the log that a queue has not sent from being deleted.
pub(crate) struct LogHold {
    _reader: Option<Box<Reader>>,
}

/// What ended with a request.
struct Sent {
    shard: usize,
    encoded: Encoded,
    took: Duration,
    /// None when there was nothing to send.
    answer: Option<Result<Received, TransportError>>,
}

#[derive(Default)]
struct Rates {
    stored: Ewma,
    sent: Ewma,
    dropped: Ewma,
    busy: Ewma,
    stored_before: u64,
    sent_count: u64,
    dropped_count: u64,
    busy_seconds: f64,
}

/// What may be told again and again.
#[derive(Clone, Copy)]
enum Trouble {
    /// The log cannot be read.
    Log,
    /// The receiver fails.
    Failure,
    /// The receiver refuses.
    Refusal,
    /// The place cannot be written down.
    Place,
}

impl Trouble {
    const COUNT: usize = 4;
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
        let places = match found {
            Found::Places(places) => {
                let count = places.len().clamp(batching.shards_min, batching.shards_max);
                let oldest = places.iter().min().copied().unwrap_or(end);
                info!(queue = config.name, segment = oldest.segment, "sending goes on in the log");
                // Another number of shards has other series in each.
                let places = if count == places.len() { places } else { vec![oldest; count] };
                // After a power cut the log may be shorter than what was read of it.
                places.into_iter().map(|place| place.min(end)).collect()
            }
            Found::Nothing => vec![end; batching.shards_min],
            Found::Damaged => {
                error!(
                    queue = config.name,
                    "the file of the place in the log is damaged: sending goes on with what is stored from now on"
                );
                metrics.place_failures.inc();
                vec![end; batching.shards_min]
            }
        };
        // On a full disk as well queries go on, and so does sending: later places are written anew.
        if let Err(failure) = file.write(&places) {
            metrics.place_failures.inc();
            let error = chain(&failure);
            error!(queue = config.name, error, "the place in the log was not written down");
        }
        let oldest = places.iter().min().copied().unwrap_or(end);
        let follower = deps.db.follow_log(oldest.segment);
        let reader = Box::new(Reader::new(follower, Arc::clone(&config), oldest));
        let families = match config.message {
            Message::V1 => Families::new(),
            Message::V2 => deps.db.metadata(),
        };
        let limits = Limits {
            capacity: batching.capacity,
            batch_max: batching.batch_max,
            batch_deadline: batching.batch_deadline,
            backoff_min: batching.backoff_min,
            backoff_max: batching.backoff_max,
        };
        let rates = Rates { stored_before: deps.db.samples_appended(), ..Rates::default() };
        Ok(Self {
            began: deps.clock.monotonic(),
            shards: Shards::new(limits, &places),
            offered: oldest,
            reader: Some(reader),
            read_at: Duration::ZERO,
            read_by: None,
            is_read_up: false,
            file: Some(Box::new(file)),
            sends: JoinSet::new(),
            blocking: JoinSet::new(),
            kept: places.iter().map(|_| None).collect(),
            saved: places,
            transport: Arc::new(transport),
            families: Arc::new(RwLock::new(families)),
            deps,
            config,
            metrics,
            reshard_to: None,
            rates,
            beats: 0,
            taken_at: None,
            newest_sent_ms: 0,
            told_at: [None; Trouble::COUNT],
            pending: Counts::default(),
            give_up_at: None,
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
        self.metrics.shards.set(i64::try_from(self.shards.count()).unwrap_or(i64::MAX));
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.start_sends();
            self.start_reading();
            self.start_saving();
            if self.is_over() {
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
            let is_waiting = self.reader.is_some() && self.may_read();
            let (read_at, read_by) = (self.read_at, self.read_by);
            let mut stored = self.deps.stored.clone();
            async move {
                if !is_waiting {
                    return std::future::pending().await;
                }
                tokio::time::sleep(read_at.saturating_sub(now)).await;
                if let Some(read_by) = read_by {
                    tokio::select! {
                        () = tokio::time::sleep(read_by.saturating_sub(now.max(read_at))) => {}
                        Ok(()) = stored.changed() => {}
                    }
                }
            }
        };
        let wake_at = [self.shards.wake_at(), self.give_up_at].into_iter().flatten().min();
        let due = async move {
            match wake_at {
                Some(at) => tokio::time::sleep(at.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled(), if self.give_up_at.is_none() => Event::Stop,
            Some(sent) = self.sends.join_next() => Event::Sent(joined(sent)),
            Some(event) = self.blocking.join_next() => joined(event),
            () = read_wake => {
                self.read_by = None;
                Event::Look
            }
            () = due => Event::Look,
            _ = beat.tick() => Event::Beat,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Stop => {
                self.give_up_at = Some(self.now() + FLUSH_DEADLINE);
                self.shards.flush(true);
                (self.read_at, self.read_by) = (Duration::ZERO, None);
            }
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

    /// Whether the log is to be read on.
    fn may_read(&self) -> bool {
        self.reshard_to.is_none() && !self.is_read_up && self.shards.has_room()
    }

    /// Whether a queue that stops has nothing left to do, or has to leave it.
    fn is_over(&self) -> bool {
        let Some(give_up_at) = self.give_up_at else { return false };
        let is_done = self.is_read_up && self.shards.is_drained();
        // A receiver that fails is not waited for: what it lacks is in the log.
        is_done || self.shards.has_failed() || self.now() >= give_up_at
    }

    fn start_reading(&mut self) {
        let is_due = self.read_by.is_none() && self.now() >= self.read_at;
        if !is_due || !self.may_read() {
            return;
        }
        let Some(mut reader) = self.reader.take() else { return };
        self.deps.stored.borrow_and_update();
        let settled = self.saved.iter().min().copied().unwrap_or_default();
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
                self.read_at = now + READ_PAUSE_MAX;
                // A queue that stops does not wait for a log that cannot be read.
                self.is_read_up = self.give_up_at.is_some();
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
        self.rates.dropped_count += portion.dropped.values() + portion.unknown;
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
        let had_room = self.shards.has_room();
        for (at, point) in portion.points {
            let mut counts = Counts::default();
            counts.add(&point);
            if self.shards.offer(point.series.shard_hash, at, point, now) {
                self.pending = self.pending.zip(counts, u64::saturating_add);
            }
        }
        self.offered = portion.upto;
        if had_room && !self.shards.has_room() {
            self.metrics.enqueue_retries.inc();
        }
        if portion.is_at_end {
            self.is_read_up = self.give_up_at.is_some();
            (self.read_at, self.read_by) = (now + READ_PAUSE, Some(now + READ_PAUSE_MAX));
        }
    }

    fn start_sends(&mut self) {
        if let Some(count) = self.reshard_to.filter(|_| self.shards.is_drained()) {
            self.reshard_to = None;
            self.shards.reshard(count, self.offered);
            self.shards.flush(self.give_up_at.is_some());
            self.kept = (0..count).map(|_| None).collect();
            self.metrics.shards.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let now = self.now();
        for start in self.shards.starts(now) {
            self.send(start);
        }
    }

    fn send(&mut self, start: Start<Point>) {
        let Start { shard, batch, attempt } = start;
        let (transport, clock) = (Arc::clone(&self.transport), Arc::clone(&self.deps.clock));
        let (config, families) = (Arc::clone(&self.config), Arc::clone(&self.families));
        let kept = self.kept[shard].take();
        self.sends.spawn(async move {
            let encoded = match kept {
                Some(kept) => kept,
                None => {
                    let now = clock.now();
                    let made = tokio::task::spawn_blocking(move || {
                        let oldest_ms = config
                            .batching
                            .sample_age_max
                            .map(|age| now.0 - i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
                        let families = families.read();
                        let message = config.message;
                        encode(&batch, &Encoding { message, oldest_ms, families: &families })
                    });
                    joined(made.await)
                }
            };
            let began = clock.monotonic();
            let answer = match encoded.body.is_empty() {
                true => None,
                false => Some(transport.send(encoded.body.clone(), attempt).await),
            };
            let took = clock.monotonic().since(began);
            Box::new(Sent { shard, encoded, took, answer })
        });
    }

    fn sent(&mut self, sent: Sent) {
        let Sent { shard, encoded, took, answer } = sent;
        let now = self.now();
        if answer.is_some() {
            self.metrics.durations.observe(took.as_secs_f64());
            self.rates.busy_seconds += took.as_secs_f64();
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
                self.settled(&encoded, &settled, answer.and_then(Result::ok), now);
                self.shards.answered(shard, Outcome::Settled, now);
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
                self.shards.answered(shard, Outcome::Retry(wait), now);
                // What may become too old by then is made anew.
                if self.config.batching.sample_age_max.is_none() {
                    self.kept[shard] = Some(encoded);
                }
            }
        }
    }

    fn settled(
        &mut self,
        encoded: &Encoded,
        settled: &Settled,
        received: Option<Received>,
        now: Duration,
    ) {
        let lone = Counts { exemplars: encoded.lone_exemplars, ..Counts::default() };
        for gone in [encoded.counts, encoded.too_old, lone] {
            self.pending = self.pending.zip(gone, u64::saturating_sub);
        }
        self.metrics.settled(encoded.counts, settled.failed);
        self.metrics.dropped(DROPPED_TOO_OLD, encoded.too_old);
        self.metrics.dropped(DROPPED_LONE, lone);
        self.rates.sent_count += encoded.counts.values();
        self.rates.dropped_count += encoded.too_old.values();
        if let Some(refusal) = settled.refusal {
            let text = received.map(|received| received.text).unwrap_or_default();
            let (failed, exemplars) = (settled.failed.values(), settled.failed.exemplars);
            self.tell(Trouble::Refusal, |queue| {
                error!(queue, %refusal, answer = text, samples = failed, exemplars, "samples were not taken");
            });
        } else if !encoded.body.is_empty() {
            self.metrics.bytes.inc_by(encoded.body.len() as u64);
            self.taken_at = Some(now);
            self.newest_sent_ms = self.newest_sent_ms.max(encoded.newest_ms.unwrap_or(0));
            self.metrics.highest_sent.set(seconds(self.newest_sent_ms));
        }
    }

    /// Writes the places down, one time after the other.
    fn start_saving(&mut self) {
        let places = self.shards.places(self.offered);
        if places == self.saved {
            return;
        }
        let Some(mut file) = self.file.take() else { return };
        self.blocking.spawn_blocking(move || {
            let outcome = file.write(&places);
            Event::Saved(file, places, outcome)
        });
    }

    fn saved(&mut self, places: Vec<Place>, outcome: Result<(), PlaceFileError>) {
        // Also after a failure: the next change tries again, and more often would not help.
        self.saved = places;
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
        let places = self.shards.places(self.offered);
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
        self.metrics.pending(self.pending);
        self.beats += 1;
        if self.beats.is_multiple_of(SHARD_BEATS) {
            self.consider_shards();
            self.sync_places();
        }
    }

    /// Looks whether the load asks for another number of shards.
    fn consider_shards(&mut self) {
        let now = self.now();
        let stored = self.deps.db.samples_appended();
        let behind_ms = match self.deps.db.range() {
            Some(range) if self.newest_sent_ms > 0 => range.end_incl.0 - self.newest_sent_ms,
            _ => 0,
        };
        let delay_s = seconds(behind_ms.max(0));
        let batching = &self.config.batching;
        let limits = (batching.shards_min, batching.shards_max);
        let load = self.rates.tick(stored, delay_s);
        let found = desired(&load, self.shards.count(), limits);
        self.metrics.shards_desired.set(found.exact);
        // More connections are no help to a receiver that takes nothing.
        let patience = Duration::from_secs(10).max(batching.batch_deadline * 2);
        let is_taking = self.taken_at.is_some_and(|at| now.saturating_sub(at) <= patience);
        let may_change =
            is_taking && self.give_up_at.is_none() && self.shards.are_level(self.offered);
        if found.count != self.shards.count() && may_change {
            info!(
                queue = self.config.name,
                from = self.shards.count(),
                to = found.count,
                "the number of shards changes"
            );
            self.reshard_to = Some(found.count);
            self.shards.flush(true);
        }
    }

    fn sync_places(&mut self) {
        let Some(file) = self.file.take() else { return };
        let places = self.saved.clone();
        self.blocking.spawn_blocking(move || {
            let outcome = file.sync();
            Event::Saved(file, places, outcome)
        });
    }

    /// Says something, unless something of the kind was said a moment ago.
    fn tell(&mut self, trouble: Trouble, say: impl FnOnce(&str)) {
        let now = self.now();
        let told_at = &mut self.told_at[trouble as usize];
        if told_at.is_none_or(|told| now.saturating_sub(told) >= TOLD_INTERVAL) {
            *told_at = Some(now);
            say(&self.config.name);
        }
    }
}

impl Rates {
    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    fn tick(&mut self, stored: u64, delay_s: f64) -> Load {
        self.stored.tick((stored - self.stored_before) as f64, SHARD_SECONDS);
        self.sent.tick(self.sent_count as f64, SHARD_SECONDS);
        self.dropped.tick(self.dropped_count as f64, SHARD_SECONDS);
        self.busy.tick(self.busy_seconds, SHARD_SECONDS);
        (self.stored_before, self.sent_count, self.dropped_count) = (stored, 0, 0);
        self.busy_seconds = 0.0;
        Load {
            stored_rate: self.stored.rate(),
            sent_rate: self.sent.rate(),
            dropped_rate: self.dropped.rate(),
            busy_rate: self.busy.rate(),
            delay_s,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// What a task gave; its panic is ours.
fn joined<T>(outcome: Result<T, tokio::task::JoinError>) -> T {
    match outcome {
        Ok(done) => done,
        Err(failure) => match failure.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => unreachable!("tasks are cancelled when nobody waits for them any more"),
        },
    }
}
