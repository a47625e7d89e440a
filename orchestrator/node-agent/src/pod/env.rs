//! The environment of a container: what Kubernetes defines, from the pod, its ConfigMaps and its Secrets.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use swell_model::Quantity;

/// Where values come from besides the container itself.
#[derive(Clone, Debug)]
pub(crate) struct EnvSources<'a> {
    pub(crate) pod: &'a core::Pod,
    pub(crate) node_name: &'a str,
    pub(crate) pod_address: IpAddr,
    pub(crate) host_address: IpAddr,
    /// What a container without limits may use: the node's CPU in thousandths and memory in bytes.
    pub(crate) node_cpu_milli: u64,
    pub(crate) node_memory_bytes: u64,
    pub(crate) host_env: &'a [(String, String)],
    /// Fetched objects; an absent one does not exist.
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, String>>,
}

/// Names of the objects a container's environment refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EnvReferences {
    pub(crate) config_maps: Vec<String>,
    pub(crate) secrets: Vec<String>,
}

/// The objects to fetch before [`resolve`].
pub(crate) fn references(container: &core::Container) -> EnvReferences {
    let mut found = EnvReferences::default();
    for source in container.env_from.iter().flatten() {
        found.config_maps.extend(source.config_map_ref.iter().map(|r| r.name.clone()));
        found.secrets.extend(source.secret_ref.iter().map(|r| r.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
        found.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
        found.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
    }
    for names in [&mut found.config_maps, &mut found.secrets] {
        names.sort();
        names.dedup();
    }
    found
}

/// The environment, each name once, in a stable order.
///
/// # Errors
/// What is missing, in the kubelet's words.
pub(crate) fn resolve(
    container: &core::Container,
    sources: &EnvSources<'_>,
) -> Result<Vec<(String, String)>, String> {
    let mut env: BTreeMap<String, String> = sources.host_env.iter().cloned().collect();
    let metadata = &sources.pod.metadata;
    let own = [
        ("POD_IP", sources.pod_address.to_string()),
        ("POD_NAME", metadata.name.clone().unwrap_or_default()),
        ("POD_NAMESPACE", metadata.namespace.clone().unwrap_or_default()),
        ("NODE_NAME", sources.node_name.to_owned()),
        ("HOSTNAME", metadata.name.clone().unwrap_or_default()),
    ];
    env.extend(own.map(|(name, value)| (name.to_owned(), value)));
    for source in container.env_from.iter().flatten() {
        let (kind, objects, name, optional) = if let Some(source) = &source.config_map_ref {
            ("configmap", &sources.config_maps, &source.name, source.optional)
        } else if let Some(source) = &source.secret_ref {
            ("secret", &sources.secrets, &source.name, source.optional)
        } else {
            continue;
        };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        match objects.get(name) {
            Some(values) => {
                env.extend(
                    values.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())),
                );
            }
            None if optional == Some(true) => {}
            None => return Err(format!("{kind} {name:?} not found")),
        }
    }
    // Values refer to what stands before them.
    for var in container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (_, Some(source)) => match value_from(container, source, sources)? {
                Some(value) => value,
                None => continue,
            },
            (value, None) => expand(value.as_deref().unwrap_or_default(), &env),
        };
        env.insert(var.name.clone(), value);
    }
    Ok(env.into_iter().collect())
}

fn value_from(
    container: &core::Container,
    source: &core::EnvVarSource,
    sources: &EnvSources<'_>,
) -> Result<Option<String>, String> {
    if let Some(field) = &source.field_ref {
        return field_value(&field.field_path, sources).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        return resource_value(container, field, sources).map(Some);
    }
    let (kind, objects, name, key, optional) = if let Some(source) = &source.config_map_key_ref {
        ("configmap", &sources.config_maps, &source.name, &source.key, source.optional)
    } else if let Some(source) = &source.secret_key_ref {
        ("secret", &sources.secrets, &source.name, &source.key, source.optional)
    } else {
        return Err("valueFrom names no source that is supported".to_owned());
    };
    match objects.get(name).map(|values| values.get(key)) {
        Some(Some(value)) => Ok(Some(value.clone())),
        _ if optional == Some(true) => Ok(None),
        Some(None) => Err(format!("couldn't find key {key} in {kind} {name}")),
        None => Err(format!("{kind} {name:?} not found")),
    }
}

fn field_value(path: &str, sources: &EnvSources<'_>) -> Result<String, String> {
    let metadata = &sources.pod.metadata;
    let keyed = |map: &Option<BTreeMap<String, String>>, prefix: &str| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default())
    };
    let spec = sources.pod.spec.as_ref();
    let value = match path {
        "metadata.name" => metadata.name.clone(),
        "metadata.namespace" => metadata.namespace.clone(),
        "metadata.uid" => metadata.uid.clone(),
        "spec.nodeName" => Some(sources.node_name.to_owned()),
        "spec.serviceAccountName" => spec
            .and_then(|spec| spec.service_account_name.clone())
            .or_else(|| Some("default".to_owned())),
        "status.podIP" | "status.podIPs" => Some(sources.pod_address.to_string()),
        "status.hostIP" | "status.hostIPs" => Some(sources.host_address.to_string()),
        _ => keyed(&metadata.labels, "metadata.labels")
            .or_else(|| keyed(&metadata.annotations, "metadata.annotations")),
    };
    value.ok_or_else(|| format!("unsupported fieldPath: {path}"))
}

fn resource_value(
    container: &core::Container,
    field: &core::ResourceFieldSelector,
    sources: &EnvSources<'_>,
) -> Result<String, String> {
    let spec = sources.pod.spec.as_ref();
    let container = match &field.container_name {
        None => container,
        Some(name) => spec
            .and_then(|spec| spec.containers.iter().find(|container| container.name == *name))
            .ok_or_else(|| format!("container {name} not found"))?,
    };
    let (amounts, resource) = field
        .resource
        .split_once('.')
        .filter(|(amounts, resource)| {
            matches!(*amounts, "limits" | "requests") && matches!(*resource, "cpu" | "memory")
        })
        .ok_or_else(|| format!("unsupported container resource: {}", field.resource))?;
    let resources = container.resources.clone().unwrap_or_default();
    let amounts_map = if amounts == "limits" { resources.limits } else { resources.requests };
    let parse = |text: &str| Quantity::parse(text).map_err(|error| error.to_string());
    let node = if resource == "cpu" {
        i64::try_from(sources.node_cpu_milli).unwrap_or(i64::MAX)
    } else {
        i64::try_from(sources.node_memory_bytes).unwrap_or(i64::MAX).saturating_mul(1000)
    };
    let amount = match amounts_map.as_ref().and_then(|map| map.get(resource)) {
        Some(amount) => parse(&amount.0)?.milli,
        None if amounts == "limits" => node,
        None => 0,
    };
    let divisor = match &field.divisor {
        Some(divisor) if divisor.0 != "0" => parse(&divisor.0)?.milli.max(1),
        _ => 1000,
    };
    let ceiling = amount.div_euclid(divisor) + i64::from(amount.rem_euclid(divisor) != 0);
    Ok(ceiling.to_string())
}

/// Replaces `$(NAME)` by values; unknown names stay as they are, `$$` is one dollar sign.
pub(crate) fn expand(text: &str, env: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = named {
            match env.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn env_of(container: Value) -> Result<BTreeMap<String, String>, String> {
        let mut base = json!({"name": "main"});
        base.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let pod = json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1",
                "labels": {"app": "web"}, "annotations": {"a/b": "c"}},
            "spec": {"containers": [base]},
        });
        let pod: core::Pod = serde_json::from_value(pod).unwrap();
        let container = pod.spec.as_ref().unwrap().containers[0].clone();
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        let sources = EnvSources {
            pod: &pod,
            node_name: "node-1",
            pod_address: "127.64.0.5".parse().unwrap(),
            host_address: "127.0.0.1".parse().unwrap(),
            node_cpu_milli: 2000,
            node_memory_bytes: 1 << 30,
            host_env: &[("PATH".to_owned(), "/bin".to_owned())],
            config_maps: BTreeMap::from([(
                "settings".to_owned(),
                map(&[("mode", "fast"), ("n", "1")]),
            )]),
            secrets: BTreeMap::from([("keys".to_owned(), map(&[("token", "s3cret")]))]),
        };
        resolve(&container, &sources).map(|env| env.into_iter().collect())
    }

    #[test]
    fn every_container_knows_its_address_and_name() {
        let env = env_of(json!({})).unwrap();
        for (name, value) in [
            ("POD_IP", "127.64.0.5"),
            ("POD_NAME", "web"),
            ("POD_NAMESPACE", "shop"),
            ("NODE_NAME", "node-1"),
            ("HOSTNAME", "web"),
            ("PATH", "/bin"),
        ] {
            assert_eq!(env[name], value);
        }
    }

    #[test]
    fn values_come_from_fields_resources_config_maps_and_secrets() {
        let env = env_of(json!({
            "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi"}},
            "envFrom": [{"prefix": "S_", "configMapRef": {"name": "settings"}}],
            "env": [
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "NOTE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a/b']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MILLI", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                {"name": "MIB", "valueFrom": {"resourceFieldRef": {"resource": "requests.memory", "divisor": "1Mi"}}},
                {"name": "ALL", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
                {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y", "optional": true}}},
                {"name": "URL", "value": "http://$(IP):80/$(S_mode)?$$(IP)$(NOBODY)$"},
                {"name": "PATH", "value": "/opt:$(PATH)"},
            ],
        }))
        .unwrap();
        for (name, value) in [
            ("S_mode", "fast"),
            ("S_n", "1"),
            ("APP", "web"),
            ("NOTE", "c"),
            ("CPUS", "2"),
            ("MILLI", "1500"),
            ("MIB", "64"),
            ("ALL", "1073741824"),
            ("TOKEN", "s3cret"),
            ("URL", "http://127.64.0.5:80/fast?$(IP)$(NOBODY)$"),
            ("PATH", "/opt:/bin"),
        ] {
            assert_eq!(env[name], value, "{name}");
        }
        assert!(!env.contains_key("GONE"));
    }

    #[test]
    fn what_is_missing_is_named() {
        let check = |container: Value, word: &str| {
            let error = env_of(container).unwrap_err();
            assert!(error.contains(word), "{word:?} is missing in {error:?}");
        };
        check(json!({"envFrom": [{"secretRef": {"name": "nope"}}]}), "secret \"nope\" not found");
        let key = |key| json!({"configMapKeyRef": {"name": "settings", "key": key}});
        check(
            json!({"env": [{"name": "A", "valueFrom": key("zz")}]}),
            "couldn't find key zz in configmap settings",
        );
        let field = json!({"fieldRef": {"fieldPath": "spec.nope"}});
        check(json!({"env": [{"name": "A", "valueFrom": field}]}), "spec.nope");
    }

    #[test]
    fn references_are_listed_once() {
        let container: core::Container = serde_json::from_value(json!({
            "name": "main",
            "envFrom": [{"secretRef": {"name": "keys"}}],
            "env": [
                {"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}},
                {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "b"}}},
            ],
        }))
        .unwrap();
        let found = references(&container);
        assert_eq!(
            (found.config_maps, found.secrets),
            (vec!["settings".to_owned()], vec!["keys".to_owned()])
        );
    }
}
