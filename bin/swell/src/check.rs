//! `swell check`: files looked at without a server.

use std::fs;

use swell_alert_runner::load_notifier;
use swell_telemetry::chain;

use crate::args::{CheckVerb, FilesArgs};
use crate::config::Config;

/// Runs the checks; prints each fault, and tells whether there was none.
pub(crate) fn run(verb: &CheckVerb) -> bool {
    match verb {
        CheckVerb::Config(args) => each(args, |path, _| {
            let config = Config::load(path).map_err(|error| vec![format!("{error:#}")])?;
            let mut remarks: Vec<String> = config
                .unsupported
                .iter()
                .map(|what| format!("{what} is not supported yet and has no effect"))
                .collect();
            remarks.extend(config.unsupported_discoveries.iter().map(|(job, kind)| {
                format!("job {job:?}: {kind} is not supported yet, it gives no targets")
            }));
            remarks.extend(config.remarks.iter().cloned());
            let missing = config.missing_files.iter();
            let mut faults: Vec<String> = missing
                .map(|(key, path)| format!("{key}: there is no file {}", path.display()))
                .collect();
            for rules in &config.rule_files {
                match fs::read_to_string(rules) {
                    Ok(text) => faults.extend(
                        swell_alert_runner::check_rules(&text)
                            .iter()
                            .map(|finding| format!("{}: {finding}", rules.display())),
                    ),
                    Err(error) => faults.push(format!("{}: {error}", rules.display())),
                }
            }
            if let Some((file, text)) = &config.alertmanager {
                let folder = file.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
                let shown = file.display().to_string();
                match crate::config::templates::read(text, &folder) {
                    Err(error) => faults.push(format!("{shown}: {error:#}")),
                    Ok(templates) => {
                        let checked = load_notifier(shown, text, &templates, folder);
                        faults.extend(checked.err().map(|error| chain(&error)));
                    }
                }
            }
            if faults.is_empty() { Ok(remarks) } else { Err(faults) }
        }),
        CheckVerb::Rules(args) => each(args, |path, text| {
            let findings = swell_alert_runner::check_rules(text);
            if findings.is_empty() {
                Ok(Vec::new())
            } else {
                let shown = path.display();
                Err(findings.iter().map(|finding| format!("{shown}: {finding}")).collect())
            }
        }),
    }
}

/// Checks each file; remarks and faults are printed, the verdict last.
fn each(
    args: &FilesArgs,
    check: impl Fn(&std::path::Path, &str) -> Result<Vec<String>, Vec<String>>,
) -> bool {
    let mut good = true;
    for path in &args.files {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                good = false;
                continue;
            }
        };
        match check(path, &text) {
            Ok(remarks) => {
                for remark in remarks {
                    eprintln!("{}: {remark}", path.display());
                }
                println!("{}: no faults", path.display());
            }
            Err(faults) => {
                good = false;
                for fault in faults {
                    eprintln!("{fault}");
                }
            }
        }
    }
    good
}
