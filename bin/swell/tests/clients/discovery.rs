//! Targets that the server's own API names, seen from inside and through its kubeconfig.

use serde_json::Value;

use crate::harness::{Folder, Server, wait_for};

/// A service whose endpoint is the server itself.
fn manifest(port: u16) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: self, namespace: default, labels: {{tier: own}}}}
spec: {{ports: [{{name: http, port: 80}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: self, namespace: default}}
subsets: [{{addresses: [{{ip: 127.0.0.1}}], ports: [{{name: http, port: {port}}}]}}]
"
    )
}

fn active(server: &Server, pool: &str) -> Vec<Value> {
    let data = server.data(&format!("/api/v1/targets?state=active&scrapePool={pool}"));
    data["activeTargets"].as_array().expect("a list").clone()
}

#[test]
fn services_of_the_own_api_are_scraped() {
    let folder = Folder::new();
    let config = folder.file("swell.yaml", "");
    let data = folder.join("data");
    let server = Server::start(&data, &["--config", &config, "--web.enable-lifecycle"]);
    let objects = folder.file("objects.yaml", &manifest(server.http.port()));
    server.must(&["apply", "-f", &objects]);
    let kubeconfig = data.join("kubeconfig");
    let jobs = format!(
        "\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: inside
    kubernetes_sd_configs: [{{role: endpoints, selectors: [{{role: service, label: tier=own}}]}}]
    relabel_configs:
      - {{source_labels: [__meta_kubernetes_service_name], regex: self, action: keep}}
      - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace}}
  - job_name: outside
    kubernetes_sd_configs: [{{role: service, kubeconfig_file: '{}'}}]
    relabel_configs:
      - {{source_labels: [__meta_kubernetes_service_name], target_label: service}}
      - {{target_label: __address__, replacement: '{}'}}
",
        kubeconfig.display(),
        server.http,
    );
    std::fs::write(&config, jobs).expect("written");
    assert_eq!(server.post("/-/reload").0, 200);
    wait_for("a scrape of the endpoint", || {
        active(&server, "inside").first().filter(|target| target["health"] == "up").map(drop)
    });
    let found = active(&server, "inside");
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["labels"]["namespace"], "default");
    assert_eq!(found[0]["discoveredLabels"]["__meta_kubernetes_service_label_tier"], "own");
    wait_for("a scrape by the kubeconfig", || {
        let targets = active(&server, "outside");
        let own = targets.iter().find(|target| target["labels"]["service"] == "self");
        own.filter(|target| target["health"] == "up").map(drop)
    });
    let steps = server.data(
        "/api/v1/targets/relabel_steps?scrapePool=inside&labels=%7B%22__meta_kubernetes_service_name%22%3A%22other%22%7D",
    );
    assert_eq!(steps["steps"][0]["keep"], false, "{steps}");
    assert_eq!(steps["steps"][0]["rule"]["action"], "keep");
    let yaml = server.data("/api/v1/scrape_pools/config?scrapePool=inside")["yaml"].to_string();
    assert!(yaml.contains("tier=own"), "{yaml}");

    server.must(&["delete", "endpoints", "self"]);
    wait_for("the target to go", || active(&server, "inside").is_empty().then_some(()));
    assert!(!active(&server, "outside").is_empty());
}
