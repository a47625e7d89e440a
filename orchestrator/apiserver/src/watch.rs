//! Watches: the changes of a collection as a stream of JSON lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http::header;
use serde_json::{Value, json};
use swell_store::{Change, ListOptions, Revision, StoreError, WatchBatch, WatchStream};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::negotiate::View;
use crate::object::{decode, decode_bytes, derive, is_derived, prefix, to_version};
use crate::query::{Query, Selection};
use crate::read::metadata_only;
use crate::route::Target;
use crate::shared::Shared;
use crate::table::{self, IncludeObject};

/// A watch that names no timeout ends after this long, as in Kubernetes, so that clients spread again.
const TIMEOUT: Duration = Duration::from_secs(1800);
/// No watch lasts longer, whatever it asks for.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Time between bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Marks the bookmark that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Answers a watch.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    target: Target,
    view: View,
    query: &Query,
) -> Result<Response, Failure> {
    let selection = query.selection(target.resource)?;
    let bookmarks = query.flag("allowWatchBookmarks")?;
    let initial_wanted = query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents"));
    let initial_wanted = initial_wanted.transpose()?;
    if initial_wanted == Some(true) && !bookmarks {
        return Err(Failure::bad_request(
            "sendInitialEvents: Forbidden: sendInitialEvents requires setting allowWatchBookmarks to true",
        ));
    }
    let asked = query.revision()?;
    let seconds = query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let timeout = seconds.map_or(TIMEOUT, Duration::from_secs).min(TIMEOUT_MAX);
    let key_prefix = prefix(target.resource, target.namespace.as_deref());
    let send_initial = initial_wanted.unwrap_or(asked.is_none());
    let mut lines = VecDeque::new();
    let shape = Shape { view, include: IncludeObject::parse(query.get("includeObject")) };
    let from = match (send_initial, asked) {
        (false, Some(asked)) => asked,
        (false, None) => shared.store.revision(),
        (true, _) => {
            let page = shared.store.list(&key_prefix, ListOptions::default()).await?;
            for entry in &page.entries {
                for object in derive(target.resource, decode(entry)?) {
                    if selection.matches(&object) {
                        lines.push_back(shape.event(&shared, &target, "ADDED", object));
                    }
                }
            }
            if initial_wanted == Some(true) {
                lines.push_back(shape.bookmark(&target, page.revision, true));
            }
            page.revision
        }
    };
    let changes = match shared.store.watch(&key_prefix, from) {
        Ok(changes) => changes,
        // A revision that has not happened is of a store that is gone: the client has to list again too.
        Err(
            StoreError::Compacted { asked, oldest: known }
            | StoreError::Future { asked, latest: known },
        ) => {
            lines.push_back(error_line(&Failure::expired(asked, known)));
            futures::stream::empty().boxed()
        }
        Err(error) => return Err(error.into()),
    };
    shared.metrics.watches.inc();
    let now = Instant::now();
    let watcher = Watcher {
        shared,
        target,
        selection,
        shape,
        changes,
        lines,
        reached: from,
        bookmarked: from,
        next_bookmark: bookmarks.then(|| now + BOOKMARK_INTERVAL),
        end: now + timeout,
    };
    let body = Body::from_stream(futures::stream::unfold(watcher, |mut watcher| async move {
        watcher.next().await.map(|line| (Ok::<_, std::convert::Infallible>(line), watcher))
    }));
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache, private")];
    Ok((headers, body).into_response())
}

/// The form of events.
struct Shape {
    view: View,
    include: IncludeObject,
}

impl Shape {
    fn event(&self, shared: &Shared, target: &Target, event: &str, object: Value) -> Bytes {
        let resource = target.resource;
        shared.metrics.watch_events.with_label_values(&[resource.plural]).inc();
        let shown = match &self.view {
            View::Json => to_version(resource, object),
            View::Metadata(version) => metadata_only(&object, version),
            View::Table(version) => {
                let revision = object["metadata"]["resourceVersion"].clone();
                let objects = [object];
                let now = shared.clock.now();
                let mut table = table::render(resource, &objects, version, self.include, now);
                table["metadata"] = json!({"resourceVersion": revision});
                table
            }
        };
        line(&json!({"type": event, "object": shown}))
    }

    fn bookmark(&self, target: &Target, revision: Revision, ends_initial: bool) -> Bytes {
        let mut metadata =
            json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if ends_initial {
            metadata["annotations"] = json!({INITIAL_EVENTS_END: "true"});
        }
        let object = match &self.view {
            View::Json => json!({
                "kind": target.resource.kind, "apiVersion": target.resource.api_version(),
                "metadata": metadata,
            }),
            View::Metadata(version) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": metadata,
            }),
            View::Table(version) => json!({
                "kind": "Table", "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": {"resourceVersion": revision.to_string()}, "columnDefinitions": [],
                "rows": [{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
                    "metadata": metadata,
                }}],
            }),
        };
        line(&json!({"type": "BOOKMARK", "object": object}))
    }
}

fn line(value: &Value) -> Bytes {
    let mut text = value.to_string();
    text.push('\n');
    Bytes::from(text)
}

fn error_line(failure: &Failure) -> Bytes {
    line(&json!({"type": "ERROR", "object": failure.status()}))
}

struct Watcher {
    shared: Arc<Shared>,
    target: Target,
    selection: Selection,
    shape: Shape,
    changes: WatchStream,
    /// Lines ready to be sent.
    lines: VecDeque<Bytes>,
    reached: Revision,
    bookmarked: Revision,
    next_bookmark: Option<Instant>,
    end: Instant,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.metrics.watches.dec();
    }
}

enum Wake {
    Changes(Option<Result<WatchBatch, StoreError>>),
    Bookmark,
    End,
}

impl Watcher {
    /// The next line; none at the end of the watch.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(line);
            }
            match self.wake().await {
                Wake::End | Wake::Changes(None) => return None,
                Wake::Changes(Some(Ok(batch))) => {
                    self.reached = batch.reached;
                    for change in &batch.changes {
                        match self.events(change) {
                            Ok(lines) => self.lines.extend(lines),
                            Err(failure) => {
                                self.lines.push_back(error_line(&failure));
                                self.end = Instant::now();
                                break;
                            }
                        }
                    }
                }
                Wake::Changes(Some(Err(error))) => {
                    self.lines.push_back(error_line(&Failure::from(error)));
                    self.end = Instant::now();
                }
                Wake::Bookmark => {
                    self.next_bookmark = Some(Instant::now() + BOOKMARK_INTERVAL);
                    if self.reached > self.bookmarked {
                        self.bookmarked = self.reached;
                        self.lines.push_back(self.shape.bookmark(
                            &self.target,
                            self.reached,
                            false,
                        ));
                    }
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let shutdown = self.shared.shutdown.clone();
        let bookmark_at = self.next_bookmark.unwrap_or(self.end);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::End,
            () = tokio::time::sleep_until(self.end) => Wake::End,
            changes = self.changes.next() => Wake::Changes(changes),
            () = tokio::time::sleep_until(bookmark_at), if self.next_bookmark.is_some() => Wake::Bookmark,
        }
    }

    /// The events of a change, as the selection sees them: an object that begins to match is added, one that
    /// no longer does is deleted.
    fn events(&self, change: &Change) -> Result<Vec<Bytes>, Failure> {
        let resource = self.target.resource;
        let read = |value: &Option<Bytes>| {
            let decoded =
                value.as_ref().map(|value| decode_bytes(&change.key, value, change.revision));
            let decoded = decoded.transpose()?;
            Ok::<_, Failure>(decoded.map(|object| derive(resource, object)).unwrap_or_default())
        };
        let now = read(&change.value)?;
        if self.selection.selects_all() && !is_derived(resource) && !now.is_empty() {
            let event = if change.before.is_some() { "MODIFIED" } else { "ADDED" };
            return Ok(now.into_iter().map(|object| self.event(event, object)).collect());
        }
        let mut before = read(&change.before)?;
        before.retain(|object| self.selection.matches(object));
        let mut lines = Vec::new();
        for object in now {
            let matched = before.iter().position(|known| name_of(known) == name_of(&object));
            if let Some(at) = matched {
                before.swap_remove(at);
            }
            let event = match (matched.is_some(), self.selection.matches(&object)) {
                (false, true) => "ADDED",
                (true, true) => "MODIFIED",
                (true, false) => "DELETED",
                (false, false) => continue,
            };
            lines.push(self.event(event, object));
        }
        lines.extend(before.into_iter().map(|object| self.event("DELETED", object)));
        Ok(lines)
    }

    fn event(&self, event: &str, object: Value) -> Bytes {
        self.shape.event(&self.shared, &self.target, event, object)
    }
}

fn name_of(object: &Value) -> &Value {
    &object["metadata"]["name"]
}
