//! What a controller did, as core/v1 Events: repeated ones are counted instead of written again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;
use swell_api_types::Object;
use swell_env::Clock;
use swell_model::TimestampMs;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::error::ClientError;

/// Events that may wait to be sent; more are dropped and counted in the log, as no controller may wait for its diary.
const QUEUE_LEN_MAX: usize = 256;
/// Events remembered to be counted when they repeat.
const REMEMBERED_MAX: usize = 1024;
/// Dropped events are told of at most this often.
const DROPS_TOLD_EVERY: Duration = Duration::from_secs(10);
/// Longest message that the API takes.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Something that was meant to happen.
    Normal,
    /// Something that a person may have to look at.
    Warning,
}

impl EventType {
    const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Writes Events on behalf of one component. Clones share the queue.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<Occurrence>,
    /// Events that found no room and that the log does not know of yet.
    dropped: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for EventRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventRecorder").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sameness {
    namespace: String,
    kind: String,
    name: String,
    uid: Option<String>,
    event_type: EventType,
    reason: String,
    message: String,
}

#[derive(Debug)]
struct Occurrence {
    about: ObjectReference,
    same: Sameness,
    at: TimestampMs,
}

impl EventRecorder {
    /// Starts the task that writes the events of `component` (such as `deployment-controller`), on `host` if it
    /// runs on a node; must be called inside a tokio runtime.
    #[must_use]
    pub fn start(
        client: Client,
        clock: Arc<dyn Clock>,
        component: &str,
        host: Option<&str>,
        shutdown: CancellationToken,
    ) -> Self {
        let (queue, incoming) = mpsc::channel(QUEUE_LEN_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            client,
            dropped: Arc::clone(&dropped),
            told_at: None,
            source: EventSource {
                component: Some(component.to_owned()),
                host: host.map(str::to_owned),
            },
            written: HashMap::new(),
            order: VecDeque::new(),
        };
        tokio::spawn(writer.run(incoming, shutdown));
        Self { queue, dropped, clock }
    }

    /// Records that something happened to `object`.
    pub fn record<K: Object>(
        &self,
        object: &K,
        event_type: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let metadata = object.metadata();
        let about = ObjectReference {
            api_version: Some(K::API_VERSION.to_owned()),
            kind: Some(K::KIND.to_owned()),
            name: metadata.name.clone(),
            namespace: metadata.namespace.clone(),
            resource_version: metadata.resource_version.clone(),
            uid: metadata.uid.clone(),
            field_path: None,
        };
        self.record_about(about, event_type, reason, message);
    }

    /// Records that something happened to the object (or a field of it) that `about` points to.
    pub fn record_about(
        &self,
        about: ObjectReference,
        event_type: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            let mut end = MESSAGE_BYTES_MAX;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        let same = Sameness {
            namespace: about.namespace.clone().unwrap_or_else(|| "default".to_owned()),
            kind: about.kind.clone().unwrap_or_default(),
            name: about.name.clone().unwrap_or_default(),
            uid: about.uid.clone(),
            event_type,
            reason: reason.to_owned(),
            message,
        };
        let occurrence = Occurrence { about, same, at: self.clock.now() };
        if self.queue.try_send(occurrence).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Written {
    name: String,
    count: i32,
}

struct Writer {
    client: Client,
    dropped: Arc<AtomicU64>,
    told_at: Option<Instant>,
    source: EventSource,
    written: HashMap<Sameness, Written>,
    order: VecDeque<Sameness>,
}

impl Writer {
    async fn run(mut self, mut incoming: mpsc::Receiver<Occurrence>, shutdown: CancellationToken) {
        loop {
            let occurrence = tokio::select! {
                () = shutdown.cancelled() => return,
                occurrence = incoming.recv() => occurrence,
            };
            let Some(occurrence) = occurrence else { return };
            self.tell_drops();
            if let Err(error) = self.write(occurrence).await {
                tracing::warn!(
                    error = swell_telemetry::chain(&error),
                    "an event could not be written"
                );
            }
        }
    }

    fn tell_drops(&mut self) {
        if self.told_at.is_some_and(|told_at| told_at.elapsed() < DROPS_TOLD_EVERY) {
            return;
        }
        let count = self.dropped.swap(0, Ordering::Relaxed);
        if count > 0 {
            self.told_at = Some(Instant::now());
            tracing::warn!(
                component = self.source.component,
                count,
                "events were dropped: more came than the API server took"
            );
        }
    }

    async fn write(&mut self, occurrence: Occurrence) -> Result<(), ClientError> {
        if let Some(written) = self.written.get_mut(&occurrence.same) {
            let count = written.count.saturating_add(1);
            let patch = json!({"count": count, "lastTimestamp": time(occurrence.at)});
            let namespace = Some(occurrence.same.namespace.as_str());
            match self.client.patch_merge::<Event>(namespace, &written.name, None, &patch).await {
                Ok(_) => {
                    written.count = count;
                    return Ok(());
                }
                Err(ClientError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let event = self.event(&occurrence);
        let created = self.client.create(&event).await?;
        let name = created.metadata.name.unwrap_or_default();
        if self.written.insert(occurrence.same.clone(), Written { name, count: 1 }).is_none() {
            self.order.push_back(occurrence.same);
            if self.order.len() > REMEMBERED_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.written.remove(&oldest);
            }
        }
        Ok(())
    }

    fn event(&self, occurrence: &Occurrence) -> Event {
        let same = &occurrence.same;
        Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.", same.name)),
                namespace: Some(same.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: occurrence.about.clone(),
            type_: Some(same.event_type.name().to_owned()),
            reason: Some(same.reason.clone()),
            message: Some(same.message.clone()),
            source: Some(self.source.clone()),
            reporting_component: self.source.component.clone(),
            reporting_instance: self.source.host.clone(),
            first_timestamp: Some(time(occurrence.at)),
            last_timestamp: Some(time(occurrence.at)),
            count: Some(1),
            ..Event::default()
        }
    }
}

/// Whole seconds, as Kubernetes writes its times.
fn time(at: TimestampMs) -> Time {
    let seconds = at.0.div_euclid(1000);
    Time(k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap_or_default())
}
