//! Which process a number stands for: pid, start time and boot, so that a pid used again is not mistaken.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// One process of one boot of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks from boot to its start.
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
}

impl ProcessIdentity {
    /// The identity of a process that is alive (or not yet reaped).
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        Ok(Self { pid, start_ticks: start_ticks(pid)?, boot_id: boot_id()? })
    }

    /// A handle on the process; `None` when it is gone. Opened before the check, so that the handle
    /// cannot be of a later process with the same number.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        if self.boot_id != boot_id()? {
            return Ok(None);
        }
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        let handle = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match start_ticks(self.pid) {
            Ok(ticks) if ticks == self.start_ticks => Ok(Some(handle)),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether reading from `/proc/<pid>` failed because the process ended.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&stat).map(|stat| stat.start_ticks).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat has an unknown form"))
    })
}

/// The fields of `/proc/<pid>/stat` that the runtime needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcStat {
    pub(crate) state: u8,
    pub(crate) parent: i32,
    pub(crate) start_ticks: u64,
}

/// Parses `/proc/<pid>/stat`. The command name may hold blanks and parentheses: fields count from the last `)`.
pub(crate) fn parse_stat(stat: &[u8]) -> Option<ProcStat> {
    let name_end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // Fields 3 and 4 are taken; number 22 is the 18th of the rest.
    let start_ticks = fields.nth(17)?.parse().ok()?;
    Some(ProcStat { state, parent, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_parses_whatever_the_command_is_called() {
        let line =
            b"4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 987654 0 0\n";
        assert_eq!(
            parse_stat(line),
            Some(ProcStat { state: b'S', parent: 17, start_ticks: 987_654 })
        );
        for broken in [&b""[..], b"1 (x", b"1 (x) S", b"1 (x) S 1 2 3"] {
            assert_eq!(parse_stat(broken), None);
        }
    }

    #[test]
    fn a_process_is_known_again_and_another_start_time_is_another_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        let identity = ProcessIdentity::of(own).unwrap();
        assert!(identity.open().unwrap().is_some());
        let reused = ProcessIdentity { start_ticks: identity.start_ticks + 1, ..identity.clone() };
        assert!(reused.open().unwrap().is_none());
        let rebooted = ProcessIdentity { boot_id: "another".to_owned(), ..identity };
        assert!(rebooted.open().unwrap().is_none());
    }
}
