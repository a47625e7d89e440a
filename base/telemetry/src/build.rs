//! Which build this is.

/// Version of this build, as `swell version` shows it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Prometheus whose HTTP API and PromQL this build speaks: `/api/v1/status/buildinfo` says
/// it, since clients (Grafana) choose their features by it.
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// Facts about a build, all fixed when it was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildInfo {
    /// [`VERSION`].
    pub version: &'static str,
    /// Commit, from `SWELL_BUILD_REVISION` at compile time.
    pub revision: &'static str,
    /// Date, from `SWELL_BUILD_DATE` at compile time.
    pub date: &'static str,
    /// Oldest compiler the sources accept.
    pub rust_version: &'static str,
}

/// This build.
pub const BUILD: BuildInfo = BuildInfo {
    version: VERSION,
    revision: match option_env!("SWELL_BUILD_REVISION") {
        Some(revision) => revision,
        None => "unknown",
    },
    date: match option_env!("SWELL_BUILD_DATE") {
        Some(date) => date,
        None => "unknown",
    },
    rust_version: env!("CARGO_PKG_RUST_VERSION"),
};
