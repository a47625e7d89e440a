//! The proxy over real sockets: balancing, endpoints that come, go and die, and what it counts.

#![expect(clippy::unwrap_used, reason = "all of it is tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus::Registry;
use swell_env::SystemClock;
use swell_model::{DurationMs, METRIC_NAME, Pass, TimestampMs};
use swell_netproxy::{Config, Endpoint, Frontend, NetProxy, Protocol, Ruleset, ServiceName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// A loopback address nothing else in this test uses, with any free port.
fn own_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [net, host] = NEXT.fetch_add(1, Relaxed).to_be_bytes();
    SocketAddr::from(([127, 77, net, host], 0))
}

/// A server that answers with its name and what it was sent.
struct Pod {
    name: String,
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    /// Requests wait while this is set.
    is_held: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Pod {
    async fn start(name: &str) -> Self {
        let listener = TcpListener::bind(own_address()).await.unwrap();
        let pod = Self {
            name: name.to_owned(),
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            is_held: Arc::default(),
            stop: CancellationToken::new(),
        };
        let (name, requests, is_held, stop) =
            (name.to_owned(), pod.requests.clone(), pod.is_held.clone(), pod.stop.clone());
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.cancelled() => return,
                };
                let (stream, _) = accepted.unwrap();
                let (name, requests, is_held, stop) =
                    (name.clone(), requests.clone(), is_held.clone(), stop.clone());
                tokio::spawn(async move {
                    let handler = service_fn(|request: Request<Incoming>| {
                        requests.fetch_add(1, Relaxed);
                        answer(name.clone(), is_held.clone(), request)
                    });
                    let connection =
                        http1::Builder::new().serve_connection(TokioIo::new(stream), handler);
                    let mut connection = std::pin::pin!(connection.with_upgrades());
                    let ended = tokio::select! {
                        ended = connection.as_mut() => ended,
                        () = stop.cancelled() => {
                            connection.as_mut().graceful_shutdown();
                            connection.await
                        }
                    };
                    // a client may hang up at any time
                    drop(ended);
                });
            }
        });
        pod
    }

    /// Ends as a well-behaved process does: no new connections, requests under way are answered.
    fn end(&self) {
        self.stop.cancel();
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address, pod: self.name.clone() }
    }
}

async fn answer(
    name: String,
    is_held: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    while is_held.load(Relaxed) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seen: Vec<String> = request
        .headers()
        .iter()
        .filter(|(header, _)| header.as_str().starts_with("x-") || *header == "host")
        .map(|(header, value)| format!("{header}={}", value.to_str().unwrap()))
        .collect();
    let line = format!("{name} {} {} {}", request.method(), request.uri(), seen.join(" "));
    if request.headers().contains_key("upgrade") {
        let response = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(Full::default());
        tokio::spawn(async move {
            let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut buffer = [0; 5];
            stream.read_exact(&mut buffer).await.unwrap();
            stream.write_all(&buffer).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        return Ok(response.unwrap());
    }
    let status = if request.uri().path() == "/missing" { 404 } else { 200 };
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::new(Full::from("the body broke off")));
    };
    let body = [line.as_bytes(), b" ", &body.to_bytes()].concat();
    Ok(Response::builder().status(status).header("x-by", name).body(Full::from(body)).unwrap())
}

/// A proxy with one frontend, and a client of it.
struct Proxied {
    proxy: NetProxy,
    address: SocketAddr,
    protocol: Protocol,
    client: Client<HttpConnector, Full<Bytes>>,
}

fn service() -> ServiceName {
    ServiceName { namespace: "default".to_owned(), name: "web".to_owned() }
}

/// A port that is free now.
async fn free_address() -> SocketAddr {
    TcpListener::bind(own_address()).await.unwrap().local_addr().unwrap()
}

impl Proxied {
    async fn start(protocol: Protocol, pods: &[&Pod]) -> Self {
        Self::patient(protocol, pods, Config::ENDPOINT_WAIT).await
    }

    async fn patient(protocol: Protocol, pods: &[&Pod], endpoint_wait: DurationMs) -> Self {
        let config = Config { endpoint_wait, ..Config::node("n1") };
        let clock = Arc::new(SystemClock::new());
        let proxied = Self {
            proxy: NetProxy::new(config, clock, &Registry::new()).unwrap(),
            address: free_address().await,
            protocol,
            client: Client::builder(TokioExecutor::new()).build_http(),
        };
        proxied.set(pods).await;
        assert_eq!(proxied.proxy.status()[0].fault, None);
        proxied
    }

    async fn set(&self, pods: &[&Pod]) {
        let mut endpoints: Vec<Endpoint> = pods.iter().map(|pod| pod.endpoint()).collect();
        endpoints.sort();
        let frontend = Frontend {
            service: service(),
            port_name: "http".to_owned(),
            protocol: self.protocol,
            endpoints,
            not_ready_count: 2,
        };
        let frontends = BTreeMap::from([(self.address, frontend)]);
        self.proxy.apply(Ruleset { frontends, problems: Vec::new() }).await;
    }

    fn request(&self, method: Method, path: &str, body: &str) -> Request<Full<Bytes>> {
        let builder =
            Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        builder.body(Full::from(body.to_owned())).unwrap()
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, String) {
        let response = self.client.request(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        self.send(self.request(Method::GET, path, "")).await
    }

    /// What a tick records, by metric and the given label.
    fn recorded(&self, label: &str) -> BTreeMap<String, f64> {
        let mut pass = Pass::new();
        self.proxy.record(&mut pass);
        let delta = pass.finish(TimestampMs(1));
        let labels: BTreeMap<_, _> = delta.announced.iter().cloned().collect();
        let mut recorded = BTreeMap::new();
        for (number, value) in delta.samples {
            let of = &labels[&number];
            let name = of.get(METRIC_NAME).unwrap().trim_start_matches("swell_service_");
            let key = format!("{name} {}", of.get(label).unwrap_or_default());
            recorded.insert(key.trim().to_owned(), value);
        }
        recorded
    }
}

/// Polls a condition until it holds.
async fn wait(mut holds: impl FnMut() -> bool) {
    let polled = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, polled).await.expect("the condition holds in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_round_and_are_counted() {
    let (a, b) = (Pod::start("a").await, Pod::start("b").await);
    let proxied = Proxied::start(Protocol::Http, &[&a, &b]).await;
    for _ in 0..10 {
        assert_eq!(proxied.get("/x?y=1").await.0, StatusCode::OK);
    }
    let host = proxied.address;
    let post = proxied.request(Method::POST, "/form", "hello");
    let (status, text) = proxied.send(post).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(&text[1..], format!(" POST /form host={host} hello"));
    assert_eq!(proxied.get("/missing").await.0, StatusCode::NOT_FOUND);
    assert_eq!((a.requests.load(Relaxed), b.requests.load(Relaxed)), (6, 6));

    let by_code = proxied.recorded("code");
    assert_eq!(by_code["requests_total 200"], 11.0);
    assert_eq!(by_code["requests_total 404"], 1.0);
    assert_eq!(by_code["requests_in_flight"], 0.0);
    assert_eq!(by_code["request_duration_seconds_count"], 12.0);
    assert!(by_code["request_duration_seconds_sum"] > 0.0);
    assert!(!by_code.contains_key("connections_total"), "that is for plain TCP");
    let by_pod = proxied.recorded("pod");
    assert_eq!(
        (by_pod["endpoint_requests_total a"], by_pod["endpoint_requests_total b"]),
        (6.0, 6.0)
    );
    let by_bound = proxied.recorded("le");
    assert_eq!(by_bound["request_duration_seconds_bucket +Inf"], 12.0);
    assert!(by_bound["request_duration_seconds_bucket 10"] == 12.0);

    proxied.set(&[&a]).await;
    assert!(!proxied.recorded("pod").contains_key("endpoint_requests_total b"));
    proxied.proxy.apply(Ruleset::default()).await;
    assert!(proxied.recorded("pod").is_empty() && proxied.proxy.status().is_empty());
    assert!(TcpStream::connect(proxied.address).await.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_gets_fewer_requests() {
    let (slow, fast) = (Pod::start("slow").await, Pod::start("fast").await);
    let proxied = Arc::new(Proxied::start(Protocol::Http, &[&slow, &fast]).await);
    slow.is_held.store(true, Relaxed);
    let held: Vec<_> = (0..8)
        .map(|_| {
            let proxied = proxied.clone();
            tokio::spawn(async move { proxied.get("/").await.0 })
        })
        .collect();
    // all eight are taken, and those of the fast one are answered
    wait(|| {
        let of_slow = slow.requests.load(Relaxed);
        let is_taken = of_slow + fast.requests.load(Relaxed) == 8;
        is_taken && proxied.recorded("")["requests_in_flight"] == of_slow as f64
    })
    .await;
    for _ in 0..20 {
        let (_, text) = proxied.get("/").await;
        assert!(text.starts_with("fast"), "{text}");
    }
    assert!(proxied.recorded("")["requests_in_flight"] >= 1.0);
    slow.is_held.store(false, Relaxed);
    for one in held {
        assert_eq!(one.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(proxied.recorded("")["requests_in_flight"], 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_a_request_waits_and_then_says_why() {
    let proxied = Proxied::patient(Protocol::Http, &[], DurationMs(50)).await;
    let (status, text) = proxied.get("/").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        text,
        "service default/web port http has no ready endpoint: 2 pods are not ready; \
         see `kubectl -n default describe endpoints web`\n"
    );
    assert_eq!(proxied.recorded("code")["requests_total 503"], 1.0);

    let proxied = Arc::new(Proxied::patient(Protocol::Http, &[], DurationMs(20_000)).await);
    let waiting = {
        let proxied = proxied.clone();
        tokio::spawn(async move { proxied.get("/").await })
    };
    wait(|| proxied.recorded("")["requests_in_flight"] == 1.0).await;
    let pod = Pod::start("late").await;
    proxied.set(&[&pod]).await;
    let (status, text) = waiting.await.unwrap();
    assert_eq!((status, &text[..4]), (StatusCode::OK, "late"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_dead_costs_no_request() {
    let (a, b) = (Pod::start("a").await, Pod::start("b").await);
    let proxied = Proxied::start(Protocol::Http, &[&a, &b]).await;
    for _ in 0..8 {
        proxied.get("/").await;
    }
    // idle connections to it stand; nobody has told the proxy
    a.end();
    wait(|| std::net::TcpStream::connect(a.address).is_err()).await;
    for method in [Method::GET, Method::POST, Method::PUT, Method::GET] {
        for _ in 0..5 {
            let (status, text) = proxied.send(proxied.request(method.clone(), "/", "")).await;
            assert_eq!(status, StatusCode::OK, "{text}");
        }
    }
    assert!(proxied.recorded("pod")["endpoint_failures_total a"] >= 1.0);

    // the last one dies too: an answer that says so, and no hang
    b.end();
    wait(|| std::net::TcpStream::connect(b.address).is_err()).await;
    let (status, text) = proxied.get("/").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    let start = format!("service default/web: no endpoint answered: connect to {}", b.address);
    let start_a = format!("service default/web: no endpoint answered: connect to {}", a.address);
    assert!(text.starts_with(&start) || text.starts_with(&start_a), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_may_have_had_an_effect_is_not_sent_twice() {
    // reads a request, then hangs up without an answer
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            if stream.read(&mut buffer).await.unwrap_or(0) > 0 {
                count.fetch_add(1, Relaxed);
            }
        }
    });
    let rude = Pod { address, ..Pod::start("rude").await };
    let good = Pod::start("good").await;
    let proxied = Proxied::start(Protocol::Http, &[&rude, &good]).await;
    let mut refused = 0;
    for _ in 0..6 {
        let (status, _) = proxied.send(proxied.request(Method::POST, "/", "charge me")).await;
        refused += usize::from(status == StatusCode::BAD_GATEWAY);
    }
    assert_eq!((refused, good.requests.load(Relaxed)), (3, 3));
    assert_eq!(taken.load(Relaxed), 3);
    // reading again is harmless
    for _ in 0..6 {
        assert_eq!(proxied.get("/").await.0, StatusCode::OK);
    }
}

/// Clients that send what `method` says until they are stopped, and fail on any answer but 200.
struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<tokio::task::JoinHandle<(usize, BTreeSet<String>)>>,
}

impl Load {
    fn start(proxied: &Arc<Proxied>, method: fn(usize) -> Method) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let worker = |worker: usize| {
            let (proxied, stop) = (proxied.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut sent, mut answered_by) = (0_usize, BTreeSet::new());
                while !stop.load(Relaxed) {
                    let method = method(worker + sent);
                    let body = if method == Method::POST { "one of these" } else { "" };
                    let (status, text) = proxied.send(proxied.request(method, "/", body)).await;
                    assert_eq!(status, StatusCode::OK, "{text}");
                    answered_by.insert(text.split(' ').next().unwrap().to_owned());
                    sent += 1;
                }
                (sent, answered_by)
            })
        };
        Self { workers: (0..24).map(worker).collect(), stop }
    }

    /// Requests sent, and by how many pods they were answered.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Relaxed);
        let (mut sent, mut answered_by) = (0, BTreeSet::new());
        for worker in self.workers {
            let (of_worker, by) = worker.await.unwrap();
            sent += of_worker;
            answered_by.extend(by);
        }
        (sent, answered_by.len())
    }
}

/// Starts three pods, and waits until the last of them is used.
async fn scale_out(proxied: &Proxied, pods: &mut Vec<Pod>, round: usize) {
    for idx in 0..3 {
        pods.push(Pod::start(&format!("p{round}-{idx}")).await);
    }
    proxied.set(&pods.iter().collect::<Vec<_>>()).await;
    let newest = pods.last().unwrap().requests.clone();
    wait(|| newest.load(Relaxed) > 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_come_and_drain_under_load_fail_no_request() {
    let mut pods = vec![Pod::start("p0").await];
    let proxied = Arc::new(Proxied::start(Protocol::Http, &[&pods[0]]).await);
    let load =
        Load::start(&proxied, |n| if n.is_multiple_of(3) { Method::POST } else { Method::GET });
    for round in 1..40 {
        scale_out(&proxied, &mut pods, round).await;
        let leaving: Vec<Pod> = pods.drain(..3).collect();
        proxied.set(&pods.iter().collect::<Vec<_>>()).await;
        for pod in leaving {
            wait(|| proxied.proxy.is_drained(pod.address.ip())).await;
            pod.end();
        }
    }
    let (sent, pod_count) = load.end().await;
    let recorded = proxied.recorded("code");
    assert_eq!(recorded["requests_total 200"], sent as f64);
    assert_eq!(recorded["requests_in_flight"], 0.0);
    assert!(pod_count > 100, "{pod_count} pods answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_end_before_anybody_knows_fail_no_request_that_may_be_repeated() {
    let mut pods = vec![Pod::start("p0").await];
    let proxied = Arc::new(Proxied::start(Protocol::Http, &[&pods[0]]).await);
    let load =
        Load::start(&proxied, |n| if n.is_multiple_of(3) { Method::HEAD } else { Method::GET });
    for round in 1..40 {
        scale_out(&proxied, &mut pods, round).await;
        // the process ends first, and its endpoint is removed when that is noticed
        pods[..3].iter().for_each(Pod::end);
        let reached = pods.last().unwrap().requests.load(Relaxed) + 20;
        wait(|| pods.last().unwrap().requests.load(Relaxed) >= reached).await;
        pods.drain(..3);
        proxied.set(&pods.iter().collect::<Vec<_>>()).await;
    }
    let (sent, _) = load.end().await;
    assert_eq!(proxied.recorded("code")["requests_total 200"], sent as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_to_an_endpoint_that_leaves_are_answered() {
    let (a, b) = (Pod::start("a").await, Pod::start("b").await);
    let proxied = Arc::new(Proxied::start(Protocol::Http, &[&a]).await);
    a.is_held.store(true, Relaxed);
    let under_way = {
        let proxied = proxied.clone();
        tokio::spawn(async move { proxied.get("/").await })
    };
    wait(|| a.requests.load(Relaxed) == 1).await;
    proxied.set(&[&b]).await;
    assert!(proxied.get("/").await.1.starts_with('b'));
    assert_eq!(proxied.recorded("pod")["endpoint_requests_total a"], 0.0, "not answered yet");
    a.is_held.store(false, Relaxed);
    assert!(under_way.await.unwrap().1.starts_with('a'));

    // the same at shutdown
    b.is_held.store(true, Relaxed);
    let under_way = {
        let proxied = proxied.clone();
        tokio::spawn(async move { proxied.get("/").await })
    };
    wait(|| b.requests.load(Relaxed) == 2).await;
    let stopping = tokio::spawn({
        let proxy = proxied.proxy.clone();
        async move { proxy.stop().await }
    });
    wait(|| std::net::TcpStream::connect(proxied.address).is_err()).await;
    b.is_held.store(false, Relaxed);
    assert!(under_way.await.unwrap().1.starts_with('b'));
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_is_answered_or_hung_up_on() {
    let pod = Pod::start("a").await;
    let proxied = Proxied::start(Protocol::Http, &[&pod]).await;
    let check = async |sent: &[u8], expected: &str| {
        let mut stream = TcpStream::connect(proxied.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut answer)).await.unwrap();
        let text = String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
        assert!(text.starts_with(expected), "{text:?} to {:?}", String::from_utf8_lossy(sent));
    };
    check(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage\r\n\r\n", "HTTP/1.1 400").await;
    check(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 400").await;
    check(b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400").await;
    check(b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200").await;
    check(b"GET http://other/x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200").await;
    assert_eq!(proxied.get("/").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_one_connection_end_there_and_upgrades_pass() {
    let pod = Pod::start("a").await;
    let proxied = Proxied::start(Protocol::Http, &[&pod]).await;
    let mut request = proxied.request(Method::GET, "/", "");
    for (name, value) in [("connection", "x-hop, keep-alive"), ("x-hop", "1"), ("x-end", "2")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let (_, text) = proxied.send(request).await;
    assert!(text.contains("x-end=2") && !text.contains("x-hop"), "{text}");

    let mut stream = TcpStream::connect(proxied.address).await.unwrap();
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let count = stream.read(&mut answer).await.unwrap();
    let text = String::from_utf8_lossy(&answer[..count]).to_ascii_lowercase();
    assert!(text.starts_with("http/1.1 101") && text.contains("upgrade: echo"), "{text}");
    stream.write_all(b"hello").await.unwrap();
    let mut echoed = String::new();
    stream.read_to_string(&mut echoed).await.unwrap();
    assert_eq!(echoed, "hello");
    drop(stream);
    wait(|| proxied.recorded("")["requests_in_flight"] == 0.0).await;
    // It is counted a moment after it is no longer under way.
    wait(|| proxied.recorded("code").get("requests_total 101") == Some(&1.0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_tcp_is_copied_and_counted() {
    let (a, b) = (Pod::start("a").await, Pod::start("b").await);
    let proxied = Proxied::start(Protocol::Tcp, &[&a, &b]).await;
    a.end();
    wait(|| std::net::TcpStream::connect(a.address).is_err()).await;
    for _ in 0..4 {
        let mut stream = TcpStream::connect(proxied.address).await.unwrap();
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("b GET / host=a "), "{answer}");
    }
    wait(|| proxied.recorded("")["connections_open"] == 0.0).await;
    let recorded = proxied.recorded("");
    assert_eq!(recorded["connections_total"], 4.0);
    assert!(recorded["received_bytes_total"] > 100.0 && recorded["sent_bytes_total"] > 100.0);
    assert!(!recorded.contains_key("requests_in_flight"));

    let nobody = Proxied::patient(Protocol::Tcp, &[], DurationMs(20)).await;
    let mut stream = TcpStream::connect(nobody.address).await.unwrap();
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "hung up on after the wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_told_and_taken_when_free() {
    let pod = Pod::start("a").await;
    let holder = TcpListener::bind(own_address()).await.unwrap();
    let clock = Arc::new(SystemClock::new());
    let proxied = Proxied {
        proxy: NetProxy::new(Config::node("n1"), clock, &Registry::new()).unwrap(),
        address: holder.local_addr().unwrap(),
        protocol: Protocol::Http,
        client: Client::builder(TokioExecutor::new()).build_http(),
    };
    proxied.set(&[&pod]).await;
    let fault = proxied.proxy.status()[0].fault.clone();
    assert!(fault.as_deref().is_some_and(|fault| fault.contains("in use")), "{fault:?}");
    drop(holder);
    proxied.set(&[&pod]).await;
    assert_eq!(proxied.proxy.status()[0].fault, None);
    assert_eq!(proxied.get("/").await.0, StatusCode::OK);

    // the same address for another kind of port
    let client = Client::builder(TokioExecutor::new()).build_http();
    let tcp = Proxied { protocol: Protocol::Tcp, client, ..proxied };
    tcp.set(&[&pod]).await;
    assert_eq!(tcp.proxy.status()[0].fault, None);
    assert!(tcp.get("/").await.1.starts_with('a'));
}
