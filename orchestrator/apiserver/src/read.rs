//! Reading: one object, or a collection in pages of one revision.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};
use swell_store::{ListOptions, Page, Revision};

use crate::failure::Failure;
use crate::negotiate::View;
use crate::object::{decode, derive, is_derived, key, prefix, to_version};
use crate::query::{Query, Selection};
use crate::route::Target;
use crate::shared::Shared;
use crate::table;

/// Entries read from the store at a time while a selector leaves few of them.
const SCAN_LEN: usize = 500;

/// An object of the storage version.
pub(crate) async fn stored(shared: &Shared, target: &Target, name: &str) -> Result<Value, Failure> {
    let key = key(target.resource, target.namespace.as_deref(), name);
    match shared.store.get(&key).await? {
        Some(entry) => decode(&entry),
        None => Err(Failure::not_found(target.resource, name)),
    }
}

/// An object as readers of its resource see it.
async fn shown(shared: &Shared, target: &Target, name: &str) -> Result<Value, Failure> {
    if !is_derived(target.resource) {
        return stored(shared, target, name).await;
    }
    let missing = || Failure::not_found(target.resource, name);
    let (source_name, _) = name.rsplit_once('-').ok_or_else(missing)?;
    let key = key(target.resource, target.namespace.as_deref(), source_name);
    let entry = shared.store.get(&key).await?.ok_or_else(missing)?;
    let derived = derive(target.resource, decode(&entry)?);
    derived.into_iter().find(|object| object["metadata"]["name"] == name).ok_or_else(missing)
}

/// Answers a GET of one object.
pub(crate) async fn get(
    shared: &Shared,
    target: &Target,
    name: &str,
    view: &View,
    query: &Query,
) -> Result<Value, Failure> {
    let object = shown(shared, target, name).await?;
    Ok(show(shared, target, vec![object], view, query, None))
}

/// Metadata of a list.
struct ListMeta {
    revision: Revision,
    next: Option<String>,
    remaining_count: Option<usize>,
}

/// Answers a GET of a collection.
pub(crate) async fn list(
    shared: &Shared,
    target: &Target,
    view: &View,
    query: &Query,
) -> Result<Value, Failure> {
    let selection = query.selection(target.resource)?;
    let limit = usize::try_from(query.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let prefix = prefix(target.resource, target.namespace.as_deref());
    let mut options = match query.get("continue") {
        Some(token) => Cursor::read(token, &prefix)?,
        None => ListOptions { at: exact_revision(query)?, ..ListOptions::default() },
    };
    let (objects, page) = select(shared, target, &prefix, &selection, limit, &mut options).await?;
    let next = (page.remaining_count > 0)
        .then(|| options.after.as_ref().map(|last| Cursor::write(page.revision, last)))
        .flatten();
    let remaining_count =
        (next.is_some() && selection.selects_all()).then_some(page.remaining_count);
    let meta = ListMeta { revision: page.revision, next, remaining_count };
    Ok(show(shared, target, objects, view, query, Some(&meta)))
}

/// The revision of `resourceVersionMatch=Exact`; otherwise the latest state is at least as new as asked.
fn exact_revision(query: &Query) -> Result<Option<Revision>, Failure> {
    match query.get("resourceVersionMatch") {
        Some("Exact") => query.revision(),
        None | Some("NotOlderThan") => Ok(None),
        Some(other) => Err(Failure::bad_request(format!(
            "resourceVersionMatch: Invalid value: {other:?}: must be Exact or NotOlderThan"
        ))),
    }
}

/// Reads pages until `limit` objects match (all of them if zero), or a few more when one entry makes several. Afterwards `options.after` is the last key
/// read and the page tells how many entries lie behind it.
async fn select(
    shared: &Shared,
    target: &Target,
    prefix: &str,
    selection: &Selection,
    limit: usize,
    options: &mut ListOptions,
) -> Result<(Vec<Value>, Page), Failure> {
    let mut objects = Vec::new();
    loop {
        options.limit = match (limit, selection.selects_all()) {
            (0, _) => 0,
            (limit, true) => limit,
            (_, false) => SCAN_LEN,
        };
        let mut page = shared.store.list(prefix, options.clone()).await?;
        options.at = Some(page.revision);
        let entry_count = page.entries.len();
        for (idx, entry) in page.entries.iter().enumerate() {
            options.after = Some(Arc::clone(&entry.key));
            let found = derive(target.resource, decode(entry)?);
            objects.extend(found.into_iter().filter(|object| selection.matches(object)));
            if limit > 0 && objects.len() >= limit {
                page.remaining_count += entry_count - idx - 1;
                return Ok((objects, page));
            }
        }
        if page.remaining_count == 0 {
            return Ok((objects, page));
        }
    }
}

/// The opaque token between two pages.
struct Cursor;

impl Cursor {
    fn write(revision: Revision, last: &str) -> String {
        BASE64.encode(json!({"v": 1, "rv": revision.0, "last": last}).to_string())
    }

    fn read(token: &str, prefix: &str) -> Result<ListOptions, Failure> {
        let fault =
            || Failure::bad_request("continue key is not valid: take it from the page before");
        let bytes = BASE64.decode(token).map_err(|_| fault())?;
        let cursor: Value = serde_json::from_slice(&bytes).map_err(|_| fault())?;
        let revision = cursor["rv"].as_u64().ok_or_else(fault)?;
        let last =
            cursor["last"].as_str().filter(|last| last.starts_with(prefix)).ok_or_else(fault)?;
        Ok(ListOptions { at: Some(Revision(revision)), limit: 0, after: Some(Arc::from(last)) })
    }
}

/// Brings objects into the form asked for: one object when `list` is none.
fn show(
    shared: &Shared,
    target: &Target,
    objects: Vec<Value>,
    view: &View,
    query: &Query,
    list: Option<&ListMeta>,
) -> Value {
    let resource = target.resource;
    let mut shown = match view {
        View::Table(version) => {
            let include = table::IncludeObject::parse(query.get("includeObject"));
            table::render(resource, &objects, version, include, shared.clock.now())
        }
        View::Json => {
            let mut items = objects.into_iter().map(|object| to_version(resource, object));
            match list {
                None => return items.next().unwrap_or_default(),
                Some(_) => json!({
                    "kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(),
                    "items": items.collect::<Vec<_>>(),
                }),
            }
        }
        View::Metadata(version) => {
            let mut items = objects.iter().map(|object| metadata_only(object, version));
            match list {
                None => return items.next().unwrap_or_default(),
                Some(_) => json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": format!("meta.k8s.io/{version}"),
                    "items": items.collect::<Vec<_>>(),
                }),
            }
        }
    };
    if let Some(list) = list {
        let mut metadata = json!({"resourceVersion": list.revision.to_string()});
        if let Some(next) = &list.next {
            metadata["continue"] = json!(next);
        }
        if let Some(count) = list.remaining_count {
            metadata["remainingItemCount"] = json!(count);
        }
        shown["metadata"] = metadata;
    }
    shown
}

/// An object without spec and status.
pub(crate) fn metadata_only(object: &Value, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object["metadata"],
    })
}
