//! `swell check`: files looked at without a server.

use std::fs;

use swell_alert_runner::load_notifier;
use swell_discovery::DiscoveryConfig;
use swell_http_client::{ClientOptions, HttpClient};
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
            faults.extend(client_faults(&config));
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

/// What a start would fail at beyond the text: certificates that are not there or cannot be used.
fn client_faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |place: String, client: &ClientOptions| {
        if let Err(error) = HttpClient::new(client.clone()) {
            faults.push(format!("{place}: {}", chain(&error)));
        }
    };
    for job in &config.jobs {
        let place = format!("job {:?}", job.job_name);
        check(place.clone(), &job.client);
        sources(&place, &job.discoveries, &mut check);
    }
    for (idx, entry) in config.alerting.alertmanagers.iter().enumerate() {
        let place = format!("alerting.alertmanagers[{idx}]");
        check(place.clone(), &entry.client);
        sources(&place, &entry.discoveries, &mut check);
    }
    for (idx, queue) in config.receivers.iter().enumerate() {
        check(format!("remote_write[{idx}]"), &queue.client);
    }
    for (idx, reader) in config.remote_reads.iter().enumerate() {
        check(format!("remote_read[{idx}]"), &reader.client);
    }
    faults
}

/// The clients that ask sources of targets.
fn sources(
    place: &str,
    discoveries: &[DiscoveryConfig],
    check: &mut impl FnMut(String, &ClientOptions),
) {
    for discovery in discoveries {
        let client = match discovery {
            DiscoveryConfig::Http(it) => &it.client,
            DiscoveryConfig::Kubernetes(it) => &it.client,
            DiscoveryConfig::Docker(it) => &it.client,
            DiscoveryConfig::Consul(it) => &it.client,
            DiscoveryConfig::File(_) | DiscoveryConfig::Dns(_) => continue,
        };
        check(format!("{place}: {}_sd_configs", discovery.mechanism()), client);
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn certificates_that_a_start_would_miss_are_told() {
        let missing = "tls_config: {ca_file: missing.pem}";
        let text = format!(
            "scrape_configs:\n- job_name: a\n  {missing}\n- job_name: b\n  \
             http_sd_configs: [{{url: 'https://s/', {missing}}}]\n\
             alerting: {{alertmanagers: [{{{missing}}}]}}\n\
             remote_write: [{{url: 'https://w/', {missing}}}]\n\
             remote_read: [{{url: 'https://r/', {missing}}}]\n"
        );
        let folder = Path::new("/nowhere");
        let config =
            Config::parse(&text, folder, Path::new("t.yaml")).expect("no faults of the text");
        let faults = client_faults(&config);
        let places = [
            "job \"a\": ",
            "job \"b\": http_sd_configs: ",
            "alerting.alertmanagers[0]: ",
            "remote_write[0]: ",
            "remote_read[0]: ",
        ];
        assert_eq!(faults.len(), places.len(), "{faults:?}");
        for (fault, place) in faults.iter().zip(places) {
            let expected = format!("{place}read the authority from /nowhere/missing.pem");
            assert!(fault.starts_with(&expected), "{fault}");
        }
    }
}
