//! What a configuration may ask for and Swell does not have: told, never passed over in silence.

use super::raw::{Opaque, RawConfig};

/// What is accepted and not acted on, by its path in the file.
pub(super) fn unsupported(raw: &RawConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |path: String, value: &Option<Opaque>| {
        if value.as_ref().is_some_and(|value| !value.is_null()) {
            found.push(path);
        }
    };
    note("runtime".to_owned(), &raw.runtime);
    note("tracing".to_owned(), &raw.tracing);
    let tsdb = &raw.storage.tsdb;
    note("storage.tsdb.retention.percentage".to_owned(), &tsdb.retention.percentage);
    note(
        "storage.tsdb.stale_series_compaction_threshold".to_owned(),
        &tsdb.stale_series_compaction_threshold,
    );
    note("storage.tsdb.chunk_encoding".to_owned(), &tsdb.chunk_encoding);
    note("global.query_log_file".to_owned(), &raw.global.query_log_file);
    for (idx, entry) in raw.alerting.iter().flat_map(|it| &it.alertmanagers).enumerate() {
        let path = |key: &str| format!("alerting.alertmanagers[{idx}].{key}");
        if entry.sigv4.as_ref().is_some_and(|value| !value.is_null()) {
            found.push(path("sigv4"));
        }
        found.extend(entry.sources().unsupported().into_iter().map(path));
    }
    found
}
