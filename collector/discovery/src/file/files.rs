//! The files themselves: found by patterns, told apart by their stamps, read as JSON or YAML.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;
use swell_model::first_document;

use crate::group::{ListedLabels, TargetGroup};

/// Label that names the file a target came from.
pub(crate) const FILE_LABEL: &str = "__meta_filepath";
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
    #[error("look at {} for target files", path.display())]
    Look {
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
    targets: Option<Vec<String>>,
    labels: Option<ListedLabels>,
}

/// What a look at the patterns finds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files, with what tells their state.
    pub(crate) stamps: BTreeMap<PathBuf, Stamp>,
    /// Files and folders that cannot be looked at; a folder that is not there has no files and is none of these.
    pub(crate) failures: Vec<FileError>,
}

impl Found {
    /// Whether it is not known that a file is gone: it, or the folder it stands in, cannot be looked at.
    pub(crate) fn is_unsure_of(&self, path: &Path) -> bool {
        self.failures.iter().any(|failure| match failure {
            FileError::Look { path: unseen, .. } => {
                path == unseen || path.parent().is_some_and(|parent| parent == unseen)
            }
            _ => false,
        })
    }

    fn fail(&mut self, path: &Path, source: io::Error) {
        if source.kind() != io::ErrorKind::NotFound {
            self.failures.push(FileError::Look { path: path.to_owned(), source });
        }
    }

    fn note(&mut self, path: PathBuf) {
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let stamp = Stamp { modified: metadata.modified().ok(), bytes: metadata.len() };
                self.stamps.insert(path, stamp);
            }
            Ok(_) => {}
            Err(source) => self.fail(&path, source),
        }
    }
}

/// Files that match the patterns, with what tells their state.
pub(crate) fn files(patterns: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for pattern in patterns {
        let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name else { continue };
        if !name.contains(['*', '?']) {
            found.note(pattern.clone());
            continue;
        }
        let parent = pattern.parent().filter(|parent| !parent.as_os_str().is_empty());
        let shown = parent.unwrap_or(Path::new("."));
        let entries = match fs::read_dir(shown) {
            Ok(entries) => entries,
            Err(source) => {
                found.fail(shown, source);
                continue;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry)
                    if matches(name.as_bytes(), entry.file_name().to_string_lossy().as_bytes()) =>
                {
                    found.note(entry.path());
                }
                Ok(_) => {}
                Err(source) => found.fail(shown, source),
            }
        }
    }
    found
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
        Some("yml" | "yaml") => serde_saphyr::from_str(first_document(&text))
            .map_err(|error| error.without_snippet().render_with_formatter(&UserMessageFormatter)),
        _ => return Err(FileError::Extension { path: path.to_owned() }),
    };
    let groups = parsed.map_err(|why| FileError::Format { path: path.to_owned(), why })?;
    Ok(groups
        .into_iter()
        .map(|group| {
            let mut group = TargetGroup::of_list(group.targets, group.labels);
            group.labels.insert(FILE_LABEL.to_owned(), path.display().to_string());
            group
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
        fs::write(&yaml, "- targets: ['h:3']\n  labels: {a: }\n- targets:\n  labels:\n---\nx\n")
            .expect("written");
        let odd = dir.path().join("c.txt");
        fs::write(&odd, "x").expect("written");
        let found = files(&[dir.path().join("*.json"), yaml.clone(), dir.path().join("no/*.yml")]);
        assert!(found.failures.is_empty());
        assert_eq!(found.stamps.keys().cloned().collect::<Vec<_>>(), [json.clone(), yaml.clone()]);
        let groups = read(&json).expect("valid");
        assert_eq!(groups[0].targets, ["h:1", "h:2"]);
        assert_eq!(groups[0].labels["env"], "x");
        assert_eq!(groups[0].labels[FILE_LABEL], json.display().to_string());
        assert_eq!(read(&yaml).expect("valid").len(), 2);
        assert!(matches!(read(&odd), Err(FileError::Extension { .. })));
        fs::write(&json, r#"[{"targets": null, "labels": null}]"#).expect("written");
        let groups = read(&json).expect("valid");
        assert_eq!((groups[0].targets.len(), groups[0].labels.len()), (0, 1));
        fs::write(&json, r#"[{"target": ["h:1"]}]"#).expect("written");
        assert!(matches!(read(&json), Err(FileError::Format { .. })));
        for (path, text) in [(&json, r#"[{"labels": {"": "x"}}]"#), (&yaml, "- labels: {'': x}\n")]
        {
            fs::write(path, text).expect("written");
            let fault = read(path).expect_err("a label without a name").to_string();
            assert!(fault.contains("a label has no name"), "{fault}");
        }
        let missing = read(&dir.path().join("d.json"));
        assert!(matches!(missing, Err(FileError::Read { .. })));
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_told() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("written");
        // What is no folder cannot be read as one, and not because it is not there.
        let found = files(&[file.join("*.json"), file.join("a.yml")]);
        assert_eq!(found.failures.len(), 2, "{found:?}");
        assert!(
            found.is_unsure_of(&file.join("b.json")) && found.is_unsure_of(&file.join("a.yml"))
        );
        assert!(!found.is_unsure_of(&dir.path().join("c.json")));
    }
}
