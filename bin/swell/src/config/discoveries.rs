//! From the raw sources of targets to checked ones.

use std::path::Path;

use swell_discovery::{
    AttachMetadata, ConsulConfig, DiscoveryConfig, DnsConfig, DnsRecord, DockerConfig, DockerHost,
    FileConfig, HttpConfig, KubernetesConfig, KubernetesServer, Namespaces, Role, Selector,
    TargetGroup,
};
use swell_http_client::{Auth, Secret};
use swell_model::DurationMs;
use url::Url;

use super::client::{self, ClientContext};
use super::environment::Environment;
use super::faults::Faults;
use super::raw_discovery::{
    RawConsulSd, RawDnsSd, RawDockerSd, RawFileSd, RawHttpSd, RawKubernetesSd, RawSelector,
};
use super::raw_sources::RawSources;
use super::set;

/// Distances of questions unless a job says otherwise, as Prometheus has them.
pub(super) const FILE_REFRESH_DEFAULT: DurationMs = DurationMs::from_secs(300);
pub(super) const HTTP_REFRESH_DEFAULT: DurationMs = DurationMs::from_secs(60);
pub(super) const DNS_REFRESH_DEFAULT: DurationMs = DurationMs::from_secs(30);
pub(super) const DOCKER_REFRESH_DEFAULT: DurationMs = DurationMs::from_secs(60);
pub(super) const CONSUL_REFRESH_DEFAULT: DurationMs = DurationMs::from_secs(30);

/// What else sources have unless a job says otherwise.
pub(super) const DNS_RECORD_DEFAULT: &str = "SRV";
pub(super) const DOCKER_PORT_DEFAULT: u16 = 80;
pub(super) const DOCKER_HOST_DEFAULT: &str = "localhost";
pub(super) const CONSUL_SERVER_DEFAULT: &str = "localhost:8500";
pub(super) const CONSUL_SCHEME_DEFAULT: &str = "http";
pub(super) const CONSUL_TAG_SEPARATOR_DEFAULT: &str = ",";

/// Where a pod finds the account that it runs as.
const ACCOUNT_FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The sources that a job names.
pub(super) fn discoveries(
    raw: &RawSources<'_>,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Vec<DiscoveryConfig> {
    let mut found = Vec::new();
    for it in raw.file {
        found.push(DiscoveryConfig::File(file(it, context.folder, faults)));
    }
    for it in raw.http {
        found.extend(http(it, context, faults).map(|it| DiscoveryConfig::Http(Box::new(it))));
    }
    for it in raw.dns {
        found.push(DiscoveryConfig::Dns(dns(it, faults)));
    }
    for it in raw.kubernetes {
        let checked = kubernetes(it, context, faults);
        found.extend(checked.map(|it| DiscoveryConfig::Kubernetes(Box::new(it))));
    }
    for it in raw.docker {
        found.extend(docker(it, context, faults).map(|it| DiscoveryConfig::Docker(Box::new(it))));
    }
    for it in raw.consul {
        found.extend(consul(it, context, faults).map(|it| DiscoveryConfig::Consul(Box::new(it))));
    }
    found
}

/// The targets that stand in the configuration itself.
pub(super) fn static_groups(raw: &RawSources<'_>, faults: &mut Faults<'_>) -> Vec<TargetGroup> {
    let mut groups = Vec::with_capacity(raw.groups.len());
    for group in raw.groups {
        if group.labels.contains_key("") {
            faults.push("static_configs: a label has no name");
        }
        for target in group.targets.iter().filter(|target| target.contains('/')) {
            faults.push(format!("target {target:?} is not of the form host:port"));
        }
        groups.push(TargetGroup { targets: group.targets.clone(), labels: group.labels.clone() });
    }
    groups
}

fn file(raw: &RawFileSd, folder: &Path, faults: &mut Faults<'_>) -> FileConfig {
    if raw.files.is_empty() {
        faults.push("file_sd_configs: files is empty");
    }
    for pattern in &raw.files {
        let extension = Path::new(pattern).extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("json" | "yml" | "yaml")) {
            faults.push(format!("file_sd_configs: {pattern:?} ends in none of .json, .yml, .yaml"));
        }
        let (parents, _) = pattern.rsplit_once('/').unwrap_or_default();
        if parents.contains(['*', '?']) {
            faults.push(format!("file_sd_configs: {pattern:?} may hold * in its last part only"));
        }
    }
    FileConfig {
        patterns: raw.files.iter().map(|pattern| folder.join(pattern)).collect(),
        refresh: set(raw.refresh_interval, FILE_REFRESH_DEFAULT),
    }
}

fn http(
    raw: &RawHttpSd,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Option<HttpConfig> {
    let client = client::options(raw.client(), context, faults);
    Some(HttpConfig {
        url: client::url("http_sd_configs.url", &raw.url, faults)?,
        refresh: set(raw.refresh_interval, HTTP_REFRESH_DEFAULT),
        client,
    })
}

fn dns(raw: &RawDnsSd, faults: &mut Faults<'_>) -> DnsConfig {
    if raw.names.is_empty() {
        faults.push("dns_sd_configs: names is empty");
    }
    let record =
        match raw.record.as_deref().unwrap_or(DNS_RECORD_DEFAULT).to_ascii_uppercase().as_str() {
            "SRV" => DnsRecord::Srv,
            "A" => DnsRecord::A,
            "AAAA" => DnsRecord::Aaaa,
            "MX" => DnsRecord::Mx,
            "NS" => DnsRecord::Ns,
            other => {
                faults.push(format!(
                    "dns_sd_configs: type {other:?} is none of SRV, A, AAAA, MX, NS"
                ));
                DnsRecord::Srv
            }
        };
    if raw.port.is_none() && record != DnsRecord::Srv {
        faults.push("dns_sd_configs: port is missing: only SRV records have ports of their own");
    }
    DnsConfig {
        names: raw.names.clone(),
        record,
        port: raw.port.unwrap_or(0),
        refresh: set(raw.refresh_interval, DNS_REFRESH_DEFAULT),
    }
}

fn kubernetes(
    raw: &RawKubernetesSd,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Option<KubernetesConfig> {
    let client = client::options(raw.client(), context, faults);
    let server = match (&raw.api_server, &raw.kubeconfig_file) {
        (Some(_), Some(_)) => {
            faults.push("kubernetes_sd_configs: give api_server or kubeconfig_file, not both");
            return None;
        }
        (Some(text), None) => {
            KubernetesServer::At(client::url("kubernetes_sd_configs.api_server", text, faults)?)
        }
        (None, Some(file)) => KubernetesServer::Kubeconfig(context.folder.join(file)),
        (None, None) => surrounding_cluster(context.environment, faults)?,
    };
    if !matches!(server, KubernetesServer::At(_))
        && client != swell_http_client::ClientOptions::default()
    {
        faults.push("kubernetes_sd_configs: options of the client need an api_server: a kubeconfig file and the cluster around bring their own");
    }
    if raw.namespaces.own_namespace && !matches!(server, KubernetesServer::InCluster { .. }) {
        faults.push("kubernetes_sd_configs: namespaces.own_namespace is for a server that runs as a pod: give names");
    }
    let role = role("kubernetes_sd_configs.role", &raw.role, faults)?;
    let selectors = raw.selectors.iter().filter_map(|it| selector(it, role, faults)).collect();
    let attach = &raw.attach_metadata;
    Some(KubernetesConfig {
        server,
        role,
        namespaces: Namespaces {
            names: raw.namespaces.names.clone(),
            own: raw.namespaces.own_namespace,
        },
        selectors,
        attach: AttachMetadata {
            node: attach.node,
            namespace: attach.namespace,
            deployment: attach.deployment,
            job: attach.job,
            cron_job: attach.cronjob,
        },
        client,
    })
}

/// The cluster whose pod this process is; its own API server where it is none.
fn surrounding_cluster(
    environment: &dyn Environment,
    faults: &mut Faults<'_>,
) -> Option<KubernetesServer> {
    let Some(host) = environment.get("KUBERNETES_SERVICE_HOST") else {
        return Some(KubernetesServer::Own);
    };
    let port = environment.get("KUBERNETES_SERVICE_PORT").unwrap_or_else(|| "443".to_owned());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = client::url("KUBERNETES_SERVICE_HOST", &format!("https://{host}:{port}"), faults)?;
    Some(KubernetesServer::InCluster { url, account: ACCOUNT_FOLDER.into() })
}

fn role(key: &str, name: &str, faults: &mut Faults<'_>) -> Option<Role> {
    let found = Role::ALL.into_iter().find(|role| role.name() == name);
    if found.is_none() {
        let names = Role::ALL.map(Role::name).join(", ");
        faults.push(format!("{key} {name:?} is none of {names}"));
    }
    found
}

/// Kinds that may be selected from, by role.
const fn selectable(role: Role) -> &'static [Role] {
    match role {
        Role::Node => &[Role::Node],
        Role::Pod => &[Role::Pod, Role::Node],
        Role::Service => &[Role::Service],
        Role::Endpoints => &[Role::Endpoints, Role::Service, Role::Pod],
        Role::EndpointSlice => &[Role::EndpointSlice, Role::Service, Role::Pod],
        Role::Ingress => &[Role::Ingress],
    }
}

fn selector(raw: &RawSelector, of: Role, faults: &mut Faults<'_>) -> Option<Selector> {
    let role = role("kubernetes_sd_configs.selectors.role", &raw.role, faults)?;
    if !selectable(of).contains(&role) {
        let names: Vec<&str> = selectable(of).iter().map(|role| role.name()).collect();
        let names = names.join(", ");
        faults.push(format!(
            "kubernetes_sd_configs: role {} selects from {names}, not from {}",
            of.name(),
            role.name()
        ));
    }
    Some(Selector { role, label: raw.label.clone(), field: raw.field.clone() })
}

fn docker(
    raw: &RawDockerSd,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Option<DockerConfig> {
    let client = client::options(raw.client(), context, faults);
    let host = docker_host(raw, faults)?;
    if raw.filters.iter().any(|filter| filter.name.is_empty() || filter.values.is_empty()) {
        faults.push("docker_sd_configs: a filter needs a name and values");
    }
    Some(DockerConfig {
        host,
        port: raw.port.unwrap_or(DOCKER_PORT_DEFAULT),
        host_networking_host: raw
            .host_networking_host
            .clone()
            .unwrap_or_else(|| DOCKER_HOST_DEFAULT.to_owned()),
        match_first_network: raw.match_first_network.unwrap_or(true),
        filters: raw.filters.iter().map(|it| (it.name.clone(), it.values.clone())).collect(),
        refresh: set(raw.refresh_interval, DOCKER_REFRESH_DEFAULT),
        client,
    })
}

fn docker_host(raw: &RawDockerSd, faults: &mut Faults<'_>) -> Option<DockerHost> {
    if let Some(path) = raw.host.strip_prefix("unix://") {
        return Some(DockerHost::Socket(path.into()));
    }
    // With TLS options the engine speaks TLS at a `tcp:` address.
    let scheme = if raw.tls_config.is_some() { "https://" } else { "http://" };
    let text = match raw.host.strip_prefix("tcp://") {
        Some(rest) => format!("{scheme}{rest}"),
        None => raw.host.clone(),
    };
    client::url(
        "docker_sd_configs.host (unix://PATH, tcp://HOST:PORT, http:// or https://)",
        &text,
        faults,
    )
    .map(DockerHost::Url)
}

fn consul(
    raw: &RawConsulSd,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Option<ConsulConfig> {
    let mut client = client::options(raw.client(), context, faults);
    if let Some(name) = raw.username.as_ref().filter(|name| !name.is_empty()) {
        if client.auth != Auth::None {
            faults.push("consul_sd_configs: give username and password or basic_auth, not both");
        }
        client.auth = Auth::Basic {
            username: Secret::Text(name.clone()),
            password: Secret::Text(raw.password.clone().unwrap_or_default()),
        };
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let server = raw.server.as_deref().unwrap_or(CONSUL_SERVER_DEFAULT);
    let scheme = raw.scheme.as_deref().unwrap_or(CONSUL_SCHEME_DEFAULT);
    let text =
        if server.contains("://") { server.to_owned() } else { format!("{scheme}://{server}") };
    let mut url: Url = client::url("consul_sd_configs.server", &text, faults)?;
    if let Some(prefix) = given(&raw.path_prefix) {
        url.set_path(&prefix);
    }
    Some(ConsulConfig {
        url,
        token: given(&raw.token).map(Secret::Text),
        datacenter: given(&raw.datacenter),
        namespace: given(&raw.namespace),
        partition: given(&raw.partition),
        tag_separator: raw
            .tag_separator
            .clone()
            .unwrap_or_else(|| CONSUL_TAG_SEPARATOR_DEFAULT.to_owned()),
        services: raw.services.clone(),
        tags: raw.tags.clone(),
        node_meta: raw.node_meta.clone(),
        filter: given(&raw.filter),
        health_filter: given(&raw.health_filter),
        allow_stale: raw.allow_stale.unwrap_or(true),
        refresh: set(raw.refresh_interval, CONSUL_REFRESH_DEFAULT),
        client,
    })
}
