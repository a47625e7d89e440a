//! Who may stand at the agents' port: so many at once, and each has to show the token soon. A client that only
//! connects, or stops in the middle of a handshake, gives its place back by itself.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use prometheus::IntCounter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Connected;
use tracing::warn;

/// Connections at once: the 5,000 nodes that we promise, with room for those that come back before they are missed.
const CONNECTIONS_MAX: usize = 8192;
/// From connecting to an accepted call; an honest agent takes milliseconds.
const CALL_DEADLINE: Duration = Duration::from_secs(10);
/// Pause after `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Connections that were let in; those beyond the limit are closed and counted.
pub(crate) fn admit(
    listener: TcpListener,
    refused: IntCounter,
) -> impl Stream<Item = io::Result<Guest>> {
    admit_up_to(listener, CONNECTIONS_MAX, CALL_DEADLINE, refused)
}

fn admit_up_to(
    listener: TcpListener,
    count_max: usize,
    deadline: Duration,
    refused: IntCounter,
) -> impl Stream<Item = io::Result<Guest>> {
    let places = Arc::new(Semaphore::new(count_max));
    TcpListenerStream::new(listener).filter_map(move |accepted| {
        let (places, refused) = (Arc::clone(&places), refused.clone());
        async move {
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    warn!(%error, "cannot accept an agent's connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    return None;
                }
            };
            let Ok(place) = places.try_acquire_owned() else {
                refused.inc();
                return None;
            };
            let visit = Visit { peer: stream.peer_addr().ok(), welcome: Arc::default() };
            let deadline = Box::pin(tokio::time::sleep(deadline));
            Some(Ok(Guest { stream, visit, deadline, _place: place }))
        }
    })
}

/// One connection, as requests on it know it.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) peer: Option<SocketAddr>,
    welcome: Arc<AtomicBool>,
}

impl Visit {
    /// The token was right: the connection may last.
    pub(crate) fn welcome(&self) {
        self.welcome.store(true, Ordering::Release);
    }

    fn is_welcome(&self) -> bool {
        self.welcome.load(Ordering::Acquire)
    }
}

/// A connection with its place. Until it is welcome, reading from it fails at the deadline.
#[derive(Debug)]
pub(crate) struct Guest {
    stream: TcpStream,
    visit: Visit,
    deadline: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connected for Guest {
    type ConnectInfo = Visit;

    fn connect_info(&self) -> Visit {
        self.visit.clone()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.visit.is_welcome() && self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    fn counter() -> IntCounter {
        IntCounter::new("refused", "Refused.").expect("a name")
    }

    #[tokio::test]
    async fn beyond_the_limit_connections_are_closed_until_a_place_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let refused = counter();
        let guests = admit_up_to(listener, 1, CALL_DEADLINE, refused.clone());
        let mut guests = std::pin::pin!(guests);
        let _first = TcpStream::connect(address).await.expect("it listens");
        let guest = guests.next().await.expect("open").expect("accepted");
        let mut second = TcpStream::connect(address).await.expect("it listens");
        let closed = async { second.read(&mut [0]).await.is_ok_and(|count| count == 0) };
        tokio::select! {
            _ = guests.next() => panic!("there is one place"),
            closed = closed => assert!(closed),
        }
        assert_eq!(refused.get(), 1);
        drop(guest);
        let _third = TcpStream::connect(address).await.expect("it listens");
        guests.next().await.expect("open").expect("the place is free again");
    }

    #[tokio::test]
    async fn who_does_not_show_the_token_in_time_is_sent_away() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let guests = admit_up_to(listener, 2, SOON, counter());
        let mut guests = std::pin::pin!(guests);
        let mut client = TcpStream::connect(address).await.expect("it listens");
        let mut guest = guests.next().await.expect("open").expect("accepted");
        let error = guest.read(&mut [0]).await.expect_err("nothing came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        client.write_all(b"x").await.expect("sent");
        assert!(guest.read(&mut [0]).await.is_err(), "too late");

        let mut client = TcpStream::connect(address).await.expect("it listens");
        let mut guest = guests.next().await.expect("open").expect("accepted");
        guest.connect_info().welcome();
        guest.deadline.as_mut().await;
        client.write_all(b"x").await.expect("sent");
        assert_eq!(guest.read(&mut [0]).await.expect("it may stay"), 1);
    }
}
