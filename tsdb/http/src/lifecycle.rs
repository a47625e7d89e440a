//! `/-/reload` and `/-/quit`: asked here, carried out by the composition root.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::{mpsc, oneshot};

use crate::service::Api;
use swell_http::{Privileged, Refused};

/// Commands that may wait for the one before them.
const COMMANDS_MAX: usize = 4;

/// What a client asks of the process.
#[derive(Debug)]
pub enum LifecycleCommand {
    /// Read the configuration again; the answer is the client's.
    Reload(oneshot::Sender<Result<(), ReloadRefusal>>),
    /// Stop as on SIGTERM.
    Quit,
}

/// Why a configuration was not put in force; the one before it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadRefusal {
    /// What is wrong, where, and how to mend it.
    pub why: String,
    /// Whether the configuration is to blame, and not the server.
    pub is_configuration: bool,
}

/// Hands commands to the composition root.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    commands: mpsc::Sender<LifecycleCommand>,
    /// Whether clients may ask over HTTP.
    is_open: bool,
}

impl Lifecycle {
    /// The sender's side, and the receiver's for who carries commands out. Over HTTP only where `is_open`.
    #[must_use]
    pub fn new(is_open: bool) -> (Self, mpsc::Receiver<LifecycleCommand>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        (Self { commands, is_open }, receiver)
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }
}

/// Reads the configuration again. 400 names what is wrong with it, and the one before it stays in force.
pub(crate) async fn reload(
    privileged: Result<Privileged, Refused>,
    State(api): State<Arc<Api>>,
) -> Response {
    if let Some(refusal) = refusal(&api, privileged) {
        return refusal;
    }
    let (answer, done) = oneshot::channel();
    let asked = api.lifecycle.commands.send(LifecycleCommand::Reload(answer)).await;
    let outcome = if asked.is_ok() { done.await.ok() } else { None };
    match outcome {
        Some(Ok(())) => StatusCode::OK.into_response(),
        Some(Err(refusal)) => {
            let code = if refusal.is_configuration {
                StatusCode::BAD_REQUEST
            } else {
                StatusCode::INTERNAL_SERVER_ERROR
            };
            (code, format!("failed to reload config: {}\n", refusal.why)).into_response()
        }
        None => stopping(),
    }
}

/// Stops the server.
pub(crate) async fn quit(
    privileged: Result<Privileged, Refused>,
    State(api): State<Arc<Api>>,
) -> Response {
    if let Some(refusal) = refusal(&api, privileged) {
        return refusal;
    }
    match api.lifecycle.commands.send(LifecycleCommand::Quit).await {
        Ok(()) => "Requesting termination... Goodbye!".into_response(),
        Err(_) => stopping(),
    }
}

fn refusal(api: &Api, privileged: Result<Privileged, Refused>) -> Option<Response> {
    if !api.lifecycle.is_open {
        return Some((StatusCode::FORBIDDEN, "Lifecycle API is not enabled.").into_response());
    }
    if let Err(refused) = privileged {
        return Some(refused.into_response());
    }
    // Nobody carries commands out before the server is ready, or after it has begun to stop.
    (!api.readiness.is_ready()).then(|| crate::health::refusal(&api.readiness))
}

fn stopping() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the server is stopping").into_response()
}
