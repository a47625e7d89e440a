//! A file system of its own, small enough to be filled.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Mounted while it lives.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB; none where this user may not mount, which is a failure where nothing may be skipped.
    pub(crate) fn mount(path: &Path, size_mib: u32) -> Option<Self> {
        std::fs::create_dir(path).expect("made");
        let options = format!("size={size_mib}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(path).output();
        let told = match mounted {
            Ok(output) if output.status.success() => return Some(Self { path: path.to_owned() }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        let in_ci = std::env::var("CI").as_deref() == Ok("true");
        assert!(!in_ci, "no file system can be mounted ({told}), and CI skips nothing");
        eprintln!("SKIPPED: no file system can be mounted, which takes root: {told}");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it to its last byte with a file.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).expect("made");
        for piece_bytes in [1 << 20, 4096, 1] {
            while file.write_all(&vec![7; piece_bytes]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        match Command::new("umount").arg("-l").arg(&self.path).status() {
            Ok(status) if status.success() => {}
            outcome => eprintln!("{} stays mounted: {outcome:?}", self.path.display()),
        }
    }
}
