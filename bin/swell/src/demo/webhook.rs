//! The receiver of the demo's alerts: a real HTTP endpoint in the demo's own process.

use std::sync::Arc;
use std::sync::Mutex;

use anyhow::Context;
use axum::Router;
use axum::extract::{Json, State};
use axum::routing::post;
use serde::Deserialize;
use swell_env::Clock;
use swell_model::TimestampMs;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One notification as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Notification {
    /// When it arrived.
    pub(crate) at: TimestampMs,
    /// `firing` or `resolved`.
    pub(crate) status: String,
    /// Names of its alerts.
    pub(crate) alerts: Vec<String>,
}

#[derive(Deserialize)]
struct Payload {
    status: String,
    alerts: Vec<PayloadAlert>,
}

#[derive(Deserialize)]
struct PayloadAlert {
    labels: std::collections::BTreeMap<String, String>,
}

/// A receiver that counts.
#[derive(Clone)]
pub(crate) struct WebhookReceiver {
    clock: Arc<dyn Clock>,
    received: Arc<Mutex<Vec<Notification>>>,
}

impl WebhookReceiver {
    /// Listens on a free loopback port; returns the address to send to.
    pub(crate) async fn start(
        clock: Arc<dyn Clock>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<(Self, String)> {
        let receiver = Self { clock, received: Arc::new(Mutex::default()) };
        let listener =
            TcpListener::bind("127.0.0.1:0").await.context("listen for the demo's alerts")?;
        let url = format!("http://{}/alerts", listener.local_addr()?);
        let router = Router::new().route("/alerts", post(receive)).with_state(receiver.clone());
        let stop = shutdown.clone();
        tasks.spawn(async move {
            let serving = axum::serve(listener, router)
                .with_graceful_shutdown(async move { stop.cancelled().await });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the demo's alert receiver ended");
            }
        });
        Ok((receiver, url))
    }

    /// What has arrived so far.
    pub(crate) fn received(&self) -> Vec<Notification> {
        self.received.lock().expect("no holder of the list panics").clone()
    }
}

async fn receive(State(receiver): State<WebhookReceiver>, Json(payload): Json<Payload>) {
    let notification = Notification {
        at: receiver.clock.now(),
        status: payload.status,
        alerts: payload
            .alerts
            .into_iter()
            .filter_map(|alert| alert.labels.get("alertname").cloned())
            .collect(),
    };
    receiver.received.lock().expect("no holder of the list panics").push(notification);
}
