//! Objects as typed structs, decoded and encoded in one place.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, Secret, Service,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize as _, Serialize as _};
use serde_json::Value;

/// A typed object of a kind that the API serves.
///
/// Serde's code for such a struct is large, and a generic function compiles it again in each crate that uses it,
/// once more for each way to read. So it stands behind these two functions, which are compiled here, once.
pub trait Object:
    k8s_openapi::Resource + k8s_openapi::Metadata<Ty = ObjectMeta> + Clone + Send + Sync + 'static
{
    /// The object that the JSON is.
    ///
    /// # Errors
    /// When it does not have the shape of the type; names the field.
    fn from_json(object: &Value) -> Result<Self, serde_json::Error>;

    /// The object as JSON.
    ///
    /// # Errors
    /// None is known of for these types.
    fn to_json(&self) -> Result<Value, serde_json::Error>;
}

macro_rules! objects {
    ($($kind:ty),+ $(,)?) => {
        $(impl Object for $kind {
            fn from_json(object: &Value) -> Result<Self, serde_json::Error> {
                Self::deserialize(object)
            }

            fn to_json(&self) -> Result<Value, serde_json::Error> {
                self.serialize(serde_json::value::Serializer)
            }
        })+
    };
}

objects!(
    ConfigMap,
    Deployment,
    EndpointSlice,
    Endpoints,
    Event,
    HorizontalPodAutoscaler,
    Ingress,
    Job,
    Lease,
    Namespace,
    Node,
    Pod,
    ReplicaSet,
    Secret,
    Service,
);
