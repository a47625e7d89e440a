//! Debian's Alertmanager as the receiver of our alerts: `alerting:` of the configuration.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use swell_lab::tools;

use crate::harness::{DEADLINE, Folder, Process, Server, get, texts, wait_for, write};

/// A rule that fires while the newest line sent says so.
const RULES: &str = "
groups:
- name: g
  interval: 1s
  rules:
  - {alert: Switched, expr: switch_on == 1, labels: {severity: page}, annotations: {summary: 'is {{ $value }}'}}
";

struct Programs {
    alertmanager: PathBuf,
    amtool: PathBuf,
}

fn programs() -> Option<Programs> {
    let package = "prometheus-alertmanager";
    Some(Programs {
        alertmanager: tools::program(package, package)?,
        amtool: tools::program("amtool", package)?,
    })
}

/// An Alertmanager that remembers nothing of an earlier one, there or on a free port.
fn start_alertmanager(
    program: &PathBuf,
    folder: &Folder,
    name: &str,
    at: Option<SocketAddr>,
) -> (Process, SocketAddr) {
    let config = "route: {receiver: none}\nreceivers: [{name: none}]\n";
    let config = folder.file(&format!("{name}.yml"), config);
    let at = at.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let mut command = Command::new(program);
    command
        .args(["--config.file", &config, "--web.listen-address", &at.to_string()])
        .args(["--cluster.listen-address", "", "--storage.path"])
        .arg(tempfile::tempdir_in(folder.path()).expect("a folder").keep())
        .stdin(Stdio::null());
    let mut process = Process::spawn(&mut command);
    let address = process.line("the address of Alertmanager", |line| {
        let (_, rest) = line.split_once("address=")?;
        let is_http = line.contains("Listening on");
        is_http.then(|| rest.split(' ').next()?.parse().ok()).flatten()
    });
    (process, address)
}

/// What Alertmanager's own tool sees.
fn alerts(programs: &Programs, at: SocketAddr) -> Vec<Value> {
    let url = format!("--alertmanager.url=http://{at}");
    let output =
        Command::new(&programs.amtool).args(["alert", "query", "-o", "json", &url]).output();
    let (code, stdout, stderr) = texts(&output.expect("amtool runs"));
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

fn switch(server: &Server, on: bool) {
    let line = format!("switch on={}", u8::from(on));
    let mut stream = TcpStream::connect(server.http).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(
        stream,
        "POST /write HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{line}",
        line.len()
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
}

fn metric(server: &Server, name: &str, of: SocketAddr) -> f64 {
    let (_, metrics) = server.get("/metrics");
    let start = format!("prometheus_notifications_{name}{{alertmanager=\"http://{of}/");
    let line = metrics.lines().find(|line| line.starts_with(&start));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
}

#[test]
fn alerts_fire_and_resolve_in_two_alertmanagers_of_which_one_was_down() {
    let Some(programs) = programs() else { return };
    let folder = Folder::new();
    let (first, a) = start_alertmanager(&programs.alertmanager, &folder, "a", None);
    let (second, b) = start_alertmanager(&programs.alertmanager, &folder, "b", None);
    folder.file("rules.yaml", RULES);
    let found = folder.file("b.json", "[]");
    let text = format!(
        "\
global: {{external_labels: {{cluster: eu, replica: one}}}}
rule_files: [rules.yaml]
swell: {{influx_receiver: {{enabled: true}}}}
alerting:
  alert_relabel_configs: [{{regex: replica, action: labeldrop}}]
  alertmanagers:
  - static_configs: [{{targets: ['{a}', 'left.out:9093']}}]
    relabel_configs: [{{source_labels: [__address__], regex: 'left.*', action: drop}}]
  - file_sd_configs: [{{files: ['{found}']}}]
    alert_relabel_configs: [{{target_label: seen_by, replacement: b}}]
"
    );
    let config = folder.file("swell.yaml", &text);
    let server =
        Server::start(&folder.join("data"), &["--config", &config, "--web.enable-lifecycle"]);
    let url = |of: SocketAddr| json!({"url": format!("http://{of}/api/v2/alerts")});
    let left_out = json!([{"url": "http://left.out:9093/api/v2/alerts"}]);
    assert_eq!(
        server.data("/api/v1/alertmanagers"),
        json!({"activeAlertmanagers": [url(a)], "droppedAlertmanagers": left_out})
    );
    write(found.as_ref(), &json!([{"targets": [b.to_string()]}]).to_string());
    wait_for("the second one to be found", || {
        let known = server.data("/api/v1/alertmanagers")["activeAlertmanagers"].clone();
        (known == json!([url(a), url(b)])).then_some(())
    });

    assert_eq!(first.stop(), 0);
    switch(&server, true);
    let seen = wait_for("the alert in the second one", || alerts(&programs, b).pop());
    assert_eq!(
        seen["labels"],
        json!({"alertname": "Switched", "cluster": "eu", "seen_by": "b", "severity": "page"})
    );
    assert_eq!(seen["annotations"]["summary"], "is 1");
    assert!(seen["generatorURL"].as_str().is_some_and(|text| text.contains("g0.expr=switch_on")));
    wait_for("a failed attempt", || (metric(&server, "errors_total", a) > 0.0).then_some(()));
    assert!(metric(&server, "errors_total", b) < 1.0);

    // It is told what waited, long before the alert would be sent again.
    let (first, _) = start_alertmanager(&programs.alertmanager, &folder, "a", Some(a));
    let seen = wait_for("the alert in the first one", || alerts(&programs, a).pop());
    assert_eq!(
        seen["labels"],
        json!({"alertname": "Switched", "cluster": "eu", "severity": "page"})
    );
    wait_for("an empty queue", || (metric(&server, "queue_length", a) < 1.0).then_some(()));
    assert!(metric(&server, "dropped_total", a) < 1.0);
    // Four times the resend delay from now; a resolution does not wait for that.
    let (_, body) = get(a, "/api/v2/alerts");
    let told: Value = serde_json::from_str(&body).expect("JSON");
    let at = |name: &str| {
        let text = told[0][name].as_str().expect("a time");
        text.parse::<jiff::Timestamp>().expect("a time").as_second()
    };
    let (starts, ends) = (at("startsAt"), at("endsAt"));
    assert!((200..=240).contains(&(ends - starts)), "{starts} to {ends}");
    switch(&server, false);
    wait_for("the end of the alert in both", || {
        (alerts(&programs, a).is_empty() && alerts(&programs, b).is_empty()).then_some(())
    });

    // With receivers of its own this server is one of those who are told.
    let own = "swell: {alertmanager_config: {route: {receiver: r}, receivers: [{name: r, webhook_configs: [{url: 'http://127.0.0.1:9/'}]}]}}\n";
    write(
        config.as_ref(),
        &format!(
            "{own}alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{b}']}}]}}]}}\n"
        ),
    );
    assert_eq!(server.post("/-/reload").0, 200);
    assert_eq!(
        server.data("/api/v1/alertmanagers"),
        json!({"activeAlertmanagers": [url(server.http), url(b)], "droppedAlertmanagers": []})
    );
    write(
        config.as_ref(),
        "alerting: {alertmanagers: [{tls_config: {ca_file: missing.pem}, static_configs: []}]}\n",
    );
    let (code, told) = server.post("/-/reload");
    assert_eq!(code, 400, "{told}");
    assert!(told.contains("alertmanagers[0]") && told.contains("missing.pem"), "{told}");
    assert_eq!(
        server.data("/api/v1/alertmanagers")["activeAlertmanagers"],
        json!([url(server.http), url(b)])
    );
    assert_eq!(server.stop(), 0);
    assert_eq!(first.stop(), 0);
    assert_eq!(second.stop(), 0);
}
