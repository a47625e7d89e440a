//! Labels that all kinds of objects give.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::group::LabelMap;
use crate::names::sanitized;

const PREFIX: &str = "__meta_kubernetes_";

/// Sets labels under Kubernetes' prefix.
pub(super) struct Setter<'a>(pub(super) &'a mut LabelMap);

impl Setter<'_> {
    /// Sets one label.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(format!("{PREFIX}{name}"), value.into());
    }

    /// Sets one label where there is a value.
    pub(super) fn set_some(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.set(name, value.to_string());
        }
    }

    /// Sets what the metadata of an object of this kind gives: its labels and annotations, and that they are there.
    pub(super) fn metadata(&mut self, kind: &str, metadata: &ObjectMeta) {
        for (name, value) in metadata.labels.iter().flatten() {
            let name = sanitized(name);
            self.set(&format!("{kind}_label_{name}"), value);
            self.set(&format!("{kind}_labelpresent_{name}"), "true");
        }
        for (name, value) in metadata.annotations.iter().flatten() {
            let name = sanitized(name);
            self.set(&format!("{kind}_annotation_{name}"), value);
            self.set(&format!("{kind}_annotationpresent_{name}"), "true");
        }
    }

    /// Sets the same, with the object's name.
    pub(super) fn named(&mut self, kind: &str, metadata: &ObjectMeta) {
        self.set(&format!("{kind}_name"), name_of(metadata));
        self.metadata(kind, metadata);
    }
}

/// An object's name; every object has one.
pub(super) fn name_of(metadata: &ObjectMeta) -> &str {
    metadata.name.as_deref().unwrap_or_default()
}

/// An object's namespace; empty for one that has none.
pub(super) fn namespace_of(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}
