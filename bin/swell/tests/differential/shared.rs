//! Data of public projects that lies beside the checkout.

use std::path::{Path, PathBuf};

use serde_json::Value;
use swell_lab::tools;

/// A folder of `../shared`. Without it this skips, which CI does not.
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name);
    if path.is_dir() {
        return Some(path);
    }
    tools::skip(&format!("no shared/{name} beside the checkout"));
    None
}

/// A file of JSON.
#[track_caller]
pub(crate) fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("it can be read");
    serde_json::from_str(&text).expect("JSON")
}

/// The files of a folder with this ending, in order.
#[track_caller]
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == ending))
        .collect();
    paths.sort();
    paths
}
