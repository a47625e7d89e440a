//! What all suites have in common: which files are run, and how their outcomes are told.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Where a suite's files are.
pub(super) struct Home {
    /// Beside this repository, in the shared conformance data.
    pub(super) shared: &'static str,
    /// In this repository, where there are such.
    pub(super) own: Option<&'static str>,
    /// How its files' names end.
    pub(super) extension: &'static str,
}

/// What became of one file.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) passed: usize,
    /// About something that is not supported, and says so.
    pub(super) not_covered: usize,
    pub(super) failures: Vec<Failure>,
}

/// One case that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// Line of the file, if it is known.
    pub(super) line: Option<usize>,
    /// Which case, and why.
    pub(super) text: String,
}

impl Home {
    /// The shared files' folder.
    pub(super) fn shared(&self, root: &Path) -> PathBuf {
        root.join(self.shared)
    }

    /// The files named, those of the folders named, or the suite's own choice where none is named.
    pub(super) fn files(&self, root: &Path, named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in if named.is_empty() { vec![self.standard(root)?] } else { named.to_vec() } {
            if path.is_dir() {
                files.extend(self.files_of(&path)?);
            } else {
                files.push(path);
            }
        }
        Ok(files)
    }

    fn standard(&self, root: &Path) -> anyhow::Result<PathBuf> {
        let shared = self.shared(root);
        if shared.is_dir() {
            return Ok(shared);
        }
        let Some(own) = self.own else {
            bail!("{} is not here, and this repository has no such cases", shared.display());
        };
        println!("{} is not here: this repository's own cases run instead", shared.display());
        Ok(root.join(own))
    }

    fn files_of(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let listing = || format!("list {}", folder.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(listing)? {
            let file = entry.with_context(listing)?.path();
            if file.extension().is_some_and(|extension| extension == self.extension) {
                files.push(file);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Runs the files and prints what became of each; an error when a case fails or none was found.
pub(super) fn run_files(
    files: &[PathBuf],
    run: impl Fn(&Path, &str) -> anyhow::Result<Report>,
) -> anyhow::Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for path in files {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        let report = run(path, &text).with_context(|| format!("read the cases of {name}"))?;
        for failure in &report.failures {
            match failure.line {
                Some(line) => println!("{name}:{line}: {}", failure.text),
                None => println!("{name}: {}", failure.text),
            }
        }
        print!("{name}: {} passed, {} failed", report.passed, report.failures.len());
        if report.not_covered > 0 {
            print!(", {} not covered", report.not_covered);
        }
        println!();
        passed += report.passed;
        failed += report.failures.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} of {} failed", passed + failed);
    }
    if passed == 0 {
        bail!("no case was found");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_those_named_and_those_of_folders_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["b.test", "a.test", "c.json"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let home = Home { shared: "nowhere", own: None, extension: "test" };
        let named = [PathBuf::from("x.json"), folder.path().to_owned()];
        let files = home.files(folder.path(), &named).expect("listed");
        let expected = ["a.test", "b.test"].map(|name| folder.path().join(name));
        assert_eq!(files[0], Path::new("x.json"), "what is named is run, however it is called");
        assert_eq!(files[1..], expected);
        assert!(home.files(folder.path(), &[]).is_err(), "there is no suite");
    }

    #[test]
    fn a_failure_and_an_empty_suite_are_errors() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.test");
        fs::write(&file, "text").expect("written");
        let check = |passed, failures: &[&str]| {
            let report = || Report {
                passed,
                not_covered: 1,
                failures: failures
                    .iter()
                    .map(|text| Failure { line: None, text: (*text).to_owned() })
                    .collect(),
            };
            run_files(std::slice::from_ref(&file), |_, text| {
                assert_eq!(text, "text");
                Ok(report())
            })
        };
        check(2, &[]).expect("all pass");
        assert_eq!(check(2, &["x"]).expect_err("one fails").to_string(), "1 of 3 failed");
        assert_eq!(check(0, &[]).expect_err("nothing").to_string(), "no case was found");
        assert!(run_files(&[folder.path().join("missing")], |_, _| Ok(Report::default())).is_err());
    }
}
