//! Role `ingress`: each path of each host, for probes from outside.

use k8s_openapi::api::networking::v1::{Ingress, IngressRule};

use crate::group::{LabelMap, TargetGroup};

use super::cluster::View;
use super::labels::Setter;

/// The targets of an ingress.
pub(super) fn groups(ingress: &Ingress, view: &View<'_>) -> Vec<TargetGroup> {
    let mut common = LabelMap::new();
    view.namespace(&ingress.metadata, &mut common);
    let mut set = Setter(&mut common);
    set.named("ingress", &ingress.metadata);
    let Some(spec) = &ingress.spec else { return Vec::new() };
    set.set_some("ingress_class_name", spec.ingress_class_name.as_ref());
    let tls_hosts: Vec<&String> =
        spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten()).collect();
    let mut groups = Vec::new();
    for rule in spec.rules.iter().flatten() {
        let host = rule.host.clone().unwrap_or_default();
        let scheme =
            if tls_hosts.iter().any(|pattern| covers(pattern, &host)) { "https" } else { "http" };
        for path in paths(rule) {
            let mut own = LabelMap::new();
            let mut set = Setter(&mut own);
            set.set("ingress_scheme", scheme);
            set.set("ingress_host", &host);
            set.set("ingress_path", path);
            groups.push(TargetGroup::of_one(host.clone(), &common, own));
        }
    }
    groups
}

/// A rule without paths has one, the root.
fn paths(rule: &IngressRule) -> Vec<String> {
    let Some(http) = &rule.http else { return vec!["/".to_owned()] };
    let path = |path: &Option<String>| {
        path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned())
    };
    http.paths.iter().map(|it| path(&it.path)).collect()
}

/// Whether a host is the one of a certificate, whose first part may be `*`.
fn covers(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(parent), Some((_, rest))) => parent == rest,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn certificates_cover_hosts() {
        for (pattern, host, expected) in [
            ("a.example.org", "a.example.org", true),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "b.a.example.org", false),
            ("*.example.org", "example.org", false),
            ("b.example.org", "a.example.org", false),
        ] {
            assert_eq!(covers(pattern, host), expected, "{pattern} {host}");
        }
    }
}
