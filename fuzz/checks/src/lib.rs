//! What must hold for any bytes that come from outside or from disk: an answer or an error, within bounds, never a panic;
//! and what is taken keeps its rules.
//!
//! Each check is run by a target of the fuzzer (`fuzz/targets`) on inputs that it makes up, and by this crate's tests on the
//! inputs kept in `fuzz/seeds`. [`TARGETS`] lists them.

mod configuration;
mod disk;
mod foreign;
mod formats;
mod network;
mod repair;

/// Runs on any bytes, and tells whether they were taken for what they are to be.
pub type Check = fn(&[u8]) -> bool;

/// The checks by the name of their target.
pub const TARGETS: &[(&str, Check)] = &[
    ("agent_stream", network::agent_stream),
    ("alertmanager", configuration::alertmanager),
    ("api_object", network::api_object),
    ("api_patch", network::api_patch),
    ("archive_list", foreign::archive_list),
    ("block", disk::block),
    ("checkpoint", disk::checkpoint),
    ("columns", formats::columns),
    ("exposition", network::exposition),
    ("index", formats::index),
    ("influx", network::influx),
    ("log_segment", disk::log_segment),
    ("otlp", network::otlp),
    ("parquet", foreign::parquet),
    ("prometheus_block", foreign::prometheus_block),
    ("promql", configuration::promql),
    ("remote_read", network::remote_read),
    ("remote_read_answer", network::remote_read_answer),
    ("remote_write", network::remote_write),
    ("rules", configuration::rules),
    ("scalars", configuration::scalars),
    ("scrape_body", network::scrape_body),
    ("small_files", disk::small_files),
    ("template", configuration::template),
];

/// Runs the check of a target, and tells whether the bytes were taken for what they are to be.
///
/// # Panics
/// When there is none of that name, and when the check does not hold.
pub fn check(target: &str, bytes: &[u8]) -> bool {
    let (_, check) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target's name");
    check(bytes)
}
