//! Pushes as to Prometheus' Pushgateway, by Prometheus' own client, and lines as Telegraf sends them to InfluxDB.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::opentelemetry::python;
use crate::harness::{DEADLINE, Folder, Server, texts, wait_for};

const SCRIPT: &str = r#"
import sys
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import delete_from_gateway, push_to_gateway, pushadd_to_gateway
address, what = sys.argv[1:]
group = {"instance": "db/1"}
if what == "push":
    registry = CollectorRegistry()
    Gauge("backup_size_bytes", "Size of the backup", registry=registry).set(4096)
    Histogram("backup_step_seconds", "Steps", buckets=[1, 10], registry=registry).observe(3)
    push_to_gateway(address, "backup", registry, grouping_key=group)
    registry = CollectorRegistry()
    Counter("backup_files", "Files", registry=registry).inc(7)
    pushadd_to_gateway(address, "backup", registry, grouping_key=group)
else:
    delete_from_gateway(address, "backup", grouping_key=group)
"#;

const CONFIG: &str =
    "swell:\n  pushgateway: {enabled: true, interval: 200ms}\n  influx_receiver: {enabled: true}\n";

#[test]
fn prometheus_client_pushes_and_deletes() {
    let Some(python) = python() else { return };
    let folder = Folder::new();
    let config = folder.file("swell.yaml", CONFIG);
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let push = |server: &Server, what: &str| {
        let address = server.http.to_string();
        let output = Command::new(&python).args(["-c", SCRIPT, &address, what]).output();
        let (code, _, log) = texts(&output.expect("python starts"));
        assert_eq!(code, 0, "{log}");
    };
    push(&server, "push");
    let of = r#"{job="backup",instance="db/1"}"#;
    let check = |server: &Server| {
        for (query, expected) in [
            (format!("backup_size_bytes{of}"), "4096"),
            (format!("backup_files_total{of}"), "7"),
            (format!("histogram_quantile(1, backup_step_seconds_bucket{of})"), "10"),
            (format!("push_failure_time_seconds{of}"), "0"),
            (format!("time() - push_time_seconds{of} < bool 60"), "1"),
        ] {
            let series = server.query(&query);
            assert_eq!(series.len(), 1, "{query}: {series:?}");
            assert_eq!(series[0]["value"][1], expected, "{query}");
        }
    };
    check(&server);
    let count = format!("count_over_time(backup_size_bytes{of}[1m])");
    wait_for("more samples of what was pushed once", || {
        let count: f64 = server.query(&count).first()?["value"][1].as_str()?.parse().ok()?;
        (count >= 5.0).then_some(())
    });
    let kind = server.data("/api/v1/metadata?metric=backup_size_bytes");
    assert_eq!(kind["backup_size_bytes"][0]["type"], "gauge");
    assert_eq!(server.stop(), 0);

    let server = Server::start(&folder.join("data"), &["--config", &config]);
    let recent = format!("count_over_time(backup_size_bytes{of}[1s])");
    wait_for("samples after the restart", || server.query(&recent).first().cloned());
    check(&server);
    push(&server, "delete");
    assert!(server.query(&format!("backup_size_bytes{of}")).is_empty(), "its series have ended");
    assert_eq!(server.stop(), 0);
}

/// Sends lines; the status.
fn lines(address: SocketAddr, path: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let len = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n{body}"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status")
}

#[test]
fn lines_for_influxdb_are_series() {
    let folder = Folder::new();
    let config = folder.file("swell.yaml", CONFIG);
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    assert_eq!(
        lines(server.http, "/write?db=telegraf", "cpu,host=a usage_idle=97.5,cores=4i"),
        204
    );
    assert_eq!(lines(server.http, "/api/v2/write?bucket=b", "room,floor=1 open=true"), 204);
    for (query, expected) in [
        (r#"cpu_usage_idle{db="telegraf",host="a"}"#, "97.5"),
        (r#"cpu_cores{db="telegraf",host="a"}"#, "4"),
        (r#"room_open{floor="1"}"#, "1"),
    ] {
        let series = server.query(query);
        assert_eq!(series.len(), 1, "{query}: {series:?}");
        assert_eq!(series[0]["value"][1], expected, "{query}");
    }
    assert_eq!(lines(server.http, "/write", "broken"), 400);
    assert_eq!(server.stop(), 0);

    let server = Server::start(&folder.join("plain"), &[]);
    assert_eq!(lines(server.http, "/write", "cpu x=1"), 404, "off unless told");
    assert_eq!(server.stop(), 0);
}
