//! Rules each second, and the autoscaler, read no more than what arrived since the time before, and say so.
#![expect(
    clippy::disallowed_methods,
    reason = "tests of the binary measure real time and are told how long"
)]

mod harness;

use harness::workloads::{autoscaler, deployment};
use harness::{Folder, Server, wait_for};

const RULES: &str = r#"
groups:
- name: node
  interval: 1s
  rules:
  - {record: node:cpu, expr: "sum by (mode) (rate(node_cpu_seconds_total[30s]))"}
  - {record: node:load, expr: "avg_over_time(node_load1[1m])"}
  - {alert: Loaded, expr: "max_over_time(node_load1[20s]) > 100000"}
  - {record: node:cpu:max, expr: "max(node:cpu)"}
"#;

fn evaluations(server: &Server, asker: &str, how: &str) -> u64 {
    let (_, metrics) = server.get("/metrics");
    let start =
        format!("swell_query_standing_evaluations_total{{asker=\"{asker}\",how=\"{how}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&start));
    value.and_then(|value| value.parse().ok()).expect("it is counted")
}

#[test]
fn rules_and_the_autoscaler_ask_again_for_what_is_new() {
    let folder = Folder::new();
    folder.file("rules.yaml", RULES);
    let config = folder.file("swell.yaml", "rule_files: [rules.yaml]\n");
    let server = Server::start(&folder.join("data"), &["--with-agent", "--config", &config]);
    let sleeper = deployment("idle", 1, "cpu: 10m", "[sleep, '600', '0.4203']");
    server.must(&["apply", "-f", &folder.file("idle.yaml", &sleeper)]);
    server.must(&["apply", "-f", &folder.file("hpa.yaml", &autoscaler("idle", "idle", 1, 2))]);
    for asker in ["rules", "autoscaler"] {
        wait_for("incremental evaluations", || {
            (evaluations(&server, asker, "incremental") > 15).then_some(())
        });
    }
    // The first evaluation of each rule is in full, and those before there are samples.
    let (incremental, full) =
        (evaluations(&server, "rules", "incremental"), evaluations(&server, "rules", "full"));
    assert!(incremental > full, "{incremental} against {full}");
    wait_for("what the rules wrote", || {
        let [whole, longest] = ["max(node:cpu)", "node:cpu:max"]
            .map(|query| server.query(query).first().map(|found| found["value"][1].clone()));
        (whole.is_some() && longest.is_some()).then_some(())
    });
    let (_, metrics) = server.get("/metrics");
    assert!(
        metrics.contains("swell_query_standing_samples{asker=\"rules\"} "),
        "what is kept is told"
    );
    assert_eq!(server.stop(), 0);
}
