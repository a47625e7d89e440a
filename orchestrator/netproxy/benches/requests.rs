//! Requests a second through the proxy, against the same requests sent straight to an endpoint.
//!
//! `cargo bench -p swell-netproxy --bench requests`. Client, proxy and endpoint share the process and
//! its two worker threads, so the CPU time of a request holds all three.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::time::{ClockId, clock_gettime};
use prometheus::Registry;
use swell_env::SystemClock;
use swell_netproxy::{Config, Endpoint, Frontend, NetProxy, Protocol, Ruleset, ServiceName};
use tokio::net::{TcpListener, TcpStream};

const CLIENTS: usize = 32;
const REQUESTS_PER_CLIENT: usize = 2000;

fn clock(id: ClockId) -> Duration {
    Duration::from(clock_gettime(id).expect("Linux has this clock"))
}

async fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("it listens");
            let answer = service_fn(|_: Request<Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(connection);
        }
    });
    address
}

async fn client(address: SocketAddr) {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.set_nodelay(true).expect("it is a TCP socket");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it is HTTP");
    tokio::spawn(connection);
    for _ in 0..REQUESTS_PER_CLIENT {
        let request = Request::get("/").header("host", "bench").body(Empty::<Bytes>::new());
        let request = request.expect("it is well formed");
        let response = sender.send_request(request).await.expect("it is answered");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("it is whole");
    }
}

async fn measure(what: &str, address: SocketAddr) {
    let (began, cpu) = (clock(ClockId::CLOCK_MONOTONIC), clock(ClockId::CLOCK_PROCESS_CPUTIME_ID));
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(address))).collect();
    for client in clients {
        client.await.expect("no client fails");
    }
    let requests = (CLIENTS * REQUESTS_PER_CLIENT) as f64;
    let wall = clock(ClockId::CLOCK_MONOTONIC).saturating_sub(began).as_secs_f64();
    let cpu = clock(ClockId::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(cpu).as_secs_f64();
    println!(
        "{what:<9} {:>7.0} requests/s, {:>5.1} us of CPU each (client and endpoint included)",
        requests / wall,
        cpu * 1e6 / requests
    );
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut endpoints = Vec::new();
    for idx in 0..4 {
        endpoints.push(Endpoint { address: endpoint().await, pod: format!("p{idx}") });
    }
    let direct = endpoints[0].address;
    endpoints.sort();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let registry = Registry::new();
    let clock = Arc::new(SystemClock::new());
    let proxy = NetProxy::new(Config::node("n1"), clock, &registry).expect("a fresh registry");
    let frontend = Frontend {
        service: ServiceName { namespace: "default".to_owned(), name: "web".to_owned() },
        port_name: "http".to_owned(),
        protocol: Protocol::Http,
        endpoints,
        not_ready_count: 0,
    };
    let frontends = BTreeMap::from([(address, frontend)]);
    proxy.apply(Ruleset { frontends, problems: Vec::new() }).await;
    for _ in 0..2 {
        measure("direct", direct).await;
        measure("proxied", address).await;
    }
}
