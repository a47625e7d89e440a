//! Objects that cannot be, and autoscalers that cannot work.

use serde_json::Value;

use crate::harness::workloads::{autoscaler, deployment, sleepers};
use crate::harness::{Folder, Server, has, wait_for};

#[test]
fn objects_that_cannot_be_are_refused_with_the_field() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &[]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports: ";
    for (text, parts) in [
        (autoscaler("web", "web", 5, 2), vec!["spec.maxReplicas"]),
        (autoscaler("web", "web", 1, 0), vec!["spec.maxReplicas"]),
        (autoscaler("web", "", 1, 2), vec!["spec.scaleTargetRef.name"]),
        (
            autoscaler("web", "web", 1, 2)
                .replace("averageUtilization: 50", "averageUtilization: -5"),
            vec!["averageUtilization"],
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicaz: 1}\n"
                .into(),
            vec!["replicaz"],
        ),
        (deployment("web", 1, "cpu: plenty", "[a]"), vec!["plenty"]),
        (
            deployment("web", 1, "", "[a]").replace("replicas: 1", "replicas: -1"),
            vec!["spec.replicas"],
        ),
        (deployment("Web_1", 1, "", "[a]"), vec!["metadata.name", "Web_1"]),
        (format!("{service}[{{port: 70000}}]\n"), vec!["port", "70000"]),
        ("apiVersion: v1\nkind: Unicorn\nmetadata: {name: x}\n".into(), vec!["Unicorn"]),
        ("kind: [\n".into(), vec!["manifest.yaml"]),
        ("{}\n".into(), vec!["manifest.yaml"]),
    ] {
        let file = folder.file("manifest.yaml", &text);
        let (code, _, stderr) = server.cli(&["apply", "-f", &file]);
        assert_ne!(code, 0, "{text}");
        has(&stderr, &parts);
    }
    assert_eq!(server.must(&["get", "deploy,hpa,svc", "-o", "name"]), "");
    let (code, _, stderr) = server.cli(&["get", "unicorns"]);
    assert_eq!(code, 2);
    has(&stderr, &["unicorns", "pods"]);
    assert_eq!(server.cli(&["get", "pod", "missing"]).0, 4);
    assert_eq!(server.stop(), 0);
}

/// The record of the latest decision, once it was come to several times over.
fn settled(server: &Server, hpa: &str) -> Value {
    wait_for("several decisions with the same end", || {
        let (code, stdout, _) = server.cli(&["explain", &format!("hpa/{hpa}"), "--output", "json"]);
        let record: Value = serde_json::from_str(&stdout).ok().filter(|_| code == 0)?;
        (record["repeated"].as_u64()? >= 3).then_some(record)
    })
}

#[test]
fn autoscalers_that_cannot_work_say_why_and_scale_nothing() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &["--with-agent"]);
    let mark = "1001";
    for (file, text) in [
        ("sleepers.yaml", sleepers(mark)),
        ("web.yaml", autoscaler("web", "sleeper", 1, 6)),
        ("lost.yaml", autoscaler("lost", "nowhere", 1, 6)),
        (
            "odd.yaml",
            autoscaler("odd", "sleeper", 1, 6).replace("kind: Deployment", "kind: Service"),
        ),
    ] {
        server.must(&["apply", "-f", &folder.file(file, &text)]);
    }
    let before = server.ready_pods(2);

    let missing = "missing request for cpu in container main of Pod sleeper-";
    // Before there are samples, that is what is missing.
    wait_for("the missing request", || {
        let condition = server.condition("web", "ScalingActive")?;
        (condition.starts_with("False FailedGetResourceMetric") && condition.contains(missing))
            .then_some(())
    });
    let record = settled(&server, "web");
    assert_eq!(record["reason"], "MetricsUnavailable", "{record}");
    has(&server.must(&["explain", "hpa/web"]), &["2 replicas, as before", missing]);
    has(&server.must(&["explain", "deployment/sleeper"]), &[missing]);
    has(&server.must(&["describe", "hpa/web"]), &["FailedGetResourceMetric", missing]);

    for (hpa, parts) in [
        ("lost", ["False FailedGetScale", "\"nowhere\" not found"]),
        ("odd", ["False FailedGetScale", "no matches for kind \"Service\""]),
    ] {
        let record = settled(&server, hpa);
        assert_eq!(record["reason"], "TargetUnreadable", "{record}");
        has(&server.condition(hpa, "AbleToScale").unwrap_or_default(), &parts);
        let explained = server.must(&["explain", &format!("hpa/{hpa}")]);
        has(&explained, &["size unknown", parts[1]]);
    }
    assert_eq!(server.ready_pods(2), before, "nothing was scaled");
    assert_eq!(server.stop(), 0);
}
