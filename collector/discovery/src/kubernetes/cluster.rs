//! A cluster's objects as they were last seen, as far as a role needs them, and the targets among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Endpoints, Namespace, Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use swell_client::ObjectKey;

use crate::config::{AttachMetadata, Role};
use crate::group::{LabelMap, TargetGroup};

use super::labels::{Setter, namespace_of};
use super::{endpoints, ingress, node, pod, service, slice};

/// Objects of one kind.
pub(super) type Objects<K> = BTreeMap<ObjectKey, Arc<K>>;

/// Objects by kind; kinds that the role does not need are empty.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) nodes: Objects<Node>,
    pub(super) namespaces: Objects<Namespace>,
    pub(super) pods: Objects<Pod>,
    pub(super) services: Objects<Service>,
    pub(super) endpoints: Objects<Endpoints>,
    pub(super) slices: Objects<EndpointSlice>,
    pub(super) ingresses: Objects<Ingress>,
    pub(super) replica_sets: Objects<ReplicaSet>,
    pub(super) jobs: Objects<Job>,
}

impl Cluster {
    /// The targets of a role.
    pub(super) fn groups(&self, role: Role, attach: AttachMetadata) -> Vec<TargetGroup> {
        let view = View { cluster: self, attach };
        match role {
            Role::Node => self.nodes.values().filter_map(|it| node::group(it)).collect(),
            Role::Pod => self.pods.values().flat_map(|it| pod::groups(it, &view)).collect(),
            Role::Service => {
                self.services.values().flat_map(|it| service::groups(it, &view)).collect()
            }
            Role::Endpoints => {
                self.endpoints.values().flat_map(|it| endpoints::groups(it, &view)).collect()
            }
            Role::EndpointSlice => {
                self.slices.values().flat_map(|it| slice::groups(it, &view)).collect()
            }
            Role::Ingress => {
                self.ingresses.values().flat_map(|it| ingress::groups(it, &view)).collect()
            }
        }
    }
}

/// A cluster, and what of related objects is told.
pub(super) struct View<'a> {
    cluster: &'a Cluster,
    pub(super) attach: AttachMetadata,
}

impl<'a> View<'a> {
    /// What the namespace of an object gives.
    pub(super) fn namespace(&self, metadata: &ObjectMeta, labels: &mut LabelMap) {
        let namespace = namespace_of(metadata);
        let mut set = Setter(labels);
        set.set("namespace", namespace);
        if self.attach.namespace
            && let Some(found) = self.cluster.namespaces.get(&ObjectKey::new("", namespace))
        {
            set.metadata("namespace", &found.metadata);
        }
    }

    /// Whether a node is known.
    pub(super) fn knows_node(&self, name: &str) -> bool {
        self.cluster.nodes.contains_key(&ObjectKey::new("", name))
    }

    /// What a node gives to what is on it, where that is wanted.
    pub(super) fn node(&self, name: Option<&str>, labels: &mut LabelMap) {
        let Some(name) = name.filter(|_| self.attach.node) else { return };
        if let Some(node) = self.cluster.nodes.get(&ObjectKey::new("", name)) {
            Setter(labels).named("node", &node.metadata);
        }
    }

    /// A pod by the reference of an endpoint.
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Option<&'a Pod> {
        self.cluster.pods.get(&ObjectKey::new(namespace, name)).map(Arc::as_ref)
    }

    /// The service of this name.
    pub(super) fn service(&self, namespace: &str, name: &str) -> Option<&'a Service> {
        self.cluster.services.get(&ObjectKey::new(namespace, name)).map(Arc::as_ref)
    }

    /// The Deployment that a ReplicaSet belongs to, if any.
    pub(super) fn deployment_of(&self, namespace: &str, replica_set: &str) -> Option<&'a str> {
        let found = self.cluster.replica_sets.get(&ObjectKey::new(namespace, replica_set))?;
        controller(&found.metadata).filter(|(kind, _)| *kind == "Deployment").map(|(_, name)| name)
    }

    /// The CronJob that a Job belongs to, if any.
    pub(super) fn cron_job_of(&self, namespace: &str, job: &str) -> Option<&'a str> {
        let found = self.cluster.jobs.get(&ObjectKey::new(namespace, job))?;
        controller(&found.metadata).filter(|(kind, _)| *kind == "CronJob").map(|(_, name)| name)
    }
}

/// Kind and name of the object's controller.
pub(super) fn controller(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    let owners = metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.next().map(|owner| (owner.kind.as_str(), owner.name.as_str()))
}
