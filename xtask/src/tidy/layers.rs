//! `layers.toml` against `cargo metadata`: who may use whom.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use cargo_metadata::{DependencyKind, MetadataCommand};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    shared: Vec<String>,
    layers: toml::Table,
    pure: Pure,
    edges: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pure {
    layers: Vec<String>,
    files: Vec<String>,
}

/// Layers from the ground up, in the order of the file's section.
const LAYER_ORDER: [&str; 6] = ["ground", "formats", "decisions", "engines", "services", "roots"];

/// One crate of the workspace.
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Top-level directory it stands in.
    directory: String,
    /// Workspace crates that its library or binary is built from.
    uses: Vec<String>,
    inherits_lints: bool,
}

/// The workspace with its rules.
pub(crate) struct Workspace {
    rules: Rules,
    layer_of: BTreeMap<String, usize>,
    members: Vec<Member>,
}

impl Workspace {
    /// Reads `layers.toml` and asks cargo for the crates.
    pub(crate) fn load(root: &Path) -> anyhow::Result<Self> {
        let file = root.join("layers.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let rules: Rules =
            toml::from_str(&text).with_context(|| format!("parse {}", file.display()))?;
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .no_deps()
            .other_options(vec!["--offline".to_owned()])
            .exec()
            .context("ask cargo for the crates of the workspace")?;
        let names: Vec<String> =
            metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
        let mut members = Vec::new();
        for package in metadata.workspace_packages() {
            let manifest = package.manifest_path.as_std_path();
            let folder = manifest.parent().context("a manifest has a folder")?.to_path_buf();
            let text = fs::read_to_string(manifest)?;
            let table: toml::Table = toml::from_str(&text)?;
            let inherits = table
                .get("lints")
                .and_then(|lints| lints.get("workspace"))
                .and_then(toml::Value::as_bool);
            let directory = folder
                .strip_prefix(root)
                .ok()
                .and_then(|path| path.components().next())
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .unwrap_or_default();
            let uses = package
                .dependencies
                .iter()
                .filter(|dep| dep.kind != DependencyKind::Development && names.contains(&dep.name))
                .map(|dep| dep.name.clone())
                .collect();
            let inherits_lints = inherits == Some(true);
            let name = package.name.to_string();
            members.push(Member { name, folder, directory, uses, inherits_lints });
        }
        Self::new(rules, members)
    }

    fn new(rules: Rules, members: Vec<Member>) -> anyhow::Result<Self> {
        let mut layer_of = BTreeMap::new();
        for (layer_idx, layer) in LAYER_ORDER.iter().enumerate() {
            let crates = rules
                .layers
                .get(*layer)
                .and_then(toml::Value::as_array)
                .with_context(|| format!("layers.toml: layer {layer} is missing"))?;
            for name in crates.iter().filter_map(toml::Value::as_str) {
                layer_of.insert(name.to_owned(), layer_idx);
            }
        }
        Ok(Self { rules, layer_of, members })
    }

    /// Number of crates.
    pub(crate) fn crate_count(&self) -> usize {
        self.members.len()
    }

    /// Crates that never do IO.
    pub(crate) fn pure_crates(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| {
            self.layer_of.get(&member.name).is_some_and(|layer| {
                self.rules.pure.layers.iter().any(|l| l == LAYER_ORDER[*layer])
            })
        })
    }

    /// Crates with files that must be pure by their name.
    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Names of files that are pure wherever they stand.
    pub(crate) fn pure_files(&self) -> &[String] {
        &self.rules.pure.files
    }

    /// Edges that break the layers, crates without a layer, crates that do not inherit the lints.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for member in &self.members {
            if !member.inherits_lints {
                faults.push(format!(
                    "{}: add `[lints] workspace = true` to its manifest",
                    member.name
                ));
            }
            let Some(layer) = self.layer_of.get(&member.name) else {
                faults.push(format!("{}: give it a layer in layers.toml", member.name));
                continue;
            };
            for used in &member.uses {
                if let Some(why) = self.refusal(member, *layer, used) {
                    faults.push(format!("{} -> {used}: {why}", member.name));
                }
            }
        }
        for name in self.layer_of.keys() {
            if !self.members.iter().any(|member| member.name == *name) {
                faults.push(format!("layers.toml: there is no crate {name}"));
            }
        }
        faults
    }

    fn refusal(&self, member: &Member, layer: usize, used: &str) -> Option<&'static str> {
        if self.rules.edges.contains_key(&format!("{} -> {used}", member.name)) {
            return None;
        }
        let used_layer = self.layer_of.get(used)?;
        let roots = LAYER_ORDER.len() - 1;
        if *used_layer == roots {
            return Some("nobody depends on a root");
        }
        if layer == roots {
            return None;
        }
        let used_directory =
            self.members.iter().find(|other| other.name == used).map(|other| &other.directory);
        let same_directory = used_directory == Some(&member.directory);
        let shared = self.rules.shared.iter().any(|name| name == used);
        if *used_layer > layer {
            return Some("it stands on a higher layer");
        }
        if *used_layer == layer && !same_directory && !shared {
            return Some("crates of one layer may use each other only inside one directory");
        }
        if !same_directory && !shared {
            return Some("across directories only the shared vocabulary may be named");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uses: &[(&str, &str, &[&str])], expected: &[&str]) {
        let rules: Rules = toml::from_str(
            r#"
            shared = ["model"]
            [layers]
            ground = ["model"]
            formats = ["chunk"]
            decisions = ["promql", "decide"]
            engines = ["engine"]
            services = ["http"]
            roots = ["bin"]
            [pure]
            layers = ["ground"]
            files = []
            [edges]
            "#,
        )
        .expect("valid rules");
        let mut members: Vec<Member> =
            ["model", "chunk", "promql", "decide", "engine", "http", "bin"]
                .iter()
                .map(|name| Member {
                    name: (*name).to_owned(),
                    folder: PathBuf::new(),
                    directory: match *name {
                        "model" => "base",
                        "decide" => "autoscaler",
                        "bin" => "bin",
                        _ => "tsdb",
                    }
                    .to_owned(),
                    uses: Vec::new(),
                    inherits_lints: true,
                })
                .collect();
        for (name, _, used) in uses {
            let member = members.iter_mut().find(|member| member.name == *name).expect("known");
            member.uses = used.iter().map(|name| (*name).to_owned()).collect();
        }
        let workspace = Workspace::new(rules, members).expect("complete");
        assert_eq!(workspace.faults(), expected);
    }

    #[test]
    fn edges_go_down_and_across_only_to_the_shared_vocabulary() {
        check(&[("http", "", &["engine", "promql", "model"]), ("bin", "", &["http"])], &[]);
        check(&[("engine", "", &["http"])], &["engine -> http: it stands on a higher layer"]);
        check(
            &[("engine", "", &["decide"])],
            &["engine -> decide: across directories only the shared vocabulary may be named"],
        );
        check(&[("http", "", &["bin"])], &["http -> bin: nobody depends on a root"]);
    }
}
