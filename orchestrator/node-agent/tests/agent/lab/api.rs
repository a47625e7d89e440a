//! As much of a Kubernetes API as the agent talks to, in memory: objects by path, merge patches, graceful
//! deletion, list and watch with the two field selectors in use.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

type Failure = Box<Response>;

#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

struct Shared {
    state: Mutex<Objects>,
    changed: watch::Sender<usize>,
}

#[derive(Default)]
struct Objects {
    /// By path, without the host: `/api/v1/namespaces/default/pods/web`.
    objects: BTreeMap<String, Value>,
    /// Every change: event type, collection, object.
    log: Vec<(&'static str, String, Value)>,
}

/// A path taken apart.
struct Target {
    /// All namespaces' collection, by which watchers are told.
    kind: String,
    collection: String,
    object: Option<String>,
    subresource: Option<String>,
}

impl Target {
    fn of(path: &str) -> Self {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let root_len = if parts[0] == "api" { 2 } else { 3 };
        let root = format!("/{}", parts[..root_len].join("/"));
        let rest = &parts[root_len..];
        let (namespace, rest) = match rest {
            ["namespaces", namespace, plural, ..] if *plural != "status" => {
                (Some(*namespace), &rest[2..])
            }
            _ => (None, rest),
        };
        let plural = rest[0];
        let kind = format!("{root}/{plural}");
        let collection = match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
            None => kind.clone(),
        };
        Self {
            object: rest.get(1).map(|name| format!("{collection}/{name}")),
            subresource: rest.get(2).map(|&name| name.to_owned()),
            kind,
            collection,
        }
    }
}

impl Objects {
    fn store(&mut self, kind: &str, path: &str, mut object: Value, event: &'static str) -> Value {
        let revision = self.log.len() + 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        if event == "DELETED" {
            self.objects.remove(path);
        } else {
            self.objects.insert(path.to_owned(), object.clone());
        }
        self.log.push((event, kind.to_owned(), object.clone()));
        object
    }
}

impl Api {
    pub(crate) fn new() -> Self {
        let (changed, _) = watch::channel(0);
        Self(Arc::new(Shared { state: Mutex::default(), changed }))
    }

    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(serve).with_state(self.clone())
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.state.lock().objects.get(path).cloned()
    }

    pub(crate) fn list(&self, prefix: &str) -> Vec<Value> {
        let state = self.0.state.lock();
        let found = state.objects.iter().filter(|(path, _)| path.starts_with(prefix));
        found.map(|(_, object)| object.clone()).collect()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<usize> {
        self.0.changed.subscribe()
    }

    /// Every state an object went through.
    pub(crate) fn history(&self, kind: &str, name: &str) -> Vec<Value> {
        let state = self.0.state.lock();
        let own = state.log.iter().filter(|(_, of, o)| of == kind && o["metadata"]["name"] == name);
        own.map(|(_, _, object)| object.clone()).collect()
    }

    pub(crate) fn create(&self, collection: &str, mut object: Value) -> Result<Value, Failure> {
        let target = Target::of(collection);
        let stored = {
            let mut state = self.0.state.lock();
            let metadata = &mut object["metadata"];
            if metadata["name"].is_null() {
                metadata["name"] = json!(format!(
                    "{}{}",
                    metadata["generateName"].as_str().unwrap_or("x"),
                    state.log.len()
                ));
            }
            metadata["uid"] = json!(format!("uid-{}", state.log.len()));
            let namespace = target.collection.split("/namespaces/").nth(1);
            if let Some(namespace) = namespace.and_then(|rest| rest.split('/').next()) {
                metadata["namespace"] = json!(namespace);
            }
            let path =
                format!("{}/{}", target.collection, metadata["name"].as_str().expect("a name"));
            if state.objects.contains_key(&path) {
                return Err(failure(StatusCode::CONFLICT, "AlreadyExists", &path));
            }
            state.store(&target.kind, &path, object, "ADDED")
        };
        self.announce();
        Ok(stored)
    }

    pub(crate) fn patch(&self, path: &str, patch: &Value) -> Result<Value, Failure> {
        let target = Target::of(path);
        let object_path = target.object.clone().expect("an object");
        let stored = {
            let mut state = self.0.state.lock();
            let Some(mut object) = state.objects.get(&object_path).cloned() else {
                return Err(failure(StatusCode::NOT_FOUND, "NotFound", path));
            };
            let uid = &patch["metadata"]["uid"];
            if !uid.is_null() && *uid != object["metadata"]["uid"] {
                return Err(failure(StatusCode::CONFLICT, "Conflict", path));
            }
            if target.subresource.as_deref() == Some("status") {
                merge(&mut object["status"], &patch["status"]);
            } else {
                merge(&mut object, patch);
            }
            state.store(&target.kind, &object_path, object, "MODIFIED")
        };
        self.announce();
        Ok(stored)
    }

    pub(crate) fn delete(&self, path: &str, params: &Value) -> Result<Value, Failure> {
        let target = Target::of(path);
        let stored = {
            let mut state = self.0.state.lock();
            let Some(mut object) = state.objects.get(path).cloned() else {
                return Err(failure(StatusCode::NOT_FOUND, "NotFound", path));
            };
            let uid = &params["preconditions"]["uid"];
            if !uid.is_null() && *uid != object["metadata"]["uid"] {
                return Err(failure(StatusCode::CONFLICT, "Conflict", path));
            }
            let own = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
            let grace = params["gracePeriodSeconds"].as_i64().unwrap_or(own);
            if target.kind.ends_with("/pods") && grace > 0 {
                object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
                state.store(&target.kind, path, object, "MODIFIED")
            } else {
                state.store(&target.kind, path, object, "DELETED")
            }
        };
        self.announce();
        Ok(stored)
    }

    fn announce(&self) {
        let count = self.0.state.lock().log.len();
        self.0.changed.send_replace(count);
    }

    fn watch(&self, kind: String, selector: Option<String>, from: usize) -> Response {
        let start = (self.clone(), self.0.changed.subscribe(), from);
        let events = stream::unfold(start, move |(api, mut changed, mut next)| {
            let (kind, selector) = (kind.clone(), selector.clone());
            async move {
                loop {
                    let entry = api.0.state.lock().log.get(next).cloned();
                    let Some((event, of, object)) = entry else {
                        changed.changed().await.ok()?;
                        continue;
                    };
                    next += 1;
                    if of == kind && selects(selector.as_deref(), &object) {
                        let line = format!("{}\n", json!({"type": event, "object": object}));
                        return Some((Ok::<_, std::io::Error>(line), (api, changed, next)));
                    }
                }
            }
        });
        Body::from_stream(events).into_response()
    }
}

fn selects(selector: Option<&str>, object: &Value) -> bool {
    let Some((field, value)) = selector.and_then(|selector| selector.split_once('=')) else {
        return true;
    };
    let pointer = format!("/{}", field.replace('.', "/"));
    object.pointer(&pointer).and_then(Value::as_str) == Some(value)
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().expect("an object").remove(name);
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

fn failure(code: StatusCode, reason: &str, about: &str) -> Failure {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "code": code.as_u16(), "message": format!("{reason}: {about}"),
    });
    Box::new((code, status.to_string()).into_response())
}

async fn serve(State(api): State<Api>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query: BTreeMap<String, String> = parts
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.replace("%3D", "=").replace("%2E", ".")))
        .collect();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let json = || serde_json::from_slice::<Value>(&body).unwrap_or(json!({}));
    let target = Target::of(&path);
    let answer = match (parts.method, &target.object) {
        (Method::GET, Some(object)) => {
            api.get(object).ok_or_else(|| failure(StatusCode::NOT_FOUND, "NotFound", &path))
        }
        (Method::GET, None) => {
            let selector = query.get("fieldSelector").cloned();
            if query.contains_key("watch") {
                let from = query["resourceVersion"].parse().expect("a revision");
                return api.watch(target.kind, selector, from);
            }
            let state = api.0.state.lock();
            let plural = target.kind.rsplit('/').next().unwrap_or_default();
            let items: Vec<&Value> = state
                .objects
                .iter()
                .filter(|(path, _)| Target::of(path).kind.ends_with(&format!("/{plural}")))
                .map(|(_, object)| object)
                .filter(|object| selects(selector.as_deref(), object))
                .collect();
            let revision = state.log.len().to_string();
            Ok(json!({"metadata": {"resourceVersion": revision}, "items": items}))
        }
        (Method::POST, _) => api.create(&path, json()),
        (Method::PATCH, _) => api.patch(&path, &json()),
        (Method::DELETE, _) => api.delete(&path, &json()),
        (method, _) => panic!("{method} {path} is not served"),
    };
    answer.map_or_else(|failure| *failure, |object| object.to_string().into_response())
}
