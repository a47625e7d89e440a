//! Wrong queries, and bytes on the ports that no honest client sends: the server stays well.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use swell_http::pki::client_config;

use crate::harness::{Agent, Folder, Server, has, write};

/// Says nothing for so long and the test goes on.
const IMPATIENCE: Duration = Duration::from_secs(5);
/// Connections at each port that begin and never go on.
const HALF_OPEN_COUNT: usize = 64;

#[test]
fn wrong_queries_name_their_place() {
    let folder = Folder::new();
    let server = Server::start(folder.path(), &[]);
    for (query, place) in [
        ("sum(up", "1:7"),
        ("up{", "1:4"),
        ("up%20%2B", "1:5"),
        ("sum%20by%20(a)%0Aup", "2:1"),
        ("rate(up)", "1:6"),
        ("up[5x]", "1:4"),
        ("%22open", "1:1"),
        ("nosuch(up)", "1:1"),
        ("up%7Ba%3D~%22(%22%7D", "1:"),
        ("%FF%FE", ""),
        ("", ""),
    ] {
        for path in [
            format!("/api/v1/query?query={query}"),
            format!("/api/v1/query_range?query={query}&start=0&end=1&step=1"),
        ] {
            let (status, body) = server.get(&path);
            assert_eq!(status, 400, "{query}: {body}");
            has(&body, &["\"errorType\":\"bad_data\"", place]);
        }
    }
    for times in ["time=soon", "timeout=never", "time=1e400"] {
        assert_eq!(server.get(&format!("/api/v1/query?query=up&{times}")).0, 400, "{times}");
    }
    for range in
        ["start=1&end=0&step=1", "start=0&end=1&step=0", "start=0&end=1", "start=a&end=b&step=c"]
    {
        assert_eq!(server.get(&format!("/api/v1/query_range?query=up&{range}")).0, 400, "{range}");
    }
    let nested = format!("{}1{}", "(".repeat(3000), ")".repeat(3000));
    let (status, body) = server.get(&format!("/api/v1/query?query={nested}"));
    assert_eq!(status, 400, "{body}");
    let (code, _, stderr) = server.cli(&["query", "sum(up"]);
    assert_eq!(code, 1);
    has(&stderr, &["1:7"]);
    is_well(&server);
    assert_eq!(server.stop(), 0);
}

/// Everything that a user would try next works.
fn is_well(server: &Server) {
    assert_eq!(server.get("/-/healthy").0, 200);
    assert_eq!(server.get("/-/ready").0, 200);
    assert_eq!(server.get("/api/v1/query?query=1%2B1").0, 200);
    server.must(&["get", "namespaces"]);
}

/// Sends bytes, takes what comes back, closes. What it is does not matter: that it ends does.
fn throw(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(IMPATIENCE)).expect("a timeout");
    // The other side may hang up in the middle.
    drop(stream.write_all(bytes));
    drop(stream.read(&mut [0; 1024]));
}

#[test]
fn garbage_on_every_port_harms_nobody() {
    let folder = Folder::new();
    let mut server = Server::start(&folder.join("data"), &[]);
    let mut half_open = Vec::new();
    for address in server.addresses() {
        for garbage in [
            &b"\x16\x03\x01garbage\xff\xfe\x00"[..],
            &[0; 4096],
            &[0xff; 70_000],
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"POST /api/v1/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            &[b"GET /".to_vec(), b"a".repeat(100_000)].concat(),
        ] {
            throw(address, garbage);
        }
        // The beginning of a TLS handshake or of a request, and then silence.
        for idx in 0..HALF_OPEN_COUNT {
            let mut stream = TcpStream::connect(address).expect("it listens");
            let begun: &[u8] = if idx % 2 == 0 { b"\x16\x03\x01\x02\x00\x01" } else { b"GE" };
            stream.write_all(begun).expect("sent");
            half_open.push(stream);
        }
    }
    is_well(&server);
    let agent = Agent::start(&server, &folder.join("agent"), "n1");
    assert_eq!(agent.process.stop(), 0, "an honest agent is let in");
    drop(half_open);
    assert!(!server.process.has_ended());
    assert!(!server.process.log().contains("panicked"), "{}", server.process.log());
    assert_eq!(server.stop(), 0);
}

/// What a request in these bytes is answered with; nothing when the connection is closed without a word.
fn statuses(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(IMPATIENCE)).expect("a timeout");
    // The other side may hang up in the middle.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8_lossy(&answer).into_owned();
    let lines = text.lines().filter(|line| line.starts_with("HTTP/1."));
    lines.filter_map(|line| line.split(' ').nth(1)?.parse().ok()).collect()
}

#[test]
fn messages_that_can_be_read_in_two_ways_are_refused_and_paths_lead_nowhere() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &[]);
    let post = |head: &str| {
        let hidden = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
        format!("POST /api/v1/query HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n0\r\n\r\n{hidden}")
    };
    let many: String = (0..200).map(|nr| format!("X-{nr}: 1\r\n")).collect();
    for request in [
        post("Content-Length: 5\r\nContent-Length: 6"),
        post("Content-Length: 5, 6"),
        post("Content-Length: -5"),
        post("Content-Length: 0x5"),
        post("Content-Length: +5"),
        post("Transfer-Encoding: chunked, gzip"),
        post("Content-Length : 5"),
        post("Folded: a\r\n b\r\nContent-Length : 5"),
        "GET / HTTP/1.1\r\nHo st: x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\nNul: a\0b\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET / HTTP/1.1\r\nHost: x\r\nLong: {}\r\n\r\n", "a".repeat(70_000)),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)),
    ] {
        let shown: String = request.chars().take(80).collect();
        let answers = statuses(server.http, request.as_bytes());
        let is_refused = |status: &u16| [400, 414, 431].contains(status);
        assert!(answers.len() <= 1 && answers.iter().all(is_refused), "{shown:?}: {answers:?}");
    }
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/..%5c..%5cwindows",
        "/assets/../../../etc/passwd",
        "//etc/passwd",
        "/C:/windows/win.ini",
        "/index.html%00.js",
        "/api/v1/label/..%2f..%2fetc/values/..",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answers = statuses(server.http, request.as_bytes());
        assert!(matches!(answers[..], [400 | 404]), "{path}: {answers:?}");
    }
    is_well(&server);
    assert_eq!(server.stop(), 0);
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts the server and speaks `protocol`.
fn tls(server: &Server, address: SocketAddr, protocol: &[u8]) -> Tls {
    let ca = std::fs::read_to_string(server.data_dir.join("pki/ca.crt")).expect("written");
    let mut config: ClientConfig = client_config(&ca, None).expect("a certificate");
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = "localhost".try_into().expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(IMPATIENCE)).expect("a timeout");
    StreamOwned::new(connection, stream)
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[test]
fn garbage_inside_tls_harms_nobody() {
    let folder = Folder::new();
    let mut server = Server::start(&folder.join("data"), &[]);
    let mut silent = Vec::new();
    for address in [server.grpc, server.kube] {
        for garbage in [
            b"no protocol at all\r\n\r\n".to_vec(),
            // A frame that claims 16 MiB, of a kind that does not exist.
            [PREFACE, &[0xff; 64]].concat(),
            // Settings, then headers that are none.
            [
                PREFACE,
                &[0, 0, 0, 4, 0, 0, 0, 0, 0],
                &[0, 0, 4, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff],
            ]
            .concat(),
            // A hundred requests, each reset at once.
            [PREFACE.to_vec(), vec![0, 0, 0, 4, 0, 0, 0, 0, 0], resets(100)].concat(),
        ] {
            let mut stream = tls(&server, address, b"h2");
            drop(stream.write_all(&garbage));
            drop(stream.read(&mut [0; 1024]));
        }
        for _ in 0..8 {
            let mut stream = tls(&server, address, b"h2");
            stream.conn.complete_io(&mut stream.sock).expect("a handshake");
            silent.push(stream);
        }
    }
    is_well(&server);
    drop(silent);
    assert!(!server.process.has_ended());
    assert!(!server.process.log().contains("panicked"), "{}", server.process.log());
    assert_eq!(server.stop(), 0);
}

fn resets(count: u32) -> Vec<u8> {
    let mut frames = Vec::new();
    for idx in 0..count {
        let stream = (2 * idx + 1).to_be_bytes();
        // GET / over https, from the static table of HPACK.
        frames.extend([&[0, 0, 3, 1, 5][..], &stream, &[0x82, 0x84, 0x87]].concat());
        frames.extend([&[0, 0, 4, 3, 0][..], &stream, &[0, 0, 0, 8]].concat());
    }
    frames
}

fn ask_kube(server: &Server, headers: &str) -> String {
    let mut stream = tls(server, server.kube, b"http/1.1");
    let request = format!(
        "GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    // The server closes without the goodbye of TLS; what came before counts.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn wrong_credentials_are_refused_everywhere() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &[]);
    for headers in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic eDp5\r\n"] {
        let answer = ask_kube(&server, headers);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{headers}: {answer}");
    }
    let admin = std::fs::read_to_string(server.data_dir.join("tokens/admin")).expect("written");
    let answer = ask_kube(&server, &format!("Authorization: Bearer {}\r\n", admin.trim()));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    let dir = server.data_dir.display().to_string();
    let token = server.must(&["token", "--data-dir", &dir]);
    let (authority, _) = token.trim().rsplit_once('.').expect("three parts");
    for (text, parts) in [
        (format!("{authority}.wrong"), vec!["refused this agent", "token"]),
        ("nonsense".to_owned(), vec!["no join token", "swell token"]),
        ("swell1.%%%.x".to_owned(), vec!["damaged"]),
    ] {
        write(&folder.join("agent.token"), &text);
        let mut agent = Agent::spawn(&server, &folder.join("agent"), "n1");
        assert_eq!(agent.process.end(), 1, "{text}: {}", agent.process.log());
        has(&agent.process.log(), &parts);
    }
    assert!(!server.process.log().contains(admin.trim()), "no secrets in the log");
    is_well(&server);
    assert_eq!(server.stop(), 0);
}
