//! A local copy of one kind, kept by list and watch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::RwLock;
use swell_api_types::Object;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::client::{Client, ListParams, ObjectList};
use crate::error::ClientError;
use crate::queue::BackOff;
use crate::watch::WatchEvent;

/// A watch that the server was asked to end is waited for so much longer.
const WATCH_GRACE: Duration = Duration::from_secs(30);

/// Namespace (empty for a cluster-wide kind) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Namespace, empty for a cluster-wide kind.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// The key of a namespaced object.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of `object`.
    #[must_use]
    pub fn of<K: Object>(object: &K) -> Self {
        let metadata = object.metadata();
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// A copy of a collection that follows the server. Clones share the copy; it stops following when the
/// last one is dropped or its token is cancelled.
pub struct Cache<K> {
    state: Arc<State<K>>,
    changed: watch::Receiver<u64>,
    follower: Arc<DropGuard>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
            changed: self.changed.clone(),
            follower: Arc::clone(&self.follower),
        }
    }
}

impl<K> std::fmt::Debug for Cache<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.state.objects.read().len())
            .finish_non_exhaustive()
    }
}

struct State<K> {
    /// The copy; the lock is held for single map operations only.
    objects: RwLock<BTreeMap<ObjectKey, Arc<K>>>,
}

impl<K: Object> Cache<K> {
    /// Starts to follow a collection; must be called inside a tokio runtime.
    #[must_use]
    pub fn start(
        client: Client,
        namespace: Option<&str>,
        params: ListParams,
        shutdown: CancellationToken,
    ) -> Self {
        Self::start_counted(client, namespace, params, shutdown, || {})
    }

    /// As [`Cache::start`], and calls `failed` for each list and each watch that fails; one that is only too old does not.
    #[must_use]
    pub fn start_counted(
        client: Client,
        namespace: Option<&str>,
        params: ListParams,
        shutdown: CancellationToken,
        failed: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State { objects: RwLock::new(BTreeMap::new()) });
        let (bump, changed) = watch::channel(0);
        let stop = shutdown.child_token();
        let follower = Follower {
            client,
            namespace: namespace.map(str::to_owned),
            params,
            state: Arc::clone(&state),
            bump,
            failed: Box::new(failed),
        };
        let task_stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task_stop.cancelled() => {}
                () = follower.run() => {}
            }
        });
        Self { state, changed, follower: Arc::new(stop.drop_guard()) }
    }

    /// The object of this name, as last seen. Namespace is empty for a cluster-wide kind.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.get_key(&ObjectKey::new(namespace, name))
    }

    /// The object of this key, as last seen.
    #[must_use]
    pub fn get_key(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.state.objects.read().get(key).cloned()
    }

    /// All objects, ordered by namespace and name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<K>> {
        self.state.objects.read().values().cloned().collect()
    }

    /// The objects of one namespace, ordered by name.
    #[must_use]
    pub fn list_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let objects = self.state.objects.read();
        objects
            .range(ObjectKey::new(namespace, "")..)
            .take_while(|(key, _)| key.namespace == namespace)
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    /// A counter that rises with each change of the copy: a wake-up that says *look*. Zero until the first list.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.clone()
    }

    /// Whether the collection was read in full at least once.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.changed.borrow() > 0
    }

    /// Waits until the collection was read in full; false when the cache stopped before.
    pub async fn synced(&self) -> bool {
        self.changed.clone().wait_for(|count| *count > 0).await.is_ok()
    }
}

struct Follower<K> {
    client: Client,
    namespace: Option<String>,
    params: ListParams,
    state: Arc<State<K>>,
    bump: watch::Sender<u64>,
    /// Called for each list and watch that fails.
    failed: Box<dyn Fn() + Send + Sync>,
}

impl<K: Object> Follower<K> {
    /// Lists, then watches; resumes a watch that ended, lists again after `Gone`, backs off after errors and
    /// after watches that brought nothing.
    async fn run(self) {
        let (mut failures, mut fruitless) = (0, 0_u32);
        let mut revision: Option<String> = None;
        loop {
            let outcome = match revision.take() {
                None => self.relist().await.map(Some),
                Some(from) => {
                    let start = Instant::now();
                    let (reached, ended) = self.follow(from.clone()).await;
                    let lasted = start.elapsed() >= BackOff::RECONNECT.max;
                    fruitless = if lasted || reached != from { 0 } else { fruitless + 1 };
                    // A server that ends watches at once, or calls each revision too old, must not be asked
                    // on and on.
                    let rest = tokio::time::sleep(BackOff::RECONNECT.delay_with_jitter(fruitless));
                    match ended {
                        Ok(()) => {
                            rest.await;
                            Ok(Some(reached))
                        }
                        Err(ClientError::Gone { .. }) => {
                            rest.await;
                            Ok(None)
                        }
                        Err(error) => {
                            revision = Some(reached);
                            Err(error)
                        }
                    }
                }
            };
            match outcome {
                Ok(reached) => {
                    revision = reached;
                    failures = 0;
                }
                Err(error) => {
                    failures += 1;
                    (self.failed)();
                    let wait = BackOff::RECONNECT.delay_with_jitter(failures);
                    tracing::warn!(
                        kind = K::KIND,
                        error = swell_telemetry::chain(&error),
                        wait_ms = wait.as_millis(),
                        "following a collection failed"
                    );
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    async fn relist(&self) -> Result<String, ClientError> {
        let ObjectList { items, resource_version } =
            self.client.list::<K>(self.namespace.as_deref(), &self.params).await?;
        let fresh: BTreeMap<_, _> =
            items.into_iter().map(|object| (ObjectKey::of(&object), Arc::new(object))).collect();
        *self.state.objects.write() = fresh;
        self.notify();
        Ok(resource_version)
    }

    /// Watches until the stream ends, or is over and did not; returns the revision reached.
    async fn follow(&self, from: String) -> (String, Result<(), ClientError>) {
        let mut reached = from;
        let namespace = self.namespace.as_deref();
        let span = BackOff::WATCH.delay_with_jitter(1);
        let over = Instant::now() + span + WATCH_GRACE;
        let opened = self.client.watch_for::<K>(namespace, &self.params, &reached, Some(span));
        let mut events = match tokio::time::timeout_at(over, opened).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return (reached, Err(error)),
            Err(_) => return (reached, Ok(())),
        };
        // A connection that something on the way has forgotten brings nothing, and no end either.
        while let Ok(Some(event)) = tokio::time::timeout_at(over, events.next()).await {
            match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    note_revision(&mut reached, &object);
                    let key = ObjectKey::of(&object);
                    self.state.objects.write().insert(key, Arc::new(object));
                    self.notify();
                }
                Ok(WatchEvent::Deleted(object)) => {
                    note_revision(&mut reached, &object);
                    self.state.objects.write().remove(&ObjectKey::of(&object));
                    self.notify();
                }
                Ok(WatchEvent::Bookmark { resource_version }) => reached = resource_version,
                Err(error) => return (reached, Err(error)),
            }
        }
        (reached, Ok(()))
    }

    fn notify(&self) {
        self.bump.send_modify(|count| *count += 1);
    }
}

fn note_revision<K: Object>(reached: &mut String, object: &K) {
    if let Some(version) = &object.metadata().resource_version {
        reached.clone_from(version);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http::{Request, Response};
    use http_body_util::Full;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    const GONE: &str =
        r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}"#;

    /// Counts the requests of a cache in ten minutes, of which each watch is answered by `events` alone.
    async fn check(events: &'static str, request_count_max: usize) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = tower::service_fn(move |request: Request<Full<Bytes>>| {
            count.fetch_add(1, Ordering::Relaxed);
            let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            let list = r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#;
            let body = if watches { format!("{events}\n") } else { list.to_owned() };
            std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body)))))
        });
        let shutdown = CancellationToken::new();
        let client = Client::in_process(server);
        let cache = Cache::<Pod>::start(client, None, ListParams::default(), shutdown.clone());
        assert!(cache.synced().await, "{events}");
        tokio::time::sleep(Duration::from_secs(600)).await;
        shutdown.cancel();
        let asked = asked.load(Ordering::Relaxed);
        assert!((10..=request_count_max).contains(&asked), "{asked} requests for {events:?}");
    }

    /// One request in about ten seconds, and two for each revision that is too old.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_ends_watches_at_once_is_asked_seldom() {
        check("", 110).await;
        check(GONE, 220).await;
    }

    #[tokio::test(start_paused = true)]
    async fn lists_that_fail_are_counted() {
        let server = tower::service_fn(|_: Request<Full<Bytes>>| {
            let mut refused = Response::new(Full::new(Bytes::from("{}")));
            *refused.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            std::future::ready(Ok::<_, Infallible>(refused))
        });
        let failures = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&failures);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        let shutdown = CancellationToken::new();
        let client = Client::in_process(server);
        let params = ListParams::default();
        let cache = Cache::<Pod>::start_counted(client, None, params, shutdown.clone(), count);
        tokio::time::sleep(Duration::from_secs(120)).await;
        shutdown.cancel();
        assert!(!cache.is_synced());
        let failures = failures.load(Ordering::Relaxed);
        assert!(failures > 1, "{failures}");
    }

    /// A watch that never says anything, as of a connection that a translator of addresses forgot: it is begun anew, and what
    /// happened meanwhile is seen.
    #[tokio::test(start_paused = true)]
    async fn a_watch_that_went_silent_is_begun_anew() {
        const ADDED: &str = r#"{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"late","namespace":"n","resourceVersion":"7"}}}"#;
        let asked = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let server = tower::service_fn(move |request: Request<Full<Bytes>>| {
            let query = request.uri().query().unwrap_or_default().to_owned();
            let watches = query.contains("watch=true");
            let is_first = watches && log.lock().is_empty();
            if watches {
                log.lock().push(query);
            }
            let list = r#"{"metadata":{"resourceVersion":"5"},"items":[]}"#;
            let text = if watches { format!("{ADDED}\n") } else { list.to_owned() };
            let said = futures::stream::iter(
                (!is_first)
                    .then(|| Ok::<_, Infallible>(hyper::body::Frame::data(Bytes::from(text)))),
            );
            // A list ends, a watch does not.
            let rest = futures::stream::pending();
            let body = match watches {
                true => http_body_util::StreamBody::new(said.chain(rest).boxed()),
                false => http_body_util::StreamBody::new(said.boxed()),
            };
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let client = Client::in_process(server);
        let shutdown = CancellationToken::new();
        let cache = Cache::<Pod>::start(client, None, ListParams::default(), shutdown.clone());
        assert!(cache.synced().await);
        let began = Instant::now();
        cache.changed().wait_for(|count| *count > 1).await.expect("it follows");
        assert!((400..=631).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!(cache.get("n", "late").is_some());
        let asked = asked.lock();
        assert!(asked.iter().all(|query| query.contains("timeoutSeconds=")), "{asked:?}");
        assert!(asked[1].contains("resourceVersion=5"), "{asked:?}");
        shutdown.cancel();
    }
}
