//! What must happen after a change: dependents of deleted owners, namespaces on their way out, addresses of
//! services that are gone, events past their time.
//!
//! One task owns the graph of owners. It follows every change of the store; for each it notes which objects
//! and namespaces need a look, and then looks at their state, not at the change.

mod execute;
mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use swell_model::DurationMs;
use swell_store::{Change, ListOptions, Revision, StoreError};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::object::{ROOT, decode, decode_bytes, is_terminating, parse_key};
use crate::shared::Shared;
use plan::{Graph, Uid};

/// Time between looks at the age of events.
const EVENT_SWEEP_INTERVAL: Duration = Duration::from_secs(300);
/// What failed is tried again after this time.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Runs until shutdown. After an error of the store, or when it fell too far behind, it starts from the whole
/// state again.
pub(crate) async fn run(shared: Arc<Shared>, event_lifetime: DurationMs) {
    let shutdown = shared.shutdown.clone();
    let work = async {
        loop {
            if let Err(failure) = follow(&shared, event_lifetime).await {
                tracing::warn!(
                    message = failure.message,
                    "upkeep starts again from the whole state"
                );
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

/// What needs a look.
#[derive(Default)]
struct Agenda {
    objects: BTreeSet<Uid>,
    namespaces: BTreeSet<String>,
}

async fn follow(shared: &Shared, event_lifetime: DurationMs) -> Result<(), Failure> {
    let mut graph = Graph::default();
    let mut agenda = Agenda::default();
    let from = load(shared, &mut graph, &mut agenda).await?;
    let mut changes = shared.store.watch(ROOT, from)?;
    let mut next_sweep = Instant::now();
    let mut retry_at = None;
    loop {
        let failed = work_off(shared, &mut graph, std::mem::take(&mut agenda)).await;
        if !failed.objects.is_empty() || !failed.namespaces.is_empty() {
            agenda = failed;
            retry_at = Some(Instant::now() + RETRY_INTERVAL);
        }
        tokio::select! {
            batch = changes.next() => match batch {
                Some(Ok(batch)) => {
                    for change in &batch.changes {
                        note(shared, &mut graph, &mut agenda, change)?;
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                None => return Err(StoreError::Closed.into()),
            },
            () = tokio::time::sleep_until(next_sweep) => {
                next_sweep = Instant::now() + EVENT_SWEEP_INTERVAL;
                execute::expire_events(shared, event_lifetime).await?;
            }
            () = tokio::time::sleep_until(retry_at.unwrap_or(next_sweep)), if retry_at.is_some() => {
                retry_at = None;
            }
        }
    }
}

/// Reads the whole state; everything needs a look.
async fn load(
    shared: &Shared,
    graph: &mut Graph,
    agenda: &mut Agenda,
) -> Result<Revision, Failure> {
    let page = shared.store.list(ROOT, ListOptions::default()).await?;
    for entry in &page.entries {
        let object = decode(entry)?;
        agenda.objects.extend(graph.put(&entry.key, &object));
        note_namespace(&entry.key, &object, graph, agenda);
    }
    Ok(page.revision)
}

fn note_namespace(key: &str, object: &serde_json::Value, graph: &mut Graph, agenda: &mut Agenda) {
    if let Some((resource, None, name)) = parse_key(key)
        && resource.kind == "Namespace"
        && is_terminating(object)
    {
        graph.terminating_namespaces.insert(name.to_owned());
        agenda.namespaces.insert(name.to_owned());
    }
}

fn note(
    shared: &Shared,
    graph: &mut Graph,
    agenda: &mut Agenda,
    change: &Change,
) -> Result<(), Failure> {
    let Some((resource, namespace, name)) = parse_key(&change.key) else { return Ok(()) };
    match (&change.value, &change.before) {
        (Some(value), before) => {
            let object = decode_bytes(&change.key, value, change.revision)?;
            if resource.kind == "Service"
                && let Some(before) = before
            {
                let before = decode_bytes(&change.key, before, change.revision)?;
                shared.addresses.release_changed(&before, &object);
            }
            agenda.objects.extend(graph.put(&change.key, &object));
            note_namespace(&change.key, &object, graph, agenda);
        }
        (None, Some(before)) => {
            let object = decode_bytes(&change.key, before, change.revision)?;
            agenda.objects.extend(graph.remove(&object));
            if resource.kind == "Service" {
                shared.addresses.release(&object);
            }
            if resource.kind == "Namespace" {
                graph.terminating_namespaces.remove(name);
            }
        }
        (None, None) => {}
    }
    if let Some(namespace) = namespace
        && graph.terminating_namespaces.contains(namespace)
    {
        agenda.namespaces.insert(namespace.to_owned());
    }
    Ok(())
}

/// Does what the agenda asks for; returns what failed.
async fn work_off(shared: &Shared, graph: &mut Graph, agenda: Agenda) -> Agenda {
    let mut failed = Agenda::default();
    for uid in agenda.objects {
        for step in graph.plan(&uid) {
            if let Err(failure) = execute::step(shared, &step).await {
                tracing::warn!(message = failure.message, "a step of garbage collection failed");
                failed.objects.insert(uid.clone());
            }
        }
    }
    for namespace in agenda.namespaces {
        if let Err(failure) = execute::empty_namespace(shared, &namespace).await {
            tracing::warn!(message = failure.message, namespace, "emptying a namespace failed");
            failed.namespaces.insert(namespace);
        }
    }
    failed
}
