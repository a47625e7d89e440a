//! The resources that the API serves.

use crate::kinds::{self, Rules};

/// What may be done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of Kubernetes")]
pub enum Verb {
    Create,
    Delete,
    DeleteCollection,
    Get,
    List,
    Patch,
    Update,
    Watch,
}

impl Verb {
    /// The verb as discovery and authorization write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

const ALL_VERBS: &[Verb] = &[
    Verb::Create,
    Verb::Delete,
    Verb::DeleteCollection,
    Verb::Get,
    Verb::List,
    Verb::Patch,
    Verb::Update,
    Verb::Watch,
];

/// A part of an object with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `status`: written by controllers.
    Status,
    /// `scale`: replicas only.
    Scale,
    /// `log` of a pod.
    Log,
    /// `binding` of a pod to a node.
    Binding,
    /// `eviction` of a pod.
    Eviction,
}

impl Subresource {
    /// The last segment of its path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Log => "log",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
        }
    }
}

/// A kind of object with a place in the URL space.
#[derive(Debug)]
pub struct ResourceType {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version in the group.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Name in paths.
    pub plural: &'static str,
    /// Name for one.
    pub singular: &'static str,
    /// What kubectl's users may type.
    pub short_names: &'static [&'static str],
    /// Groups of resources, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What may be done.
    pub verbs: &'static [Verb],
    /// Parts with a path of their own.
    pub subresources: &'static [Subresource],
    /// Name of the type in the [`crate::schema::Schema`].
    pub message: &'static str,
    /// Whether `metadata.generation` counts the changes of `spec`.
    pub has_generation: bool,
    /// Fields to select by, beyond `metadata.name` and `metadata.namespace`.
    pub selectable_fields: &'static [&'static str],
    /// Defaults and validation.
    pub rules: &'static Rules,
}

impl ResourceType {
    /// `group/version`, or the version alone for the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `plural.group`, or the plural alone for the core group, as messages name a resource.
    #[must_use]
    pub fn qualified_plural(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Whether a field selector may name `path`.
    #[must_use]
    pub fn selects_by(&self, path: &str) -> bool {
        path == "metadata.name"
            || (self.namespaced && path == "metadata.namespace")
            || self.selectable_fields.contains(&path)
    }

    /// Whether it has this part.
    #[must_use]
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }
}

const READ_VERBS: &[Verb] = &[Verb::Get, Verb::List, Verb::Watch];

const STATUS: &[Subresource] = &[Subresource::Status];
const STATUS_SCALE: &[Subresource] = &[Subresource::Status, Subresource::Scale];

/// Every resource, core group first, preferred versions first.
pub static RESOURCES: &[ResourceType] = &[
    ResourceType {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        message: "core.v1.ConfigMap",
        has_generation: false,
        selectable_fields: &[],
        rules: &kinds::CONFIG_MAP,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Endpoints",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        message: "core.v1.Endpoints",
        has_generation: false,
        selectable_fields: &[],
        rules: &kinds::ENDPOINTS,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Event",
        plural: "events",
        singular: "event",
        short_names: &["ev"],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        message: "core.v1.Event",
        has_generation: false,
        selectable_fields: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        rules: &kinds::EVENT,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Namespace",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
        namespaced: false,
        verbs: ALL_VERBS,
        subresources: STATUS,
        message: "core.v1.Namespace",
        has_generation: false,
        selectable_fields: &["status.phase"],
        rules: &kinds::NAMESPACE,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Node",
        plural: "nodes",
        singular: "node",
        short_names: &["no"],
        categories: &[],
        namespaced: false,
        verbs: ALL_VERBS,
        subresources: STATUS,
        message: "core.v1.Node",
        has_generation: false,
        selectable_fields: &["spec.unschedulable"],
        rules: &kinds::NODE,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Pod",
        plural: "pods",
        singular: "pod",
        short_names: &["po"],
        categories: &["all"],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[
            Subresource::Status,
            Subresource::Log,
            Subresource::Binding,
            Subresource::Eviction,
        ],
        message: "core.v1.Pod",
        has_generation: true,
        selectable_fields: &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        rules: &kinds::POD,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Secret",
        plural: "secrets",
        singular: "secret",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        message: "core.v1.Secret",
        has_generation: false,
        selectable_fields: &["type"],
        rules: &kinds::SECRET,
    },
    ResourceType {
        group: "",
        version: "v1",
        kind: "Service",
        plural: "services",
        singular: "service",
        short_names: &["svc"],
        categories: &["all"],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: STATUS,
        message: "core.v1.Service",
        has_generation: false,
        selectable_fields: &["spec.clusterIP", "spec.type"],
        rules: &kinds::SERVICE,
    },
    ResourceType {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
        categories: &["all"],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: STATUS_SCALE,
        message: "apps.v1.Deployment",
        has_generation: true,
        selectable_fields: &[],
        rules: &kinds::DEPLOYMENT,
    },
    ResourceType {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
        categories: &["all"],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: STATUS_SCALE,
        message: "apps.v1.ReplicaSet",
        has_generation: true,
        selectable_fields: &["status.replicas"],
        rules: &kinds::REPLICA_SET,
    },
    ResourceType {
        group: "autoscaling",
        version: "v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: STATUS,
        message: "autoscaling.v2.HorizontalPodAutoscaler",
        has_generation: false,
        selectable_fields: &[],
        rules: &kinds::HPA_V2,
    },
    ResourceType {
        group: "autoscaling",
        version: "v1",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: STATUS,
        message: "autoscaling.v1.HorizontalPodAutoscaler",
        has_generation: false,
        selectable_fields: &[],
        rules: &kinds::HPA_V1,
    },
    ResourceType {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        subresources: &[],
        message: "coordination.v1.Lease",
        has_generation: false,
        selectable_fields: &[],
        rules: &kinds::LEASE,
    },
    // A view of Endpoints, for clients that ask for slices only.
    ResourceType {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: READ_VERBS,
        subresources: &[],
        message: "discovery.v1.EndpointSlice",
        has_generation: false,
        selectable_fields: &[],
        rules: &kinds::ENDPOINTS,
    },
];

/// The resource of a path.
#[must_use]
pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static ResourceType> {
    RESOURCES.iter().find(|resource| {
        (resource.group, resource.version, resource.plural) == (group, version, plural)
    })
}

/// The resource of an object, by its `apiVersion` and `kind`.
#[must_use]
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static ResourceType> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    RESOURCES.iter().find(|resource| {
        (resource.group, resource.version, resource.kind) == (group, version, kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn every_resource_has_a_type_and_is_found_both_ways() {
        for resource in RESOURCES {
            assert!(Schema::get().message(resource.message).is_some(), "{}", resource.message);
            let by_path = by_plural(resource.group, resource.version, resource.plural);
            let by_object = by_kind(&resource.api_version(), resource.kind);
            assert!(by_path.is_some_and(|found| std::ptr::eq(found, resource)));
            assert!(by_object.is_some_and(|found| std::ptr::eq(found, resource)));
        }
    }
}
