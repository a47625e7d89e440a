//! Bodies with samples on their way in: bounded together by their bytes, and worked on a few at a time.
//!
//! A body holds a share of the budget for as much of it as has arrived, until its work is done. Where the budget is used
//! up a sender is told to come again, instead of being read into memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt as _;
use swell_telemetry::chain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;

/// Unit of the budget.
const BUDGET_UNIT_BYTES: usize = 64 << 10;
/// Room that is taken at once for a body that says how long it is.
const RESERVED_BYTES_MAX: usize = 4 << 20;
/// A body waits so long for its turn.
const TURN_DEADLINE: Duration = Duration::from_secs(30);
/// When a sender that was turned away shall come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Limits of an intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntakeConfig {
    /// Largest body, as sent.
    pub body_bytes_max: usize,
    /// Bytes of all bodies that wait or are worked on.
    pub in_flight_bytes_max: usize,
    /// Bodies that are worked on at once.
    pub slots: usize,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Intake {
    body_bytes_max: usize,
    budget: Arc<Semaphore>,
    slots: Arc<Semaphore>,
}

/// A body with its share of the budget.
#[derive(Debug)]
pub struct TakenBody {
    bytes: Bytes,
    _held: Option<OwnedSemaphorePermit>,
}

impl TakenBody {
    /// The body's bytes; its share of the budget ends with `self`.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }
}

/// Why a body was not worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// Longer than is read.
    #[error("the body is larger than the {0} bytes that are read: send smaller requests")]
    TooLarge(usize),
    /// The connection broke, or the sender was too slow.
    #[error("the body did not arrive whole: {0}")]
    Broken(String),
    /// The budget is used up, or no turn came.
    #[error("too many bytes wait to be stored: send less, or again later")]
    Busy,
    /// The work panicked.
    #[error("the request ran into a fault of the server; its log has the details")]
    Fault,
}

impl IntakeError {
    /// The status code of the answer.
    #[must_use]
    pub const fn code(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fault => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Intake {
    /// An intake with nothing in it.
    #[must_use]
    pub fn new(config: IntakeConfig) -> Self {
        Self {
            body_bytes_max: config.body_bytes_max,
            budget: Arc::new(Semaphore::new(config.in_flight_bytes_max / BUDGET_UNIT_BYTES)),
            slots: Arc::new(Semaphore::new(config.slots)),
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`IntakeError`] when it is too long, breaks off, or there is no room for it.
    pub async fn take(&self, mut body: Body) -> Result<TakenBody, IntakeError> {
        let mut packed = Vec::new();
        let mut held: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                if is_length_limit(&error) {
                    IntakeError::TooLarge(self.body_bytes_max)
                } else {
                    IntakeError::Broken(chain(&error))
                }
            })?;
            let Ok(data) = frame.into_data() else { continue };
            let len = packed.len() + data.len();
            if len > self.body_bytes_max {
                return Err(IntakeError::TooLarge(self.body_bytes_max));
            }
            self.hold(len, &mut held)?;
            if packed.is_empty() && http_body::Body::is_end_stream(&body) {
                return Ok(TakenBody { bytes: data, _held: held });
            }
            if packed.is_empty() {
                let rest = usize::try_from(http_body::Body::size_hint(&body).lower()).unwrap_or(0);
                packed.reserve(len + rest.min(RESERVED_BYTES_MAX));
            }
            packed.extend_from_slice(&data);
        }
        Ok(TakenBody { bytes: packed.into(), _held: held })
    }

    /// Bytes that are there already, with their share of the budget.
    ///
    /// # Errors
    /// [`IntakeError`] when they are too many, or there is no room for them.
    pub fn take_bytes(&self, bytes: Bytes) -> Result<TakenBody, IntakeError> {
        if bytes.len() > self.body_bytes_max {
            return Err(IntakeError::TooLarge(self.body_bytes_max));
        }
        let mut held = None;
        self.hold(bytes.len(), &mut held)?;
        Ok(TakenBody { bytes, _held: held })
    }

    fn hold(&self, len: usize, held: &mut Option<OwnedSemaphorePermit>) -> Result<(), IntakeError> {
        let has = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = len.div_ceil(BUDGET_UNIT_BYTES).saturating_sub(has);
        if wanted == 0 {
            return Ok(());
        }
        let wanted = u32::try_from(wanted).expect("a body is bounded");
        let more = self.budget.clone().try_acquire_many_owned(wanted);
        let more = more.map_err(|_| IntakeError::Busy)?;
        match held {
            Some(held) => held.merge(more),
            None => *held = Some(more),
        }
        Ok(())
    }

    /// Works on a body, on a thread that may block, once there is a slot. The work goes on when nobody waits for it any
    /// more.
    ///
    /// # Errors
    /// [`IntakeError::Busy`] when no turn came in time, [`IntakeError::Fault`] when the work panicked.
    pub async fn work<T: Send + 'static>(
        &self,
        body: TakenBody,
        work: impl FnOnce(&[u8]) -> T + Send + 'static,
    ) -> Result<T, IntakeError> {
        let turn = tokio::time::timeout(TURN_DEADLINE, self.slots.clone().acquire_owned()).await;
        let Ok(Ok(slot)) = turn else { return Err(IntakeError::Busy) };
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&body.bytes);
            drop((body, slot));
            outcome
        });
        done.await.map_err(|failure| {
            error!(%failure, "storing what was sent failed inside");
            IntakeError::Fault
        })
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A line of plain text with a status code; one that a sender shall try again says when.
#[must_use]
pub fn plain_text(code: StatusCode, text: impl Into<String>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let mut text = text.into();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let mut response = (code, headers, text).into_response();
    if matches!(code, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: IntakeConfig = IntakeConfig {
        body_bytes_max: 2 * BUDGET_UNIT_BYTES,
        in_flight_bytes_max: 3 * BUDGET_UNIT_BYTES,
        slots: 1,
    };

    fn body(len: usize) -> Body {
        Body::from(vec![7; len])
    }

    #[tokio::test]
    async fn bodies_are_bounded_one_by_one_and_together() {
        let intake = Intake::new(SMALL);
        let largest = intake.take(body(SMALL.body_bytes_max)).await.expect("there is room");
        let error = intake.take(body(SMALL.body_bytes_max + 1)).await.expect_err("too large");
        assert_eq!(error.code(), StatusCode::PAYLOAD_TOO_LARGE);
        let other = intake.take(body(BUDGET_UNIT_BYTES)).await.expect("there is room");
        let error = intake.take(body(1)).await.expect_err("used up");
        assert_eq!((error.code(), error), (StatusCode::SERVICE_UNAVAILABLE, IntakeError::Busy));
        drop(largest);
        intake.take(body(1)).await.expect("there is room again");
        assert_eq!(intake.work(other, <[u8]>::len).await, Ok(BUDGET_UNIT_BYTES));
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_and_gives_its_slot_back() {
        let intake = Intake::new(SMALL);
        let taken = intake.take(body(1)).await.expect("there is room");
        let outcome = intake.work(taken, |_| panic!("for this test")).await;
        assert_eq!(outcome, Err::<(), _>(IntakeError::Fault));
        let taken = intake.take(body(3)).await.expect("there is room");
        assert_eq!(intake.work(taken, <[u8]>::len).await, Ok(3));
    }
}
