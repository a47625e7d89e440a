//! One HTTP/1.1 request: to an endpoint and back.
//!
//! A request goes to another endpoint only when the first cannot have acted on it: the connection was not
//! made, or the request was never written. A request with a safe method and no body may go again also
//! when a connection ended without an answer, as RFC 9110 (9.2.2) permits: that is what a pod leaves
//! behind that ends with connections open.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body_util::{Either, Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tracing::debug;

use crate::backend::{Connection, Lease, Outbound, Unanswered};
use crate::frontend::Shared;

/// Connections one request is tried on; an endpoint that died may cost it two.
const ATTEMPTS_MAX: usize = 8;

/// What nginx logs when the client went away before the answer.
const CODE_CLIENT_GONE: u16 = 499;

/// Headers that are about one connection.
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A body on its way to a client: an endpoint's, or a sentence of our own.
pub(crate) type ProxyBody = Either<Forwarded, Full<Bytes>>;

/// Answers one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    let mut count = Count::begin(&shared);
    let protocol = requested_upgrade(request.headers());
    let client_side = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
    if let Err(what) = prepare(&mut request, protocol) {
        return Ok(count.answer(StatusCode::BAD_REQUEST, what.to_owned()));
    }
    let mut response = match forward(&shared, request.map(Either::Left), &mut count).await {
        Ok(response) => response,
        Err(Refusal { status, text }) => return Ok(count.answer(status, text)),
    };
    count.code = response.status().as_u16();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if let Some(client_side) = client_side {
            let server_side = hyper::upgrade::on(&mut response);
            tokio::spawn(splice(client_side, server_side, count));
        }
        return Ok(response.map(|_| Either::Right(Full::default())));
    }
    remove_hop_by_hop(response.headers_mut());
    Ok(response.map(|inner| Either::Left(Forwarded { inner, count: Some(count) })))
}

/// Why no endpoint answered.
struct Refusal {
    status: StatusCode,
    text: String,
}

async fn forward(
    shared: &Arc<Shared>,
    mut request: Request<Outbound>,
    count: &mut Count,
) -> Result<Response<Incoming>, Refusal> {
    let deadline = tokio::time::Instant::now() + shared.endpoint_wait;
    let mut refused: Vec<SocketAddr> = Vec::new();
    let mut last_error = String::new();
    for attempt in 0..ATTEMPTS_MAX {
        if attempt > 0 {
            shared.stats.retries.fetch_add(1, Relaxed);
        }
        let lease = match shared.pick(&refused, deadline).await {
            Ok(lease) => lease,
            Err(text) if attempt == 0 => {
                return Err(Refusal { status: StatusCode::SERVICE_UNAVAILABLE, text });
            }
            Err(_no_other) => break,
        };
        let backend = lease.backend();
        let address = backend.endpoint.address;
        let reused = backend.reuse();
        let is_reused = reused.is_some();
        let connection = match reused {
            Some(connection) => connection,
            None => match backend.connect_http().await {
                Ok(connection) => connection,
                Err(error) => {
                    last_error = format!("connect to {address}: {error}");
                    refused.push(address);
                    continue;
                }
            },
        };
        let spare = Head::of_repeatable(&request);
        match connection.send(request).await {
            Ok((response, connection)) => {
                backend.stats.requests.fetch_add(1, Relaxed);
                count.route = Some(Route { lease, connection });
                return Ok(response);
            }
            Err(Unanswered { error, unsent }) => {
                last_error = format!("{address}: {}", swell_telemetry::chain(&error));
                // the others that are idle have most likely met the same end
                backend.close_idle();
                if !is_reused {
                    backend.stats.failures.fetch_add(1, Relaxed);
                    refused.push(address);
                }
                match unsent.or_else(|| spare.map(Head::into_request)) {
                    Some(again) => request = again,
                    None => break,
                }
                debug!(%address, error = last_error, "a request goes to another connection");
            }
        }
    }
    let service = &shared.service;
    let text = format!("service {service}: no endpoint answered: {last_error}\n");
    Err(Refusal { status: StatusCode::BAD_GATEWAY, text })
}

/// Head of a request that may be sent again.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    /// The head, when the method is safe and there is no body that would be used up.
    fn of_repeatable(request: &Request<Outbound>) -> Option<Self> {
        (request.method().is_safe() && request.body().is_end_stream()).then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        })
    }

    fn into_request(self) -> Request<Outbound> {
        let mut request = Request::new(Either::Right(Empty::new()));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// The protocol a client wants to go over to.
fn requested_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let is_asked =
        connection.any(|list| list.split(',').any(|t| t.trim().eq_ignore_ascii_case("upgrade")));
    headers.get(header::UPGRADE).filter(|_| is_asked).cloned()
}

/// Makes a client's request one of ours: path only, a host, no headers of the client's connection.
fn prepare(
    request: &mut Request<Incoming>,
    upgrade: Option<HeaderValue>,
) -> Result<(), &'static str> {
    if request.method() == Method::CONNECT {
        return Err("this is a service, not a proxy to others: CONNECT is not supported\n");
    }
    if let Some(authority) = request.uri().authority() {
        let host =
            HeaderValue::from_str(authority.as_str()).map_err(|_| "the host is unusable\n")?;
        request.headers_mut().insert(header::HOST, host);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse().map_err(|_| "the path is unusable\n")?;
    } else if !request.headers().contains_key(header::HOST) {
        if request.version() > Version::HTTP_10 {
            return Err("there is no Host header\n");
        }
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    Ok(())
}

/// Removes what is about one connection, also what the `Connection` header names as such.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let lists = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let is_kept = |name: &&str| !name.eq_ignore_ascii_case("close");
    let names = lists.flat_map(|list| list.split(',')).map(str::trim).filter(is_kept);
    for name in names.map(str::to_owned).collect::<Vec<_>>() {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Copies between two connections that left HTTP behind.
async fn splice(client_side: OnUpgrade, server_side: OnUpgrade, count: Count) {
    let copied = async {
        let (client, server) = tokio::try_join!(client_side, server_side)?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        let copied = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        Ok::<_, hyper::Error>(copied)
    };
    if let Err(error) = copied.await {
        debug!(%error, service = %count.shared.service, "an upgraded connection failed");
    }
    drop(count);
}

/// The endpoint that answers and the connection it does so on.
struct Route {
    lease: Lease,
    connection: Option<Connection>,
}

/// One request under way: counted when it ends, however it does.
pub(crate) struct Count {
    shared: Arc<Shared>,
    began: Duration,
    code: u16,
    route: Option<Route>,
}

impl Count {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.stats.in_flight.fetch_add(1, Relaxed);
        Self {
            shared: Arc::clone(shared),
            began: shared.time.now(),
            code: CODE_CLIENT_GONE,
            route: None,
        }
    }

    /// Answers in the proxy's own name.
    fn answer(mut self, status: StatusCode, text: String) -> Response<ProxyBody> {
        self.code = status.as_u16();
        let mut response = Response::new(Either::Right(Full::from(text)));
        *response.status_mut() = status;
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// The answer was read to its end: its connection is good for another request.
    fn complete(mut self) {
        if let Some(Route { lease, connection: Some(connection) }) = self.route.take() {
            lease.backend().give_back(connection);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        let stats = &self.shared.stats;
        stats.in_flight.fetch_sub(1, Relaxed);
        stats.finished(self.code, self.shared.time.now().saturating_sub(self.began));
    }
}

/// An endpoint's body; counts the request when it ends.
pub(crate) struct Forwarded {
    inner: Incoming,
    count: Option<Count>,
}

impl Body for Forwarded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if frame.is_none()
            && let Some(count) = self.count.take()
        {
            count.complete();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Forwarded {
    /// A body whose end is known beforehand is not polled to it.
    fn drop(&mut self) {
        if self.inner.is_end_stream()
            && let Some(count) = self.count.take()
        {
            count.complete();
        }
    }
}
