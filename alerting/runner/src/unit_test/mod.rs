//! Unit tests of rules, as `promtool test rules` runs them: given series, the alerts that fire and the values of
//! expressions, over the code that runs rules in the server.

mod file;
mod run;

use std::path::{Path, PathBuf};
use std::{fs, io};

use swell_model::DurationMs;
use swell_rules::{CheckOptions, Finding, RuleGroup, parse_rule_file_with};
use swell_telemetry::Registry;

use crate::metrics::Metrics;
use run::run_test;

pub use file::{UnitTestFile, parse_unit_tests};
pub use run::TestBench;

/// Which tests of a file are run, and how.
#[derive(Clone, Debug, Default)]
pub struct UnitTestOptions {
    /// Tests whose name one of these finds; all when there are none.
    pub run: Vec<regex::Regex>,
    /// How rule files are checked.
    pub check: CheckOptions,
}

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitTestOutcome {
    /// Its name; tests without one are counted.
    pub name: String,
    /// What did not come out as expected; empty when the test passed.
    pub failures: Vec<String>,
}

/// Why the tests of a file could not be run.
#[derive(Debug, thiserror::Error)]
pub enum UnitTestError {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A pattern of `rule_files` is malformed.
    #[error("rule_files: {pattern:?}")]
    Pattern {
        /// As written.
        pattern: String,
        /// Why.
        #[source]
        source: glob::PatternError,
    },
    /// A file breaks the rules of its kind.
    #[error("{}: {}", path.display(), list(findings))]
    Invalid {
        /// Which.
        path: PathBuf,
        /// All that is wrong with it.
        findings: Vec<Finding>,
    },
    /// A storage for a test could not be made.
    #[error("{0}")]
    Bench(String),
    /// The evaluations' metrics could not be registered.
    #[error("set up metrics")]
    Metrics(#[source] prometheus::Error),
}

fn list(findings: &[Finding]) -> String {
    let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Runs the tests of a file. `bench` makes an empty storage for each test, given the default step of subqueries.
///
/// # Errors
/// When a file cannot be read or is not valid: then no test has run.
pub fn run_unit_tests(
    path: &Path,
    options: &UnitTestOptions,
    bench: &dyn Fn(DurationMs) -> Result<TestBench, String>,
) -> Result<Vec<UnitTestOutcome>, UnitTestError> {
    let invalid = |findings| UnitTestError::Invalid { path: path.to_owned(), findings };
    let file = parse_unit_tests(&read(path)?).map_err(invalid)?;
    let groups = groups(path.parent().unwrap_or(Path::new("")), &file, options.check)?;
    let mut outcomes = Vec::new();
    for (position, test) in file.tests.iter().enumerate() {
        let asked =
            options.run.is_empty() || options.run.iter().any(|run| run.is_match(&test.name));
        if !asked {
            continue;
        }
        let name = match test.name.as_str() {
            "" => format!("test {}", position + 1),
            name => name.to_owned(),
        };
        let bench = bench(file.evaluation_interval).map_err(UnitTestError::Bench)?;
        let metrics =
            Metrics::register(&Registry::new(), &bench.clock).map_err(UnitTestError::Metrics)?;
        outcomes.push(UnitTestOutcome {
            name,
            failures: run_test(&file, test, &groups, bench, &metrics),
        });
    }
    Ok(outcomes)
}

fn read(path: &Path) -> Result<String, UnitTestError> {
    fs::read_to_string(path).map_err(|source| UnitTestError::Read { path: path.to_owned(), source })
}

/// The groups of all rule files in the order of their evaluation.
fn groups(
    folder: &Path,
    file: &UnitTestFile,
    check: CheckOptions,
) -> Result<Vec<RuleGroup>, UnitTestError> {
    let mut groups = Vec::new();
    for pattern in &file.rule_files {
        let whole = folder.join(pattern);
        let paths = glob::glob(&whole.to_string_lossy())
            .map_err(|source| UnitTestError::Pattern { pattern: pattern.clone(), source })?;
        let mut found = false;
        for path in paths {
            let path = path.map_err(|error| UnitTestError::Read {
                path: error.path().to_owned(),
                source: error.into(),
            })?;
            found = true;
            let rules = parse_rule_file_with(&read(&path)?, check)
                .map_err(|findings| UnitTestError::Invalid { path, findings })?;
            groups.extend(rules.groups);
        }
        // A name without a wildcard must be there.
        if !found && glob::Pattern::escape(pattern) == *pattern {
            read(&whole)?;
        }
    }
    let order = |group: &RuleGroup| file.group_order.iter().position(|name| *name == group.name);
    groups.sort_by_key(|group| order(group).unwrap_or(0));
    Ok(groups)
}
