//! What a configuration may ask for and Swell does not have: told, never passed over in silence.

use super::raw::{Opaque, RawConfig};
use super::raw_scrape::RawScrapeConfig;

/// What is accepted and not acted on, by its path in the file.
pub(super) fn unsupported(raw: &RawConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |path: String, value: &Option<Opaque>| {
        if value.as_ref().is_some_and(|value| !value.is_null()) {
            found.push(path);
        }
    };
    note("runtime".to_owned(), &raw.runtime);
    note("alerting".to_owned(), &raw.alerting);
    note("tracing".to_owned(), &raw.tracing);
    let tsdb = &raw.storage.tsdb;
    note("storage.tsdb.retention.percentage".to_owned(), &tsdb.retention.percentage);
    note(
        "storage.tsdb.stale_series_compaction_threshold".to_owned(),
        &tsdb.stale_series_compaction_threshold,
    );
    note("storage.tsdb.chunk_encoding".to_owned(), &tsdb.chunk_encoding);
    note("global.query_log_file".to_owned(), &raw.global.query_log_file);
    for (key, entries) in [("remote_write", &raw.remote_write), ("remote_read", &raw.remote_read)] {
        if !entries.is_empty() {
            found.push(key.to_owned());
        }
    }
    found
}

/// Discoveries that a job asks for and Swell does not have.
pub(super) fn discoveries(job: &RawScrapeConfig) -> Vec<&'static str> {
    [
        ("aws_sd_configs", &job.aws_sd_configs),
        ("azure_sd_configs", &job.azure_sd_configs),
        ("digitalocean_sd_configs", &job.digitalocean_sd_configs),
        ("dockerswarm_sd_configs", &job.dockerswarm_sd_configs),
        ("ec2_sd_configs", &job.ec2_sd_configs),
        ("eureka_sd_configs", &job.eureka_sd_configs),
        ("gce_sd_configs", &job.gce_sd_configs),
        ("hetzner_sd_configs", &job.hetzner_sd_configs),
        ("ionos_sd_configs", &job.ionos_sd_configs),
        ("kuma_sd_configs", &job.kuma_sd_configs),
        ("lightsail_sd_configs", &job.lightsail_sd_configs),
        ("linode_sd_configs", &job.linode_sd_configs),
        ("marathon_sd_configs", &job.marathon_sd_configs),
        ("nerve_sd_configs", &job.nerve_sd_configs),
        ("nomad_sd_configs", &job.nomad_sd_configs),
        ("openstack_sd_configs", &job.openstack_sd_configs),
        ("outscale_sd_configs", &job.outscale_sd_configs),
        ("ovhcloud_sd_configs", &job.ovhcloud_sd_configs),
        ("puppetdb_sd_configs", &job.puppetdb_sd_configs),
        ("scaleway_sd_configs", &job.scaleway_sd_configs),
        ("serverset_sd_configs", &job.serverset_sd_configs),
        ("stackit_sd_configs", &job.stackit_sd_configs),
        ("triton_sd_configs", &job.triton_sd_configs),
        ("uyuni_sd_configs", &job.uyuni_sd_configs),
        ("vultr_sd_configs", &job.vultr_sd_configs),
    ]
    .into_iter()
    .filter(|(_, value)| value.as_ref().is_some_and(|value| !value.is_null()))
    .map(|(name, _)| name)
    .collect()
}
