//! Reading a container's log back: the parts in order, the last lines, and what is still to come.

mod files;
mod lines;

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use rustix::fs::inotify;
use swell_model::TimestampMs;

use self::files::LogFiles;
pub(crate) use self::files::rotated;
use self::lines::Lines;
use crate::readiness::Watched;

/// What of a log is wanted, and how; the names are those of Kubernetes' `PodLogOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what is written later.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines from then on.
    pub since: Option<TimestampMs>,
    /// Each line with its time in front.
    pub timestamps: bool,
    /// End after so many bytes.
    pub limit_bytes: Option<u64>,
}

/// The text of a log, in pieces.
pub type LogStream = BoxStream<'static, io::Result<Vec<u8>>>;

/// Reads the log at `path` (as in [`ContainerStatus::log_path`](crate::ContainerStatus)). When following, the
/// stream ends once `ended` is ready and all is read; without, `ended` is not looked at.
///
/// # Errors
/// When the log cannot be read; an absent one is empty.
pub async fn read_log(
    path: PathBuf,
    options: LogOptions,
    ended: impl Future<Output = ()> + Send + 'static,
) -> io::Result<LogStream> {
    // The watch first: what is written after the first read wakes us.
    let changes = if options.follow { Some(Changes::of(&path)?) } else { None };
    let tail_lines = options.tail_lines;
    let files = blocking(move || LogFiles::open(&path, tail_lines)).await?;
    let reading = Reading {
        files: Some(files),
        lines: Lines::new(&options),
        changes,
        ended: Box::pin(ended),
        has_ended: false,
    };
    Ok(futures::stream::try_unfold(reading, Reading::next).boxed())
}

struct Reading {
    /// Absent only while a blocking read has it.
    files: Option<LogFiles>,
    lines: Lines,
    changes: Option<Changes>,
    ended: BoxFuture<'static, ()>,
    has_ended: bool,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(Vec<u8>, Self)>> {
        loop {
            if self.lines.is_full() {
                return Ok(None);
            }
            let Some(mut files) = self.files.take() else { return Ok(None) };
            let (files, chunk) = blocking(move || files.read().map(|chunk| (files, chunk))).await?;
            self.files = Some(files);
            if let Some(chunk) = chunk {
                let text = self.lines.feed(&chunk);
                if !text.is_empty() {
                    return Ok(Some((text, self)));
                }
                continue;
            }
            let Some(changes) = self.changes.as_mut().filter(|_| !self.has_ended) else {
                return Ok(None);
            };
            tokio::select! {
                changed = changes.next() => changed?,
                // One more look: the last lines were written before the end.
                () = &mut self.ended => self.has_ended = true,
            }
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Wakes when a file in the log's directory changes.
struct Changes(Watched);

impl Changes {
    fn of(path: &Path) -> io::Result<Self> {
        let dir = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(dir)?;
        let handle = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let wanted = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO;
        inotify::add_watch(&handle, dir, wanted)?;
        Ok(Self(Watched::new(handle)?))
    }

    async fn next(&mut self) -> io::Result<()> {
        self.0
            .read_with(|fd| {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut events = inotify::Reader::new(fd, &mut buffer);
                events.next()?;
                Ok(())
            })
            .await
    }
}
