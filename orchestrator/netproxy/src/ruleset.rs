//! What is listened on and where it goes: a function of Services and Endpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    EndpointPort, EndpointSubset, Endpoints, Service, ServicePort, ServiceSpec,
};

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// How a port is balanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Request by request.
    Http,
    /// Connection by connection.
    Tcp,
}

/// One place a frontend's traffic may go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Where it listens.
    pub address: SocketAddr,
    /// Name of its pod; empty when it is none.
    pub pod: String,
}

/// One address of a Service and what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// The Service.
    pub service: ServiceName,
    /// Name of the port, empty when it has none.
    pub port_name: String,
    /// How it is balanced.
    pub protocol: Protocol,
    /// Ready endpoints, sorted, each once.
    pub endpoints: Vec<Endpoint>,
    /// Endpoints that are not ready.
    pub not_ready_count: usize,
}

/// Something a Service asks for that is not done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Only TCP is proxied.
    Protocol {
        /// The Service.
        service: ServiceName,
        /// Its port.
        port: i32,
        /// What it asks for.
        protocol: String,
    },
    /// The address or port is none.
    Address {
        /// The Service.
        service: ServiceName,
        /// What is given.
        address: String,
    },
    /// Another Service, first in order of names, has the address.
    Taken {
        /// The Service that goes without.
        service: ServiceName,
        /// The address.
        address: SocketAddr,
        /// Who has it.
        by: ServiceName,
    },
    /// Clients are not kept with their endpoint.
    SessionAffinity {
        /// The Service.
        service: ServiceName,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { service, port, protocol } => write!(
                f,
                "service {service}: port {port} is {protocol}, which is not proxied: only TCP is"
            ),
            Self::Address { service, address } => {
                write!(f, "service {service}: {address:?} is no address to listen on")
            }
            Self::Taken { service, address, by } => {
                write!(f, "service {service}: {address} belongs to service {by}")
            }
            Self::SessionAffinity { service } => {
                write!(
                    f,
                    "service {service}: sessionAffinity ClientIP is not supported: any endpoint may get a request"
                )
            }
        }
    }
}

/// All frontends of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// By the address that is listened on.
    pub frontends: BTreeMap<SocketAddr, Frontend>,
    /// What is left out, and why; sorted.
    pub problems: Vec<Problem>,
}

/// Decides what to listen on. The order of the inputs does not matter.
#[must_use]
pub fn ruleset(services: &[Arc<Service>], endpoints: &[Arc<Endpoints>]) -> Ruleset {
    let endpoints: BTreeMap<ServiceName, &Endpoints> =
        endpoints.iter().map(|one| (name_of(&one.metadata), one.as_ref())).collect();
    let services: BTreeMap<ServiceName, &Service> =
        services.iter().map(|one| (name_of(&one.metadata), one.as_ref())).collect();
    let mut rules = Ruleset::default();
    for (name, service) in services {
        let Some(spec) = &service.spec else { continue };
        let behind = endpoints.get(&name).and_then(|endpoints| endpoints.subsets.as_deref());
        add_service(&mut rules, &name, spec, behind.unwrap_or_default());
    }
    rules.problems.sort();
    rules
}

fn name_of(metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> ServiceName {
    ServiceName {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

fn add_service(
    rules: &mut Ruleset,
    name: &ServiceName,
    spec: &ServiceSpec,
    subsets: &[EndpointSubset],
) {
    if spec.type_.as_deref() == Some("ExternalName") {
        return;
    }
    let addresses = cluster_addresses(rules, name, spec);
    if addresses.is_empty() {
        return;
    }
    if spec.session_affinity.as_deref() == Some("ClientIP") {
        rules.problems.push(Problem::SessionAffinity { service: name.clone() });
    }
    for port in spec.ports.as_deref().unwrap_or_default() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        if protocol != "TCP" {
            rules.problems.push(Problem::Protocol {
                service: name.clone(),
                port: port.port,
                protocol: protocol.to_owned(),
            });
            continue;
        }
        let Some(number) = u16::try_from(port.port).ok().filter(|number| *number > 0) else {
            let address = port.port.to_string();
            rules.problems.push(Problem::Address { service: name.clone(), address });
            continue;
        };
        let (ready, not_ready_count) = endpoints_of(port, subsets);
        for ip in &addresses {
            let address = SocketAddr::new(*ip, number);
            if let Some(other) = rules.frontends.get(&address) {
                rules.problems.push(Problem::Taken {
                    service: name.clone(),
                    address,
                    by: other.service.clone(),
                });
                continue;
            }
            let frontend = Frontend {
                service: name.clone(),
                port_name: port.name.clone().unwrap_or_default(),
                protocol: protocol_of(port),
                endpoints: ready.clone(),
                not_ready_count,
            };
            rules.frontends.insert(address, frontend);
        }
    }
}

/// The addresses of a Service; none for a headless one, or before one was allocated.
fn cluster_addresses(rules: &mut Ruleset, name: &ServiceName, spec: &ServiceSpec) -> Vec<IpAddr> {
    let listed = spec.cluster_ips.as_deref().filter(|listed| !listed.is_empty());
    let listed = listed.unwrap_or(spec.cluster_ip.as_slice());
    let mut addresses = Vec::new();
    for text in listed.iter().filter(|text| !text.is_empty() && *text != "None") {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => rules
                .problems
                .push(Problem::Address { service: name.clone(), address: text.clone() }),
        }
    }
    addresses
}

/// HTTP where the port says so: by `appProtocol`, or else by a name that starts with `http`. What is
/// encrypted (`https`) or is another protocol (`http2`) cannot be taken apart into requests here.
fn protocol_of(port: &ServicePort) -> Protocol {
    let name = port.name.as_deref().unwrap_or_default();
    let is_http = match port.app_protocol.as_deref() {
        Some(protocol) => matches!(protocol, "http" | "kubernetes.io/ws"),
        None => {
            name.starts_with("http") && !name.starts_with("https") && !name.starts_with("http2")
        }
    };
    if is_http { Protocol::Http } else { Protocol::Tcp }
}

/// The ready endpoints of a port, and how many are not ready.
fn endpoints_of(port: &ServicePort, subsets: &[EndpointSubset]) -> (Vec<Endpoint>, usize) {
    let (mut ready, mut not_ready_count) = (Vec::new(), 0);
    for subset in subsets {
        let Some(number) = endpoint_port(port, subset.ports.as_deref().unwrap_or_default()) else {
            continue;
        };
        not_ready_count += subset.not_ready_addresses.as_ref().map_or(0, Vec::len);
        for address in subset.addresses.as_deref().unwrap_or_default() {
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            let pod = address
                .target_ref
                .as_ref()
                .filter(|target| target.kind.as_deref() == Some("Pod"))
                .and_then(|target| target.name.clone());
            let address = SocketAddr::new(ip, number);
            ready.push(Endpoint { address, pod: pod.unwrap_or_default() });
        }
    }
    ready.sort();
    ready.dedup_by_key(|endpoint| endpoint.address);
    (ready, not_ready_count)
}

/// The number that stands for the Service's port in a subset: it bears the same name.
fn endpoint_port(port: &ServicePort, listed: &[EndpointPort]) -> Option<u16> {
    let name = port.name.as_deref().unwrap_or_default();
    let is_same = |other: &&EndpointPort| {
        other.name.as_deref().unwrap_or_default() == name
            && other.protocol.as_deref().unwrap_or("TCP") == "TCP"
    };
    u16::try_from(listed.iter().find(is_same)?.port).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(name: &str, spec: Value) -> Arc<Service> {
        let object = json!({"metadata": {"namespace": "default", "name": name}, "spec": spec});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    fn endpoints(name: &str, subsets: Value) -> Arc<Endpoints> {
        let object =
            json!({"metadata": {"namespace": "default", "name": name}, "subsets": subsets});
        Arc::new(serde_json::from_value(object).unwrap())
    }

    /// Rules as text, the same whichever way the inputs are ordered.
    fn check(services: &[Arc<Service>], endpoints: &[Arc<Endpoints>], expected: &[&str]) {
        let rules = ruleset(services, endpoints);
        let reversed = |list: &[_]| list.iter().rev().cloned().collect::<Vec<_>>();
        let reversed_endpoints = endpoints.iter().rev().cloned().collect::<Vec<_>>();
        assert_eq!(ruleset(&reversed(services), &reversed_endpoints), rules);
        let frontends = rules.frontends.iter().map(|(address, frontend)| {
            let to: Vec<String> = frontend
                .endpoints
                .iter()
                .map(|endpoint| format!("{}={}", endpoint.pod, endpoint.address))
                .collect();
            format!(
                "{address} {} {:?} [{}] {} not ready",
                frontend.service,
                frontend.protocol,
                to.join(" "),
                frontend.not_ready_count
            )
        });
        let problems = rules.problems.iter().map(ToString::to_string);
        assert_eq!(frontends.chain(problems).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_service_goes_to_its_ready_endpoints_by_port_name() {
        let web = service(
            "web",
            json!({"clusterIP": "127.96.0.5", "ports": [
                {"name": "http", "port": 80, "targetPort": 8080},
                {"name": "db", "port": 5432}]}),
        );
        let pod =
            |name: &str, ip: &str| json!({"ip": ip, "targetRef": {"kind": "Pod", "name": name}});
        let behind = endpoints(
            "web",
            json!([
                {"addresses": [pod("b", "127.64.0.3"), pod("a", "127.64.0.2")],
                 "notReadyAddresses": [pod("c", "127.64.0.4")],
                 "ports": [{"name": "http", "port": 8080}, {"name": "db", "port": 5433}]},
                {"addresses": [pod("a", "127.64.0.2")], "ports": [{"name": "http", "port": 8080}]},
                {"addresses": [{"ip": "127.64.0.9"}], "ports": [{"name": "other", "port": 1}]},
            ]),
        );
        check(
            &[web],
            &[behind],
            &[
                "127.96.0.5:80 default/web Http [a=127.64.0.2:8080 b=127.64.0.3:8080] 1 not ready",
                "127.96.0.5:5432 default/web Tcp [a=127.64.0.2:5433 b=127.64.0.3:5433] 1 not ready",
            ],
        );
    }

    #[test]
    fn services_without_an_address_or_endpoints() {
        let port = json!([{"port": 80}]);
        check(
            &[
                service("headless", json!({"clusterIP": "None", "ports": port})),
                service("pending", json!({"ports": port})),
                service(
                    "outside",
                    json!({"type": "ExternalName", "clusterIP": "127.96.0.1", "ports": port}),
                ),
                service("empty", json!({"clusterIP": "127.96.0.2", "ports": port})),
            ],
            &[],
            &["127.96.0.2:80 default/empty Tcp [] 0 not ready"],
        );
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        check(
            &[
                service(
                    "b",
                    json!({"clusterIP": "127.96.0.1", "sessionAffinity": "ClientIP", "ports": [{"port": 80}]}),
                ),
                service(
                    "a",
                    json!({"clusterIP": "127.96.0.1", "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}, {"port": 0}]}),
                ),
                service("c", json!({"clusterIP": "nonsense", "ports": [{"port": 80}]})),
            ],
            &[],
            &[
                "127.96.0.1:80 default/a Tcp [] 0 not ready",
                "service default/a: port 53 is UDP, which is not proxied: only TCP is",
                "service default/a: \"0\" is no address to listen on",
                "service default/c: \"nonsense\" is no address to listen on",
                "service default/b: 127.96.0.1:80 belongs to service default/a",
                "service default/b: sessionAffinity ClientIP is not supported: any endpoint may get a request",
            ],
        );
    }

    #[test]
    fn http_is_what_the_port_says_is_http() {
        for (name, app_protocol, expected) in [
            ("http", None, Protocol::Http),
            ("http-metrics", None, Protocol::Http),
            ("https", None, Protocol::Tcp),
            ("http2", None, Protocol::Tcp),
            ("web", None, Protocol::Tcp),
            ("web", Some("http"), Protocol::Http),
            ("web", Some("kubernetes.io/ws"), Protocol::Http),
            ("http", Some("kubernetes.io/h2c"), Protocol::Tcp),
        ] {
            let port = ServicePort {
                name: Some(name.to_owned()),
                app_protocol: app_protocol.map(str::to_owned),
                ..ServicePort::default()
            };
            assert_eq!(protocol_of(&port), expected, "{name} {app_protocol:?}");
        }
    }
}
