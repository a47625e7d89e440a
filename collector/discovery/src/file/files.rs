//! The files themselves: found by patterns, told apart by their stamps, read as JSON or YAML.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::group::TargetGroup;

/// Label that names the file a target came from.
const FILE_LABEL: &str = "__meta_filepath";
/// Larger files are no target lists.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Why a file gives no targets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("read target file {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("target file {} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("target file {} is no list of objects with targets and labels: {why}", path.display())]
    Format { path: PathBuf, why: String },
    #[error("target file {} ends in none of .json, .yml, .yaml", path.display())]
    Extension { path: PathBuf },
}

/// What tells that a file has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// Files that match the patterns, with what tells their state. A folder that is not there has none.
pub(crate) fn files(patterns: &[PathBuf]) -> BTreeMap<PathBuf, Stamp> {
    let mut found = BTreeMap::new();
    for pattern in patterns {
        let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name else { continue };
        if !name.contains(['*', '?']) {
            note(pattern.clone(), &mut found);
            continue;
        }
        let parent = pattern.parent().filter(|parent| !parent.as_os_str().is_empty());
        let Ok(entries) = fs::read_dir(parent.unwrap_or(Path::new("."))) else { continue };
        for entry in entries.flatten() {
            if matches(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()) {
                note(entry.path(), &mut found);
            }
        }
    }
    found
}

fn note(path: PathBuf, found: &mut BTreeMap<PathBuf, Stamp>) {
    if let Ok(metadata) = fs::metadata(&path)
        && metadata.is_file()
    {
        found.insert(path, Stamp { modified: metadata.modified().ok(), bytes: metadata.len() });
    }
}

/// `*` stands for any run of bytes, `?` for one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        ([b'?', rest @ ..], [_, tail @ ..]) => matches(rest, tail),
        ([wanted, rest @ ..], [found, tail @ ..]) => wanted == found && matches(rest, tail),
        _ => false,
    }
}

/// The groups of one file.
pub(crate) fn read(path: &Path) -> Result<Vec<TargetGroup>, FileError> {
    let fault = |source| FileError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(fault)?.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let text = fs::read_to_string(path).map_err(fault)?;
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    let parsed: Result<Vec<RawGroup>, String> = match extension.as_deref() {
        Some("json") => serde_json::from_str(&text).map_err(|error| error.to_string()),
        Some("yml" | "yaml") if text.trim().is_empty() => Ok(Vec::new()),
        Some("yml" | "yaml") => serde_saphyr::from_str(&text).map_err(|error| error.to_string()),
        _ => return Err(FileError::Extension { path: path.to_owned() }),
    };
    let groups = parsed.map_err(|why| FileError::Format { path: path.to_owned(), why })?;
    Ok(groups
        .into_iter()
        .map(|group| {
            let mut labels = group.labels;
            labels.insert(FILE_LABEL.to_owned(), path.display().to_string());
            TargetGroup { targets: group.targets, labels }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("*.json", "a.json", true),
            ("*.json", "a.jsonx", false),
            ("a?c*", "abc", true),
            ("a?c*", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn groups_come_from_json_and_yaml() {
        let dir = tempfile::tempdir().expect("a folder");
        let json = dir.path().join("a.json");
        fs::write(&json, r#"[{"targets": ["h:1", "h:2"], "labels": {"env": "x"}}]"#)
            .expect("written");
        let yaml = dir.path().join("b.yml");
        fs::write(&yaml, "- targets: ['h:3']\n- targets: []\n").expect("written");
        let odd = dir.path().join("c.txt");
        fs::write(&odd, "x").expect("written");
        let found = files(&[dir.path().join("*.json"), yaml.clone(), dir.path().join("no/*.yml")]);
        assert_eq!(found.keys().cloned().collect::<Vec<_>>(), [json.clone(), yaml.clone()]);
        let groups = read(&json).expect("valid");
        assert_eq!(groups[0].targets, ["h:1", "h:2"]);
        assert_eq!(groups[0].labels["env"], "x");
        assert_eq!(groups[0].labels[FILE_LABEL], json.display().to_string());
        assert_eq!(read(&yaml).expect("valid").len(), 2);
        assert!(matches!(read(&odd), Err(FileError::Extension { .. })));
        fs::write(&json, r#"[{"target": ["h:1"]}]"#).expect("written");
        assert!(matches!(read(&json), Err(FileError::Format { .. })));
        let missing = read(&dir.path().join("d.json"));
        assert!(matches!(missing, Err(FileError::Read { .. })));
    }
}
