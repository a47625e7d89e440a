//! Defaults and validation per kind (`k8s.io/kubernetes/pkg/apis/*/{v1/defaults.go,validation}`).

use serde_json::Value;

use crate::fault::FieldFault;
use crate::object::Object;

mod autoscaling;
mod meta;
mod pod;
mod pod_defaults;
mod service;
mod storage;
mod workload;

pub use autoscaling::{hpa_v1_from_v2, hpa_v2_from_v1};

/// Why an object cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Some of its fields break the rules of its kind.
    #[error("{}", list(.0))]
    Invalid(Vec<FieldFault>),
    /// It does not have the shape of its type, although it was normalized; names the field.
    #[error("the object does not have the shape of its kind")]
    Shape(#[source] serde_json::Error),
}

fn list(faults: &[FieldFault]) -> String {
    match faults {
        [only] => only.to_string(),
        several => {
            let texts: Vec<_> = several.iter().map(ToString::to_string).collect();
            format!("[{}]", texts.join(", "))
        }
    }
}

/// What a kind demands of its objects. All functions take normalized JSON.
#[derive(Debug)]
pub struct Rules {
    /// Fills in what was left out.
    pub default: fn(Value) -> Result<Value, PrepareError>,
    /// Checks a new object, or the successor (first) of an old one (second).
    pub validate: fn(&Value, Option<&Value>) -> Result<(), PrepareError>,
}

/// Rules out of typed functions; the functions are named, so that the table is a constant.
macro_rules! rules {
    ($name:ident, $kind:ty, $default:path, $validate:path) => {
        pub(crate) static $name: $crate::kinds::Rules = $crate::kinds::Rules {
            default: |object| $crate::kinds::default_typed::<$kind>(object, $default),
            validate: |object, old| $crate::kinds::validate_typed::<$kind>(object, old, $validate),
        };
    };
}

rules!(POD, k8s_openapi::api::core::v1::Pod, pod_defaults::pod, pod::validate);
rules!(NODE, k8s_openapi::api::core::v1::Node, storage::default_node, storage::validate_node);
rules!(
    NAMESPACE,
    k8s_openapi::api::core::v1::Namespace,
    storage::default_namespace,
    storage::validate_namespace
);
rules!(EVENT, k8s_openapi::api::core::v1::Event, storage::default_event, storage::validate_event);
rules!(
    CONFIG_MAP,
    k8s_openapi::api::core::v1::ConfigMap,
    storage::default_nothing,
    storage::validate_config_map
);
rules!(
    SECRET,
    k8s_openapi::api::core::v1::Secret,
    storage::default_secret,
    storage::validate_secret
);
rules!(
    LEASE,
    k8s_openapi::api::coordination::v1::Lease,
    storage::default_nothing,
    storage::validate_lease
);
rules!(SERVICE, k8s_openapi::api::core::v1::Service, service::default, service::validate);
rules!(
    ENDPOINTS,
    k8s_openapi::api::core::v1::Endpoints,
    service::default_endpoints,
    service::validate_endpoints
);
rules!(
    DEPLOYMENT,
    k8s_openapi::api::apps::v1::Deployment,
    workload::default_deployment,
    workload::validate_deployment
);
rules!(
    REPLICA_SET,
    k8s_openapi::api::apps::v1::ReplicaSet,
    workload::default_replica_set,
    workload::validate_replica_set
);
rules!(
    HPA_V2,
    k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler,
    autoscaling::default,
    autoscaling::validate
);
/// Version 1 is converted to version 2 before it is checked, so that its faults are those of version 2.
pub(crate) static HPA_V1: Rules = Rules { default: HPA_V2_DEFAULT, validate: HPA_V2_VALIDATE };
const HPA_V2_DEFAULT: fn(Value) -> Result<Value, PrepareError> = |object| {
    default_typed::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(
        object,
        autoscaling::default,
    )
};
const HPA_V2_VALIDATE: fn(&Value, Option<&Value>) -> Result<(), PrepareError> = |object, old| {
    validate_typed::<k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler>(
        object,
        old,
        autoscaling::validate,
    )
};

fn default_typed<K: Object>(object: Value, fill: fn(&mut K)) -> Result<Value, PrepareError> {
    let mut typed = K::from_json(&object).map_err(PrepareError::Shape)?;
    fill(&mut typed);
    typed.to_json().map_err(PrepareError::Shape)
}

fn validate_typed<K: Object>(
    object: &Value,
    old: Option<&Value>,
    check: fn(&K, Option<&K>, &mut Vec<FieldFault>),
) -> Result<(), PrepareError> {
    let typed = K::from_json(object).map_err(PrepareError::Shape)?;
    let old = old.map(K::from_json).transpose().map_err(PrepareError::Shape)?;
    let mut faults = Vec::new();
    check(&typed, old.as_ref(), &mut faults);
    if faults.is_empty() { Ok(()) } else { Err(PrepareError::Invalid(faults)) }
}

/// The zero value of a required structure is written out by the typed structs although nobody gave it:
/// whether a text that must be given was.
fn missing(text: &str) -> bool {
    text.is_empty()
}

#[cfg(test)]
mod tests;
