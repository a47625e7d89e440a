//! From a discovered address to a target: default labels, relabelling, URL.

use std::collections::BTreeMap;

use swell_discovery::TargetGroup;
use swell_exposition::HistogramOptions;
use swell_model::{DurationMs, Labels, LabelsBuilder};
use url::Url;

use crate::config::ScrapeConfig;

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const METRICS_PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const NATIVE: &str = "__scrape_native_histograms__";
const ALWAYS_CLASSIC: &str = "__always_scrape_classic_histograms__";
const CLASSIC_AS_CUSTOM: &str = "__convert_classic_histograms_to_nhcb__";
const PARAM_PREFIX: &str = "__param_";
/// Labels with this prefix live until the target is made.
const RESERVED_PREFIX: &str = "__";

/// Something to scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Labels before relabelling.
    pub(crate) discovered: Labels,
    /// Labels that its series carry.
    pub(crate) labels: Labels,
    pub(crate) url: Url,
    pub(crate) interval: DurationMs,
    pub(crate) timeout: DurationMs,
    /// What becomes of its histograms.
    pub(crate) histograms: HistogramOptions,
}

/// What tells targets of a job apart.
pub(crate) type Identity = (Labels, String);

impl Target {
    pub(crate) fn identity(&self) -> Identity {
        (self.labels.clone(), self.url.to_string())
    }

    /// Whether a loop that scrapes it may go on for one of the same identity.
    pub(crate) fn is_scraped_as(&self, other: &Self) -> bool {
        (self.interval, self.timeout, self.histograms)
            == (other.interval, other.timeout, other.histograms)
    }

    /// A number that stays the same over restarts: spreads scrapes over the interval.
    pub(crate) fn spread(&self) -> u64 {
        let text = format!("{}{}", self.labels, self.url);
        // FNV-1a: the standard library's and other hashes may change from version to version.
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// What became of a discovered address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is scraped.
    Active(Target),
    /// Relabelling dropped it.
    Dropped(Labels),
    /// Its labels make no target.
    Faulty(Labels, String),
}

/// Targets of a group, in its order.
pub(crate) fn targets(config: &ScrapeConfig, group: &TargetGroup) -> Vec<Outcome> {
    group.targets.iter().map(|address| target(config, address, &group.labels)).collect()
}

fn target(config: &ScrapeConfig, address: &str, group: &BTreeMap<String, String>) -> Outcome {
    let mut labels = LabelsBuilder::default();
    for (name, value) in group {
        labels.set(name, value);
    }
    labels.set(ADDRESS, address);
    for (name, value) in [
        ("job", config.job_name.as_str()),
        (INTERVAL, &config.interval.to_string()),
        (TIMEOUT, &config.timeout.to_string()),
        (METRICS_PATH, &config.metrics_path),
        (SCHEME, config.scheme.as_str()),
        (NATIVE, word(config.histograms.native)),
        (ALWAYS_CLASSIC, word(config.histograms.always_classic)),
        (CLASSIC_AS_CUSTOM, word(config.histograms.classic_as_custom)),
    ] {
        if labels.get(name).is_none() {
            labels.set(name, value);
        }
    }
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            labels.set(&format!("{PARAM_PREFIX}{name}"), first);
        }
    }
    let discovered = labels.build();
    if !swell_relabel::apply(&config.relabel, &mut labels) {
        return Outcome::Dropped(discovered);
    }
    match finish(config, &discovered, &mut labels) {
        Ok(target) => Outcome::Active(target),
        Err(why) => Outcome::Faulty(discovered, why),
    }
}

fn finish(
    config: &ScrapeConfig,
    discovered: &Labels,
    labels: &mut LabelsBuilder,
) -> Result<Target, String> {
    let text = |name: &str| labels.get(name).unwrap_or("").to_owned();
    let address = text(ADDRESS);
    if address.is_empty() {
        return Err("the target has no __address__".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not of the form host:port"));
    }
    if labels.get("").is_some() {
        return Err("one of its labels has no name".to_owned());
    }
    let interval = span(&text(INTERVAL))?;
    let timeout = span(&text(TIMEOUT))?;
    if timeout > interval {
        return Err(format!(
            "the scrape timeout {timeout} is longer than the scrape interval {interval}"
        ));
    }
    let histograms = HistogramOptions {
        native: flag(labels, NATIVE, config.histograms.native)?,
        always_classic: flag(labels, ALWAYS_CLASSIC, config.histograms.always_classic)?,
        classic_as_custom: flag(labels, CLASSIC_AS_CUSTOM, config.histograms.classic_as_custom)?,
    };
    let url = url(config, labels, &address)?;
    if labels.get("instance").is_none() {
        labels.set("instance", &address);
    }
    let labels = labels.build().filtered(|name| !name.starts_with(RESERVED_PREFIX));
    Ok(Target { discovered: discovered.clone(), labels, url, interval, timeout, histograms })
}

const fn word(flag: bool) -> &'static str {
    if flag { "true" } else { "false" }
}

/// What a label says, as Go's `strconv.ParseBool` reads it; `default` where relabelling took it away.
fn flag(labels: &LabelsBuilder, name: &str, default: bool) -> Result<bool, String> {
    match labels.get(name) {
        None | Some("") => Ok(default),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(format!("{name} is {other:?}, which is neither true nor false")),
    }
}

fn span(text: &str) -> Result<DurationMs, String> {
    let span = DurationMs::parse_prometheus(text).map_err(|error| error.to_string())?;
    if span.0 == 0 { Err("a scrape interval or timeout is 0".to_owned()) } else { Ok(span) }
}

fn url(config: &ScrapeConfig, labels: &LabelsBuilder, address: &str) -> Result<Url, String> {
    let scheme = labels.get(SCHEME).unwrap_or("");
    if !["http", "https"].contains(&scheme) {
        return Err(format!("{scheme:?} is not a scheme to scrape: http or https"));
    }
    let mut url = Url::parse(&format!("{scheme}://{address}"))
        .map_err(|error| format!("{address:?} is not an address: {error}"))?;
    let path = labels.get(METRICS_PATH).unwrap_or("");
    // As upstream: a path may bring a query of its own.
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    url.set_path(path);
    let mut params: BTreeMap<String, Vec<String>> = config.params.clone();
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix(PARAM_PREFIX) {
            let values = params.entry(name.to_owned()).or_default();
            match values.first_mut() {
                Some(first) => value.clone_into(first),
                None => values.push(value.to_owned()),
            }
        }
    }
    if !query.is_empty() {
        url.set_query(Some(query));
    }
    for (name, values) in &params {
        for value in values {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use swell_relabel::{Action, Rule, RuleSpec};

    use super::*;

    fn job() -> ScrapeConfig {
        ScrapeConfig::new("node", DurationMs::from_secs(15), DurationMs::from_secs(10))
    }

    fn group(address: &str, labels: &[(&str, &str)]) -> TargetGroup {
        TargetGroup {
            targets: vec![address.to_owned()],
            labels: labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        }
    }

    fn check(config: &ScrapeConfig, group: &TargetGroup, expected: &str) {
        let shown = match &targets(config, group)[0] {
            Outcome::Active(target) => {
                format!("{} {} {} {}", target.labels, target.url, target.interval, target.timeout)
            }
            Outcome::Dropped(labels) => format!("dropped {}", labels.len()),
            Outcome::Faulty(_, why) => why.clone(),
        };
        assert_eq!(shown, expected);
    }

    fn rule(action: Action, source: &str, regex: &str, target: &str, to: &str) -> Rule {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Rule::new(RuleSpec {
            source_labels: Some(vec![source.to_owned()]),
            regex: given(regex),
            target_label: given(target),
            replacement: given(to),
            action,
            ..RuleSpec::default()
        })
        .expect("valid")
    }

    #[test]
    fn defaults_stand_beside_the_groups_labels() {
        let plain = group("h:1", &[("env", "x"), ("__meta_a", "b")]);
        check(
            &job(),
            &plain,
            r#"{env="x", instance="h:1", job="node"} http://h:1/metrics 15s 10s"#,
        );
        let own = group(
            "h:1",
            &[("job", "j"), ("__metrics_path__", "/p?q=1"), ("__scrape_timeout__", "1s")],
        );
        check(&job(), &own, r#"{instance="h:1", job="j"} http://h:1/p?q=1 15s 1s"#);
        let ipv6 = group("[::1]:9", &[("__scheme__", "https")]);
        check(&job(), &ipv6, r#"{instance="[::1]:9", job="node"} https://[::1]:9/metrics 15s 10s"#);
    }

    #[test]
    fn relabelling_moves_addresses_and_params() {
        let mut job = job();
        job.params.insert("target".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        job.relabel = vec![
            rule(Action::Replace, "__address__", "", "__param_target", ""),
            rule(Action::Replace, "__param_target", "", "instance", ""),
            rule(Action::Replace, "job", "", "__address__", "prober:9115"),
        ];
        check(
            &job,
            &group("x.org", &[]),
            r#"{instance="x.org", job="node"} http://prober:9115/metrics?target=x.org&target=b 15s 10s"#,
        );
        job.relabel = vec![rule(Action::Drop, "job", "node", "", "")];
        check(&job, &group("x.org", &[]), "dropped 10");
    }

    #[test]
    fn relabelling_chooses_what_becomes_of_histograms() {
        let active = |config: &ScrapeConfig, group: &TargetGroup| match &targets(config, group)[0] {
            Outcome::Active(target) => target.clone(),
            other => panic!("no target: {other:?}"),
        };
        let mut job = job();
        job.histograms.always_classic = true;
        let plain = active(&job, &group("h:1", &[]));
        assert_eq!(plain.histograms, job.histograms);
        assert_eq!(plain.discovered.get(NATIVE), Some("false"));
        assert_eq!(plain.discovered.get(ALWAYS_CLASSIC), Some("true"));
        job.relabel = vec![
            rule(Action::Replace, "__meta_kind", "new", NATIVE, "true"),
            rule(Action::Replace, "__meta_kind", "new", ALWAYS_CLASSIC, "False"),
            rule(Action::Replace, "__meta_kind", "old", CLASSIC_AS_CUSTOM, "1"),
        ];
        let new = active(&job, &group("h:1", &[("__meta_kind", "new")]));
        assert!(new.histograms.native && !new.histograms.always_classic);
        let old = active(&job, &group("h:1", &[("__meta_kind", "old")]));
        let HistogramOptions { native, always_classic, classic_as_custom } = old.histograms;
        assert!(!native && always_classic && classic_as_custom);
        assert_eq!((new.identity(), new.labels.len()), (old.identity(), 2));
        assert!(!new.is_scraped_as(&old) && new.is_scraped_as(&new));
    }

    #[test]
    fn labels_that_make_no_target_say_why() {
        for (address, labels, expected) in [
            ("", vec![], "the target has no __address__"),
            ("http://h:1", vec![], "\"http://h:1\" is not of the form host:port"),
            (
                "h:1",
                vec![("__scheme__", "ftp")],
                "\"ftp\" is not a scheme to scrape: http or https",
            ),
            ("h:99999", vec![], "\"h:99999\" is not an address: invalid port number"),
            ("h:1", vec![("", "x")], "one of its labels has no name"),
            ("h:1", vec![("__scrape_interval__", "0s")], "a scrape interval or timeout is 0"),
            (
                "h:1",
                vec![("__scrape_timeout__", "1m")],
                "the scrape timeout 1m is longer than the scrape interval 15s",
            ),
            (
                "h:1",
                vec![("__scrape_native_histograms__", "maybe")],
                "__scrape_native_histograms__ is \"maybe\", which is neither true nor false",
            ),
        ] {
            check(&job(), &group(address, &labels), expected);
        }
    }

    #[test]
    fn the_spread_is_the_same_after_a_restart() {
        let Outcome::Active(target) = target(&job(), "h:1", &BTreeMap::new()) else {
            panic!("an active target");
        };
        assert_eq!(target.spread(), target.clone().spread());
        assert_eq!(target.spread(), 15_782_871_172_005_004_691);
    }
}
