//! Bodies with conditions: a request body must arrive at a minimum speed, a response body keeps its
//! request counted until the last byte is out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{BODY_BYTES_PER_S_MIN, BODY_GRACE};
use crate::patience::RequestGuard;

/// The rest of a body is not waited for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LateBody {
    /// The client sends its body slower than [`BODY_BYTES_PER_S_MIN`].
    #[error("the request body arrives at less than {BODY_BYTES_PER_S_MIN} bytes a second")]
    Slow,
    /// It takes longer than a whole one may.
    #[error("the request body took longer than {0:?}, which is the time to read one")]
    Long(Duration),
}

/// A request body with a deadline that moves with each byte.
#[derive(Debug)]
pub(crate) struct SteadyBody<B> {
    body: B,
    start: Instant,
    /// Longest that all of it may take, if there is a bound.
    whole: Option<Duration>,
    received_bytes: u64,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> SteadyBody<B> {
    pub(crate) fn new(body: B, whole: Option<Duration>) -> Self {
        Self { body, start: Instant::now(), whole, received_bytes: 0, timer: None }
    }

    fn deadline(&self) -> Instant {
        let owed = Duration::from_secs(self.received_bytes / BODY_BYTES_PER_S_MIN);
        let steady = self.start + BODY_GRACE + owed;
        self.whole.map_or(steady, |whole| steady.min(self.start + whole))
    }

    /// What is said at the deadline.
    fn late(&self) -> LateBody {
        match self.whole {
            Some(whole) if self.start.elapsed() >= whole => LateBody::Long(whole),
            _ => LateBody::Slow,
        }
    }
}

impl<B> HttpBody for SteadyBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(Ok(frame)) = &frame {
                self.received_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                let deadline = self.deadline();
                if let Some(timer) = &mut self.timer {
                    timer.as_mut().reset(deadline);
                }
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let deadline = self.deadline();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        let due = timer.as_mut().poll(cx);
        due.map(|()| Some(Err(self.late().into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response body that holds its request's guard.
#[derive(Debug)]
pub(crate) struct CountedBody {
    pub(crate) body: Body,
    pub(crate) guard: Option<RequestGuard>,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.guard = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
