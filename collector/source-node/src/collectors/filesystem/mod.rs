//! Size and free space of mounted file systems, asked for in a thread of their own.
//!
//! `statfs` on a mount whose server is gone never returns, so a pass never calls it: it hands paths to a
//! [`watch::Watch`] and records the answers it has.

mod mounts;
mod watch;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use swell_model::{DurationMs, PassSeries, TimestampMs};
use swell_source::{JobLabels, KernelFile};

use crate::collector::{CollectError, Collector, Tick};
use crate::config::Config;
use mounts::Mount;
use watch::{Answer, Watch};

/// Size of one file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesystemStat {
    /// All of it, in bytes.
    pub size_bytes: u64,
    /// Free, in bytes.
    pub free_bytes: u64,
    /// Free for ordinary users, in bytes.
    pub avail_bytes: u64,
    /// Inodes.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
}

/// Asks for the size of the file system at a path; may block for ever.
pub type Statfs = Arc<dyn Fn(&Path) -> io::Result<FilesystemStat> + Send + Sync>;

/// The system call.
#[must_use]
pub fn statfs() -> Statfs {
    Arc::new(|path| {
        let stat = rustix::fs::statvfs(path)?;
        Ok(FilesystemStat {
            size_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bfree.saturating_mul(stat.f_frsize),
            avail_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            files: stat.f_files,
            files_free: stat.f_ffree,
        })
    })
}

pub(crate) struct Filesystems {
    /// Of process 1, else of this one: the fallback where the user may not look at the former.
    mount_files: [KernelFile; 2],
    rootfs: PathBuf,
    interval: DurationMs,
    watch: Watch,
    asked_at: Option<TimestampMs>,
    shown: BTreeMap<Mount, Shown>,
}

/// The series of one mount; which, depends on whether it answered.
struct Shown {
    answer: Option<Answer>,
    series: Vec<(PassSeries, f64)>,
}

impl Filesystems {
    pub(crate) fn new(config: &Config, statfs: Statfs) -> Self {
        let procfs = &config.roots.procfs;
        Self {
            mount_files: [procfs.join("1/mountinfo"), procfs.join("self/mountinfo")]
                .map(KernelFile::new),
            rootfs: config.roots.rootfs.clone(),
            interval: config.filesystem_interval,
            watch: Watch::new(statfs, config.statfs_deadline),
            asked_at: None,
            shown: BTreeMap::new(),
        }
    }

    fn read_mounts(&mut self, tick: &mut Tick<'_>) -> Result<Vec<Mount>, CollectError> {
        let [first, fallback] = &mut self.mount_files;
        let file = if first.read(tick.scratch).is_ok() { first } else { fallback };
        let text = String::from_utf8_lossy(file.read(tick.scratch)?);
        let mounts = mounts::parse(&text, &self.rootfs);
        mounts.ok_or_else(|| CollectError::malformed(file.path(), "a line is not as in proc(5)"))
    }
}

impl Collector for Filesystems {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn collect(&mut self, tick: &mut Tick<'_>) -> Result<(), CollectError> {
        let is_due = |at: TimestampMs| tick.now.since(at) >= self.interval || tick.now < at;
        if self.asked_at.is_none_or(is_due) {
            let mounts = self.read_mounts(tick)?;
            self.shown.retain(|mount, _| mounts.contains(mount));
            let paths = mounts.iter().map(|mount| mount.path.clone()).collect();
            self.watch.ask(paths, tick.now);
            for mount in mounts {
                self.shown.entry(mount).or_insert(Shown { answer: None, series: Vec::new() });
            }
            self.asked_at = Some(tick.now);
        }
        self.watch.advance(tick.now);
        for (mount, shown) in &mut self.shown {
            let answer = self.watch.answer(&mount.path);
            if shown.answer != answer {
                shown.series = answer
                    .as_ref()
                    .map_or_else(Vec::new, |answer| series_of(mount, answer, tick.labels));
                shown.answer = answer;
            }
            for (series, value) in &mut shown.series {
                series.record(tick.pass, *value);
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are floats in the model")]
fn series_of(mount: &Mount, answer: &Answer, labels: &JobLabels) -> Vec<(PassSeries, f64)> {
    let error = match answer {
        Answer::Size(_) => "",
        Answer::Failed(errno) => errno,
        Answer::TimedOut => "mountpoint timeout",
    };
    let place = [
        ("device", mount.device.as_str()),
        ("mountpoint", mount.mountpoint.as_str()),
        ("fstype", mount.fstype.as_str()),
        ("device_error", error),
    ];
    let series = |metric| labels.series(metric, place);
    let is_readonly = if mount.is_readonly { 1.0 } else { 0.0 };
    let Answer::Size(stat) = answer else {
        return vec![
            (series("node_filesystem_device_error"), 1.0),
            (series("node_filesystem_readonly"), is_readonly),
        ];
    };
    vec![
        (series("node_filesystem_size_bytes"), stat.size_bytes as f64),
        (series("node_filesystem_free_bytes"), stat.free_bytes as f64),
        (series("node_filesystem_avail_bytes"), stat.avail_bytes as f64),
        (series("node_filesystem_files"), stat.files as f64),
        (series("node_filesystem_files_free"), stat.files_free as f64),
        (series("node_filesystem_device_error"), 0.0),
        (series("node_filesystem_readonly"), is_readonly),
    ]
}
