//! From a path to what it names.

use swell_api_types::{ResourceType, Subresource, by_plural};

/// What a path names.
#[derive(Debug)]
pub(crate) enum Route {
    Version,
    Health,
    /// `/api`: discovery of the core group.
    CoreDiscovery,
    /// `/apis`: discovery of the other groups.
    GroupDiscovery,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    GroupVersion {
        group: String,
        version: String,
    },
    OpenApiV2,
    OpenApiV3Index,
    OpenApiV3 {
        group: String,
        version: String,
    },
    Resource(Target),
    Review(Review),
    Usage {
        nodes: bool,
        namespace: Option<String>,
        name: Option<String>,
    },
    Nothing,
}

/// Objects of a resource, one of them, or a part of one.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) resource: &'static ResourceType,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<Subresource>,
}

/// Questions of a client about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Review {
    Access,
    Rules,
    Identity,
}

impl Review {
    pub(crate) const ALL: [Self; 3] = [Self::Access, Self::Rules, Self::Identity];

    /// Group, version, kind and plural.
    pub(crate) const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Access => (
                "authorization.k8s.io",
                "v1",
                "SelfSubjectAccessReview",
                "selfsubjectaccessreviews",
            ),
            Self::Rules => {
                ("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews")
            }
            Self::Identity => {
                ("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews")
            }
        }
    }
}

/// Group and version of resource usage.
pub(crate) const USAGE_GROUP: (&str, &str) = ("metrics.k8s.io", "v1beta1");

/// Reads a path.
pub(crate) fn route(path: &str) -> Route {
    let Some(segments) = decode(path) else { return Route::Nothing };
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["version"] => Route::Version,
        ["healthz" | "livez" | "readyz", ..] => Route::Health,
        ["api"] => Route::CoreDiscovery,
        ["apis"] => Route::GroupDiscovery,
        ["api", "v1"] => Route::GroupVersion { group: String::new(), version: "v1".to_owned() },
        ["api", version, rest @ ..] => below("", version, rest),
        ["apis", group] => Route::Group((*group).to_owned()),
        ["apis", group, version] => {
            Route::GroupVersion { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        ["apis", group, version, rest @ ..] => below(group, version, rest),
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiV3Index,
        ["openapi", "v3", "api", version] => {
            Route::OpenApiV3 { group: String::new(), version: (*version).to_owned() }
        }
        ["openapi", "v3", "apis", group, version] => {
            Route::OpenApiV3 { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        _ => Route::Nothing,
    }
}

fn below(group: &str, version: &str, rest: &[&str]) -> Route {
    if (group, version) == USAGE_GROUP {
        return usage(rest);
    }
    let review = |plural: &str| {
        Review::ALL.into_iter().find(|review| {
            let names = review.names();
            (names.0, names.1, names.3) == (group, version, plural)
        })
    };
    if let [plural] = rest
        && let Some(review) = review(plural)
    {
        return Route::Review(review);
    }
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !names_the_namespace_itself(rest) => {
            (Some(*namespace), rest)
        }
        rest => (None, rest),
    };
    let (plural, name, part) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, part] => (*plural, Some(*name), Some(*part)),
        _ => return Route::Nothing,
    };
    let Some(resource) = by_plural(group, version, plural) else { return Route::Nothing };
    let subresource = match part {
        None => None,
        Some(part) => match resource.subresources.iter().find(|known| known.name() == part) {
            Some(known) => Some(*known),
            None => return Route::Nothing,
        },
    };
    let scope_fits = match (resource.namespaced, namespace, name) {
        (true, Some(_), _) | (true, None, None) => true,
        (true, None, Some(_)) => false,
        (false, namespace, _) => namespace.is_none(),
    };
    if !scope_fits {
        return Route::Nothing;
    }
    Route::Resource(Target {
        resource,
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource,
    })
}

/// `namespaces/NAME` and `namespaces/NAME/status` are the namespace, not something in it.
fn names_the_namespace_itself(rest: &[&str]) -> bool {
    matches!(rest, [] | ["status"])
}

fn usage(rest: &[&str]) -> Route {
    let owned = |text: &str| Some(text.to_owned());
    match rest {
        ["nodes"] => Route::Usage { nodes: true, namespace: None, name: None },
        ["nodes", name] => Route::Usage { nodes: true, namespace: None, name: owned(name) },
        ["pods"] => Route::Usage { nodes: false, namespace: None, name: None },
        ["namespaces", namespace, "pods"] => {
            Route::Usage { nodes: false, namespace: owned(namespace), name: None }
        }
        ["namespaces", namespace, "pods", name] => {
            Route::Usage { nodes: false, namespace: owned(namespace), name: owned(name) }
        }
        _ => Route::Nothing,
    }
}

/// Splits a path and decodes its percent escapes; none when an escape is broken or is no UTF-8.
fn decode(path: &str) -> Option<Vec<String>> {
    path.split('/').filter(|segment| !segment.is_empty()).map(unescape).collect()
}

fn unescape(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: &str) {
        let found = match route(path) {
            Route::Resource(target) => format!(
                "{} ns={} name={} sub={}",
                target.resource.qualified_plural(),
                target.namespace.as_deref().unwrap_or("-"),
                target.name.as_deref().unwrap_or("-"),
                target.subresource.map_or("-", Subresource::name),
            ),
            other => format!("{other:?}"),
        };
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn paths_name_resources_and_parts() {
        check("/api/v1/pods", "pods ns=- name=- sub=-");
        check("/api/v1/namespaces/a/pods/p%20q/log", "pods ns=a name=p q sub=log");
        check(
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "deployments.apps ns=a name=d sub=scale",
        );
        check("/api/v1/namespaces", "namespaces ns=- name=- sub=-");
        check("/api/v1/namespaces/a", "namespaces ns=- name=a sub=-");
        check("/api/v1/namespaces/a/status", "namespaces ns=- name=a sub=status");
        check("/api/v1/nodes/n1/status", "nodes ns=- name=n1 sub=status");
        check("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "Review(Access)");
        for path in [
            "/api/v1/pods/p",
            "/api/v1/namespaces/a/nodes",
            "/api/v1/namespaces/a/pods/p/exec",
            "/apis/apps/v2/deployments",
            "/apis/apps/v1/namespaces/a/deployments/d/scale/x",
            "/api/v1/namespaces/a/pods/%zz",
            "/swagger.json",
            "/",
        ] {
            check(path, "Nothing");
        }
    }
}
