//! Pushes of exposition text, as Prometheus' Pushgateway takes them: kept by group until they are deleted, and sampled
//! again and again as they were pushed last.
//!
//! A push is on disk before it is acknowledged. Its samples are stored at once and then with every tick; a series that
//! is replaced or deleted ends with a staleness marker, which is tried again with every tick until it is stored.

mod body;
mod ended;
mod file;
mod key;
mod limits;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::put;
use parking_lot::Mutex;
use swell_env::{Clock, Dir, Throttle};
use swell_http::{Intake, IntakeConfig, plain_text};
use swell_model::{
    DurationMs, LabelledBatch, LabelledFloat, Labels, MetricDescription, MetricMetadata,
    SampleSink, TimestampMs,
};
use swell_telemetry::chain;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::failure::Failure;
use crate::metrics::{PushMetrics, Way};
use crate::store::Store;
use crate::unpack::{self, BODY_BYTES_MAX};
use body::{PushFault, Types};
use ended::Ended;
pub use file::GroupFileError;
use file::GroupFiles;
use key::GroupKey;
use limits::{TOTAL_BYTES_MAX, check_labels};
use state::{Groups, Replace};

/// Bytes of bodies that may wait or be worked on.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Requests that are worked on at once: they take turns at the groups.
const SLOTS: usize = 1;
/// Failures are logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The receiver with all that was pushed.
pub struct PushedGroups {
    /// None when it is off.
    kept: Option<Mutex<Kept>>,
    store: Store,
    clock: Arc<dyn Clock>,
    intake: Intake,
    metrics: PushMetrics,
    log: Throttle,
}

struct Kept {
    groups: Groups,
    files: GroupFiles,
    ended: Ended,
}

impl std::fmt::Debug for PushedGroups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushedGroups").field("is_on", &self.kept.is_some()).finish_non_exhaustive()
    }
}

/// Samples of label sets at one time.
fn batch_at(now: TimestampMs, samples: impl IntoIterator<Item = (Labels, f64)>) -> LabelledBatch {
    let mut batch = LabelledBatch::default();
    for (labels, value) in samples {
        let series = batch.add_series(labels);
        batch.floats.push(LabelledFloat { series, timestamp: now, value, start_ms: 0 });
    }
    batch
}

impl PushedGroups {
    /// A receiver that keeps groups in `dir`, and what is there already; without one it is off, and says how to switch it
    /// on. With `type_labels` series are labelled with their types (Prometheus' feature `type-and-unit-labels`).
    ///
    /// # Errors
    /// [`GroupFileError`] when the folder cannot be read, or a file that cannot be read cannot be set aside either.
    pub fn open(
        dir: Option<Arc<dyn Dir>>,
        sink: Arc<dyn SampleSink>,
        clock: Arc<dyn Clock>,
        metrics: PushMetrics,
        type_labels: bool,
    ) -> Result<Arc<Self>, GroupFileError> {
        let kept = match dir {
            None => None,
            Some(dir) => {
                let (files, found) = GroupFiles::open(dir)?;
                let types = if type_labels { Types::Labelled } else { Types::Described };
                let mut groups = Groups::new(types);
                for group in found {
                    groups.put(group);
                }
                Some(Mutex::new(Kept { groups, files, ended: Ended::default() }))
            }
        };
        Ok(Arc::new(Self {
            kept,
            store: Store::new(sink),
            clock,
            intake: Intake::new(IntakeConfig {
                body_bytes_max: BODY_BYTES_MAX,
                in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
                slots: SLOTS,
            }),
            metrics,
            log: Throttle::new(LOG_INTERVAL),
        }))
    }

    /// Samples all groups, each `interval`, until `stop`.
    pub async fn sample(self: Arc<Self>, interval: DurationMs, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(interval.to_std());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let state = self.clone();
            let sampled = tokio::task::spawn_blocking(move || state.sample_once());
            if let Err(failure) = sampled.await {
                self.warn(&format!("sampling what was pushed failed inside: {failure}"));
            }
        }
    }

    fn sample_once(&self) {
        let Some(kept) = &self.kept else { return };
        let mut kept = kept.lock();
        let samples = kept.groups.samples();
        // The lock is held, so that no push stores a newer sample before these.
        let now = self.clock.now();
        let batch = batch_at(now, samples);
        self.put_ends(&mut kept.ended, &batch, now);
        self.put_samples(&batch);
        drop(kept);
    }

    /// Stores the markers of series that ended, those of `living` not among them; what fails stays for the next time.
    fn put_ends(&self, ended: &mut Ended, living: &LabelledBatch, now: TimestampMs) {
        if !ended.is_empty() {
            living.series.iter().for_each(|labels| ended.remove(labels));
        }
        if ended.is_empty() {
            return;
        }
        if self.put_samples(&ended.batch(now)) {
            ended.clear();
            return;
        }
        let trimmed = ended.trim(TOTAL_BYTES_MAX);
        if trimmed > 0 {
            warn!(
                trimmed,
                "series of pushed groups end without a marker: too many wait for the storage"
            );
        }
    }

    /// Stores what is kept anyway: what fails comes again with the next tick. Whether it did not fail.
    fn put_samples(&self, batch: &LabelledBatch) -> bool {
        match self.store.store(batch) {
            Ok(stored) => {
                self.metrics.count(Way::Pushgateway, &stored);
                if !stored.refused.is_empty() {
                    self.warn(&stored.refused.text());
                }
                true
            }
            Err(error) => {
                self.warn(&chain(&error));
                false
            }
        }
    }

    fn warn(&self, reason: &str) {
        if let Some(unsaid_count) = self.log.pass(self.clock.monotonic()) {
            warn!(unsaid_count, reason, "samples of pushed groups are not stored");
        }
    }

    /// Carries out a push; on a blocking thread.
    fn push(&self, bytes: &[u8], pushed: &Pushed) -> Result<(), Failure> {
        let Some(kept) = &self.kept else { return Ok(()) };
        // Before all else, since a group that is refused is remembered, with its key. Not for deletions: a group that
        // is there can go.
        let labels = pushed.key.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        check_labels(labels).map_err(|fault| Failure::bad(fault.to_string()))?;
        let bytes = unpack::content(bytes, pushed.is_gzip)?;
        let key = &pushed.key;
        let mut kept = kept.lock();
        let now = self.clock.now();
        let outcome = body::read(&bytes, &pushed.content_type, key)
            .and_then(|families| kept.groups.pushed(key, families, pushed.replace, now));
        let (group, fault) = match outcome {
            Ok(group) => (Some(group), None),
            Err(fault) => (kept.groups.failed(key, now), Some(fault)),
        };
        if let Some(group) = group {
            kept.files.put(&group).map_err(|error| match error {
                GroupFileError::TooLarge { .. } => Failure::too_large(error.to_string()),
                GroupFileError::Io { .. } => Failure {
                    code: StatusCode::SERVICE_UNAVAILABLE,
                    text: format!("the push cannot be kept now: {}", chain(&error)),
                },
            })?;
            let mut batch = batch_at(now, kept.groups.samples_of(&group));
            for (name, family) in &group.families {
                batch.descriptions.push(MetricDescription {
                    metric_name: name.clone(),
                    metadata: MetricMetadata {
                        kind: body::kind_of(&family.kind),
                        help: family.help.clone(),
                        unit: String::new(),
                    },
                });
            }
            let kept = &mut *kept;
            kept.groups.put(group).into_iter().for_each(|labels| kept.ended.add(labels));
            self.put_ends(&mut kept.ended, &batch, now);
            self.put_samples(&batch);
        }
        match fault {
            None => Ok(()),
            Some(fault @ PushFault::TooMuch(_)) => Err(Failure::too_large(fault.to_string())),
            Some(fault) => Err(Failure::bad(fault.to_string())),
        }
    }

    /// Deletes a group; on a blocking thread.
    fn delete(&self, key: &GroupKey) -> Result<(), Failure> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let mut kept = kept.lock();
        let removed = kept.files.remove(key);
        removed.map_err(|error| Failure {
            code: StatusCode::SERVICE_UNAVAILABLE,
            text: format!("the group cannot be deleted now: {}", chain(&error)),
        })?;
        let kept = &mut *kept;
        kept.groups.remove(key).into_iter().flatten().for_each(|labels| kept.ended.add(labels));
        self.put_ends(&mut kept.ended, &LabelledBatch::default(), self.clock.now());
        Ok(())
    }
}

/// A push as its request says it.
struct Pushed {
    key: GroupKey,
    replace: Replace,
    content_type: String,
    is_gzip: bool,
}

async fn change(State(state): State<Arc<PushedGroups>>, request: Request) -> Response {
    if state.kept.is_none() {
        let text = "pushes of exposition text are off: set swell.pushgateway.enabled: true";
        return plain_text(StatusCode::NOT_FOUND, text);
    }
    if request.headers().contains_key(header::ORIGIN) {
        // A page in somebody's browser, and this changes state.
        return plain_text(StatusCode::FORBIDDEN, "samples are not taken from web pages");
    }
    match changed(&state, request).await {
        Ok(code) => code.into_response(),
        Err(failure) => {
            state.metrics.fail(Way::Pushgateway, failure.code.as_u16());
            plain_text(failure.code, failure.text)
        }
    }
}

async fn changed(state: &Arc<PushedGroups>, request: Request) -> Result<StatusCode, Failure> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/metrics/").unwrap_or_default();
    let key = key::parse(path).map_err(|fault| Failure::bad(fault.to_string()))?;
    let is_deletion = parts.method == Method::DELETE;
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    let pushed = Pushed {
        key,
        replace: if parts.method == Method::PUT { Replace::Group } else { Replace::Families },
        content_type: content_type
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .unwrap_or_default(),
        is_gzip: unpack::is_gzip(&parts.headers)?,
    };
    let receiver = state.clone();
    let body = state.intake.take(body).await?;
    let outcome = state.intake.work(body, move |bytes| {
        if is_deletion { receiver.delete(&pushed.key) } else { receiver.push(bytes, &pushed) }
    });
    outcome.await??;
    Ok(if is_deletion { StatusCode::ACCEPTED } else { StatusCode::OK })
}

/// The routes of the receiver.
pub fn pushed_groups_router(receiver: Arc<PushedGroups>) -> Router {
    let change = put(change).post(change).delete(change);
    Router::new().route("/metrics/{*group}", change).with_state(receiver)
}
