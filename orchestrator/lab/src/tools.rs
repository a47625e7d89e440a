//! Programs that tests need and that may be missing on a user's machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The oldest kubectl that validates with OpenAPI version 3.
const KUBECTL_MINOR_MIN: u32 = 32;

/// A current kubectl: the file named by `SWELL_KUBECTL`, the one that `tests/fetch-kubectl.sh` of the API server
/// fetched, or the one on the path if it is 1.32 or newer. Without any this [skips](skip).
#[must_use]
pub fn kubectl() -> Option<PathBuf> {
    let tools = var("SWELL_TEST_TOOLS").map(PathBuf::from).or_else(|| {
        let cache = var("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(Path::new(&var("HOME")?).join(".cache")));
        Some(cache?.join("swell-test-tools"))
    });
    let fetched = tools.map(|tools| tools.join("kubectl/kubectl"));
    let found = var("SWELL_KUBECTL")
        .map(PathBuf::from)
        .or_else(|| fetched.filter(|path| path.is_file()))
        .or_else(|| is_current("kubectl").then(|| PathBuf::from("kubectl")));
    if found.is_none() {
        skip("no kubectl of 1.32 or newer: run orchestrator/apiserver/tests/fetch-kubectl.sh");
    }
    found
}

/// A program on the path. Without it this [skips](skip), and names the package of Debian that has it.
#[must_use]
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    if Command::new(name).arg("--version").output().is_ok() {
        return Some(PathBuf::from(name));
    }
    skip(&format!("no {name}: install the package {package}"));
    None
}

/// Says that a test does less than it could. With `CI=true` nothing may be skipped.
///
/// # Panics
/// With `CI=true`.
#[track_caller]
pub fn skip(why: &str) {
    assert!(var("CI").as_deref() != Some("true"), "{why}; CI skips nothing");
    eprintln!("SKIPPED: {why}");
}

#[expect(clippy::disallowed_methods, reason = "how whoever runs the tests names the tools")]
fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn is_current(command: &str) -> bool {
    let output = Command::new(command).args(["version", "--client", "-o", "json"]).output();
    let version =
        output.ok().and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok());
    let minor = version.and_then(|version| {
        version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse::<u32>().ok()
    });
    minor.is_some_and(|minor| minor >= KUBECTL_MINOR_MIN)
}
