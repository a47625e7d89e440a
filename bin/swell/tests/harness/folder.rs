//! A folder of one test, and an end for the pods that were kept in it.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// User and group without any rights of their own.
const NOBODY: u32 = 65_534;

/// Made for one test; everybody may look into it. Pods outlive their agent, so they are ended with the folder.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("ours");
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file and returns its path as an argument.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.join(name);
        super::write(&path, text);
        path.display().to_string()
    }

    /// The binary under test as an ordinary user, since root may read and write everything.
    pub(crate) fn swell_without_privileges(&self) -> Command {
        if !rustix::process::geteuid().is_root() {
            return super::swell();
        }
        // Where cargo builds, another user may not be let in.
        let (built, copy) = (Path::new(env!("CARGO_BIN_EXE_swell")), self.join("swell"));
        if !copy.exists() && std::fs::hard_link(built, &copy).is_err() {
            std::fs::copy(built, &copy).expect("copied");
        }
        let mut command = Command::new(copy);
        command.stdin(Stdio::null()).uid(NOBODY).gid(NOBODY);
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let folder = self.folder.path().display().to_string();
        for (pid, arguments) in super::node::processes() {
            let is_shim = arguments.iter().any(|word| word == "__shim");
            if is_shim && arguments.iter().any(|word| word.starts_with(&folder)) {
                // Its container ends with it.
                match kill_process(pid, Signal::KILL) {
                    Ok(()) | Err(Errno::SRCH) => {}
                    Err(error) => eprintln!("{pid:?} is left behind: {error}"),
                }
            }
        }
    }
}

/// A pid for system calls.
pub(crate) fn pid_of(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a pid")
}
