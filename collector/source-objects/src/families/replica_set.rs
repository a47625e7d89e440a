//! `kube_replicaset_*`

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::{Samples, controller, text};

/// Samples of one ReplicaSet.
pub fn replica_set(replica_set: &ReplicaSet, samples: &mut Samples) {
    let metadata = &replica_set.metadata;
    let object = &[
        ("namespace", text(metadata.namespace.as_ref())),
        ("replicaset", text(metadata.name.as_ref())),
    ];
    samples.push_created("kube_replicaset_created", object, metadata);
    if let Some(spec) = &replica_set.spec {
        samples.push_count("kube_replicaset_spec_replicas", object, spec.replicas);
    }
    if let Some(status) = &replica_set.status {
        samples.push_count("kube_replicaset_status_replicas", object, Some(status.replicas));
        let ready = Some(status.ready_replicas.unwrap_or(0));
        samples.push_count("kube_replicaset_status_ready_replicas", object, ready);
    }
    if let Some(owner) = controller(metadata) {
        let own = [
            ("owner_kind", owner.kind.as_str()),
            ("owner_name", owner.name.as_str()),
            ("owner_is_controller", "true"),
        ];
        samples.push("kube_replicaset_owner", object, &own, 1.0);
    }
}
