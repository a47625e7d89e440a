//! From discovered addresses to Alertmanagers: alerting knows neither discovery nor relabelling, which are the
//! collectors'.

use std::collections::BTreeSet;
use std::sync::Arc;

use swell_alert_runner::AlertRelabel;
use swell_discovery::TargetGroup;
use swell_model::LabelsBuilder;
use swell_relabel::Rule;
use url::Url;

use crate::config::alerting::AlertmanagerSettings;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
/// Under Prometheus' name, so that rules for it work.
const PATH: &str = "__alerts_path__";
const API_PATH: &str = "api/v2/alerts";

/// What became of the addresses that sources tell.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Where alerts are posted, each once, in the order in which they are told.
    pub(crate) active: Vec<Url>,
    /// Left out by relabelling.
    pub(crate) dropped: Vec<Url>,
    /// What makes no address, and why.
    pub(crate) faulty: Vec<String>,
}

/// Sorts the addresses of an entry of `alerting.alertmanagers`.
pub(crate) fn addresses<'a>(
    settings: &AlertmanagerSettings,
    groups: impl IntoIterator<Item = &'a TargetGroup>,
) -> Addresses {
    let mut found = Addresses::default();
    let (mut seen, mut seen_dropped) = (BTreeSet::new(), BTreeSet::new());
    for group in groups {
        for address in &group.targets {
            let mut labels = LabelsBuilder::default();
            labels.set(ADDRESS, address);
            labels.set(SCHEME, &settings.scheme);
            labels.set(PATH, &path(&settings.path_prefix));
            for (name, value) in &group.labels {
                if name != ADDRESS {
                    labels.set(name, value);
                }
            }
            let before = labels.clone();
            if !swell_relabel::apply(&settings.relabel, &mut labels) {
                match url(&before) {
                    Ok(url) if seen_dropped.insert(url.clone()) => found.dropped.push(url),
                    // What is left out anyway need not be an address.
                    Ok(_) | Err(_) => {}
                }
                continue;
            }
            match url(&labels) {
                Ok(url) if seen.insert(url.clone()) => found.active.push(url),
                Ok(_) => {}
                Err(why) => found.faulty.push(why),
            }
        }
    }
    found
}

/// The path of the API below a prefix.
fn path(prefix: &str) -> String {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() { format!("/{API_PATH}") } else { format!("/{prefix}/{API_PATH}") }
}

fn url(labels: &LabelsBuilder) -> Result<Url, String> {
    let text = |name: &str| labels.get(name).unwrap_or_default().to_owned();
    let (scheme, address) = (text(SCHEME), text(ADDRESS));
    if address.is_empty() || address.contains('/') {
        return Err(format!("{address:?} is not of the form host:port"));
    }
    if !["http", "https"].contains(&scheme.as_str()) {
        return Err(format!("{address:?}: the scheme {scheme:?} is neither http nor https"));
    }
    let mut url = Url::parse(&format!("{scheme}://{address}"))
        .map_err(|error| format!("{address:?} is no address: {error}"))?;
    url.set_path(&text(PATH));
    Ok(url)
}

/// Rules for alerts as a function of labels.
pub(crate) fn relabelling(rules: Vec<Rule>) -> AlertRelabel {
    Arc::new(move |labels| {
        if rules.is_empty() {
            return Some(labels.clone());
        }
        let mut builder = labels.to_builder();
        swell_relabel::apply(&rules, &mut builder).then(|| builder.build())
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    /// The addresses that an entry with these keys has.
    fn check(keys: &str, expected: [&[&str]; 3]) {
        let text = format!("alerting: {{alertmanagers: [{{{keys}}}]}}");
        let config = Config::parse(&text, Path::new("."), Path::new("swell.yaml")).expect("valid");
        let settings = &config.alerting.alertmanagers[0];
        let found = addresses(settings, &settings.static_groups);
        let shown = |urls: &[Url]| urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&found.active), expected[0], "{keys}");
        assert_eq!(shown(&found.dropped), expected[1], "{keys}");
        assert_eq!(found.faulty, expected[2], "{keys}");
    }

    #[test]
    fn prefix_scheme_and_labels_make_addresses() {
        check(
            "static_configs: [{targets: ['a:9093', 'b:9093', 'a:9093']}]",
            [&["http://a:9093/api/v2/alerts", "http://b:9093/api/v2/alerts"], &[], &[]],
        );
        for prefix in ["am", "/am", "/am/"] {
            check(
                &format!(
                    "scheme: https, path_prefix: {prefix}, static_configs: [{{targets: [a]}}]"
                ),
                [&["https://a/am/api/v2/alerts"], &[], &[]],
            );
        }
        check(
            "static_configs: [{targets: [a], labels: {__scheme__: https, __alerts_path__: /x}}]",
            [&["https://a/x"], &[], &[]],
        );
    }

    #[test]
    fn relabelling_moves_and_drops() {
        check(
            "static_configs: [{targets: ['a:1', 'b:1', 'c:1']}], relabel_configs: [\
             {source_labels: [__address__], regex: 'b:1', action: drop}, \
             {source_labels: [__address__], regex: '(c):1', replacement: '$1:2', target_label: __address__}]",
            [
                &["http://a:1/api/v2/alerts", "http://c:2/api/v2/alerts"],
                &["http://b:1/api/v2/alerts"],
                &[],
            ],
        );
        check(
            "static_configs: [{targets: [a]}], relabel_configs: [{target_label: __address__, replacement: ''}]",
            [&[], &[], &["\"\" is not of the form host:port"]],
        );
    }
}
