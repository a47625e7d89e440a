//! Rules on metadata, shared by all kinds.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use crate::fault::{FieldFault, Path};
use crate::names::{
    DNS_1035_RULE, DNS_LABEL_RULE, DNS_SUBDOMAIN_RULE, LABEL_VALUE_RULE, QUALIFIED_NAME_RULE,
    is_dns_1035_label, is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name,
};
use crate::selector;

/// All annotations of an object together.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;

/// The form of a kind's names.
#[derive(Clone, Copy)]
pub(crate) enum NameForm {
    Label,
    Label1035,
    Subdomain,
}

impl NameForm {
    fn check(self, name: &str) -> Result<(), &'static str> {
        let (fits, rule) = match self {
            Self::Label => (is_dns_label(name), DNS_LABEL_RULE),
            Self::Label1035 => (is_dns_1035_label(name), DNS_1035_RULE),
            Self::Subdomain => (is_dns_subdomain(name), DNS_SUBDOMAIN_RULE),
        };
        if fits { Ok(()) } else { Err(rule) }
    }
}

/// Checks the metadata of a new object or of the successor of an old one.
pub(crate) fn validate(
    metadata: &ObjectMeta,
    old: Option<&ObjectMeta>,
    form: NameForm,
    faults: &mut Vec<FieldFault>,
) {
    let path = Path::new("metadata");
    match metadata.name.as_deref() {
        None | Some("") => {
            faults.push(path.field("name").required("name or generateName is required"))
        }
        Some(name) => {
            if let Err(rule) = form.check(name) {
                faults.push(path.field("name").invalid(name, rule));
            }
        }
    }
    validate_labels(metadata.labels.as_ref(), &path.field("labels"), faults);
    let mut annotations_bytes = 0;
    for (key, value) in metadata.annotations.iter().flatten() {
        annotations_bytes += key.len() + value.len();
        if !is_qualified_name(&key.to_lowercase()) {
            faults.push(path.field("annotations").invalid(key.as_str(), QUALIFIED_NAME_RULE));
        }
    }
    if annotations_bytes > ANNOTATIONS_BYTES_MAX {
        faults.push(path.field("annotations").too_long(ANNOTATIONS_BYTES_MAX));
    }
    for (idx, finalizer) in metadata.finalizers.iter().flatten().enumerate() {
        if !is_qualified_name(finalizer) {
            faults.push(
                path.field("finalizers")
                    .index(idx)
                    .invalid(finalizer.as_str(), QUALIFIED_NAME_RULE),
            );
        }
    }
    let mut controllers = 0;
    for (idx, owner) in metadata.owner_references.iter().flatten().enumerate() {
        let path = path.field("ownerReferences").index(idx);
        for (name, value) in [
            ("apiVersion", &owner.api_version),
            ("kind", &owner.kind),
            ("name", &owner.name),
            ("uid", &owner.uid),
        ] {
            if value.is_empty() {
                faults.push(path.field(name).required("must not be empty"));
            }
        }
        controllers += usize::from(owner.controller == Some(true));
    }
    if controllers > 1 {
        faults.push(
            path.field("ownerReferences")
                .invalid("controller", "Only one reference can have Controller set to true"),
        );
    }
    if let Some(old) = old
        && old.deletion_timestamp.is_some()
    {
        let known = old.finalizers.as_deref().unwrap_or_default();
        let added: Vec<_> =
            metadata.finalizers.iter().flatten().filter(|name| !known.contains(name)).collect();
        if !added.is_empty() {
            faults.push(
                path.field("finalizers")
                    .forbidden("no new finalizers can be added if the object is being deleted"),
            );
        }
    }
}

/// Checks labels wherever they stand.
pub(crate) fn validate_labels(
    labels: Option<&BTreeMap<String, String>>,
    path: &Path,
    faults: &mut Vec<FieldFault>,
) {
    for (key, value) in labels.into_iter().flatten() {
        if !is_qualified_name(key) {
            faults.push(path.invalid(key.as_str(), QUALIFIED_NAME_RULE));
        }
        if !is_label_value(value) {
            faults.push(path.key(key).invalid(value.as_str(), LABEL_VALUE_RULE));
        }
    }
}

/// Checks a selector as specs carry it.
pub(crate) fn validate_selector(
    selector: &LabelSelector,
    path: &Path,
    faults: &mut Vec<FieldFault>,
) {
    validate_labels(selector.match_labels.as_ref(), &path.field("matchLabels"), faults);
    if let Err(error) = selector::LabelSelector::from_spec(selector) {
        faults.push(path.field("matchExpressions").invalid(error.text, error.problem));
    }
}
