//! The changes of a collection, decoded from a stream of JSON lines.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::{Buf as _, BytesMut};
use futures::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::Deserialize;
use serde_json::Value;
use swell_api_types::Object;

use crate::error::ClientError;
use crate::transport::AnswerBody;

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent<K> {
    /// The object is new to the collection (or to the selector).
    Added(K),
    /// The object changed.
    Modified(K),
    /// The object left the collection (or the selector); its last state.
    Deleted(K),
    /// Nothing changed up to this revision.
    Bookmark {
        /// The revision, to resume from.
        resource_version: String,
    },
}

/// Changes in the order of their revisions.
pub type WatchStream<K> =
    Pin<Box<dyn Stream<Item = Result<WatchEvent<K>, ClientError>> + Send + 'static>>;

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    event: String,
    object: Value,
}

/// Cuts a body into lines and the lines into events.
pub(crate) fn open_watch<K: Object>(path: String, body: AnswerBody) -> WatchStream<K> {
    let state = Reader { path, frames: body, tail: BytesMut::new(), ready: VecDeque::new() };
    futures::stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await {
            Some(Ok(event)) => Some((Ok(event), Some(state))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .boxed()
}

struct Reader<K> {
    path: String,
    frames: AnswerBody,
    tail: BytesMut,
    ready: VecDeque<Result<WatchEvent<K>, ClientError>>,
}

impl<K: Object> Reader<K> {
    async fn next(&mut self) -> Option<Result<WatchEvent<K>, ClientError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            match self.frames.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.tail.extend_from_slice(&data);
                        self.cut_lines();
                    }
                }
                Err(source) => {
                    return Some(Err(ClientError::Transport { path: self.path.clone(), source }));
                }
            }
        }
    }

    fn cut_lines(&mut self) {
        while let Some(line_len) = self.tail.iter().position(|byte| *byte == b'\n') {
            let line = self.tail.split_to(line_len);
            self.tail.advance(1);
            if !line.is_empty() {
                self.ready.push_back(decode(&self.path, &line));
            }
        }
        if self.tail.is_empty() {
            self.tail = BytesMut::new();
        }
    }
}

fn decode<K: Object>(path: &str, line: &[u8]) -> Result<WatchEvent<K>, ClientError> {
    let fault = |source| ClientError::Decode { path: path.to_owned(), source };
    let Line { event, mut object } = serde_json::from_slice(line).map_err(fault)?;
    match event.as_str() {
        "ADDED" => Ok(WatchEvent::Added(K::from_json(&object).map_err(fault)?)),
        "MODIFIED" => Ok(WatchEvent::Modified(K::from_json(&object).map_err(fault)?)),
        "DELETED" => Ok(WatchEvent::Deleted(K::from_json(&object).map_err(fault)?)),
        "BOOKMARK" => {
            let resource_version = match object["metadata"]["resourceVersion"].take() {
                Value::String(version) => version,
                _ => String::new(),
            };
            Ok(WatchEvent::Bookmark { resource_version })
        }
        _ => {
            let status: Status = serde_json::from_value(object).map_err(fault)?;
            let code = status.code.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
            Err(ClientError::from_status(code, status))
        }
    }
}
