//! The Python that `python-tools.sh` made, and the S3 emulator in it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The emulator is up in two seconds on a quiet machine.
const DEADLINE: Duration = Duration::from_secs(120);

/// Python with the packages of `python-tools.sh`; a test without it fails in CI and says that it was skipped elsewhere.
pub(crate) fn python() -> Option<PathBuf> {
    let folder = std::env::var_os("SWELL_PYTHON_TOOLS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python-tools")),
        PathBuf::from,
    );
    let python = folder.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "the Python tools must be there in CI: bash tsdb/archive/tests/python-tools.sh"
    );
    eprintln!("skipped: run bash tsdb/archive/tests/python-tools.sh first");
    None
}

/// A running emulator of S3 with one bucket, `metrics`.
pub(crate) struct Emulator {
    child: Child,
    address: SocketAddr,
}

impl Emulator {
    #[expect(clippy::disallowed_methods, reason = "a test waits for another process")]
    pub(crate) fn start(python: &PathBuf) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = free.local_addr().expect("an address");
        drop(free);
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the emulator starts");
        let emulator = Self { child, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < DEADLINE, "the emulator does not answer");
            std::thread::park_timeout(Duration::from_millis(50));
        }
        assert!(emulator.put("/metrics").starts_with("HTTP/1.1 200"), "the bucket is made");
        emulator
    }

    /// Its address as a store's endpoint.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    fn put(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        write!(
            stream,
            "PUT {path} HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        answer
    }

    /// Ends it, as an outage would.
    pub(crate) fn stop(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Gone already is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
