//! What is done with the bytes of a request, without a server around it: for the fuzz targets.

use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use swell_api_types::by_kind;

use crate::admit;
use crate::body;
use crate::patch::{self, Patch};
use crate::query::{FieldValidation, WriteOptions};

const OBJECTS: [&str; 2] = ["application/json", "application/vnd.kubernetes.protobuf"];
const PATCHES: [&str; 4] = [
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

fn headers(media_type: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))])
}

/// Reads an object in each form, gives it its defaults and checks it. Whether it was taken in one of them.
#[must_use]
pub fn object(bytes: &[u8]) -> bool {
    OBJECTS.map(|form| body::object(&headers(form), bytes).is_ok_and(is_taken)).contains(&true)
}

fn is_taken(object: Value) -> bool {
    let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    let Some(resource) = by_kind(&text("apiVersion"), &text("kind")) else { return false };
    let Ok(shaped) = admit::shape(resource, object, FieldValidation::Warn) else { return false };
    let Ok(once) = admit::complete(resource, shaped.object, None) else { return false };
    let again = admit::complete(resource, once.clone(), None).expect("what is complete stays good");
    assert_eq!(once, again, "defaults are given once");
    true
}

/// Reads a patch in each form and applies it to a Deployment. Whether one form was taken.
#[must_use]
pub fn patch(bytes: &[u8]) -> bool {
    let resource = by_kind("apps/v1", "Deployment").expect("a kind of ours");
    let options = WriteOptions {
        dry_run: false,
        validation: FieldValidation::Warn,
        manager: Some("fuzz".to_owned()),
        force: true,
    };
    let container = json!({"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}},
    });
    let is_applied = |form: &'static str| {
        let Ok(patch) = Patch::read(&headers(form), bytes) else { return false };
        let patched =
            patch::apply(resource, deployment.clone(), &patch, &options, "2026-01-01T00:00:00Z");
        patched.is_ok_and(|object| {
            // Whether the result may be stored is told as for any object.
            let _is_good = is_taken(object);
            true
        })
    };
    PATCHES.map(is_applied).contains(&true)
}
