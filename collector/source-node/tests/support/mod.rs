//! Recorded trees unpacked, and expositions read, for the fixture tests.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use swell_model::{Labels, METRIC_NAME, Pass, PassDelta, TimestampMs};
use swell_source_node::{Config, NodeSource, Roots, Stopwatch};

/// Unpacks a plain-text archive: entries separated by a rule, `Path:` with `Lines:` or `SymlinkTo:`, or `Directory:`.
pub(crate) fn unpack_ttar(archive: &Path, into: &Path) {
    let text = fs::read_to_string(archive).unwrap();
    let mut lines = text.split('\n');
    let mut path = PathBuf::new();
    while let Some(line) = lines.next() {
        if let Some(dir) = line.strip_prefix("Directory: ") {
            fs::create_dir_all(into.join(dir)).unwrap();
        } else if let Some(file) = line.strip_prefix("Path: ") {
            path = into.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        } else if let Some(target) = line.strip_prefix("SymlinkTo: ") {
            symlink(target, &path).unwrap();
        } else if let Some(count) = line.strip_prefix("Lines: ") {
            let mut content = String::new();
            for _ in 0..count.parse::<usize>().unwrap() {
                content.push_str(lines.next().unwrap());
                content.push('\n');
            }
            let content = match content.strip_suffix("EOF\n") {
                Some(without_line_end) => without_line_end.to_owned(),
                None => content,
            };
            fs::write(&path, content.replace("NULLBYTE", "\0")).unwrap();
        }
    }
}

/// Copies a tree of plain files.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Series and values of an exposition; comments are left out, empty label values are absent labels.
pub(crate) fn parse_exposition(text: &str) -> BTreeMap<Labels, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
        let mut pairs = vec![(METRIC_NAME.to_owned(), name.to_owned())];
        while rest != "}" {
            let (label, after) = rest.split_once("=\"").unwrap();
            let end = after.find('"').unwrap();
            assert!(!after[..end].contains('\\'), "no escapes in the families compared: {line}");
            pairs.push((label.to_owned(), after[..end].to_owned()));
            rest = after[end + 1..].trim_start_matches(',');
        }
        samples.insert(Labels::from_pairs(pairs), value.parse().unwrap());
    }
    samples
}

/// A stopwatch that stands still.
pub(crate) fn no_time() -> Stopwatch {
    Arc::new(|| Duration::ZERO)
}

/// The machine recorded below `dir`.
pub(crate) fn recorded(dir: &Path) -> Config {
    let mut config = Config::machine("recorded");
    config.roots = Roots {
        procfs: dir.join("proc"),
        sysfs: dir.join("sys"),
        rootfs: dir.to_owned(),
        udev_data: dir.join("udev/data"),
    };
    config
}

/// One tick, by labels without those of the job.
pub(crate) fn collect(source: &mut NodeSource, pass: &mut Pass, at: TimestampMs) -> PassDelta {
    source.collect(at, pass);
    pass.finish(at)
}

/// Samples of a first tick by labels, without those of the job.
pub(crate) fn by_labels(delta: &PassDelta) -> BTreeMap<Labels, f64> {
    let labels: BTreeMap<_, _> = delta.announced.iter().cloned().collect();
    let without_job = |labels: &Labels| labels.filtered(|name| name != "job" && name != "instance");
    delta.samples.iter().map(|(number, value)| (without_job(&labels[number]), *value)).collect()
}
