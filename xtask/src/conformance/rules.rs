//! `cargo xtask conformance rules`: rule files by the code that loads them, their unit tests by the binary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use cargo_metadata::MetadataCommand;
use clap::Args;
use swell_rules::testing::{Case, CaseKind, cases};

use super::suite::{Failure, Home, Report, run_files};

/// What is run.
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    /// Lists of cases (JSON), or folders with such; the files lie beside them. Without one the shared suite runs.
    paths: Vec<PathBuf>,
}

const HOME: Home = Home { shared: "../shared/conformance/rules", own: None, extension: "json" };

/// Runs the suite and prints what became of it.
pub(crate) fn run(root: &Path, args: &RulesArgs) -> anyhow::Result<()> {
    let files = HOME.files(root, &args.paths)?;
    let swell = build(root)?;
    run_files(&files, |path, text| {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut report = Report::default();
        for case in cases(text).map_err(anyhow::Error::msg)? {
            match judge(&case, &folder.join(&case.file), &swell)? {
                None => report.passed += 1,
                Some(why) => report
                    .failures
                    .push(Failure { line: None, text: format!("{}: {why}", case.id) }),
            }
        }
        Ok(report)
    })
}

/// Builds the binary; its path.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "swell", "--bin", "swell"])
        .current_dir(root)
        .status()
        .context("run cargo")?;
    ensure!(built.success(), "the binary does not build");
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec();
    let target = metadata.context("ask cargo where it builds")?.target_directory;
    Ok(target.join("debug/swell").into_std_path_buf())
}

fn judge(case: &Case, file: &Path, swell: &Path) -> anyhow::Result<Option<String>> {
    match case.kind {
        CaseKind::RuleFile => {
            let text =
                fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
            Ok(case.check_rule_file(&text))
        }
        CaseKind::UnitTest => {
            let args = case.unit_test_args(&file.display().to_string());
            let output = Command::new(swell)
                .args(args)
                .output()
                .with_context(|| format!("run {}", swell.display()))?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let code = output.status.code().unwrap_or(-1);
            Ok(case.judge_unit_tests(code, &text(&output.stdout), &text(&output.stderr)))
        }
    }
}
