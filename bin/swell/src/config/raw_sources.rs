//! Where targets may come from, wherever they are configured: as serde reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::raw::Opaque;
use super::raw_discovery::{
    RawConsulSd, RawDnsSd, RawDockerSd, RawFileSd, RawHttpSd, RawKubernetesSd,
};

/// Declares a struct of the configuration that has a client's keys and those of sources of targets beside its own, as
/// [`with_client`](super::raw_client::with_client) does for the client's.
macro_rules! with_sources {
    (
        $(#[$attribute:meta])*
        struct $name:ident { $($(#[$field_attribute:meta])* $field:ident: $kind:ty,)* }
    ) => {
        $crate::config::raw_client::with_client! {
            $(#[$attribute])*
            struct $name {
                $($(#[$field_attribute])* $field: $kind,)*
                static_configs: Vec<$crate::config::raw_sources::RawTargetGroup>,
                file_sd_configs: Vec<$crate::config::raw_discovery::RawFileSd>,
                http_sd_configs: Vec<$crate::config::raw_discovery::RawHttpSd>,
                dns_sd_configs: Vec<$crate::config::raw_discovery::RawDnsSd>,
                kubernetes_sd_configs: Vec<$crate::config::raw_discovery::RawKubernetesSd>,
                docker_sd_configs: Vec<$crate::config::raw_discovery::RawDockerSd>,
                consul_sd_configs: Vec<$crate::config::raw_discovery::RawConsulSd>,
                // accepted, reported, not acted on
                aws_sd_configs: Option<$crate::config::raw::Opaque>,
                azure_sd_configs: Option<$crate::config::raw::Opaque>,
                digitalocean_sd_configs: Option<$crate::config::raw::Opaque>,
                dockerswarm_sd_configs: Option<$crate::config::raw::Opaque>,
                ec2_sd_configs: Option<$crate::config::raw::Opaque>,
                ecs_sd_configs: Option<$crate::config::raw::Opaque>,
                elasticache_sd_configs: Option<$crate::config::raw::Opaque>,
                eureka_sd_configs: Option<$crate::config::raw::Opaque>,
                gce_sd_configs: Option<$crate::config::raw::Opaque>,
                hetzner_sd_configs: Option<$crate::config::raw::Opaque>,
                ionos_sd_configs: Option<$crate::config::raw::Opaque>,
                kuma_sd_configs: Option<$crate::config::raw::Opaque>,
                lightsail_sd_configs: Option<$crate::config::raw::Opaque>,
                linode_sd_configs: Option<$crate::config::raw::Opaque>,
                marathon_sd_configs: Option<$crate::config::raw::Opaque>,
                msk_sd_configs: Option<$crate::config::raw::Opaque>,
                nerve_sd_configs: Option<$crate::config::raw::Opaque>,
                nomad_sd_configs: Option<$crate::config::raw::Opaque>,
                oci_sd_configs: Option<$crate::config::raw::Opaque>,
                openstack_sd_configs: Option<$crate::config::raw::Opaque>,
                outscale_sd_configs: Option<$crate::config::raw::Opaque>,
                ovhcloud_sd_configs: Option<$crate::config::raw::Opaque>,
                puppetdb_sd_configs: Option<$crate::config::raw::Opaque>,
                rds_sd_configs: Option<$crate::config::raw::Opaque>,
                scaleway_sd_configs: Option<$crate::config::raw::Opaque>,
                serverset_sd_configs: Option<$crate::config::raw::Opaque>,
                stackit_sd_configs: Option<$crate::config::raw::Opaque>,
                triton_sd_configs: Option<$crate::config::raw::Opaque>,
                uyuni_sd_configs: Option<$crate::config::raw::Opaque>,
                vultr_sd_configs: Option<$crate::config::raw::Opaque>,
            }
        }

        impl $name {
            /// The keys of sources.
            pub(crate) fn sources(&self) -> $crate::config::raw_sources::RawSources<'_> {
                $crate::config::raw_sources::RawSources {
                    groups: &self.static_configs,
                    file: &self.file_sd_configs,
                    http: &self.http_sd_configs,
                    dns: &self.dns_sd_configs,
                    kubernetes: &self.kubernetes_sd_configs,
                    docker: &self.docker_sd_configs,
                    consul: &self.consul_sd_configs,
                    foreign: vec![
                        ("aws_sd_configs", self.aws_sd_configs.as_ref()),
                        ("azure_sd_configs", self.azure_sd_configs.as_ref()),
                        ("digitalocean_sd_configs", self.digitalocean_sd_configs.as_ref()),
                        ("dockerswarm_sd_configs", self.dockerswarm_sd_configs.as_ref()),
                        ("ec2_sd_configs", self.ec2_sd_configs.as_ref()),
                        ("ecs_sd_configs", self.ecs_sd_configs.as_ref()),
                        ("elasticache_sd_configs", self.elasticache_sd_configs.as_ref()),
                        ("eureka_sd_configs", self.eureka_sd_configs.as_ref()),
                        ("gce_sd_configs", self.gce_sd_configs.as_ref()),
                        ("hetzner_sd_configs", self.hetzner_sd_configs.as_ref()),
                        ("ionos_sd_configs", self.ionos_sd_configs.as_ref()),
                        ("kuma_sd_configs", self.kuma_sd_configs.as_ref()),
                        ("lightsail_sd_configs", self.lightsail_sd_configs.as_ref()),
                        ("linode_sd_configs", self.linode_sd_configs.as_ref()),
                        ("marathon_sd_configs", self.marathon_sd_configs.as_ref()),
                        ("msk_sd_configs", self.msk_sd_configs.as_ref()),
                        ("nerve_sd_configs", self.nerve_sd_configs.as_ref()),
                        ("nomad_sd_configs", self.nomad_sd_configs.as_ref()),
                        ("oci_sd_configs", self.oci_sd_configs.as_ref()),
                        ("openstack_sd_configs", self.openstack_sd_configs.as_ref()),
                        ("outscale_sd_configs", self.outscale_sd_configs.as_ref()),
                        ("ovhcloud_sd_configs", self.ovhcloud_sd_configs.as_ref()),
                        ("puppetdb_sd_configs", self.puppetdb_sd_configs.as_ref()),
                        ("rds_sd_configs", self.rds_sd_configs.as_ref()),
                        ("scaleway_sd_configs", self.scaleway_sd_configs.as_ref()),
                        ("serverset_sd_configs", self.serverset_sd_configs.as_ref()),
                        ("stackit_sd_configs", self.stackit_sd_configs.as_ref()),
                        ("triton_sd_configs", self.triton_sd_configs.as_ref()),
                        ("uyuni_sd_configs", self.uyuni_sd_configs.as_ref()),
                        ("vultr_sd_configs", self.vultr_sd_configs.as_ref()),
                    ],
                }
            }
        }
    };
}
pub(crate) use with_sources;

/// The keys of sources, wherever they stand.
#[derive(Clone, Debug)]
pub(crate) struct RawSources<'a> {
    pub(crate) groups: &'a [RawTargetGroup],
    pub(crate) file: &'a [RawFileSd],
    pub(crate) http: &'a [RawHttpSd],
    pub(crate) dns: &'a [RawDnsSd],
    pub(crate) kubernetes: &'a [RawKubernetesSd],
    pub(crate) docker: &'a [RawDockerSd],
    pub(crate) consul: &'a [RawConsulSd],
    /// Kinds that Swell does not have, given or not.
    pub(crate) foreign: Vec<(&'static str, Option<&'a Opaque>)>,
}

impl RawSources<'_> {
    /// Kinds that are asked for and that Swell does not have.
    pub(crate) fn unsupported(&self) -> Vec<&'static str> {
        let given = self.foreign.iter().filter(|(_, value)| value.is_some_and(|it| !it.is_null()));
        given.map(|(name, _)| *name).collect()
    }
}

/// Targets with common labels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawTargetGroup {
    pub(crate) targets: Vec<String>,
    #[serde(deserialize_with = "crate::config::raw::texts")]
    pub(crate) labels: BTreeMap<String, String>,
}
