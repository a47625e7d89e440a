//! `kube_namespace_*`

use k8s_openapi::api::core::v1::Namespace;

use super::{Samples, text};

/// Samples of one Namespace.
pub fn namespace(namespace: &Namespace, samples: &mut Samples) {
    let object = &[("namespace", text(namespace.metadata.name.as_ref()))];
    samples.push_created("kube_namespace_created", object, &namespace.metadata);
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    let states = &["Active", "Terminating"];
    samples.push_states("kube_namespace_status_phase", object, "phase", states, phase);
}
