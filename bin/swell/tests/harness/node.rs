//! `swell agent`, and the processes of pods as the kernel has them.

use std::path::Path;

use rustix::process::Pid;

use super::folder::pid_of;
use super::{Process, Server, swell, wait_for};

/// A node agent as a process of its own.
pub(crate) struct Agent {
    pub(crate) process: Process,
    pub(crate) name: String,
}

impl Agent {
    /// Joins `server` and waits until its node is ready.
    pub(crate) fn start(server: &Server, data_dir: &Path, name: &str) -> Self {
        let agent = Self::spawn(server, data_dir, name);
        wait_for("a ready node", || {
            let (_, stdout, _) = server.cli(&["get", &format!("node/{name}"), "-o", "json"]);
            let node: serde_json::Value = serde_json::from_str(&stdout).ok()?;
            let conditions = node["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|condition| condition["type"] == "Ready")?;
            (ready["status"] == "True").then_some(())
        });
        agent
    }

    /// The same without waiting.
    pub(crate) fn spawn(server: &Server, data_dir: &Path, name: &str) -> Self {
        let token_file = data_dir.with_extension("token");
        if !token_file.exists() {
            let dir = server.data_dir.display().to_string();
            super::write(&token_file, &server.must(&["token", "--data-dir", &dir]));
        }
        let mut command = swell();
        command
            .args(["agent", "--server", &server.grpc.to_string(), "--node-name", name])
            .arg("--token-file")
            .arg(token_file)
            .arg("--data-dir")
            .arg(data_dir);
        Self { process: Process::spawn(&mut command), name: name.to_owned() }
    }
}

/// One process, told apart from a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seen {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
}

/// The programs that have `word` among their arguments, by number. A child that such a program has forked and that
/// has not become another one yet is not counted: it still shows its parent's arguments.
pub(crate) fn processes_with(word: &str) -> Vec<Seen> {
    let found: Vec<(Seen, u32)> = processes()
        .filter(|(_, arguments)| arguments.iter().any(|argument| argument == word))
        .filter_map(|(pid, _)| {
            let pid = u32::try_from(pid.as_raw_nonzero().get()).ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name may hold blanks. After it come the state, the parent, and as the 20th field the start.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
            let parent = fields.next()?.parse().ok()?;
            let start_ticks = fields.nth(17)?.parse().ok()?;
            Some((Seen { pid, start_ticks }, parent))
        })
        .collect();
    let is_program = |parent: u32| !found.iter().any(|(other, _)| other.pid == parent);
    let mut programs: Vec<Seen> = found
        .iter()
        .filter(|(_, parent)| is_program(*parent))
        .map(|(seen, _)| seen.clone())
        .collect();
    programs.sort();
    programs
}

/// Every process with its arguments; those that end meanwhile are left out.
pub(super) fn processes() -> impl Iterator<Item = (Pid, Vec<String>)> {
    let entries = std::fs::read_dir("/proc").expect("this is Linux").filter_map(Result::ok);
    entries.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words = bytes.split(|byte| *byte == 0);
        let words = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Some((pid_of(number), words))
    })
}
