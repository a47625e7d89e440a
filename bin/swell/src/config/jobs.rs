//! From the raw jobs to checked ones.

use std::path::Path;

use swell_http_client::{ClientOptions, Reach};
use swell_model::DurationMs;
use swell_relabel::{Action, Rule, RuleSpec};
use swell_scrape::{
    Escaping, HistogramOptions, Limits, NameRules, Scheme, ScrapeConfig, ScrapeProtocol,
};

use super::client::{self, ClientContext};
use super::discoveries::{discoveries, static_groups};
use super::environment::Environment;
use super::faults::Faults;
use super::raw::{RawGlobal, RawScrapeLimits};
use super::raw_scrape::{RawRelabel, RawScrapeConfig};
use super::set;

/// What jobs take over where they say nothing themselves.
pub(super) struct JobDefaults<'a> {
    pub(super) global: &'a RawGlobal,
    pub(super) interval: DurationMs,
    pub(super) timeout: DurationMs,
    /// Relative paths start here.
    pub(super) folder: &'a Path,
    /// Relative paths of the global section start here.
    pub(super) global_folder: &'a Path,
    /// Where proxies and the cluster of this process may be named.
    pub(super) environment: &'a dyn Environment,
    /// Addresses that targets may have.
    pub(super) reach: &'a Reach,
}

/// Addresses that targets may have, as `swell.scrape` says; all, unless it does.
pub(super) fn reach(raw: &RawScrapeLimits, all: &mut Vec<String>) -> Reach {
    let Some(networks) = &raw.allowed_addresses else { return Reach::default() };
    let mut faults = Faults { place: "swell.scrape.allowed_addresses".to_owned(), all };
    if networks.is_empty() {
        faults.push("an empty list would leave no target in reach");
    }
    match Reach::only(networks.iter().map(String::as_str)) {
        Ok(reach) => reach,
        Err(fault) => {
            faults.push(fault.to_string());
            Reach::default()
        }
    }
}

/// The job that a raw one describes; faults go to `all`.
pub(super) fn job(
    raw: &RawScrapeConfig,
    defaults: &JobDefaults<'_>,
    all: &mut Vec<String>,
) -> ScrapeConfig {
    let mut faults = Faults { place: format!("scrape_configs job {:?}", raw.job_name), all };
    let interval = set(raw.scrape_interval, defaults.interval);
    let timeout = set(raw.scrape_timeout, defaults.timeout.min(interval));
    if timeout > interval {
        faults.push(format!("scrape_timeout {timeout} is longer than scrape_interval {interval}"));
    }
    let scheme = match raw.scheme.as_deref() {
        None | Some("" | "http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(other) => {
            faults.push(format!("scheme {other:?} is neither http nor https"));
            Scheme::Http
        }
    };
    let context = ClientContext { folder: defaults.folder, environment: defaults.environment };
    let sources = raw.sources();
    let histograms = histograms(raw, defaults.global);
    let standard = ScrapeConfig::new(raw.job_name.as_str(), interval, timeout);
    ScrapeConfig {
        metrics_path: raw.metrics_path.clone().unwrap_or_else(|| standard.metrics_path.clone()),
        scheme,
        params: raw.params.clone(),
        static_groups: static_groups(&sources, &mut faults),
        discoveries: discoveries(&sources, context, &mut faults),
        relabel: rules("relabel_configs", &raw.relabel_configs, &mut faults),
        metric_relabel: rules("metric_relabel_configs", &raw.metric_relabel_configs, &mut faults),
        honor_labels: raw.honor_labels,
        honor_timestamps: raw.honor_timestamps.unwrap_or(standard.honor_timestamps),
        histograms,
        protocols: protocols(raw, defaults.global, histograms.native, &mut faults),
        fallback_protocol: raw
            .fallback_scrape_protocol
            .as_deref()
            .and_then(|name| protocol("fallback_scrape_protocol", name, &mut faults)),
        limits: limits(raw, defaults.global, &mut faults),
        client: ClientOptions {
            reach: defaults.reach.clone(),
            ..client::options(raw.client(), context, &mut faults)
        },
        compression: raw.enable_compression.unwrap_or(standard.compression),
        track_timestamps_staleness: raw
            .track_timestamps_staleness
            .unwrap_or(standard.track_timestamps_staleness),
        extra_metrics: raw
            .extra_scrape_metrics
            .or(defaults.global.extra_scrape_metrics)
            .unwrap_or(standard.extra_metrics),
        names: name_rules(raw, defaults.global, &mut faults),
        failure_log: match (&raw.scrape_failure_log_file, &defaults.global.scrape_failure_log_file)
        {
            (Some(own), _) => Some(defaults.folder.join(own)),
            (None, Some(global)) => Some(defaults.global_folder.join(global)),
            (None, None) => None,
        },
        ..standard
    }
}

fn histograms(raw: &RawScrapeConfig, global: &RawGlobal) -> HistogramOptions {
    let set = |own: Option<bool>, global: Option<bool>| own.or(global).unwrap_or(false);
    HistogramOptions {
        native: set(raw.scrape_native_histograms, global.scrape_native_histograms),
        always_classic: set(
            raw.always_scrape_classic_histograms.or(raw.scrape_classic_histograms),
            global.always_scrape_classic_histograms,
        ),
        classic_as_custom: set(
            raw.convert_classic_histograms_to_nhcb,
            global.convert_classic_histograms_to_nhcb,
        ),
    }
}

fn protocols(
    raw: &RawScrapeConfig,
    global: &RawGlobal,
    native: bool,
    faults: &mut Faults<'_>,
) -> Vec<ScrapeProtocol> {
    let names = raw.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref());
    let Some(names) = names else { return ScrapeProtocol::standard(native).to_vec() };
    if names.is_empty() {
        faults.push("scrape_protocols is empty: leave it out for the usual ones");
    }
    let mut found: Vec<ScrapeProtocol> = Vec::new();
    for name in names {
        let Some(protocol) = protocol("scrape_protocols", name, faults) else { continue };
        if found.contains(&protocol) {
            faults.push(format!("scrape_protocols: {name} is given twice"));
        }
        found.push(protocol);
    }
    found
}

fn protocol(key: &str, name: &str, faults: &mut Faults<'_>) -> Option<ScrapeProtocol> {
    let found = ScrapeProtocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    if found.is_none() {
        let names = ScrapeProtocol::ALL.map(ScrapeProtocol::name).join(", ");
        faults.push(format!("{key}: {name:?} is none of {names}"));
    }
    found
}

/// Checked rules of relabelling.
pub(super) fn rules(key: &str, raw: &[RawRelabel], faults: &mut Faults<'_>) -> Vec<Rule> {
    let mut rules = Vec::with_capacity(raw.len());
    for (idx, rule) in raw.iter().enumerate() {
        let action = match rule.action.as_deref() {
            None => Some(Action::default()),
            Some(word) => Action::parse(word),
        };
        let Some(action) = action else {
            let word = rule.action.as_deref().unwrap_or_default();
            faults.push(format!("{key}[{idx}]: unknown action {word:?}"));
            continue;
        };
        let spec = RuleSpec {
            source_labels: rule.source_labels.clone(),
            separator: rule.separator.clone(),
            regex: rule.regex.clone(),
            modulus: rule.modulus,
            target_label: rule.target_label.clone(),
            replacement: rule.replacement.clone(),
            action,
        };
        match Rule::new(spec) {
            Ok(rule) => rules.push(rule),
            Err(error) => faults.push(format!("{key}[{idx}]: {error}")),
        }
    }
    rules
}

fn limits(raw: &RawScrapeConfig, global: &RawGlobal, faults: &mut Faults<'_>) -> Limits {
    let factor = raw.native_histogram_min_bucket_factor.unwrap_or(0.0);
    if !factor.is_finite() || factor < 0.0 {
        faults.push(format!("native_histogram_min_bucket_factor {factor} is below 0"));
    }
    Limits {
        samples_max: raw.sample_limit.or(global.sample_limit),
        targets_max: raw.target_limit.or(global.target_limit),
        labels_max: raw.label_limit.or(global.label_limit),
        label_name_bytes_max: raw.label_name_length_limit.or(global.label_name_length_limit),
        label_value_bytes_max: raw.label_value_length_limit.or(global.label_value_length_limit),
        body_bytes_max: raw.body_size_limit.or(global.body_size_limit).map(|size| size.0),
        dropped_targets_max: raw.keep_dropped_targets.or(global.keep_dropped_targets),
        histogram_buckets_max: raw.native_histogram_bucket_limit,
        histogram_schema_max: schema_max(factor),
    }
}

/// The highest schema whose buckets grow by at least this factor, as Prometheus' clients choose it; none for a
/// factor that every schema has.
fn schema_max(factor: f64) -> Option<i32> {
    if factor.is_nan() || factor <= 1.0 {
        return None;
    }
    let schema = -factor.log2().log2().floor();
    #[expect(clippy::cast_possible_truncation, reason = "within the bounds")]
    let schema = schema.clamp(-4.0, 8.0) as i32;
    Some(schema)
}

fn name_rules(raw: &RawScrapeConfig, global: &RawGlobal, faults: &mut Faults<'_>) -> NameRules {
    let said = |own: &Option<String>, global: &Option<String>| {
        [own, global].into_iter().flatten().find(|it| !it.is_empty()).cloned()
    };
    let validation =
        said(&raw.metric_name_validation_scheme, &global.metric_name_validation_scheme);
    let classic_only = match validation.as_deref() {
        None | Some("utf8") => false,
        Some("legacy") => true,
        Some(other) => {
            faults.push(format!(
                "metric_name_validation_scheme {other:?} is neither utf8 nor legacy"
            ));
            false
        }
    };
    let escaping = said(&raw.metric_name_escaping_scheme, &global.metric_name_escaping_scheme);
    let escaping = match escaping.as_deref() {
        None if classic_only => Escaping::Underscores,
        None => Escaping::AllowUtf8,
        Some(name) => Escaping::ALL.into_iter().find(|it| it.name() == name).unwrap_or_else(|| {
            let names = Escaping::ALL.map(Escaping::name).join(", ");
            faults.push(format!("metric_name_escaping_scheme {name:?} is none of {names}"));
            Escaping::AllowUtf8
        }),
    };
    if classic_only && escaping == Escaping::AllowUtf8 {
        faults.push("metric_name_escaping_scheme allow-utf-8 asks for names that metric_name_validation_scheme legacy refuses");
    }
    NameRules { classic_only, escaping }
}

#[cfg(test)]
mod tests {
    use super::schema_max;

    #[test]
    fn factors_choose_schemas() {
        for (factor, expected) in [
            (0.0, None),
            (1.0, None),
            (1.0001, Some(8)),
            (1.1, Some(3)),
            (2.0, Some(0)),
            (4.0, Some(-1)),
            (1e30, Some(-4)),
        ] {
            assert_eq!(schema_max(factor), expected, "{factor}");
        }
    }
}
