//! The service that the demo scales: a real HTTP server whose requests cost CPU time.
//!
//! It runs on one thread, so a request that arrives while another is computed waits: latency rises with
//! load as it does in a real single-threaded service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, http};
use rustix::time::{ClockId, clock_gettime};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// What the service is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServiceConfig {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// CPU time that a request to `/work` costs.
    pub(crate) cost: Duration,
}

struct Service {
    cost: Duration,
    request_count: AtomicU64,
}

/// Serves until SIGTERM, then lets open requests finish.
pub(crate) async fn serve(config: ServiceConfig) -> anyhow::Result<()> {
    let service = Arc::new(Service { cost: config.cost, request_count: AtomicU64::new(0) });
    let router = Router::new()
        .route("/work", get(work))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(metrics))
        .with_state(service);
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen on {}: is the address in use?", config.listen))?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    axum::serve(listener, router)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await
        .context("serve")
}

async fn work(State(service): State<Arc<Service>>) -> String {
    let request_number = service.request_count.fetch_add(1, Ordering::Relaxed) + 1;
    let digest = burn(service.cost, request_number);
    format!("request {request_number}: {digest:016x}\n")
}

async fn metrics(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let body = format!(
        "# HELP demo_requests_total Requests that did work.\n# TYPE demo_requests_total counter\ndemo_requests_total {}\n",
        service.request_count.load(Ordering::Relaxed)
    );
    ([(http::header::CONTENT_TYPE, "text/plain; version=0.0.4")], body)
}

/// Hashes until this thread has used `cost` more CPU time; gives the last digest, so that no
/// optimiser may drop the work. By CPU time and not by rounds: a fast machine does more of them, and
/// the load in per cent is the same everywhere.
fn burn(cost: Duration, seed: u64) -> u64 {
    const ROUNDS_PER_LOOK: usize = 512;
    let start = thread_cpu_time();
    let mut digest = seed | 1;
    while thread_cpu_time().saturating_sub(start) < cost {
        for _ in 0..ROUNDS_PER_LOOK {
            digest ^= digest << 13;
            digest ^= digest >> 7;
            digest ^= digest << 17;
        }
    }
    digest
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("CPU time is not negative");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below 10^9");
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_costs_the_cpu_time_it_was_told_to() {
        let before = thread_cpu_time();
        burn(Duration::from_millis(5), 42);
        let used = thread_cpu_time() - before;
        assert!(used >= Duration::from_millis(5), "{used:?}");
    }
}
