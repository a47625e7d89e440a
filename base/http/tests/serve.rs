//! A real listener on loopback: plain, TLS with client certificates, slow clients, limits, drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::Uri;
use axum::routing::{get, post};
use axum::{Router, body::Body};
use prometheus::Registry;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use swell_http::limits::{
    BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADER_COUNT_MAX, Patience, WRITE_STALL_TIMEOUT,
};
use swell_http::pki::{self, Authority, ClientAuth, Identity, TlsVersions};
use swell_http::{HttpMetrics, Peer, RoutePrefix, Server, bind};
use swell_model::TimestampMs;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const NOW: TimestampMs = TimestampMs(1_790_000_000_000);

struct Running {
    address: SocketAddr,
    registry: Registry,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    gate: Arc<Gate>,
}

async fn whoami(Extension(peer): Extension<Peer>) -> String {
    peer.certificate.map_or_else(
        || "nobody".to_owned(),
        |certificate| format!("{} of {:?}", certificate.common_name, certificate.organizations),
    )
}

/// Answers when the test lets it.
async fn slow(Extension(gate): Extension<Arc<Gate>>) -> &'static str {
    gate.entered.notify_one();
    gate.release.notified().await;
    "done"
}

#[derive(Debug, Default)]
struct Gate {
    entered: Notify,
    release: Notify,
    flooded_bytes: AtomicUsize,
}

const FLOOD_PIECE: Bytes = Bytes::from_static(&[b'x'; 16 << 10]);

/// Sends without end, and tells when its answer is dropped.
async fn flood(Extension(gate): Extension<Arc<Gate>>) -> Body {
    struct Told(Arc<Gate>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.release.notify_one();
        }
    }
    let told = Told(gate);
    Body::from_stream(futures::stream::repeat_with(move || {
        told.0.flooded_bytes.fetch_add(FLOOD_PIECE.len(), Ordering::Relaxed);
        Ok::<_, std::io::Error>(FLOOD_PIECE)
    }))
}

async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> Running {
    start_as(|server| match tls {
        Some(tls) => server.tls(tls),
        None => server,
    })
    .await
}

async fn start_as(shape: impl FnOnce(Server) -> Server) -> Running {
    let gate = Arc::new(Gate::default());
    let router = Router::new()
        .route("/whoami", get(whoami))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route("/panic", get(async || -> String { panic!("on purpose") }))
        .route("/slow", get(slow))
        .route(
            "/endless",
            get(async || {
                Body::from_stream(tokio_stream::pending::<Result<Bytes, std::io::Error>>())
            }),
        )
        .route("/flood", get(flood))
        .route("/address/{part}", get(async |uri: Uri| uri.to_string()))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(Extension(Arc::clone(&gate)));
    let registry = Registry::new();
    let metrics = HttpMetrics::register(&registry).expect("fresh registry");
    let any = "127.0.0.1:0".parse().expect("valid address");
    let listener = bind(any, "--listen-test").await.expect("a free port");
    let server = shape(Server::new("test", listener, router, &metrics));
    let address = server.local_addr().expect("bound");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(server.run(shutdown.clone()));
    Running { address, registry, shutdown, task, gate }
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("write");
    read_to_end(stream).await
}

/// What the server sends until it closes; a reset after the answer counts as closing.
async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get_once(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connect");
    exchange(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"))
        .await
}

#[tokio::test]
async fn plain_requests_are_answered_and_counted() {
    let running = start(None).await;
    let answer = get_once(running.address, "/whoami").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("nobody"), "{answer}");
    assert!(get_once(running.address, "/nowhere").await.starts_with("HTTP/1.1 404"));
    let answer = get_once(running.address, "/panic").await;
    assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("\"internal\""), "{answer}");
    let requests = running
        .registry
        .gather()
        .into_iter()
        .find(|family| family.name() == "swell_http_requests_total")
        .expect("registered");
    let total: f64 = requests.get_metric().iter().map(|m| m.get_counter().get_value()).sum();
    assert!((total - 3.0).abs() < f64::EPSILON, "{total}");
}

#[tokio::test]
async fn addresses_may_hold_what_belongs_escaped() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    let asked =
        |more: &str| format!("GET /address/x?q=up{{a=\"b\"}}>0 HTTP/1.1\r\nhost: x\r\n{more}\r\n");
    let told = "/address/x?q=up{a=%22b%22}%3E0";
    for round in 0..3 {
        stream.write_all(asked("").as_bytes()).await.expect("write");
        let mut answer = String::new();
        while !answer.ends_with(told) {
            let mut buffer = [0; 256];
            let count = stream.read(&mut buffer).await.expect("read");
            assert!(count > 0, "round {round}: {answer}");
            answer.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let answer = exchange(&mut stream, &asked("connection: close\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(told), "{answer}");
    // A request with a body: what follows may belong to it
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    let with_body = "POST /address/x HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n\"\"";
    let both = format!("{with_body}{}", asked("connection: close\r\n"));
    let answer = exchange(&mut stream, &both).await;
    assert!(answer.contains("HTTP/1.1 400") && !answer.contains(told), "{answer}");
}

#[tokio::test]
async fn below_a_prefix_routes_are_found_and_counted_without_it() {
    let prefix = RoutePrefix::new("/a/b").expect("a path");
    let elsewhere = Router::new().fallback(async |uri: Uri| format!("elsewhere {uri}"));
    let running = start_as(|server| server.below(prefix, elsewhere)).await;
    for (path, expected) in [
        ("/a/b/whoami", "nobody"),
        ("/a/b/address/x?y=/a/b/", "/address/x?y=/a/b/"),
        ("/address/x", "elsewhere /address/x"),
        ("/a/b", "elsewhere /a/b"),
        ("/a/bc/whoami", "elsewhere /a/bc/whoami"),
        ("/", "elsewhere /"),
    ] {
        let answer = get_once(running.address, path).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(expected), "{answer}");
    }
    assert!(get_once(running.address, "/a/b/nowhere").await.starts_with("HTTP/1.1 404"));
    let families = running.registry.gather();
    let requests = families.iter().find(|family| family.name() == "swell_http_requests_total");
    let metrics = requests.expect("registered").get_metric();
    let labels = metrics.iter().flat_map(|metric| metric.get_label());
    let routes: Vec<&str> =
        labels.filter(|label| label.name() == "route").map(|label| label.value()).collect();
    assert!(routes.contains(&"/whoami") && routes.contains(&"/address/{part}"), "{routes:?}");
    assert!(!routes.iter().any(|route| route.starts_with("/a/b")), "{routes:?}");
}

#[tokio::test]
async fn several_listeners_have_one_router() {
    let any = "127.0.0.1:0".parse().expect("valid address");
    let second = bind(any, "--listen-test").await.expect("a free port");
    let address = second.local_addr().expect("bound");
    let running = start_as(|server| server.also_on(second)).await;
    assert_ne!(running.address, address);
    for address in [running.address, address, address, running.address] {
        assert!(get_once(address, "/whoami").await.ends_with("nobody"));
    }
    running.shutdown.cancel();
    running.task.await.expect("the server ended");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let running = start_as(|server| server.at_most(1)).await;
    let mut first = TcpStream::connect(running.address).await.expect("connect");
    let slow = b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    first.write_all(slow).await.expect("write");
    running.gate.entered.notified().await;
    let mut second = TcpStream::connect(running.address).await.expect("the kernel's queue has it");
    let head = b"GET /whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    second.write_all(head).await.expect("write");
    let mut buffer = [0; 64];
    let waited = tokio::time::timeout(Duration::from_secs(600), second.read(&mut buffer)).await;
    assert!(waited.is_err(), "neither answered nor refused");
    running.gate.release.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("done"));
    assert!(read_to_end(&mut second).await.ends_with("nobody"));
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_to_read_cuts_heads_bodies_and_idle_connections() {
    let short = Duration::from_secs(2);
    let running = start_as(|server| server.patience(Patience::of_reading(short))).await;
    for (sent, expected) in [
        ("GET /who", ""),
        ("POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nfirst", "HTTP/1.1 400"),
        ("GET /whoami HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200"),
    ] {
        let mut stream = TcpStream::connect(running.address).await.expect("connect");
        let start = tokio::time::Instant::now();
        let answer = exchange(&mut stream, sent).await;
        assert!(answer.starts_with(expected), "{sent:?}: {answer}");
        let waited = start.elapsed();
        assert!(waited >= short && waited < 3 * short, "{sent:?}: {waited:?}");
    }
}

/// The next frame of HTTP/2: its kind, flags and payload; none once the server has closed.
async fn next_frame(stream: &mut TcpStream) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let [_, high, low, kind, flags, ..] = head;
    let mut payload = vec![0; u16::from_be_bytes([high, low]).into()];
    stream.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, payload))
}

#[tokio::test(start_paused = true)]
async fn answers_to_pings_keep_no_connection_that_has_no_requests() {
    const PING: u8 = 6;
    let patience = Patience { idle: Duration::from_secs(20), ..Patience::default() };
    let running = start_as(|server| server.patience(patience)).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    let start = tokio::time::Instant::now();
    // The preface, and settings that are as they are.
    let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    stream.write_all(begin).await.expect("write");
    let mut pings_count = 0;
    while let Some((kind, flags, payload)) = next_frame(&mut stream).await {
        if (kind, flags) != (PING, 0) {
            continue;
        }
        pings_count += 1;
        assert!(pings_count < 100, "it stays open");
        let answer = [&[0, 0, 8, PING, 1, 0, 0, 0, 0][..], payload.as_slice()].concat();
        // Once the server has closed, the next read says so.
        let _sent = stream.write_all(&answer).await;
    }
    assert!(pings_count > 0, "it was asked for a sign of life");
    let waited = start.elapsed();
    assert!(waited >= patience.idle && waited < 2 * patience.idle, "{waited:?}");
}

async fn tls_get(
    address: SocketAddr,
    authority: &Authority,
    identity: Option<&Identity>,
) -> Result<String, std::io::Error> {
    let config = pki::client_config(authority.certificate_pem(), identity).expect("valid parts");
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("valid name");
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    stream.write_all(b"GET /whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn client_certificates_reach_the_handler() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let authority = Authority::load_or_create(directory.path(), NOW).expect("new authority");
    let server =
        authority.issue_server("swell-server", &["localhost", "127.0.0.1"], NOW).expect("issued");
    let config = pki::server_config(&server, authority.certificate_pem(), ClientAuth::Optional)
        .expect("valid parts");
    let running = start(Some(config)).await;
    let admin = authority.issue_client("admin", "system:masters", NOW).expect("issued");
    let answer = tls_get(running.address, &authority, Some(&admin)).await.expect("answered");
    assert!(answer.ends_with("admin of [\"system:masters\"]"), "{answer}");
    let answer = tls_get(running.address, &authority, None).await.expect("answered");
    assert!(answer.ends_with("nobody"), "{answer}");

    let stranger = Authority::in_memory(NOW).expect("new authority");
    let forged = stranger.issue_client("admin", "system:masters", NOW).expect("issued");
    assert!(tls_get(running.address, &authority, Some(&forged)).await.is_err());
    assert!(tls_get(running.address, &stranger, None).await.is_err());

    let again = Authority::load_or_create(directory.path(), NOW).expect("stored authority");
    assert_eq!(again.certificate_pem(), authority.certificate_pem());
    let later = again.issue_client("node", "system:nodes", NOW).expect("issued");
    let answer = tls_get(running.address, &again, Some(&later)).await.expect("answered");
    assert!(answer.ends_with("node of [\"system:nodes\"]"), "{answer}");
}

#[tokio::test]
async fn a_server_speaks_the_versions_of_tls_that_it_is_told() {
    let authority = Authority::in_memory(NOW).expect("new authority");
    let identity = authority.issue_server("swell-server", &["localhost"], NOW).expect("issued");
    for (versions, spoken) in [
        (TlsVersions::All, [true, true]),
        (TlsVersions::Tls12, [true, false]),
        (TlsVersions::Tls13, [false, true]),
    ] {
        let config = pki::server_config_with(&identity, "", ClientAuth::Off, versions);
        let running = start(Some(config.expect("valid parts"))).await;
        for (version, is_spoken) in
            [&rustls::version::TLS12, &rustls::version::TLS13].into_iter().zip(spoken)
        {
            let mut roots = rustls::RootCertStore::empty();
            let pem = authority.certificate_pem().as_bytes();
            roots.add(CertificateDer::from_pem_slice(pem).expect("PEM")).expect("an authority");
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let client = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[version])
                .expect("a version")
                .with_root_certificates(roots)
                .with_no_client_auth();
            let stream = TcpStream::connect(running.address).await.expect("connect");
            let name = ServerName::try_from("localhost").expect("valid name");
            let shaken = TlsConnector::from(Arc::new(client)).connect(name, stream).await;
            assert_eq!(shaken.is_ok(), is_spoken, "{versions:?} {version:?}");
        }
    }
}

/// As `openssl req -x509` makes it: signed by itself, and marked as an authority's.
fn own_authority() -> Identity {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "ann");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().expect("a key");
    Identity::from_pem(params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_client_may_be_its_own_authority() {
    let authority = Authority::in_memory(NOW).expect("new authority");
    let server = authority.issue_server("swell-server", &["localhost"], NOW).expect("issued");
    let known = own_authority();
    let config = pki::server_config(&server, known.certificate_pem(), ClientAuth::Required);
    let running = start(Some(config.expect("valid parts"))).await;
    let answer = tls_get(running.address, &authority, Some(&known)).await.expect("answered");
    assert!(answer.ends_with("ann of []"), "{answer}");
    assert!(tls_get(running.address, &authority, Some(&own_authority())).await.is_err());
    assert!(tls_get(running.address, &authority, None).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn slow_heads_and_idle_connections_are_cut() {
    let running = start(None).await;
    for sent in ["", "GET /who", "GET /whoami HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(running.address).await.expect("connect");
        let answer = exchange(&mut stream, sent).await;
        assert_eq!(answer, "", "{sent:?}");
    }
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    let start = tokio::time::Instant::now();
    let answer = exchange(&mut stream, "GET /whoami HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("nobody"), "kept alive, then closed: {answer}");
    assert!(start.elapsed() >= Duration::from_secs(100), "idle ones stay longer");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_cut_and_a_long_answer_is_not() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    let head = "POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\nfirst";
    let answer = exchange(&mut stream, head).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");

    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    let mut buffer = [0; 1024];
    let count = stream.read(&mut buffer).await.expect("head");
    assert!(buffer[..count].starts_with(b"HTTP/1.1 200"));
    let waited = tokio::time::timeout(Duration::from_secs(600), stream.read(&mut buffer)).await;
    assert!(waited.is_err(), "a stream without data for ten minutes is still open");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_is_cut_and_holds_little() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    let start = tokio::time::Instant::now();
    stream.write_all(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    running.gate.release.notified().await;
    assert!(start.elapsed() >= WRITE_STALL_TIMEOUT, "a pause is no offence");
    let sent = running.gate.flooded_bytes.load(Ordering::Relaxed);
    // The kernel's buffers on both sides, and the connection's own.
    assert!(sent < 32 << 20, "{sent} bytes were made for nobody");
    read_to_end(&mut stream).await;
    assert!(get_once(running.address, "/whoami").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn oversized_requests_are_refused() {
    let running = start(None).await;
    for (request, code) in [
        (
            format!(
                "POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
                BODY_BYTES_MAX + 1
            ),
            "413",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: x\r\nbig: {}\r\n\r\n", "x".repeat(HEADER_BYTES_MAX)),
            "431",
        ),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADER_COUNT_MAX + 1)), "431"),
        ("\u{1}\u{2} garbage\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = TcpStream::connect(running.address).await.expect("connect");
        stream.write_all(request.as_bytes()).await.expect("write");
        stream.shutdown().await.expect("half close");
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{code}: {answer}");
    }
    assert!(get_once(running.address, "/whoami").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn shutdown_lets_requests_end() {
    let running = start(None).await;
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    running.gate.entered.notified().await;
    running.shutdown.cancel();
    running.gate.release.notify_one();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    running.task.await.expect("the server ended");
    assert!(TcpStream::connect(running.address).await.is_err(), "nobody listens any more");
}
