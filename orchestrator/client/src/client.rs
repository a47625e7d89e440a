//! The typed calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::Deserialize;
use serde_json::{Value, json};
use swell_api_types::Object;
use tower::{Service, ServiceExt as _};

use crate::config::{BuildClientError, ClientConfig, Credentials};
use crate::error::ClientError;
use crate::paths::{collection_path, escape, object_path};
use crate::transport::{self, AnswerBody, BoxError, Transport};
use crate::watch::{WatchStream, open_watch};

/// A request that is not a watch or a log must be answered in this time.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// Objects per page when a whole collection is read.
const PAGE_LEN: u32 = 500;

/// Talks to an API server. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    base_url: Arc<str>,
    authorization: Option<header::HeaderValue>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// What to list or watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListParams {
    /// Label selector in Kubernetes' text form, `app=web,tier!=db`.
    pub label_selector: Option<String>,
    /// Field selector in Kubernetes' text form, `spec.nodeName=node-1`.
    pub field_selector: Option<String>,
}

/// What becomes of the objects that the deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay, without an owner.
    Orphan,
}

impl Propagation {
    const fn name(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// How to delete an object; the default leaves everything to the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteParams {
    /// Seconds that a pod has to stop; zero removes the object at once.
    pub grace_period_s: Option<i64>,
    /// Delete only if the object still has this uid.
    pub uid: Option<String>,
    /// Delete only if the object still has this resource version.
    pub resource_version: Option<String>,
    /// What becomes of what it owns.
    pub propagation: Option<Propagation>,
}

/// Which part of a container's log to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogParams {
    /// Container; may be left out when the pod has one.
    pub container: Option<String>,
    /// Go on as lines are written.
    pub follow: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// The log of the run before the last restart.
    pub previous: bool,
    /// A time in front of each line.
    pub timestamps: bool,
    /// Only lines younger than this.
    pub since_seconds: Option<u64>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
}

/// A collection at one revision.
#[derive(Clone, Debug)]
pub struct ObjectList<K> {
    /// The objects, ordered by namespace and name.
    pub items: Vec<K>,
    /// The revision, opaque: a watch from here misses nothing.
    pub resource_version: String,
}

/// A request in HTTP's own terms, for callers that know more than the typed calls (a command line).
#[derive(Clone, Debug)]
pub struct RawRequest {
    /// HTTP method.
    pub method: Method,
    /// Path and query, from the first slash.
    pub path: String,
    /// Media types wanted; `application/json` unless set.
    pub accept: Option<String>,
    /// Media type and body.
    pub body: Option<(String, Bytes)>,
}

impl RawRequest {
    /// A GET.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), accept: None, body: None }
    }
}

/// An answer, whatever its status code.
#[derive(Clone, Debug)]
pub struct RawResponse {
    /// HTTP status code.
    pub status: StatusCode,
    /// Headers.
    pub headers: http::HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

#[derive(Deserialize)]
struct ListAnswer {
    metadata: ListMeta,
    items: Vec<Value>,
}

impl Client {
    /// A client of a router in this process; who asks is decided by the router.
    pub fn in_process<S, B>(router: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self {
            transport: transport::in_process(router),
            base_url: Arc::from("http://in-process"),
            authorization: None,
        }
    }

    /// A client over TLS. Connects when the first request is made.
    ///
    /// # Errors
    /// [`BuildClientError`] when the address, a certificate or a key is of no use.
    pub fn https(config: &ClientConfig) -> Result<Self, BuildClientError> {
        let base_url = config.base_url.trim_end_matches('/');
        let fault = || BuildClientError::BaseUrl { base_url: config.base_url.clone() };
        let uri: http::Uri = base_url.parse().map_err(|_| fault())?;
        if uri.scheme_str() != Some("https") || uri.authority().is_none() || uri.path() != "/" {
            return Err(fault());
        }
        let authorization = match &config.credentials {
            Credentials::Bearer(token) => {
                let mut value = header::HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                    .map_err(|_| BuildClientError::Token)?;
                value.set_sensitive(true);
                Some(value)
            }
            Credentials::Anonymous | Credentials::Certificate { .. } => None,
        };
        Ok(Self {
            transport: transport::https(config)?,
            base_url: Arc::from(base_url),
            authorization,
        })
    }

    /// Reads one object.
    ///
    /// # Errors
    /// [`ClientError`], as every call.
    pub async fn get<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<K, ClientError> {
        self.call_typed(Method::GET, object_path::<K>(namespace, name, None), None).await
    }

    /// Reads a whole collection at one revision, page by page.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when the revision was compacted between two pages; others as every call.
    pub async fn list<K: Object>(
        &self,
        namespace: Option<&str>,
        params: &ListParams,
    ) -> Result<ObjectList<K>, ClientError> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let mut query = params.query();
            query.push(("limit", PAGE_LEN.to_string()));
            if let Some(cursor) = cursor {
                query.push(("continue", cursor));
            }
            let path = with_query(collection_path::<K>(namespace), &query);
            let page = self.page(path.clone()).await?;
            for item in &page.items {
                items.push(decoded::<K>(&path, item)?);
            }
            match page.metadata.continue_.filter(|text| !text.is_empty()) {
                Some(next) => cursor = Some(next),
                None => {
                    let resource_version = page.metadata.resource_version.unwrap_or_default();
                    return Ok(ObjectList { items, resource_version });
                }
            }
        }
    }

    /// Creates an object in the namespace that it names; returns it as stored.
    ///
    /// # Errors
    /// [`ClientError::AlreadyExists`], [`ClientError::Invalid`]; others as every call.
    pub async fn create<K: Object>(&self, object: &K) -> Result<K, ClientError> {
        let path = collection_path::<K>(object.metadata().namespace.as_deref());
        let body = encode_object(&path, object)?;
        self.call_typed(Method::POST, path, Some((JSON, body))).await
    }

    /// Replaces an object; with a resource version only if nobody changed it since.
    ///
    /// # Errors
    /// [`ClientError::Conflict`], [`ClientError::Invalid`]; others as every call.
    pub async fn replace<K: Object>(&self, object: &K) -> Result<K, ClientError> {
        self.put(object, None).await
    }

    /// Replaces the status of an object and nothing else.
    ///
    /// # Errors
    /// As [`Client::replace`].
    pub async fn replace_status<K: Object>(&self, object: &K) -> Result<K, ClientError> {
        self.put(object, Some("status")).await
    }

    async fn put<K: Object>(
        &self,
        object: &K,
        subresource: Option<&str>,
    ) -> Result<K, ClientError> {
        let metadata = object.metadata();
        let name = metadata.name.as_deref().ok_or(ClientError::Unnamed { kind: K::KIND })?;
        let path = object_path::<K>(metadata.namespace.as_deref(), name, subresource);
        let body = encode_object(&path, object)?;
        self.call_typed(Method::PUT, path, Some((JSON, body))).await
    }

    /// Applies a JSON merge patch (RFC 7386) to an object or a subresource of it.
    ///
    /// # Errors
    /// As [`Client::replace`].
    pub async fn patch_merge<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        subresource: Option<&str>,
        patch: &Value,
    ) -> Result<K, ClientError> {
        let path = object_path::<K>(namespace, name, subresource);
        let body = encode(&path, patch)?;
        self.call_typed(Method::PATCH, path, Some((MERGE_PATCH, body))).await
    }

    /// Deletes an object, or starts doing so if it has to stop or to be cleaned up first.
    ///
    /// # Errors
    /// [`ClientError::NotFound`], [`ClientError::Conflict`] when a precondition fails; others as every call.
    pub async fn delete<K: Object>(
        &self,
        namespace: Option<&str>,
        name: &str,
        params: &DeleteParams,
    ) -> Result<(), ClientError> {
        let path = object_path::<K>(namespace, name, None);
        let body = encode(&path, &params.body())?;
        let _answer = self.call(Method::DELETE, path, Some((JSON, body))).await?;
        Ok(())
    }

    /// Follows the changes of a collection after the revision `from`. The stream ends when the server
    /// closes it; [`crate::Cache`] is the one that starts again.
    ///
    /// # Errors
    /// [`ClientError::Gone`] when the revision is compacted (also as an item); others as every call.
    pub async fn watch<K: Object>(
        &self,
        namespace: Option<&str>,
        params: &ListParams,
        from: &str,
    ) -> Result<WatchStream<K>, ClientError> {
        self.watch_for(namespace, params, from, None).await
    }

    /// As [`Client::watch`], which the server is asked to end after so long.
    pub(crate) async fn watch_for<K: Object>(
        &self,
        namespace: Option<&str>,
        params: &ListParams,
        from: &str,
        span: Option<Duration>,
    ) -> Result<WatchStream<K>, ClientError> {
        let mut query = params.query();
        query.push(("watch", "true".to_owned()));
        query.push(("allowWatchBookmarks", "true".to_owned()));
        query.push(("resourceVersion", from.to_owned()));
        query.extend(span.map(|span| ("timeoutSeconds", span.as_secs().to_string())));
        let path = with_query(collection_path::<K>(namespace), &query);
        let answer = self.open(RawRequest::get(&path)).await?;
        Ok(open_watch(path, answer.into_body()))
    }

    /// Reads how many replicas an object wants and has.
    ///
    /// # Errors
    /// As every call.
    pub async fn get_scale<K: Object>(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Scale, ClientError> {
        self.scale(Method::GET, object_path::<K>(Some(namespace), name, Some("scale")), None).await
    }

    /// Sets how many replicas an object wants.
    ///
    /// # Errors
    /// As [`Client::replace`].
    pub async fn set_scale<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        replicas: i32,
    ) -> Result<Scale, ClientError> {
        let path = object_path::<K>(Some(namespace), name, Some("scale"));
        let body = encode(&path, &json!({"spec": {"replicas": replicas}}))?;
        self.scale(Method::PATCH, path, Some((MERGE_PATCH, body))).await
    }

    /// Binds a pod to a node, once.
    ///
    /// # Errors
    /// [`ClientError::Conflict`] when the pod is bound already; others as every call.
    pub async fn bind(&self, namespace: &str, pod: &str, node: &str) -> Result<(), ClientError> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", escape(namespace), escape(pod));
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": pod, "namespace": namespace},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let body = encode(&path, &binding)?;
        let _answer = self.call(Method::POST, path, Some((JSON, body))).await?;
        Ok(())
    }

    /// Reads a container's log as it comes.
    ///
    /// # Errors
    /// As every call, both at first and while reading.
    pub async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        params: &LogParams,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + use<>, ClientError> {
        let path = format!("/api/v1/namespaces/{}/pods/{}/log", escape(namespace), escape(pod));
        let path = with_query(path, &params.query());
        let answer = self.open(RawRequest::get(&path)).await?;
        let frames = answer.into_body().into_data_stream();
        Ok(frames.map(move |frame| {
            frame.map_err(|source| ClientError::Transport { path: path.clone(), source })
        }))
    }

    /// Sends any request and returns the answer, whatever its status.
    ///
    /// # Errors
    /// [`ClientError::Transport`], [`ClientError::Timeout`] or [`ClientError::Request`].
    pub async fn send(&self, request: RawRequest) -> Result<RawResponse, ClientError> {
        let path = request.path.clone();
        self.within_deadline(&path, async {
            let (parts, body) = self.exchange(request).await?.into_parts();
            let body = read_all(&path, body).await?;
            Ok(RawResponse { status: parts.status, headers: parts.headers, body })
        })
        .await
    }

    async fn call_typed<K: Object>(
        &self,
        method: Method,
        path: String,
        body: Option<(&str, Bytes)>,
    ) -> Result<K, ClientError> {
        decoded(&path, &self.call(method, path.clone(), body).await?)
    }

    async fn scale(
        &self,
        method: Method,
        path: String,
        body: Option<(&str, Bytes)>,
    ) -> Result<Scale, ClientError> {
        let answer = self.call(method, path.clone(), body).await?;
        serde_json::from_value(answer).map_err(|source| ClientError::Decode { path, source })
    }

    async fn page(&self, path: String) -> Result<ListAnswer, ClientError> {
        let answer = self.call(Method::GET, path.clone(), None).await?;
        serde_json::from_value(answer).map_err(|source| ClientError::Decode { path, source })
    }

    async fn call(
        &self,
        method: Method,
        path: String,
        body: Option<(&str, Bytes)>,
    ) -> Result<Value, ClientError> {
        let body = body.map(|(media_type, body)| (media_type.to_owned(), body));
        let answer =
            self.send(RawRequest { method, path: path.clone(), accept: None, body }).await?;
        if !answer.status.is_success() {
            return Err(ClientError::from_answer(answer.status, &answer.body));
        }
        serde_json::from_slice(&answer.body).map_err(|source| ClientError::Decode { path, source })
    }

    /// Sends a request whose answer goes on for as long as it likes.
    async fn open(&self, request: RawRequest) -> Result<Response<AnswerBody>, ClientError> {
        let path = request.path.clone();
        self.within_deadline(&path, async {
            let answer = self.exchange(request).await?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            let code = answer.status();
            let body = read_all(&path, answer.into_body()).await?;
            Err(ClientError::from_answer(code, &body))
        })
        .await
    }

    async fn within_deadline<T>(
        &self,
        path: &str,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(REQUEST_DEADLINE, work).await.unwrap_or_else(|_| {
            Err(ClientError::Timeout { path: path.to_owned(), seconds: REQUEST_DEADLINE.as_secs() })
        })
    }

    async fn exchange(&self, request: RawRequest) -> Result<Response<AnswerBody>, ClientError> {
        let path = request.path;
        let accept = request.accept.unwrap_or_else(|| JSON.to_owned());
        let mut builder = Request::builder()
            .method(request.method)
            .uri(format!("{}{path}", self.base_url))
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, concat!("swell/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            builder = builder.header(header::AUTHORIZATION, authorization.clone());
        }
        let body = match request.body {
            Some((media_type, body)) => {
                builder = builder.header(header::CONTENT_TYPE, media_type);
                Full::new(body)
            }
            None => Full::default(),
        };
        let request = builder
            .body(body)
            .map_err(|source| ClientError::Request { path: path.clone(), source })?;
        let answer = self.transport.clone().oneshot(request).await;
        answer.map_err(|source| ClientError::Transport { path, source })
    }
}

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

fn encode(path: &str, value: &Value) -> Result<Bytes, ClientError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|source| ClientError::Encode { path: path.to_owned(), source })
}

fn encode_object<K: Object>(path: &str, object: &K) -> Result<Bytes, ClientError> {
    let object =
        object.to_json().map_err(|source| ClientError::Encode { path: path.to_owned(), source })?;
    encode(path, &object)
}

fn decoded<K: Object>(path: &str, object: &Value) -> Result<K, ClientError> {
    K::from_json(object).map_err(|source| ClientError::Decode { path: path.to_owned(), source })
}

async fn read_all(path: &str, body: AnswerBody) -> Result<Bytes, ClientError> {
    let collected = body
        .collect()
        .await
        .map_err(|source| ClientError::Transport { path: path.to_owned(), source })?;
    Ok(collected.to_bytes())
}

fn with_query(mut path: String, query: &[(&str, String)]) -> String {
    for (idx, (key, value)) in query.iter().enumerate() {
        path.push(if idx == 0 { '?' } else { '&' });
        path.push_str(key);
        path.push('=');
        path.push_str(&escape(value));
    }
    path
}

impl ListParams {
    /// All objects with these labels.
    #[must_use]
    pub fn labels(selector: impl Into<String>) -> Self {
        Self { label_selector: Some(selector.into()), field_selector: None }
    }

    /// All objects with these field values.
    #[must_use]
    pub fn fields(selector: impl Into<String>) -> Self {
        Self { label_selector: None, field_selector: Some(selector.into()) }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let labels = self.label_selector.clone().map(|text| ("labelSelector", text));
        let fields = self.field_selector.clone().map(|text| ("fieldSelector", text));
        labels.into_iter().chain(fields).collect()
    }
}

impl DeleteParams {
    fn body(&self) -> Value {
        let mut body = json!({"apiVersion": "v1", "kind": "DeleteOptions"});
        if let Some(seconds) = self.grace_period_s {
            body["gracePeriodSeconds"] = json!(seconds);
        }
        if let Some(uid) = &self.uid {
            body["preconditions"]["uid"] = json!(uid);
        }
        if let Some(version) = &self.resource_version {
            body["preconditions"]["resourceVersion"] = json!(version);
        }
        if let Some(propagation) = self.propagation {
            body["propagationPolicy"] = json!(propagation.name());
        }
        body
    }
}

impl LogParams {
    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        if let Some(container) = &self.container {
            query.push(("container", container.clone()));
        }
        for (key, wanted) in
            [("follow", self.follow), ("previous", self.previous), ("timestamps", self.timestamps)]
        {
            if wanted {
                query.push((key, "true".to_owned()));
            }
        }
        for (key, number) in [
            ("tailLines", self.tail_lines),
            ("sinceSeconds", self.since_seconds),
            ("limitBytes", self.limit_bytes),
        ] {
            if let Some(number) = number {
                query.push((key, number.to_string()));
            }
        }
        query
    }
}
