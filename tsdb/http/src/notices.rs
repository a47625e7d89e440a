//! What the operator should know now: `/notifications`, and the same as a stream.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use swell_model::TimestampMs;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

use crate::answer::success;
use crate::service::Api;

/// Changes a slow reader may lag behind before it misses some.
const CHANGES_KEPT: usize = 64;

/// One notice, in the words of Prometheus where it has the same.
#[derive(Clone, Debug, Serialize)]
struct Notice {
    text: String,
    date: String,
    /// False when it no longer holds.
    active: bool,
}

/// The notices that hold now. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub struct Notices(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    active: Mutex<Vec<Notice>>,
    /// `None` once the server stops, so that streams end.
    changes: Mutex<Option<broadcast::Sender<Notice>>>,
    subscribers: Arc<Semaphore>,
}

impl Default for Notices {
    fn default() -> Self {
        Self::with_streams(Self::STREAMS_MAX)
    }
}

impl Notices {
    /// Streams at once unless told, as Prometheus' `--web.max-notifications-subscribers`.
    pub const STREAMS_MAX: usize = 16;

    /// Notices with so many streams at once.
    #[must_use]
    pub fn with_streams(streams_max: usize) -> Self {
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        Self(Arc::new(Shared {
            active: Mutex::default(),
            changes: Mutex::new(Some(changes)),
            subscribers: Arc::new(Semaphore::new(streams_max.min(Semaphore::MAX_PERMITS))),
        }))
    }

    /// Says something from now on; the same text again changes nothing.
    pub fn raise(&self, text: &str, now: TimestampMs) {
        let mut active = self.0.active.lock();
        if active.iter().any(|notice| notice.text == text) {
            return;
        }
        let date = Timestamp::from_millisecond(now.0).unwrap_or_default().to_string();
        let notice = Notice { text: text.to_owned(), date, active: true };
        active.push(notice.clone());
        self.tell(notice);
    }

    /// Takes back every notice that begins so.
    pub fn settle(&self, beginning: &str) {
        let mut active = self.0.active.lock();
        for notice in active.extract_if(.., |notice| notice.text.starts_with(beginning)) {
            self.tell(Notice { active: false, ..notice });
        }
    }

    /// Ends the streams: the server stops.
    pub fn close(&self) {
        *self.0.changes.lock() = None;
    }

    fn tell(&self, notice: Notice) {
        if let Some(changes) = self.0.changes.lock().as_ref() {
            // Nobody may be listening.
            let _listeners = changes.send(notice).unwrap_or(0);
        }
    }

    fn now(&self) -> Vec<Notice> {
        self.0.active.lock().clone()
    }

    /// What holds now, and all changes from then on.
    fn subscribe(
        &self,
    ) -> Option<(Vec<Notice>, broadcast::Receiver<Notice>, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.0.subscribers).try_acquire_owned().ok()?;
        // Under the lock no change can fall between the two.
        let active = self.0.active.lock();
        let changes = self.0.changes.lock().as_ref()?.subscribe();
        Some((active.clone(), changes, place))
    }
}

/// The notices that hold now.
pub(crate) async fn list(State(api): State<Arc<Api>>) -> Response {
    success(&api.notices.now())
}

/// The notices that hold now and every change, one JSON object an event; 204 when too many listen already.
pub(crate) async fn live(State(api): State<Arc<Api>>) -> Response {
    let Some((first, changes, place)) = api.notices.subscribe() else {
        return StatusCode::NO_CONTENT.into_response();
    };
    // A reader that lagged behind goes on with what comes next.
    let changes = BroadcastStream::new(changes).filter_map(Result::ok);
    let events = tokio_stream::iter(first).chain(changes).map(move |notice| {
        let _held = &place;
        serde_json::to_string(&notice).map(|json| format!("data: {json}\n\n"))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}
