//! Cases of rule files and of their unit tests (`conformance/rules`, fields as in its README).

use serde_json::Value;

use crate::{CheckOptions, parse_rule_file_with};

/// What is done with a case's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaseKind {
    /// It is checked.
    RuleFile,
    /// It holds unit tests, which are run.
    UnitTest,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// What is done with the file.
    pub kind: CaseKind,
    /// The file, beside the list.
    pub file: String,
    /// Whether all must be well with it.
    pub must_pass: bool,
    /// Only test groups whose names match this.
    pub run: Option<String>,
    /// How the rule files are checked.
    pub check: CheckOptions,
}

/// The cases of a list.
///
/// # Errors
/// When the data is not as its README says.
pub fn cases(list: &str) -> Result<Vec<Case>, String> {
    let cases: Vec<Value> =
        serde_json::from_str(list).map_err(|error| format!("no list of cases: {error}"))?;
    let read = |case: &Value| {
        let text = |key: &str| {
            case[key]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("{key:?} is missing in {case}"))
        };
        Ok(Case {
            id: text("id")?,
            kind: match text("kind")?.as_str() {
                "rule-file" => CaseKind::RuleFile,
                "unit-test" => CaseKind::UnitTest,
                other => return Err(format!("a kind {other:?} is not known")),
            },
            file: text("file")?,
            must_pass: match text("expect")?.as_str() {
                "pass" => true,
                "fail" => false,
                other => return Err(format!("{other:?} cannot be expected")),
            },
            run: case["run"].as_str().map(str::to_owned),
            check: CheckOptions {
                legacy_names: case["legacy_names"] == true,
                ignore_unknown_fields: case["ignore_unknown_fields"] == true,
            },
        })
    };
    cases.iter().map(read).collect()
}

impl Case {
    /// Checks the text of its rule file; why the case failed, if it did.
    #[must_use]
    pub fn check_rule_file(&self, text: &str) -> Option<String> {
        let result = parse_rule_file_with(text, self.check);
        (result.is_ok() != self.must_pass).then(|| match result {
            Ok(_) => "it is accepted".to_owned(),
            Err(findings) => format!("{findings:?}"),
        })
    }

    /// The arguments with which `swell` runs its unit tests in `file`.
    #[must_use]
    pub fn unit_test_args(&self, file: &str) -> Vec<String> {
        let mut args = vec!["test".to_owned(), "rules".to_owned(), file.to_owned()];
        if let Some(name) = &self.run {
            args.extend(["--run".to_owned(), name.clone()]);
        }
        if self.check.ignore_unknown_fields {
            args.push("--ignore-unknown-fields".to_owned());
        }
        args
    }

    /// Judges how those ended; why the case failed, if it did.
    #[must_use]
    pub fn judge_unit_tests(&self, code: i32, stdout: &str, stderr: &str) -> Option<String> {
        let is_good = code == i32::from(!self.must_pass) && stderr.is_empty();
        (!is_good).then(|| format!("exit {code}\n{stdout}{stderr}"))
    }
}
