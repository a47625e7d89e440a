//! Programs that users have already, against the real binary: kubectl, promtool, Prometheus, Alertmanager, OpenTelemetry.
#![expect(clippy::disallowed_methods, reason = "tests of the binary measure real time")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../differential/shared.rs"]
#[expect(dead_code, reason = "each test binary uses its own part")]
mod shared;

mod alertmanager;
mod amtool;
mod discovery;
mod kubectl;
mod opentelemetry;
mod own_metrics;
mod prometheus;
mod push;
