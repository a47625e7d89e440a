use super::*;

/// Two networks and four containers: exposed and published ports, no port in the host's network, a shared
/// network, and two networks at once.
const CONTAINERS: &str = r#"[
  {"Id": "c1", "Names": ["/web"], "Image": "web:1", "State": "running",
   "Labels": {"com.example.team": "a"},
   "Ports": [
     {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
     {"PrivatePort": 9100, "Type": "tcp"},
     {"PrivatePort": 53, "Type": "udp"}],
   "HostConfig": {"NetworkMode": "front"},
   "NetworkSettings": {"Networks": {"front": {"NetworkID": "n1", "IPAddress": "172.20.0.2"}}}},
  {"Id": "c2", "Names": ["/agent"], "Labels": null, "Ports": [],
   "HostConfig": {"NetworkMode": "host"},
   "NetworkSettings": {"Networks": {"host": {"NetworkID": "n2", "IPAddress": ""}}}},
  {"Id": "c3", "Names": ["/sidecar"], "Ports": [],
   "HostConfig": {"NetworkMode": "container:c1"},
   "NetworkSettings": {"Networks": {}}},
  {"Id": "c4", "Names": ["/both"], "Ports": [{"PrivatePort": 1, "Type": "tcp"}],
   "HostConfig": {"NetworkMode": "front"},
   "NetworkSettings": {"Networks": {
     "back": {"NetworkID": "n3", "IPAddress": "172.21.0.9"},
     "front": {"NetworkID": "n1", "IPAddress": "172.20.0.9"}}}},
  {"Id": "c5", "Names": [], "NetworkSettings": {"Networks": {"front": {"IPAddress": "172.20.0.8"}}}}
]"#;

const NETWORKS: &str = r#"[
  {"Id": "n1", "Name": "front", "Scope": "local", "Internal": false, "Ingress": false,
   "Labels": {"tier": "1"}},
  {"Id": "n2", "Name": "host", "Scope": "local"},
  {"Id": "n3", "Name": "back", "Scope": "local", "Internal": true}
]"#;

fn discovered(match_first_network: bool) -> Vec<TargetGroup> {
    let containers: Vec<Container> = serde_json::from_str(CONTAINERS).expect("good");
    let networks: Vec<Network> = serde_json::from_str(NETWORKS).expect("good");
    let rules = Rules { port: 80, host_networking_host: "localhost", match_first_network };
    groups(&containers, &networks, rules)
}

fn shown(groups: &[TargetGroup]) -> Vec<String> {
    let shown = |group: &TargetGroup| {
        let label = |name: &str| group.labels.get(&format!("{PREFIX}{name}")).cloned();
        let name = label("container_name").unwrap_or_default();
        let network = label("network_name").unwrap_or_default();
        format!("{name} {} {network}", group.targets[0])
    };
    groups.iter().map(shown).collect()
}

#[test]
fn containers_are_targets_by_network_and_port() {
    let groups = discovered(true);
    let expected = [
        "/web 172.20.0.2:80 front",
        "/web 172.20.0.2:9100 front",
        "/agent localhost host",
        "/sidecar 172.20.0.2:80 front",
        "/both 172.20.0.9:1 front",
    ];
    assert_eq!(shown(&groups), expected);
    let labels: Vec<String> =
        groups[0].labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = [
        "__meta_docker_container_id=c1",
        "__meta_docker_container_label_com_example_team=a",
        "__meta_docker_container_name=/web",
        "__meta_docker_container_network_mode=front",
        "__meta_docker_network_id=n1",
        "__meta_docker_network_ingress=false",
        "__meta_docker_network_internal=false",
        "__meta_docker_network_ip=172.20.0.2",
        "__meta_docker_network_label_tier=1",
        "__meta_docker_network_name=front",
        "__meta_docker_network_scope=local",
        "__meta_docker_port_private=80",
        "__meta_docker_port_public=8080",
        "__meta_docker_port_public_ip=0.0.0.0",
    ];
    assert_eq!(labels, expected);
    assert!(!groups[1].labels.contains_key("__meta_docker_port_public"));
}

#[test]
fn every_network_counts_when_told_so() {
    let groups = discovered(false);
    let both = shown(&groups).into_iter().filter(|it| it.starts_with("/both"));
    assert_eq!(both.collect::<Vec<_>>(), ["/both 172.21.0.9:1 back", "/both 172.20.0.9:1 front"]);
}
