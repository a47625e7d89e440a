//! The envelope of good answers.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::error::ApiError;

/// Remarks of one class shown at most; the rest is counted.
const REMARKS_MAX: usize = 10;

/// A good answer whose `data` is JSON text already.
pub(crate) fn success_raw(data: &str, warnings: &[String], infos: &[String]) -> Response {
    let mut body = String::with_capacity(data.len() + 64);
    body.push_str(r#"{"status":"success","data":"#);
    body.push_str(data);
    for (name, remarks) in [("warnings", warnings), ("infos", infos)] {
        if !remarks.is_empty() {
            let shown = shortened(remarks);
            let list = serde_json::to_string(&shown).expect("a list of strings is JSON");
            body.push_str(&format!(r#","{name}":{list}"#));
        }
    }
    body.push('}');
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A good answer with a serialisable `data`.
pub(crate) fn success(data: &impl Serialize) -> Response {
    success_with(data, &[])
}

/// A good answer with warnings.
pub(crate) fn success_with(data: &impl Serialize, warnings: &[String]) -> Response {
    match serde_json::to_string(data) {
        Ok(data) => success_raw(&data, warnings, &[]),
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
