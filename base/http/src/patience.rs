//! The patience of a connection: a reader that ends it when the client is slow with a request's head,
//! stands idle too long, or does not take what is sent to it. Bodies have their own rule (`body.rs`), and what
//! is escaped on the way stands in `head.rs`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::head::{Heads, Left};
use crate::limits::{Patience, WRITE_STALL_TIMEOUT};

/// First bytes of an HTTP/2 connection.
const H2_PREFACE_START: &[u8] = b"PRI ";

/// Requests of a connection that are not answered to their last byte.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// Requests under way.
    open: AtomicUsize,
    /// Requests so far.
    begun: AtomicUsize,
    /// One of them had more than a head, or wanted another protocol.
    had_more: AtomicBool,
    /// The connection's task, which sets a new deadline when the last answer is out.
    reader: AtomicWaker,
}

/// One request under way; dropping it ends it.
#[derive(Debug)]
pub(crate) struct RequestGuard(Arc<Counts>);

impl InFlight {
    pub(crate) fn begin(&self) -> RequestGuard {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        RequestGuard(Arc::clone(&self.0))
    }

    /// A request has more than a head, or wants another protocol.
    pub(crate) fn has_more(&self) {
        self.0.had_more.store(true, Ordering::Release);
    }

    /// Whether so many requests, of heads alone, are answered: then the next byte begins another one.
    fn are_all_answered(&self, head_count: usize) -> bool {
        self.0.open.load(Ordering::Acquire) == 0
            && self.0.begun.load(Ordering::Acquire) == head_count
            && !self.0.had_more.load(Ordering::Acquire)
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.reader.wake();
        }
    }
}

/// What the connection waits for on its reading side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// Rest of a head that began.
    Head,
    /// The next request.
    Idle,
    /// Nothing: a request is under way.
    Answer,
}

/// A stream with deadlines.
#[derive(Debug)]
pub(crate) struct PatientStream<S> {
    stream: S,
    in_flight: InFlight,
    patience: Patience,
    waiting: Waiting,
    begun_seen: usize,
    is_h2: Option<bool>,
    heads: Heads,
    left: Left,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> PatientStream<S> {
    /// The first head is due within its time from now.
    pub(crate) fn new(stream: S, in_flight: InFlight, patience: Patience) -> Self {
        let read_timer = Box::pin(sleep_until(Instant::now() + patience.head));
        Self {
            stream,
            in_flight,
            patience,
            waiting: Waiting::Head,
            begun_seen: 0,
            is_h2: None,
            heads: Heads::new(),
            left: Left::default(),
            read_timer,
            write_timer: None,
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let is_h2 = *self.is_h2.get_or_insert_with(|| bytes.starts_with(H2_PREFACE_START));
        match self.waiting {
            // Once: answers to our pings are no requests, and keep no connection that has none.
            Waiting::Head if is_h2 => self.wait_for(Waiting::Idle),
            Waiting::Idle if !is_h2 => self.wait_for(Waiting::Head),
            Waiting::Head | Waiting::Idle | Waiting::Answer => {}
        }
    }

    fn wait_for(&mut self, what: Waiting) {
        self.waiting = what;
        let patience = match what {
            Waiting::Head => self.patience.head,
            Waiting::Idle => self.patience.idle,
            Waiting::Answer => return,
        };
        self.read_timer.as_mut().reset(Instant::now() + patience);
    }

    fn poll_read_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_flight.0.reader.register(cx.waker());
        if self.in_flight.0.open.load(Ordering::Acquire) > 0 {
            self.waiting = Waiting::Answer;
            return Poll::Pending;
        }
        let begun = self.in_flight.0.begun.load(Ordering::Acquire);
        if begun != self.begun_seen || self.waiting == Waiting::Answer {
            self.begun_seen = begun;
            self.wait_for(Waiting::Idle);
        }
        match self.read_timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn write_outcome<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_timer = None;
            return outcome;
        }
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_STALL_TIMEOUT)));
        match timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PatientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.left.is_empty() {
            self.left.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                self.received(&buffer.filled()[before..]);
                if self.in_flight.are_all_answered(self.heads.count()) {
                    self.heads.next();
                }
                if let Some(escaped) = self.heads.escaped(&buffer.filled()[before..]) {
                    buffer.set_filled(before);
                    self.left.put(escaped, buffer);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => self.poll_read_deadline(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PatientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.write_outcome(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.write_outcome(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.write_outcome(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.write_outcome(cx, outcome)
    }
}
