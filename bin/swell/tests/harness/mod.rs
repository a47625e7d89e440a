//! Starts the real binary on free loopback ports and talks to it as a user would.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part")]

mod disk;
mod folder;
mod node;
mod process;
mod push;
mod server;
pub(crate) mod workloads;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) use disk::SmallDisk;
pub(crate) use folder::{Folder, pid_of};
pub(crate) use node::{Agent, Seen, processes_with};
pub(crate) use process::Process;
pub(crate) use push::push;
pub(crate) use server::Server;

/// Everything that is waited for must happen in this time; slow machines need a part of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn swell() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swell"));
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn run(args: &[&str]) -> (i32, String, String) {
    texts(&swell().args(args).output().expect("the binary runs"))
}

/// Exit status (-1 for a signal), standard output and standard error.
pub(crate) fn texts(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Writes a file.
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("written");
}

/// Asserts that a text has every part.
#[track_caller]
pub(crate) fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "lacks {part:?}:\n{text}");
    }
}

/// GET over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(address, "GET", path)
}

/// GET by a client at another address of this host.
pub(crate) fn get_from(from: IpAddr, address: SocketAddr, path: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let connected = runtime.expect("a runtime").block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(from, 0))?;
        socket.connect(address).await?.into_std()
    });
    let stream = connected.expect("it listens");
    stream.set_nonblocking(false).expect("a socket that waits");
    ask_over(stream, "GET", path)
}

/// A request without a body over a connection of its own.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    ask_over(TcpStream::connect(address).expect("it listens"), method, path)
}

fn ask_over(mut stream: TcpStream, method: &str, path: &str) -> (u16, String) {
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answered");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

/// Waits for something to come true.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    let mut pause = Duration::from_millis(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "{what} did not happen within {DEADLINE:?}");
        std::thread::park_timeout(pause);
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}
