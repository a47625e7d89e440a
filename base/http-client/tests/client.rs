//! Requests to real servers of this process: tokens, proxies, headers, sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use swell_env::{Clock as _, SystemClock};
use swell_http::pki::{Authority, ClientAuth, server_config};
use swell_http::{HttpMetrics, Server, bind};
use swell_http_client::{
    Auth, ClientOptions, ExtraHeader, HttpClient, HttpRequest, OAuth2, Pem, Proxy, Reach, Secret,
    TlsOptions, TlsVersion, read_body, without_user,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use url::Url;

/// A body that is longer than what the tests read.
const BYTES_MAX: u64 = 1 << 16;

/// A server that keeps what it was asked.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(String, HeaderMap, String)>>>);

impl Asked {
    fn last(&self) -> (String, HeaderMap, String) {
        self.0.lock().last().cloned().expect("it was asked")
    }
}

async fn keep(State(asked): State<Asked>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 16).await.expect("a small body");
    let text = String::from_utf8_lossy(&body).into_owned();
    asked.0.lock().push((parts.uri.to_string(), parts.headers, text));
    "hello".into_response()
}

fn keeping(asked: &Asked) -> Router {
    Router::new().fallback(keep).with_state(asked.clone())
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

fn url(text: String) -> Url {
    text.parse().expect("a URL")
}

async fn get(options: ClientOptions, at: &str) -> Result<String, String> {
    let client = HttpClient::new(options).map_err(|error| error.to_string())?;
    get_with(&client, at).await
}

async fn get_with(client: &HttpClient, at: &str) -> Result<String, String> {
    let told = |error: swell_http_client::RequestError| swell_telemetry::chain(&error);
    let request = HttpRequest::get(at.parse().expect("a URL"));
    let answer = client.send(&request).await.map_err(told)?;
    let status = answer.status();
    let body = read_body(answer, BYTES_MAX).await.map_err(told)?;
    if status != StatusCode::OK {
        return Err(status.to_string());
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Gives out tokens that live for `expires_in` seconds, numbered; refuses clients with another password.
async fn token_server(expires_in: u64) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let given = Arc::new(AtomicUsize::new(0));
    let keeper = asked.clone();
    let answer = move |request: Request| {
        let (keeper, given) = (keeper.clone(), Arc::clone(&given));
        async move {
            let kept = keep(State(keeper), request).await;
            assert_eq!(kept.status(), StatusCode::OK);
            let number = given.fetch_add(1, Ordering::Relaxed);
            format!(
                r#"{{"access_token":"t{number}","token_type":"bearer","expires_in":{expires_in}}}"#
            )
        }
    };
    (serve(Router::new().fallback(answer)).await, asked)
}

fn oauth2(at: SocketAddr) -> OAuth2 {
    OAuth2 {
        client_id: "me:1".to_owned(),
        client_secret: Secret::Text("pass word".to_owned()),
        token_url: url(format!("http://{at}/token")),
        scopes: vec!["a".to_owned(), "b".to_owned()],
        endpoint_params: BTreeMap::from([("audience".to_owned(), "x&y".to_owned())]),
        tls: TlsOptions::default(),
        proxy: Proxy::default(),
    }
}

#[tokio::test]
async fn tokens_are_fetched_and_kept_while_they_are_good() {
    for (lifetime, expected) in
        [(3600, ["Bearer t0", "Bearer t0"]), (5, ["Bearer t0", "Bearer t1"])]
    {
        let (tokens, token_asked) = token_server(lifetime).await;
        let asked = Asked::default();
        let target = serve(keeping(&asked)).await;
        let auth = Auth::OAuth2(Box::new(oauth2(tokens)));
        let client = HttpClient::new(ClientOptions { auth, ..ClientOptions::default() });
        let client = client.expect("good");
        for shown in expected {
            get_with(&client, &format!("http://{target}/")).await.expect("an answer");
            assert_eq!(asked.last().1[header::AUTHORIZATION], shown, "{lifetime}");
        }
        let (at, headers, form) = token_asked.last();
        assert_eq!(
            (at.as_str(), form.as_str()),
            ("/token", "grant_type=client_credentials&scope=a+b&audience=x%26y")
        );
        // Both parts are encoded before they are joined, RFC 6749 section 2.3.1.
        assert_eq!(headers[header::AUTHORIZATION], "Basic bWUlM0ExOnBhc3Mrd29yZA==");
    }
}

#[tokio::test]
async fn a_server_that_gives_no_token_is_named() {
    let refusing = serve(Router::new().fallback(|| async { StatusCode::FORBIDDEN })).await;
    let odd = serve(Router::new().fallback(|| async { r#"{"error":"invalid"}"# })).await;
    for (at, part) in [(refusing, "403"), (odd, "is no token")] {
        let auth = Auth::OAuth2(Box::new(oauth2(at)));
        let options = ClientOptions { auth, ..ClientOptions::default() };
        let error = get(options, "http://127.0.0.1:1/").await.expect_err("no token");
        assert!(error.contains(part) && !error.contains("pass word"), "{error}");
    }
}

#[tokio::test]
async fn a_lifetime_may_be_a_text() {
    for (lifetime, expected) in
        [("\"3599\"", Some("Bearer t")), ("3599.5", Some("Bearer t")), ("\"x\"", None)]
    {
        let answer = format!(r#"{{"access_token":"t","expires_in":{lifetime}}}"#);
        let tokens = serve(Router::new().fallback(move || async move { answer })).await;
        let asked = Asked::default();
        let target = serve(keeping(&asked)).await;
        let auth = Auth::OAuth2(Box::new(oauth2(tokens)));
        let options = ClientOptions { auth, ..ClientOptions::default() };
        let answer = get(options, &format!("http://{target}/")).await;
        match expected {
            Some(expected) => {
                answer.expect("an answer");
                assert_eq!(asked.last().1[header::AUTHORIZATION], expected);
            }
            None => assert!(answer.expect_err("no lifetime").contains("expires_in")),
        }
    }
}

#[tokio::test]
async fn a_token_server_that_knows_no_basic_gets_the_form() {
    let answer = |request: Request| async {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 16).await.expect("a small body");
        let form = String::from_utf8_lossy(&body).into_owned();
        let by_form = form.contains("&client_id=me%3A1&client_secret=pass+word&");
        if by_form && !parts.headers.contains_key(header::AUTHORIZATION) {
            r#"{"access_token":"t"}"#.into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    };
    let tokens = serve(Router::new().fallback(answer)).await;
    let asked = Asked::default();
    let target = serve(keeping(&asked)).await;
    let auth = Auth::OAuth2(Box::new(oauth2(tokens)));
    let options = ClientOptions { auth, ..ClientOptions::default() };
    get(options, &format!("http://{target}/")).await.expect("an answer");
    assert_eq!(asked.last().1[header::AUTHORIZATION], "Bearer t");
}

#[tokio::test]
async fn a_user_in_a_url_is_told_as_a_header_and_not_shown() {
    let asked = Asked::default();
    let target = serve(keeping(&asked)).await;
    let at = format!("http://us:p%3Aw@{target}/x?a=b");
    get(ClientOptions::default(), &at).await.expect("an answer");
    let (path, headers, _) = asked.last();
    assert_eq!(path, "/x?a=b");
    assert_eq!(headers[header::AUTHORIZATION], "Basic dXM6cDp3");
    assert_eq!(without_user(&url(at)).as_str(), format!("http://{target}/x?a=b"));

    let refusing = serve(Router::new().fallback(|| async { StatusCode::FORBIDDEN })).await;
    let mut oauth = oauth2(refusing);
    oauth.token_url = url(format!("http://us:hunter2@{refusing}/token"));
    let options = ClientOptions { auth: Auth::OAuth2(Box::new(oauth)), ..ClientOptions::default() };
    let error = get(options, &format!("http://{target}/")).await.expect_err("no token");
    assert!(error.contains("/token") && !error.contains("hunter2"), "{error}");
}

/// Answers requests for whole addresses itself and opens tunnels; keeps the first line and headers.
async fn proxy_server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            let head = String::from_utf8(head).expect("text");
            kept.lock().push(head.clone());
            let Some(target) = head.strip_prefix("CONNECT ") else {
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nproxied";
                stream.write_all(answer.as_bytes()).await.expect("written");
                continue;
            };
            let target = target.split(' ').next().expect("a target");
            match TcpStream::connect(target).await {
                Ok(mut there) => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("written");
                    tokio::spawn(async move {
                        // Ends when either side does.
                        drop(tokio::io::copy_bidirectional(&mut stream, &mut there).await);
                    });
                }
                Err(_) => {
                    stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.expect("written");
                }
            }
        }
    });
    (addr, heads)
}

fn through(at: SocketAddr) -> Proxy {
    let proxy = Proxy::parse(&format!("http://u:p@{at}")).expect("a proxy");
    let secret = Secret::Text("s".to_owned());
    Proxy {
        http: Some(proxy.clone()),
        https: Some(proxy),
        connect_headers: vec![(HeaderName::from_static("x-team"), secret)],
        ..Proxy::default()
    }
}

#[tokio::test]
async fn a_proxy_is_asked_for_whole_addresses() {
    let (proxy, heads) = proxy_server().await;
    let options = ClientOptions { proxy: through(proxy), ..ClientOptions::default() };
    let told = get(options, "http://no.such.host.test:99/a?b=c").await;
    assert_eq!(told.as_deref(), Ok("proxied"));
    let head = heads.lock()[0].clone();
    assert!(head.starts_with("GET http://no.such.host.test:99/a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("proxy-authorization: basic dtpw"), "{head}");
}

#[tokio::test]
async fn a_proxy_opens_tunnels_for_tls() {
    let now = SystemClock::new().now();
    let authority = Authority::in_memory(now).expect("an authority");
    let identity = authority.issue_server("t", &["127.0.0.1"], now).expect("issued");
    let tls = server_config(&identity, authority.certificate_pem(), ClientAuth::Optional);
    let listener = bind(([127, 0, 0, 1], 0).into(), "--t").await.expect("a free port");
    let target = listener.local_addr().expect("bound");
    let asked = Asked::default();
    let metrics = HttpMetrics::register(&prometheus::Registry::new()).expect("new");
    let server = Server::new("t", listener, keeping(&asked), &metrics).tls(tls.expect("good"));
    tokio::spawn(server.run(tokio_util::sync::CancellationToken::new()));
    let (proxy, heads) = proxy_server().await;
    let ca = Some(Pem::Text(authority.certificate_pem().to_owned()));
    let options = ClientOptions {
        proxy: through(proxy),
        tls: TlsOptions { ca, min_version: Some(TlsVersion::Tls13), ..TlsOptions::default() },
        ..ClientOptions::default()
    };
    let told = get(options.clone(), &format!("https://{target}/x")).await;
    assert_eq!(told.as_deref(), Ok("hello"));
    assert!(asked.last().1.get(header::PROXY_AUTHORIZATION).is_none(), "the target is not told");
    let head = heads.lock()[0].clone();
    let start = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic dTpw\r\n"
    );
    assert!(head.starts_with(&start) && head.contains("x-team: s"), "{head}");
    let error = get(options, "https://127.0.0.1:1/").await.expect_err("no tunnel");
    assert!(error.contains("opens no tunnel to 127.0.0.1:1") && error.contains("502"), "{error}");
}

/// A TLS server that shows `certificate`, whatever it is.
async fn showing(certificate: CertificateDer<'static>, key: &rcgen::KeyPair) -> SocketAddr {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signing = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let signing = provider.key_provider.load_private_key(signing).expect("a key for signing");
    let shown = CertifiedKey::new(vec![certificate], signing);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    let listener = bind(([127, 0, 0, 1], 0).into(), "--t").await.expect("a free port");
    let at = listener.local_addr().expect("bound");
    let metrics = HttpMetrics::register(&prometheus::Registry::new()).expect("new");
    let server = Server::new("t", listener, keeping(&Asked::default()), &metrics);
    tokio::spawn(server.tls(Arc::new(config)).run(tokio_util::sync::CancellationToken::new()));
    at
}

/// As `openssl req -x509` makes it: signed by itself, and marked as an authority's.
fn signed_by_itself(
    names: &[&str],
    years: std::ops::Range<i32>,
) -> (rcgen::Certificate, rcgen::KeyPair) {
    let names = names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut params = rcgen::CertificateParams::new(names).expect("names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("signed"), key)
}

fn tls(options: TlsOptions) -> ClientOptions {
    ClientOptions { tls: options, ..ClientOptions::default() }
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_believed() {
    let believing = |certificate: &rcgen::Certificate| {
        let ca = Some(Pem::Text(certificate.pem()));
        tls(TlsOptions { ca, ..TlsOptions::default() })
    };
    let (own, key) = signed_by_itself(&["127.0.0.1"], 2020..3000);
    let at = format!("https://{}/", showing(own.der().clone(), &key).await);
    assert_eq!(get(believing(&own), &at).await.as_deref(), Ok("hello"));
    let (other, _) = signed_by_itself(&["127.0.0.1"], 2020..3000);
    let error = get(believing(&other), &at).await.expect_err("another one's");
    assert!(error.contains("invalid peer certificate"), "{error}");
    // Name and times are looked at all the same
    let (elsewhere, key) = signed_by_itself(&["elsewhere"], 2020..3000);
    let at = format!("https://{}/", showing(elsewhere.der().clone(), &key).await);
    let error = get(believing(&elsewhere), &at).await.expect_err("another name");
    assert!(error.contains("not valid for name"), "{error}");
    let (old, key) = signed_by_itself(&["127.0.0.1"], 2019..2020);
    let at = format!("https://{}/", showing(old.der().clone(), &key).await);
    let error = get(believing(&old), &at).await.expect_err("too old");
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_nobody_verifies_may_be_of_any_form() {
    let (own, key) = signed_by_itself(&["127.0.0.1"], 2020..3000);
    let mut der = own.der().to_vec();
    let version = [0xa0, 3, 2, 1, 2];
    let at = der.windows(version.len()).position(|five| five == version).expect("version 3");
    // Version 1, as devices have it
    der[at + 4] = 0;
    let at = format!("https://{}/", showing(der.into(), &key).await);
    let error = get(ClientOptions::default(), &at).await.expect_err("nobody signed it");
    assert!(error.contains("invalid peer certificate"), "{error}");
    for max_version in [TlsVersion::Tls12, TlsVersion::Tls13] {
        let any = TlsOptions {
            insecure_skip_verify: true,
            max_version: Some(max_version),
            ..TlsOptions::default()
        };
        assert_eq!(get(tls(any), &at).await.as_deref(), Ok("hello"), "{max_version:?}");
    }
}

#[tokio::test]
async fn headers_are_for_the_host_they_are_meant_for() {
    let there = Asked::default();
    let other = serve(keeping(&there)).await;
    let here = Asked::default();
    let kept = here.clone();
    let redirect = move |request: Request| {
        let kept = kept.clone();
        async move {
            keep(State(kept), request).await;
            (StatusCode::FOUND, [(header::LOCATION, format!("http://{other}/there"))])
        }
    };
    let first = serve(Router::new().fallback(redirect)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("secret");
    std::fs::write(&file, "from-file\n").expect("written");
    let options = ClientOptions {
        auth: Auth::Header {
            scheme: "Token".to_owned(),
            credentials: Secret::Text("t".to_owned()),
        },
        headers: vec![ExtraHeader {
            name: HeaderName::from_static("x-tenant"),
            values: vec![Secret::Text("one".to_owned()), Secret::File(file)],
        }],
        ..ClientOptions::default()
    };
    assert_eq!(get(options, &format!("http://{first}/")).await.as_deref(), Ok("hello"));
    let (_, headers, _) = here.last();
    let values: Vec<_> = headers.get_all("x-tenant").iter().collect();
    assert_eq!(values, ["one", "from-file"]);
    assert_eq!(headers[header::AUTHORIZATION], "Token t");
    let (at, headers, _) = there.last();
    assert_eq!(at, "/there");
    assert!(headers.get("x-tenant").is_none() && headers.get(header::AUTHORIZATION).is_none());
}

#[tokio::test]
async fn a_socket_in_the_file_system_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    tokio::spawn(async move {
        axum::serve(listener, Router::new().fallback(|| async { "hello" })).await
    });
    let client = HttpClient::over_socket(path.clone(), ClientOptions::default()).expect("good");
    assert_eq!(get_with(&client, "http://any/x").await.as_deref(), Ok("hello"));
    std::fs::remove_file(&path).expect("removed");
    let client = HttpClient::over_socket(path, ClientOptions::default()).expect("good");
    let error = get_with(&client, "http://any/x").await.expect_err("gone");
    assert!(error.contains("connect to the socket"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_at_once() {
    let none = TlsOptions {
        min_version: Some(TlsVersion::Tls13),
        max_version: Some(TlsVersion::Tls12),
        ..TlsOptions::default()
    };
    let options = ClientOptions { tls: none, ..ClientOptions::default() };
    let error = get(options, "http://127.0.0.1:1/").await.expect_err("no version");
    assert!(error.contains("no version is left"), "{error}");
    let big = serve(Router::new().fallback(|| async { "x".repeat(70_000) })).await;
    let error = get(ClientOptions::default(), &format!("http://{big}/")).await.expect_err("big");
    assert!(error.contains("more than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn only_allowed_addresses_are_connected_to_wherever_a_redirect_or_a_name_leads() {
    // Another address of this host, which is not allowed.
    let listener = TcpListener::bind("127.0.0.2:0").await.expect("loopback has many addresses");
    let forbidden = listener.local_addr().expect("bound");
    let reached = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reached);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let redirect = move || async move {
        (StatusCode::FOUND, [(header::LOCATION, format!("http://{forbidden}/there"))])
    };
    let hello = Router::new().route("/hello", axum::routing::get(|| async { "hello" }));
    let first = serve(hello.fallback(redirect)).await;
    let only = |networks: &[&str]| ClientOptions {
        reach: Reach::only(networks.iter().copied()).expect("networks"),
        ..ClientOptions::default()
    };
    let narrow = || only(&["127.0.0.1", "10.0.0.0/8"]);
    assert_eq!(get(narrow(), &format!("http://{first}/hello")).await.as_deref(), Ok("hello"));
    for url in [format!("http://{first}/"), format!("http://{forbidden}/")] {
        let error = get(narrow(), &url).await.expect_err("out of reach");
        assert!(error.contains("127.0.0.2, which is not among the addresses"), "{error}");
    }
    // A name counts for what it resolves to.
    let by_name = format!("http://localhost:{}/hello", first.port());
    assert_eq!(get(narrow(), &by_name).await.as_deref(), Ok("hello"));
    let error = get(only(&["10.0.0.0/8"]), &by_name).await.expect_err("out of reach");
    assert!(error.contains("localhost is ") && error.contains("not among"), "{error}");
    assert_eq!(reached.load(Ordering::Relaxed), 0, "nobody was connected to");
}
