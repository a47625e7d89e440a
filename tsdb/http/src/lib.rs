//! The Prometheus-compatible HTTP API over the engine and PromQL.
