//! `kube_service_*`

use k8s_openapi::api::core::v1::Service;

use super::{Samples, text};

/// Samples of one Service.
pub fn service(service: &Service, samples: &mut Samples) {
    let metadata = &service.metadata;
    let object = &[
        ("namespace", text(metadata.namespace.as_ref())),
        ("service", text(metadata.name.as_ref())),
        ("uid", text(metadata.uid.as_ref())),
    ];
    samples.push_created("kube_service_created", object, metadata);
    if let Some(spec) = &service.spec {
        let own = [("cluster_ip", text(spec.cluster_ip.as_ref()))];
        samples.push("kube_service_info", object, &own, 1.0);
        let type_ = [("type", spec.type_.as_deref().unwrap_or("ClusterIP"))];
        samples.push("kube_service_spec_type", object, &type_, 1.0);
    }
}
