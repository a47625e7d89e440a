//! Starts the real binary on free loopback ports and talks to it as a user would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

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
    let output: Output = swell().args(args).output().expect("the binary runs");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A running server.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) http: SocketAddr,
    pub(crate) data_dir: PathBuf,
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Self {
        let mut child = swell()
            .args(["server", "--listen-http", "127.0.0.1:0", "--listen-grpc", "127.0.0.1:0"])
            .args(["--listen-kube", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir)
            .args(more)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stderr = child.stderr.take().expect("piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut seen = Vec::new();
        let http = loop {
            match receiver.recv_timeout(DEADLINE) {
                Ok(line) => {
                    let found = line.split_once("http://").map(|(_, rest)| rest.trim().to_owned());
                    seen.push(line);
                    if let Some(address) = found {
                        break address.parse().expect("an address");
                    }
                }
                Err(_) => panic!("the server did not become ready: {seen:#?}"),
            }
        };
        // The pipe is drained for as long as the server lives.
        std::thread::spawn(move || while receiver.recv().is_ok() {});
        Self { child, http, data_dir: data_dir.to_owned() }
    }

    /// GET; status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(self.http, path)
    }

    /// A client verb against this server.
    pub(crate) fn cli(&self, args: &[&str]) -> (i32, String, String) {
        let kubeconfig = self.data_dir.join("kubeconfig");
        let output = swell()
            .env("KUBECONFIG", kubeconfig)
            .env("SWELL_SERVER", format!("http://{}", self.http))
            .args(args)
            .output()
            .expect("the binary runs");
        (
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }

    /// SIGKILL, as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        std::mem::forget(self);
    }

    /// SIGTERM; the exit status.
    pub(crate) fn stop(mut self) -> i32 {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        std::mem::forget(self);
        status.code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failed test must not leave a server behind; one that is gone already is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// GET over a connection of its own.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answered");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
    (status, body)
}

/// Waits for something to come true.
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
