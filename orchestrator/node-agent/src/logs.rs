//! The kubelet's log endpoint: `GET /containerLogs/{namespace}/{pod}/{container}`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use swell_http::SecretToken;
use swell_model::{DurationMs, TimestampMs};
use swell_runtime::{ContainerId, ContainerRuntime, ContainerStatus, LogOptions, read_log};
use tokio_util::sync::CancellationToken;

use crate::context::Context;

/// What a request needs.
#[derive(Clone)]
pub(crate) struct LogService {
    pub(crate) context: Arc<Context>,
    pub(crate) token: Arc<SecretToken>,
    /// Ends streams that follow.
    pub(crate) shutdown: CancellationToken,
}

/// Query of the endpoint, as in Kubernetes' `PodLogOptions`; anything else in it is ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LogQuery {
    follow: bool,
    previous: bool,
    timestamps: bool,
    tail_lines: Option<u64>,
    since_seconds: Option<i64>,
    since_time: Option<Timestamp>,
    limit_bytes: Option<u64>,
}

/// Routes of the endpoint.
pub(crate) fn router(service: LogService) -> Router {
    Router::new()
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_logs))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(service)
}

async fn container_logs(
    State(service): State<LogService>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
    headers: HeaderMap,
) -> Response {
    if !service.token.authorizes(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "a bearer token is needed".to_owned());
    }
    let runtime = &service.context.runtime;
    let run = match find(runtime.as_ref(), &namespace, &pod, &container, query.previous) {
        Ok(run) => run,
        Err((code, message)) => return refuse(code, message),
    };
    let now = service.context.now();
    let options = LogOptions {
        follow: query.follow,
        tail_lines: query.tail_lines,
        since: query
            .since_seconds
            .map(|seconds| now - DurationMs::from_secs(seconds))
            .or_else(|| query.since_time.map(|at| TimestampMs(at.as_millisecond()))),
        timestamps: query.timestamps,
        limit_bytes: query.limit_bytes,
    };
    let ended = ended(Arc::clone(runtime), run.id.clone(), service.shutdown.clone());
    match read_log(run.log_path, options, ended).await {
        Ok(log) => {
            let body = Body::from_stream(log.map(|piece| piece.map(bytes::Bytes::from)));
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
        }
        Err(error) => {
            let message = format!("cannot read the log of container {container}: {error}");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

fn refuse(code: StatusCode, message: String) -> Response {
    (code, message + "\n").into_response()
}

/// The latest run of a container, or the one before.
fn find(
    runtime: &dyn ContainerRuntime,
    namespace: &str,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<ContainerStatus, (StatusCode, String)> {
    let mut of_pod: Vec<ContainerStatus> = runtime
        .list()
        .into_iter()
        .filter(|status| status.pod.namespace == namespace && status.pod.name == pod)
        .collect();
    // A pod of the same name may be on its way out beside its successor: the younger one is meant.
    let Some(uid) =
        of_pod.iter().max_by_key(|status| status.created_at).map(|status| status.pod.uid.clone())
    else {
        let message = format!("pod {namespace}/{pod} has no container on this node yet");
        return Err((StatusCode::NOT_FOUND, message));
    };
    of_pod.retain(|status| status.pod.uid == uid && status.config.name == container);
    of_pod.sort_by_key(|status| std::cmp::Reverse(status.config.attempt));
    match of_pod.into_iter().nth(usize::from(previous)) {
        Some(run) => Ok(run),
        None if previous => Err((
            StatusCode::BAD_REQUEST,
            format!("previous terminated container {container:?} in pod {pod:?} not found"),
        )),
        None => Err((
            StatusCode::NOT_FOUND,
            format!("container {container:?} in pod {pod:?} was not started yet"),
        )),
    }
}

/// Ready once the container does not run any more.
async fn ended(runtime: Arc<dyn ContainerRuntime>, id: ContainerId, shutdown: CancellationToken) {
    let mut events = runtime.events();
    while runtime.container_status(&id).is_ok_and(|status| status.state.is_running()) {
        tokio::select! {
            () = shutdown.cancelled() => return,
            // One that was missed is a wake-up, too.
            _ = events.recv() => {}
        }
    }
}
