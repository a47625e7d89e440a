//! What the server has: legacy discovery and the aggregated one, both with an ETag.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use swell_api_types::{RESOURCES, ResourceType, Subresource, Verb};

use crate::failure::Failure;
use crate::negotiate::{Accepted, accepted};
use crate::route::{Review, USAGE_GROUP};

/// A group with its versions, the preferred one first.
struct Group {
    name: &'static str,
    versions: Vec<&'static str>,
}

/// Groups in the order of their first resource; the core group is first, resource usage only if measured.
fn groups(with_usage: bool) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let reviews = Review::ALL.iter().map(|review| (review.names().0, review.names().1));
    let usage = with_usage.then_some(USAGE_GROUP);
    let all = RESOURCES.iter().map(|resource| (resource.group, resource.version));
    for (name, version) in all.chain(reviews).chain(usage) {
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) if group.versions.contains(&version) => {}
            Some(group) => group.versions.push(version),
            None => groups.push(Group { name, versions: vec![version] }),
        }
    }
    groups
}

fn resources_of(group: &str, version: &str) -> impl Iterator<Item = &'static ResourceType> {
    RESOURCES.iter().filter(move |resource| (resource.group, resource.version) == (group, version))
}

fn reviews_of(group: &str, version: &str) -> impl Iterator<Item = Review> {
    Review::ALL.into_iter().filter(move |review| {
        let names = review.names();
        (names.0, names.1) == (group, version)
    })
}

/// Kinds of `metrics.k8s.io` with plural, singular and whether they are namespaced.
const USAGE_KINDS: [(&str, &str, bool); 2] =
    [("NodeMetrics", "nodes", false), ("PodMetrics", "pods", true)];

fn verbs(resource: &ResourceType) -> Vec<&'static str> {
    resource.verbs.iter().copied().map(Verb::name).collect()
}

/// Kind, group, version and verbs of a subresource's object.
fn part(
    resource: &ResourceType,
    part: Subresource,
) -> (&'static str, &'static str, &'static str, &'static [&'static str]) {
    match part {
        Subresource::Status => {
            (resource.kind, resource.group, resource.version, &["get", "patch", "update"])
        }
        Subresource::Scale => ("Scale", "autoscaling", "v1", &["get", "patch", "update"]),
        Subresource::Log => (resource.kind, resource.group, resource.version, &["get"]),
        Subresource::Binding => ("Binding", "", "v1", &["create"]),
        Subresource::Eviction => ("Eviction", "policy", "v1", &["create"]),
    }
}

/// Which document of discovery.
pub(crate) enum Document<'p> {
    Core,
    Groups,
    Group(&'p str),
    GroupVersion { group: &'p str, version: &'p str },
}

/// Answers a request for discovery, in the form and version that the client names.
pub(crate) fn answer(
    document: &Document<'_>,
    headers: &HeaderMap,
    with_usage: bool,
) -> Result<Response, Failure> {
    for entry in accepted(headers).into_iter().filter(Accepted::is_json) {
        let aggregated = match (entry.param("g"), entry.param("as"), document) {
            (None, None, _) => None,
            (
                Some("apidiscovery.k8s.io"),
                Some("APIGroupDiscoveryList"),
                Document::Core | Document::Groups,
            ) => match entry.param("v") {
                Some(version @ ("v2" | "v2beta1")) => Some(version),
                _ => continue,
            },
            _ => continue,
        };
        let (body, media_type) = match aggregated {
            Some(version) => (
                aggregate(matches!(document, Document::Core), version, with_usage),
                format!(
                    "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
                ),
            ),
            None => (legacy(document, with_usage)?, "application/json".to_owned()),
        };
        return Ok(with_etag(headers, &body, &media_type));
    }
    Err(Failure::not_acceptable())
}

/// An answer that the client may keep: 304 when it has the same already.
pub(crate) fn with_etag(headers: &HeaderMap, body: &Value, media_type: &str) -> Response {
    let text = body.to_string();
    let etag = format!("\"{}\"", digest(text.as_bytes()));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let common = [
        (header::ETAG, etag.clone()),
        (header::VARY, "Accept".to_owned()),
        (header::CACHE_CONTROL, "no-cache, private".to_owned()),
    ];
    if known == Some(etag.as_str()) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(header::CONTENT_TYPE, media_type.to_owned())], text).into_response()
}

/// SHA-256 in capital hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02X}")).collect()
}

fn legacy(document: &Document<'_>, with_usage: bool) -> Result<Value, Failure> {
    let groups = groups(with_usage);
    match document {
        Document::Core => Ok(json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        })),
        Document::Groups => {
            let named = groups.iter().filter(|group| !group.name.is_empty());
            let list: Vec<_> = named.map(group_json).collect();
            Ok(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}))
        }
        Document::Group(name) => {
            let found = groups.iter().find(|group| group.name == *name && !name.is_empty());
            let mut group = group_json(found.ok_or_else(Failure::no_such_path)?);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Ok(group)
        }
        Document::GroupVersion { group, version } => {
            let known =
                groups.iter().any(|found| found.name == *group && found.versions.contains(version));
            if !known {
                return Err(Failure::no_such_path());
            }
            Ok(resource_list(group, version))
        }
    }
}

fn group_json(group: &Group) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{}/{version}", group.name), "version": version});
    let versions: Vec<_> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions[0]})
}

fn resource_list(group: &str, version: &str) -> Value {
    let mut list = Vec::new();
    for resource in resources_of(group, version) {
        let hash = digest(resource.message.as_bytes());
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular,
            "namespaced": resource.namespaced, "kind": resource.kind, "verbs": verbs(resource),
            "storageVersionHash": &hash[..11],
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        list.push(entry);
        for subresource in resource.subresources {
            let (kind, own_group, own_version, verbs) = part(resource, *subresource);
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, subresource.name()), "singularName": "",
                "namespaced": resource.namespaced, "kind": kind, "verbs": verbs,
            });
            if (own_group, own_version) != (group, version) {
                entry["group"] = json!(own_group);
                entry["version"] = json!(own_version);
            }
            list.push(entry);
        }
    }
    list.extend(reviews_of(group, version).map(|review| {
        let (_, _, kind, plural) = review.names();
        json!({
            "name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind,
            "verbs": ["create"],
        })
    }));
    if (group, version) == USAGE_GROUP {
        list.extend(USAGE_KINDS.iter().map(|(kind, plural, namespaced)| {
            json!({
                "name": plural, "singularName": "", "namespaced": namespaced, "kind": kind,
                "verbs": ["get", "list"],
            })
        }));
    }
    let group_version = group_version(group, version);
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list,
    })
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn aggregate(core: bool, form: &str, with_usage: bool) -> Value {
    let items: Vec<_> = groups(with_usage)
        .iter()
        .filter(|group| group.name.is_empty() == core)
        .map(|group| {
            let versions: Vec<_> = group
                .versions
                .iter()
                .map(|version| {
                    json!({
                        "version": version, "freshness": "Current",
                        "resources": aggregate_resources(group.name, version),
                    })
                })
                .collect();
            let metadata = if core {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group.name, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {}, "items": items,
    })
}

fn aggregate_resources(group: &str, version: &str) -> Vec<Value> {
    let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
    let kind_json = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut list: Vec<_> = resources_of(group, version)
        .map(|resource| {
            let parts: Vec<_> = resource
                .subresources
                .iter()
                .map(|subresource| {
                    let (kind, group, version, verbs) = part(resource, *subresource);
                    json!({
                        "subresource": subresource.name(), "verbs": verbs,
                        "responseKind": kind_json(group, version, kind),
                    })
                })
                .collect();
            let mut entry = json!({
                "resource": resource.plural, "singularResource": resource.singular,
                "scope": scope(resource.namespaced), "verbs": verbs(resource),
                "responseKind": kind_json(group, version, resource.kind),
            });
            for (field, values) in
                [("shortNames", resource.short_names), ("categories", resource.categories)]
            {
                if !values.is_empty() {
                    entry[field] = json!(values);
                }
            }
            if !parts.is_empty() {
                entry["subresources"] = json!(parts);
            }
            entry
        })
        .collect();
    list.extend(reviews_of(group, version).map(|review| {
        let (_, _, kind, plural) = review.names();
        json!({
            "resource": plural, "singularResource": kind.to_lowercase(), "scope": "Cluster",
            "verbs": ["create"], "responseKind": kind_json(group, version, kind),
        })
    }));
    if (group, version) == USAGE_GROUP {
        list.extend(USAGE_KINDS.iter().map(|(kind, plural, namespaced)| {
            json!({
                "resource": plural, "singularResource": "", "scope": scope(*namespaced),
                "verbs": ["get", "list"], "responseKind": kind_json(group, version, kind),
            })
        }));
    }
    list
}

/// Every group and version, for the index of OpenAPI.
pub(crate) fn group_versions(with_usage: bool) -> Vec<(&'static str, &'static str)> {
    groups(with_usage)
        .into_iter()
        .flat_map(|group| group.versions.into_iter().map(move |version| (group.name, version)))
        .collect()
}
