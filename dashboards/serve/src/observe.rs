//! Keeps the objects at hand and answers the pages from them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, Node, Pod, Service};
use serde::Serialize;
use swell_client::{Cache, Client, ListParams};
use tokio_util::sync::CancellationToken;

use crate::app::AppSettings;
use crate::view::{self, EventView, Objects, WorkloadView};

/// Caches of the kinds that the pages show.
#[derive(Debug)]
pub struct ObjectViews {
    deployments: Cache<Deployment>,
    autoscalers: Cache<HorizontalPodAutoscaler>,
    pods: Cache<Pod>,
    services: Cache<Service>,
    nodes: Cache<Node>,
    events: Cache<Event>,
}

impl ObjectViews {
    /// Starts watching; `shutdown` ends the watches.
    #[must_use]
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Self {
        Self {
            deployments: Cache::start(
                client.clone(),
                None,
                ListParams::default(),
                shutdown.clone(),
            ),
            autoscalers: Cache::start(
                client.clone(),
                None,
                ListParams::default(),
                shutdown.clone(),
            ),
            pods: Cache::start(client.clone(), None, ListParams::default(), shutdown.clone()),
            services: Cache::start(client.clone(), None, ListParams::default(), shutdown.clone()),
            nodes: Cache::start(client.clone(), None, ListParams::default(), shutdown.clone()),
            events: Cache::start(client.clone(), None, ListParams::default(), shutdown.clone()),
        }
    }

    fn with<T>(&self, look: impl FnOnce(&Objects<'_>) -> T) -> T {
        let deployments = self.deployments.list();
        let autoscalers = self.autoscalers.list();
        let pods = self.pods.list();
        let services = self.services.list();
        let nodes = self.nodes.list();
        let events = self.events.list();
        look(&Objects {
            deployments: deployments.iter().map(AsRef::as_ref).collect(),
            autoscalers: autoscalers.iter().map(AsRef::as_ref).collect(),
            pods: pods.iter().map(AsRef::as_ref).collect(),
            services: services.iter().map(AsRef::as_ref).collect(),
            nodes: nodes.iter().map(AsRef::as_ref).collect(),
            events: events.iter().map(AsRef::as_ref).collect(),
        })
    }
}

/// The app, and the data of its pages.
pub fn router(views: Arc<ObjectViews>, app: AppSettings) -> Router {
    Router::new()
        .route("/api/swell/v1/overview", get(overview))
        .route("/api/swell/v1/workloads/{namespace}/{name}", get(workload))
        .with_state(views)
        .merge(crate::app::router(app))
}

async fn overview(State(views): State<Arc<ObjectViews>>) -> Response {
    Json(views.with(view::overview)).into_response()
}

#[derive(Serialize)]
struct WorkloadPage {
    #[serde(flatten)]
    workload: WorkloadView,
    events: Vec<EventView>,
}

async fn workload(
    State(views): State<Arc<ObjectViews>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let page = views.deployments.get(&namespace, &name).map(|deployment| {
        views.with(|objects| {
            let workload = view::workload(&deployment, objects);
            let events = view::workload_events(&workload, objects);
            WorkloadPage { workload, events }
        })
    });
    match page {
        Some(page) => Json(page).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(serde_json::json!({
                "error": format!("there is no deployment {name} in namespace {namespace}")
            })),
        )
            .into_response(),
    }
}
