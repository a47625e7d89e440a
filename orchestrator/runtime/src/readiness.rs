//! Waiting on a file descriptor of the kernel that is no socket: pidfds and inotify.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that the async runtime watches for readability.
#[derive(Debug)]
pub(crate) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Registers `fd`, which is in non-blocking mode where it is read from.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "AsyncFd takes descriptors of any kind, with a condition")]
        // SAFETY: an `OwnedFd` is an open descriptor, stays the same one and stays open until dropped,
        // and it is owned by the `AsyncFd` from here on.
        let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
        Ok(Self(registered?))
    }

    /// Waits until there is something to read.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(drop)
    }

    /// Waits until there is something to read and has it read by `read`, which gives
    /// [`io::ErrorKind::WouldBlock`] when there was nothing after all.
    pub(crate) async fn read_with<T>(
        &self,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(outcome) = ready.try_io(|fd| read(fd.as_fd())) {
                return outcome;
            }
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
