//! Source files: pure crates do no IO, refused words do not appear, no file holds two subjects.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::layers::Workspace;

/// What a pure file must not name.
const IMPURE: [&str; 9] = [
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "tracing::",
    "rand::rng",
];

/// What no file may hold: work that was not done.
const REFUSED: [&str; 5] = ["todo!(", "unimplemented!(", "#[ignore", "dbg!(", "FIXME"];

/// Lines of code, tests not counted, after which a file must be split.
const LINES_MAX: usize = 800;

/// Faults in all Rust sources of the workspace.
pub(crate) fn faults(root: &Path, workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    let pure: Vec<&Path> = workspace.pure_crates().map(|member| member.folder.as_path()).collect();
    for member in workspace.members() {
        for file in rust_files(&member.folder.join("src"))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            let named_pure =
                name.as_ref().is_some_and(|name| workspace.pure_files().contains(name));
            let is_pure = named_pure || pure.iter().any(|folder| file.starts_with(folder));
            let is_this_list = file.ends_with("xtask/src/tidy/sources.rs");
            faults.extend(text_faults(&shown, &text, is_pure, !is_this_list));
        }
    }
    Ok(faults)
}

/// Faults in one file.
fn text_faults(file: &str, text: &str, is_pure: bool, check_refused: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let is_test_file =
        file.ends_with("tests.rs") || file.contains("/tests/") || file.contains("/testing");
    let mut in_tests = is_test_file;
    let mut code_lines = 0;
    for (line_idx, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("//") {
            continue;
        }
        if code.starts_with("#[cfg(test)]") || code.starts_with("#[cfg(all(test") {
            in_tests = true;
        }
        if check_refused && let Some(word) = REFUSED.iter().find(|word| code.contains(**word)) {
            faults.push(format!("{file}:{}: {word} does not land", line_idx + 1));
        }
        if in_tests {
            continue;
        }
        code_lines += 1;
        if is_pure && let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
            faults.push(format!("{file}:{}: a pure file names {word}", line_idx + 1));
        }
    }
    if code_lines > LINES_MAX {
        faults.push(format!("{file}: {code_lines} lines of code: which second subject moved in?"));
    }
    faults
}

/// Folders that hold no source of ours, wherever they stand.
const NOT_OURS: [&str; 4] = ["target", "node_modules", "dist", ".git"];

fn entry_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The Rust sources below a folder.
pub(super) fn rust_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            let name = entry_name(&path);
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, is_pure: bool, expected: &[&str]) {
        assert_eq!(text_faults("a/src/x.rs", text, is_pure, true), expected);
    }

    #[test]
    fn pure_files_do_no_io_but_their_tests_may() {
        check("use std::fs;\n", true, &["a/src/x.rs:1: a pure file names std::fs"]);
        check("use std::fs;\n", false, &[]);
        check("// std::fs\n#[cfg(test)]\nmod tests { use std::fs; }\n", true, &[]);
    }

    #[test]
    fn unfinished_work_does_not_land() {
        let word = ["to", "do!("].concat();
        check(
            &format!("fn f() {{ {word}) }}\n"),
            false,
            &[&format!("a/src/x.rs:1: {word} does not land")],
        );
    }
}
