//! One request: who asks, what for, may they, and then the one function that does it.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, Request, StatusCode, header, request::Parts};
use serde_json::{Value, json};
use swell_api_types::{Subresource, Verb};
use swell_http::Peer;

use crate::auth::{Attempt, Identity, User, identify, is_allowed};
use crate::body;
use crate::create::{Written, create};
use crate::delete::{DeleteOptions, Deleted, delete, delete_collection};
use crate::discovery::{self, Document};
use crate::failure::{Failure, json_response};
use crate::negotiate::view;
use crate::object::to_version;
use crate::patch::Patch;
use crate::query::Query;
use crate::route::{Review, Route, Target, route};
use crate::shared::Shared;
use crate::subresource::{self, ScaleChange};
use crate::{agent_logs, openapi, read, review, update, usage, watch};

/// Version of the Kubernetes API that the server follows, with its own behind.
const KUBERNETES_VERSION: (&str, &str, &str) = ("1", "35", "v1.35.0");

/// Answers a request. `trusted` is who asks when the caller is a part of this process.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    trusted: Option<User>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    match answer(shared, trusted, &parts, body).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn answer(
    shared: Arc<Shared>,
    trusted: Option<User>,
    parts: &Parts,
    body: Body,
) -> Result<Response, Failure> {
    let route = route(parts.uri.path());
    match route {
        Route::Version => return get_only(parts, json_response(StatusCode::OK, &version())),
        Route::Health => return get_only(parts, "ok".into_response()),
        _ => {}
    }
    let identity = trusted.map_or_else(
        || identify(&parts.headers, parts.extensions.get::<Peer>(), &shared.tokens),
        Identity::Known,
    );
    let Identity::Known(user) = identity else { return Err(Failure::unauthorized()) };
    let query = Query::parse(parts.uri.query());
    let with_usage = shared.usage.is_some();
    let discover = |document: &Document<'_>| {
        let response = discovery::answer(document, &parts.headers, with_usage)?;
        get_only(parts, response)
    };
    match route {
        Route::Version | Route::Health | Route::Nothing => Err(Failure::no_such_path()),
        Route::CoreDiscovery => discover(&Document::Core),
        Route::GroupDiscovery => discover(&Document::Groups),
        Route::Group(group) => discover(&Document::Group(&group)),
        Route::GroupVersion { group, version } => {
            discover(&Document::GroupVersion { group: &group, version: &version })
        }
        Route::OpenApiV2 => get_only(parts, openapi::version_2(&parts.headers)?),
        Route::OpenApiV3Index => {
            let index = openapi::index(with_usage);
            get_only(parts, discovery::with_etag(&parts.headers, &index, "application/json"))
        }
        Route::OpenApiV3 { group, version } => {
            let document = openapi::document(&group, &version, with_usage)?;
            get_only(parts, discovery::with_etag(&parts.headers, &document, "application/json"))
        }
        Route::Review(asked) => answer_review(asked, &user, parts, body).await,
        Route::Usage { nodes, namespace, name } => {
            let plural = if nodes { "nodes" } else { "pods" };
            let attempt = Attempt {
                verb: if name.is_some() { "get" } else { "list" },
                group: crate::route::USAGE_GROUP.0,
                plural,
                subresource: "",
                namespace: namespace.as_deref(),
            };
            authorize(&user, &attempt)?;
            let found =
                usage::answer(&shared, nodes, namespace.as_deref(), name.as_deref()).await?;
            get_only(parts, json_response(StatusCode::OK, &found))
        }
        Route::Resource(target) => {
            let watches = parts.method == Method::GET && query.flag("watch")?;
            let verb = verb(&parts.method, &target, watches)?;
            let namespace = target.namespace.as_deref();
            let attempt = Attempt::new(verb.name(), target.resource, target.subresource, namespace);
            authorize(&user, &attempt)?;
            let call = Call { shared, target, headers: &parts.headers, query };
            call.run(verb, body).await
        }
    }
}

fn authorize(user: &User, attempt: &Attempt<'_>) -> Result<(), Failure> {
    if is_allowed(user, attempt) { Ok(()) } else { Err(Failure::forbidden(attempt.refusal(user))) }
}

fn get_only(parts: &Parts, response: Response) -> Result<Response, Failure> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        Ok(response)
    } else {
        Err(Failure::method_not_allowed())
    }
}

fn version() -> Value {
    let (major, minor, git_version) = KUBERNETES_VERSION;
    json!({
        "major": major, "minor": minor, "emulationMajor": major, "emulationMinor": minor,
        "gitVersion": format!("{git_version}+swell-{}", swell_telemetry::VERSION),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "", "goVersion": "",
        "compiler": "rustc", "platform": platform(),
    })
}

/// The platform in Go's words.
fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

async fn answer_review(
    asked: Review,
    user: &User,
    parts: &Parts,
    body: Body,
) -> Result<Response, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    let bytes = body::read(body).await?;
    let object = body::object(&parts.headers, &bytes)?;
    if !object.is_object() {
        return Err(Failure::bad_request("the body must be an object"));
    }
    Ok(json_response(StatusCode::CREATED, &review::answer(asked, user, object)))
}

/// What a method means for a target.
fn verb(method: &Method, target: &Target, watches: bool) -> Result<Verb, Failure> {
    let named = target.name.is_some();
    let verb = match (method, named) {
        (&Method::GET | &Method::HEAD, _) if watches => Verb::Watch,
        (&Method::GET | &Method::HEAD, true) => Verb::Get,
        (&Method::GET | &Method::HEAD, false) => Verb::List,
        (&Method::POST, false) => Verb::Create,
        (&Method::POST, true) if target.subresource.is_some() => Verb::Create,
        (&Method::PUT, true) => Verb::Update,
        (&Method::PATCH, true) => Verb::Patch,
        (&Method::DELETE, true) => Verb::Delete,
        (&Method::DELETE, false) => Verb::DeleteCollection,
        _ => return Err(Failure::method_not_allowed()),
    };
    let place_is_named = !target.resource.namespaced || target.namespace.is_some();
    if target.subresource.is_none() && !target.resource.verbs.contains(&verb) {
        return Err(Failure::method_not_allowed());
    }
    let needs_place = matches!(verb, Verb::Create | Verb::DeleteCollection);
    if needs_place && !place_is_named {
        return Err(Failure::method_not_allowed());
    }
    Ok(verb)
}

struct Call<'r> {
    shared: Arc<Shared>,
    target: Target,
    headers: &'r HeaderMap,
    query: Query,
}

impl Call<'_> {
    async fn run(self, verb: Verb, body: Body) -> Result<Response, Failure> {
        let name = self.target.name.clone().unwrap_or_default();
        match (verb, self.target.subresource) {
            (Verb::Get, Some(Subresource::Log)) => {
                agent_logs::answer(&self.shared, &self.target, &name, &self.query).await
            }
            (Verb::Get, Some(Subresource::Scale)) => {
                let scale = subresource::get_scale(&self.shared, &self.target, &name).await?;
                Ok(json_response(StatusCode::OK, &scale))
            }
            (Verb::Get, None | Some(Subresource::Status)) => {
                let view = view(self.headers)?;
                let shown =
                    read::get(&self.shared, &self.target, &name, &view, &self.query).await?;
                Ok(json_response(StatusCode::OK, &shown))
            }
            (Verb::List, None) => {
                let view = view(self.headers)?;
                let shown = read::list(&self.shared, &self.target, &view, &self.query).await?;
                Ok(json_response(StatusCode::OK, &shown))
            }
            (Verb::Watch, None) => self.watch(&name).await,
            (Verb::Create, None) => self.create(body).await,
            (Verb::Create, Some(_)) => {
                let bytes = body::read(body).await?;
                let done = subresource::post(
                    &self.shared,
                    &self.target,
                    &name,
                    self.headers,
                    &bytes,
                    &self.query,
                );
                Ok(json_response(StatusCode::CREATED, &done.await?))
            }
            (Verb::Update | Verb::Patch, Some(Subresource::Scale)) => {
                self.scale(verb, &name, body).await
            }
            (Verb::Update, None | Some(Subresource::Status)) => {
                let bytes = body::read(body).await?;
                let object = body::object(self.headers, &bytes)?;
                let options = self.query.write_options()?;
                let written =
                    update::replace(&self.shared, &self.target, &name, object, &options).await?;
                Ok(self.written(StatusCode::OK, written))
            }
            (Verb::Patch, None | Some(Subresource::Status)) => {
                let bytes = body::read(body).await?;
                let patch = Patch::read(self.headers, &bytes)?;
                let options = self.query.write_options()?;
                let (written, created) =
                    update::patch(&self.shared, &self.target, &name, &patch, &options).await?;
                let code = if created { StatusCode::CREATED } else { StatusCode::OK };
                Ok(self.written(code, written))
            }
            (Verb::Delete, None) => self.delete(&name, body).await,
            (Verb::DeleteCollection, None) => self.delete_collection(body).await,
            _ => Err(Failure::method_not_allowed()),
        }
    }

    /// A watch of one object is a watch of its collection with a selector for its name.
    async fn watch(self, name: &str) -> Result<Response, Failure> {
        if !name.is_empty() {
            return Err(Failure::bad_request(
                "watch a single object with fieldSelector=metadata.name=NAME on its collection",
            ));
        }
        let view = view(self.headers)?;
        watch::watch(self.shared, self.target, view, &self.query).await
    }

    async fn create(&self, body: Body) -> Result<Response, Failure> {
        let bytes = body::read(body).await?;
        let object = body::object(self.headers, &bytes)?;
        let options = self.query.write_options()?;
        let written = create(&self.shared, &self.target, object, &options).await?;
        Ok(self.written(StatusCode::CREATED, written))
    }

    async fn scale(&self, verb: Verb, name: &str, body: Body) -> Result<Response, Failure> {
        let bytes = body::read(body).await?;
        let change = if verb == Verb::Patch {
            ScaleChange::Patch(Patch::read(self.headers, &bytes)?)
        } else {
            ScaleChange::Replace(body::object(self.headers, &bytes)?)
        };
        let options = self.query.write_options()?;
        let scale =
            subresource::set_scale(&self.shared, &self.target, name, &change, &options).await?;
        Ok(json_response(StatusCode::OK, &scale))
    }

    async fn delete_options(&self, body: Body) -> Result<DeleteOptions, Failure> {
        let bytes = body::read(body).await?;
        let given = if bytes.is_empty() { None } else { Some(body::object(self.headers, &bytes)?) };
        DeleteOptions::read(given.as_ref(), &self.query)
    }

    async fn delete(&self, name: &str, body: Body) -> Result<Response, Failure> {
        let options = self.delete_options(body).await?;
        let resource = self.target.resource;
        let shown = match delete(&self.shared, &self.target, name, &options).await? {
            Deleted::Pending(object) => to_version(resource, object),
            // Kubernetes returns the pod itself, also when it is gone at once.
            Deleted::Gone(object) if resource.kind == "Pod" => object,
            Deleted::Gone(object) => json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": {
                    "name": name, "group": resource.group, "kind": resource.plural,
                    "uid": object["metadata"]["uid"],
                },
            }),
        };
        Ok(json_response(StatusCode::OK, &shown))
    }

    async fn delete_collection(&self, body: Body) -> Result<Response, Failure> {
        let options = self.delete_options(body).await?;
        let resource = self.target.resource;
        let deleted = delete_collection(&self.shared, &self.target, &self.query, &options).await?;
        let items: Vec<_> =
            deleted.into_iter().map(|object| to_version(resource, object)).collect();
        let list = json!({
            "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
            "metadata": {"resourceVersion": self.shared.store.revision().to_string()}, "items": items,
        });
        Ok(json_response(StatusCode::OK, &list))
    }

    /// The object as written, in the version asked for, with its warnings.
    fn written(&self, code: StatusCode, written: Written) -> Response {
        let shown = to_version(self.target.resource, written.object);
        let mut response = json_response(code, &shown);
        for warning in &written.warnings {
            let text: String = warning
                .chars()
                .filter(|letter| letter.is_ascii() && !letter.is_ascii_control())
                .collect();
            let text = format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            if let Ok(value) = header::HeaderValue::from_str(&text) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }
}
