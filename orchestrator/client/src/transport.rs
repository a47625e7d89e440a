//! How a request reaches the server: a call into a router of this process, or HTTPS.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

use crate::config::{BuildClientError, ClientConfig, tls_config};

/// Any error of a transport; its text and causes are all that a caller can use.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Body of an answer, whichever way it came.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

/// A service that answers requests, whichever way.
pub(crate) type Transport =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<AnswerBody>, BoxError>;

/// An idle connection is closed after this long: controllers keep a watch open anyway.
const POOL_IDLE: Duration = Duration::from_secs(60);
/// A server that is silent on an HTTP/2 connection for this long is asked whether it is still there.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// A server that does not answer that question for this long is gone.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);

/// Calls a router (or any other service) of this process.
pub(crate) fn in_process<S, B>(service: S) -> Transport
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(service.map_err(Into::into).map_response(|answer: Response<B>| {
        answer.map(|body| body.map_err(Into::into).boxed_unsync())
    }))
}

/// Connects to the server of `config` when asked, over HTTP/2 where the server speaks it.
pub(crate) fn https(config: &ClientConfig) -> Result<Transport, BuildClientError> {
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls_config(config)?)
        .https_only()
        .enable_all_versions()
        .build();
    let client: HyperClient<_, Full<Bytes>> = HyperClient::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .http2_keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .build(connector);
    Ok(in_process(client))
}
