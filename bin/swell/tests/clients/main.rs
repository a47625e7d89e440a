//! Programs that users have already, against the real binary: kubectl, promtool, Prometheus, Alertmanager, OpenTelemetry.
#![expect(clippy::disallowed_methods, reason = "tests of the binary measure real time")]

#[path = "../harness/mod.rs"]
mod harness;

mod alertmanager;
mod amtool;
mod discovery;
mod kubectl;
mod opentelemetry;
mod prometheus;
mod push;
