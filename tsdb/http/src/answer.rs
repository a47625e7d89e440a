//! The envelope of good answers.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::ApiError;

/// Remarks of one class shown at most; the rest is counted.
const REMARKS_MAX: usize = 10;

/// The beginning of a good answer's text; `data` is written behind it, and [`closed`] ends it. A long text is made where
/// the data was found, off the threads that serve connections, and in one piece.
pub(crate) fn opened() -> String {
    r#"{"status":"success","data":"#.to_owned()
}

/// The text of a good answer, given what it has up to the end of `data`.
pub(crate) fn closed(mut body: String, warnings: &[String], infos: &[String]) -> String {
    for (name, remarks) in [("warnings", warnings), ("infos", infos)] {
        if !remarks.is_empty() {
            let shown = shortened(remarks);
            let list = serde_json::to_string(&shown).expect("a list of strings is JSON");
            body.push_str(&format!(r#","{name}":{list}"#));
        }
    }
    body.push('}');
    body
}

/// A text of [`closed`] as an answer.
pub(crate) fn response(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A good answer whose `data` is JSON text already.
pub(crate) fn success_raw(data: &str, warnings: &[String], infos: &[String]) -> Response {
    response(closed(opened() + data, warnings, infos))
}

/// A good answer with a serialisable `data`.
pub(crate) fn success(data: &impl Serialize) -> Response {
    match serde_json::to_string(data) {
        Ok(data) => success_raw(&data, &[], &[]),
        Err(error) => ApiError::internal(format!("encode the answer: {error}")).into_response(),
    }
}

fn shortened(remarks: &[String]) -> Vec<String> {
    let mut shown: Vec<String> = remarks.iter().take(REMARKS_MAX).cloned().collect();
    if remarks.len() > REMARKS_MAX {
        shown.push(format!("{} more not shown", remarks.len() - REMARKS_MAX));
    }
    shown
}
