//! `docs/failures.md` names the tests that hold the failure specification: each of them exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use super::sources::rust_files;

const PAGE: &str = "docs/failures.md";

/// Tests that the page names and that no source has.
pub(crate) fn faults(root: &Path) -> anyhow::Result<Vec<String>> {
    let page = root.join(PAGE);
    let text = fs::read_to_string(&page).with_context(|| format!("read {}", page.display()))?;
    let mut known = BTreeSet::new();
    for file in rust_files(root)? {
        let source =
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        known.extend(functions(&source).map(str::to_owned));
    }
    Ok(unknown(&text, &known))
}

fn unknown(page: &str, known: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    for (line_idx, line) in page.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        for name in line.split('`').skip(1).step_by(2).filter(|name| is_test_name(name)) {
            if !known.contains(name) {
                faults.push(format!("{PAGE}:{}: there is no test {name}", line_idx + 1));
            }
        }
    }
    faults
}

/// Names of tests are sentences; what else stands in code type in the tables is shorter or holds other characters.
fn is_test_name(name: &str) -> bool {
    let is_word = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    name.matches('_').count() >= 2 && name.chars().all(|letter| is_word(letter) || letter == '_')
}

fn functions(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("async ").unwrap_or(line.trim_start());
        rest.strip_prefix("fn ")?.split(['(', '<']).next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_is_not_there_is_a_fault() {
        let source = "    #[test]\n    fn it_does_what_it_says() {}\nasync fn so_does_this() {}\n";
        let known = functions(source).map(str::to_owned).collect();
        let page = "`not_in_a_table`\n| A1 | `it_does_what_it_says`, `so_does_this` | `a_file` and `--flags` |\n| A2 | `it_did_so_once` |";
        assert_eq!(unknown(page, &known), ["docs/failures.md:3: there is no test it_did_so_once"]);
    }
}
