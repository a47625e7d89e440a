//! What happens around every request: a span, counters, a time, a limit of its body, and a panic turned into a 500.

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{Method, StatusCode};
use prometheus::IntGauge;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tracing::{Instrument as _, debug, debug_span};

use crate::error::ErrorBody;
use crate::limits::BODY_BYTES_MAX;
use crate::metrics::HttpMetrics;
use crate::peer::Peer;

#[derive(Clone)]
struct Surface {
    listener: &'static str,
    metrics: HttpMetrics,
}

/// Puts span, metrics, a limit of bodies and panic handling around a router.
pub(crate) fn instrument(router: Router, listener: &'static str, metrics: &HttpMetrics) -> Router {
    let surface = Surface { listener, metrics: metrics.clone() };
    router
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(from_fn_with_state(surface, observe))
}

/// Counts itself out when the request ends or is given up.
struct Under(IntGauge);

impl Drop for Under {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn observe(State(surface): State<Surface>, request: Request, next: Next) -> Response {
    let Surface { listener, metrics } = surface;
    let in_flight = metrics.in_flight.with_label_values(&[listener]);
    in_flight.inc();
    let _under = Under(in_flight);
    let start = Instant::now();
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
    let span = debug_span!("request", listener, method, route, peer);
    let response = async move {
        let response = next.run(request).await;
        debug!(code = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    metrics.duration.with_label_values(&[listener]).observe(start.elapsed().as_secs_f64());
    let code = response.status();
    metrics.requests.with_label_values(&[listener, &route, method, code.as_str()]).inc();
    response
}

/// Methods as a closed set: a client cannot make new series.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

fn answer_panic(panic: Box<dyn std::any::Any + Send>) -> Response<Body> {
    let what = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = what, "request handler panicked");
    axum::response::IntoResponse::into_response(ErrorBody::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the request ran into a fault of the server; its log has the details",
    ))
}
