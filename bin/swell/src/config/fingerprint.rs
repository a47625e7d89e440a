//! Whether a configuration, or a file that it takes settings from, is another than it was.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use swell_model::first_document;

use super::raw::Opaque;
use super::templates;

/// Stands for the content of a configuration file and of those that it names: rules, further jobs, the Alertmanager
/// configuration and its templates. Tells versions apart: not a defence against anyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

/// The keys that name files.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    rule_files: Option<Vec<String>>,
    scrape_config_files: Option<Vec<String>>,
    swell: Option<NamedBySwell>,
}

/// Those under `swell:`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NamedBySwell {
    alertmanager_config_file: Option<PathBuf>,
    alertmanager_config: Option<Opaque>,
}

impl Fingerprint {
    /// That of a file as it is now; none where it cannot be read.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        Some(Self::of(&text, super::folder_of(path)))
    }

    /// That of a text whose relative paths start at `folder`. A file that cannot be read counts as that; of a text that is
    /// no YAML no files are known, and it counts alone.
    pub(crate) fn of(text: &str, folder: &Path) -> Self {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let named: Named = serde_saphyr::from_str(first_document(text)).unwrap_or_default();
        for (key, patterns) in [("rules", named.rule_files), ("jobs", named.scrape_config_files)] {
            key.hash(&mut hasher);
            for file in patterns.iter().flatten().flat_map(|pattern| found(folder, pattern)) {
                add(&mut hasher, &file);
            }
        }
        if let Some((path, text)) = alertmanager(named.swell.unwrap_or_default(), folder) {
            text.hash(&mut hasher);
            templates::read(&text, super::folder_of(&path)).ok().hash(&mut hasher);
        }
        Self(hasher.finish())
    }
}

fn add(hasher: &mut DefaultHasher, file: &Path) {
    file.hash(hasher);
    fs::read(file).ok().hash(hasher);
}

/// Files that a pattern finds, in order.
fn found(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = folder.join(pattern);
    if glob::Pattern::escape(pattern) == pattern {
        return vec![path];
    }
    let files = glob::glob(&super::plain_stars(&path));
    files.map(|files| files.filter_map(Result::ok).collect()).unwrap_or_default()
}

/// Where the Alertmanager configuration stands, and its text.
fn alertmanager(named: NamedBySwell, folder: &Path) -> Option<(PathBuf, String)> {
    if let Some(file) = named.alertmanager_config_file {
        let path = folder.join(file);
        let text = fs::read_to_string(&path).unwrap_or_default();
        return Some((path, text));
    }
    // What stands in the configuration itself has been counted; its templates have not.
    let text = serde_saphyr::to_string(&named.alertmanager_config?).ok()?;
    Some((folder.join("inline"), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_changes_with_every_file_that_is_named_and_with_no_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("written");
        };
        let config = folder.path().join("swell.yaml");
        write(
            "swell.yaml",
            "rule_files: [one.yaml, 'more-*.yaml']\nscrape_config_files: ['jobs-*.yaml']\n\
             swell: {alertmanager_config_file: am.yaml}\n",
        );
        write("am.yaml", "route: {receiver: r}\nreceivers: [{name: r}]\ntemplates: ['*.tmpl']\n");
        let mut before = Fingerprint::read(&config).expect("it is there");
        for (name, text, counts) in [
            ("one.yaml", "groups: []", true),
            ("one.yaml", "groups: [] ", true),
            ("one.yaml", "groups: [] ", false),
            ("more-a.yaml", "", true),
            ("more-a.yaml", "groups: []", true),
            ("jobs-a.yaml", "scrape_configs: []", true),
            ("a.tmpl", "{{ define \"a\" }}{{ end }}", true),
            ("other.yaml", "groups: []", false),
        ] {
            write(name, text);
            let now = Fingerprint::read(&config).expect("it is there");
            assert_eq!(now != before, counts, "{name} {text:?}");
            before = now;
        }
        fs::remove_file(folder.path().join("one.yaml")).expect("removed");
        let now = Fingerprint::read(&config).expect("it is there");
        assert_ne!(now, before, "a file that has gone");
        write("am.yaml", "route: {receiver: q}\nreceivers: [{name: q}]\n");
        assert_ne!(Fingerprint::read(&config), Some(now), "another Alertmanager configuration");
        write("swell.yaml", "rule_files: [");
        let broken = Fingerprint::read(&config).expect("it is there");
        write("more-a.yaml", "");
        assert_eq!(Fingerprint::read(&config), Some(broken), "a broken text counts alone");
        fs::remove_file(&config).expect("removed");
        assert_eq!(Fingerprint::read(&config), None);
    }
}
