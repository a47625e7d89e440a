//! Runs conformance cases (`autoscaling-cases/1`: JSON with `id`, `kind`, `input`, `expect`) through the real code.
//!
//! Only the keys present in `expect` are compared. A kind that this crate does not decide counts as failed.

mod facts;
mod kinds;

use serde_json::Value;

/// What became of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseOutcome {
    /// The case's id.
    pub id: String,
    /// The case's kind.
    pub kind: String,
    /// What differed; `None` when it passed.
    pub failure: Option<String>,
}

/// A file that holds no cases.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// Not JSON.
    #[error("the file is not JSON")]
    Json(#[from] serde_json::Error),
    /// Another schema.
    #[error("the file has the schema {found:?}, not \"autoscaling-cases/1\"")]
    Schema {
        /// What the file says.
        found: String,
    },
}

/// Runs all cases of one file, each on fresh state.
///
/// # Errors
/// [`CasesError`] when `text` is no file of cases.
pub fn run_cases(text: &str) -> Result<Vec<CaseOutcome>, CasesError> {
    let file: Value = serde_json::from_str(text)?;
    if file["schema"] != "autoscaling-cases/1" {
        return Err(CasesError::Schema { found: file["schema"].to_string() });
    }
    let cases = file["cases"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(cases.iter().map(run_case).collect())
}

fn run_case(case: &Value) -> CaseOutcome {
    let kind = case["kind"].as_str().unwrap_or_default().to_owned();
    let failure = match kinds::answer(&kind, &case["input"]) {
        Err(message) => Some(message),
        Ok(actual) => difference(&case["expect"], &actual),
    };
    CaseOutcome { id: case["id"].as_str().unwrap_or_default().to_owned(), kind, failure }
}

fn difference(expected: &Value, actual: &Value) -> Option<String> {
    let (Value::Object(wanted), Value::Object(found)) = (expected, actual) else {
        return (expected != actual).then(|| format!("expected {expected}, got {actual}"));
    };
    wanted.iter().find_map(|(key, want)| {
        let got = found.get(key).unwrap_or(&Value::Null);
        let same = match (want, got) {
            (Value::Object(_), Value::Object(_)) => difference(want, got).is_none(),
            _ if key == "event" => got.as_array().is_some_and(|events| events.contains(want)),
            _ if matches!(key.as_str(), "unready" | "missing" | "ignored") => {
                sorted(want) == sorted(got)
            }
            _ => want == got,
        };
        (!same).then(|| format!("{key}: expected {want}, got {got}"))
    })
}

fn sorted(list: &Value) -> Vec<String> {
    let mut names: Vec<String> =
        list.as_array().into_iter().flatten().map(ToString::to_string).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
