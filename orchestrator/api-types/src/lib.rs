//! Kubernetes API objects: resource registry, defaulting, validation, selectors.
//!
//! Pure: an object from outside goes through [`schema::normalize`] (the shape of its type) and then the
//! [`Rules`] of its kind (defaults and validation); nothing here stores or sends anything. Controllers use
//! the typed structs of `k8s_openapi`; the API server keeps JSON.

pub mod schema;

mod endpoint_slices;
mod fault;
mod kinds;
mod names;
mod object;
mod pod_status;
mod registry;
mod selector;

pub use endpoint_slices::endpoint_slices;
pub use fault::{FaultKind, FieldFault, Path};
pub use kinds::{PrepareError, Rules, hpa_v1_from_v2, hpa_v2_from_v1};
pub use names::{is_dns_label, is_dns_subdomain, is_label_value, is_qualified_name};
pub use object::Object;
pub use pod_status::{pod_is_active, pod_is_ready, qos_class};
pub use registry::{RESOURCES, ResourceType, Subresource, Verb, by_kind, by_plural};
pub use selector::{FieldSelector, LabelSelector, Requirement, SelectorError};
