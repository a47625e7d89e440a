//! Kinds that hold data or record facts: little to default, little to check.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Secret};

use super::meta::{self, NameForm};
use super::missing;
use crate::fault::{FieldFault, Path};

type Faults = Vec<FieldFault>;

/// Data of a config map or a secret together, in bytes.
const DATA_BYTES_MAX: usize = 1 << 20;
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";
const KEY_RULE: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

pub(crate) fn default_nothing<K>(_: &mut K) {}

pub(crate) fn default_node(node: &mut Node) {
    node.spec.get_or_insert_default();
    node.status.get_or_insert_default();
}

pub(crate) fn validate_node(node: &Node, old: Option<&Node>, faults: &mut Faults) {
    meta::validate(&node.metadata, old.map(|old| &old.metadata), NameForm::Subdomain, faults);
    let Some(spec) = &node.spec else { return };
    let path = Path::new("spec");
    for (idx, taint) in spec.taints.iter().flatten().enumerate() {
        let path = path.field("taints").index(idx);
        if missing(&taint.key) {
            faults.push(path.field("key").required(""));
        }
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if !effects.contains(&taint.effect.as_str()) {
            faults.push(path.field("effect").not_supported(&taint.effect, &effects));
        }
    }
    let cidr = |node: &Node| node.spec.as_ref().and_then(|spec| spec.pod_cidr.clone());
    if let Some(before) = old.and_then(cidr)
        && cidr(node).as_ref() != Some(&before)
    {
        faults.push(
            path.field("podCIDR")
                .forbidden("node updates may not change podCIDR except from \"\" to valid"),
        );
    }
}

pub(crate) fn default_namespace(namespace: &mut Namespace) {
    let name = namespace.metadata.name.clone().unwrap_or_default();
    if !name.is_empty() {
        let labels = namespace.metadata.labels.get_or_insert_default();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name);
    }
    let spec = namespace.spec.get_or_insert_default();
    spec.finalizers.get_or_insert_with(|| vec!["kubernetes".to_owned()]);
    let status = namespace.status.get_or_insert_default();
    status.phase.get_or_insert_with(|| "Active".to_owned());
}

pub(crate) fn validate_namespace(
    namespace: &Namespace,
    old: Option<&Namespace>,
    faults: &mut Faults,
) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&namespace.metadata, old_metadata, NameForm::Label, faults);
}

pub(crate) fn default_event(_: &mut Event) {}

pub(crate) fn validate_event(event: &Event, old: Option<&Event>, faults: &mut Faults) {
    meta::validate(&event.metadata, old.map(|old| &old.metadata), NameForm::Subdomain, faults);
    let own = event.metadata.namespace.as_deref().unwrap_or_default();
    let about = event.involved_object.namespace.as_deref().unwrap_or("default");
    if own != about {
        let path = Path::new("involvedObject").field("namespace");
        faults.push(path.invalid(about, "does not match event.namespace"));
    }
    if let Some(type_) = event.type_.as_deref()
        && !["", "Normal", "Warning"].contains(&type_)
    {
        faults.push(Path::new("type").not_supported(type_, &["Normal", "Warning"]));
    }
}

pub(crate) fn validate_lease(lease: &Lease, old: Option<&Lease>, faults: &mut Faults) {
    meta::validate(&lease.metadata, old.map(|old| &old.metadata), NameForm::Subdomain, faults);
    let Some(spec) = &lease.spec else { return };
    if let Some(seconds) = spec.lease_duration_seconds
        && seconds <= 0
    {
        let path = Path::new("spec").field("leaseDurationSeconds");
        faults.push(path.invalid(seconds, "must be greater than 0"));
    }
}

pub(crate) fn validate_config_map(
    config_map: &ConfigMap,
    old: Option<&ConfigMap>,
    faults: &mut Faults,
) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&config_map.metadata, old_metadata, NameForm::Subdomain, faults);
    let text = config_map.data.iter().flatten().map(|(key, value)| (key, value.len()));
    let binary = config_map.binary_data.iter().flatten().map(|(key, value)| (key, value.0.len()));
    validate_data(text.chain(binary), faults);
    let binary_keys = config_map.binary_data.clone().unwrap_or_default();
    for key in config_map.data.iter().flatten().map(|(key, _)| key) {
        if binary_keys.contains_key(key) {
            faults.push(
                Path::new("data")
                    .key(key)
                    .invalid(key.as_str(), "duplicate of key present in binaryData"),
            );
        }
    }
    if let Some(old) = old.filter(|old| old.immutable == Some(true)) {
        if config_map.immutable != Some(true) {
            faults.push(Path::new("immutable").forbidden(IMMUTABLE));
        }
        if old.data != config_map.data {
            faults.push(Path::new("data").forbidden(IMMUTABLE));
        }
        if old.binary_data != config_map.binary_data {
            faults.push(Path::new("binaryData").forbidden(IMMUTABLE));
        }
    }
}

/// `stringData` is a way to write only: it is merged into `data`.
pub(crate) fn default_secret(secret: &mut Secret) {
    secret.type_.get_or_insert_with(|| "Opaque".to_owned());
    if let Some(texts) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        for (key, text) in texts {
            data.insert(key, k8s_openapi::ByteString(text.into_bytes()));
        }
    }
}

pub(crate) fn validate_secret(secret: &Secret, old: Option<&Secret>, faults: &mut Faults) {
    let old_metadata = old.map(|old| &old.metadata);
    meta::validate(&secret.metadata, old_metadata, NameForm::Subdomain, faults);
    validate_data(secret.data.iter().flatten().map(|(key, value)| (key, value.0.len())), faults);
    if let Some(old) = old {
        if old.type_ != secret.type_ {
            let given = secret.type_.clone().unwrap_or_default();
            faults.push(Path::new("type").invalid(given, "field is immutable"));
        }
        if old.immutable == Some(true) {
            if secret.immutable != Some(true) {
                faults.push(Path::new("immutable").forbidden(IMMUTABLE));
            }
            if old.data != secret.data {
                faults.push(Path::new("data").forbidden(IMMUTABLE));
            }
        }
    }
}

fn validate_data<'k>(entries: impl Iterator<Item = (&'k String, usize)>, faults: &mut Faults) {
    let path = Path::new("data");
    let mut total_bytes = 0;
    for (key, bytes) in entries {
        total_bytes += bytes;
        let fits = !key.is_empty()
            && key.len() <= 253
            && key
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
            && !key.starts_with("..")
            && key != ".";
        if !fits {
            faults.push(path.key(key).invalid(key.as_str(), KEY_RULE));
        }
    }
    if total_bytes > DATA_BYTES_MAX {
        faults.push(path.too_long(DATA_BYTES_MAX));
    }
}
