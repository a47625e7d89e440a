//! What a service's answer means.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use swell_model::{DurationMs, TimestampMs};

use crate::text::cut_bytes;

/// Of an answer's body so much is shown in messages.
const SHOWN_BYTES_MAX: usize = 300;
/// No service makes us wait longer than this; the caller's deadline is shorter as a rule.
const RETRY_AFTER_MAX: DurationMs = DurationMs::from_secs(3600);

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as far as it was read.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; one that is none may be better next time.
    pub(crate) fn json(&self) -> Result<serde_json::Value, Outcome> {
        serde_json::from_slice(&self.body).map_err(|_| Outcome::Retry {
            why: format!("the answer is no JSON{}", shown(&self.body)),
            after: None,
        })
    }
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service has it.
    Delivered,
    /// Trying again may help.
    Retry {
        /// What went wrong, without secrets.
        why: String,
        /// How long the service asked to wait.
        after: Option<DurationMs>,
    },
    /// Trying again gives the same.
    Rejected {
        /// What went wrong, without secrets.
        why: String,
    },
}

impl Outcome {
    /// The rule for all services: 2xx is delivered; 5xx, 408, 425 and 429 are tried again; all else is not.
    pub(crate) fn of(answer: &Answer, now: TimestampMs) -> Self {
        let status = answer.status;
        if status.is_success() {
            return Self::Delivered;
        }
        let why = format!("status {status}{}", shown(&answer.body));
        let again = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
            );
        if again {
            Self::Retry { why, after: retry_after(&answer.headers, now) }
        } else {
            Self::Rejected { why }
        }
    }
}

/// The body, short, as the end of a message.
pub(crate) fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!(": {}", cut_bytes(text, SHOWN_BYTES_MAX)) }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: TimestampMs) -> Option<DurationMs> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => DurationMs::from_secs(i64::from(seconds)),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text).ok()?;
            TimestampMs(date.timestamp().as_millisecond()).since(now)
        }
    };
    Some(wait.clamp(DurationMs::ZERO, RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_told_apart() {
        let check = |status: u16, retry_after: Option<&str>, expected: &str| {
            let mut headers = HeaderMap::new();
            if let Some(text) = retry_after {
                headers.insert(header::RETRY_AFTER, text.parse().expect("a header value"));
            }
            let status = StatusCode::from_u16(status).expect("a status");
            let answer = Answer { status, headers, body: Bytes::from_static(b" no \n") };
            let outcome = Outcome::of(&answer, TimestampMs(1_445_412_480_000 - 5_000));
            assert_eq!(format!("{outcome:?}"), expected);
        };
        check(204, None, "Delivered");
        check(400, None, r#"Rejected { why: "status 400 Bad Request: no" }"#);
        check(301, None, r#"Rejected { why: "status 301 Moved Permanently: no" }"#);
        check(503, None, r#"Retry { why: "status 503 Service Unavailable: no", after: None }"#);
        check(
            429,
            Some("7"),
            r#"Retry { why: "status 429 Too Many Requests: no", after: Some(DurationMs(7000)) }"#,
        );
        check(
            429,
            Some("Wed, 21 Oct 2015 07:28:00 GMT"),
            r#"Retry { why: "status 429 Too Many Requests: no", after: Some(DurationMs(5000)) }"#,
        );
        check(
            429,
            Some("soon"),
            r#"Retry { why: "status 429 Too Many Requests: no", after: None }"#,
        );
    }
}
