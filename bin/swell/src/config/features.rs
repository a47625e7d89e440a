//! Names of `--enable-feature`, as Prometheus has them.

use swell_otlp::Deltas;
use swell_promql::Features;

/// On in any case: each was a switch in one of Prometheus' versions.
const ALWAYS_ON: [&str; 8] = [
    "exemplar-storage",
    "memory-snapshot-on-shutdown",
    "metadata-wal-records",
    "native-histograms",
    "new-service-discovery-manager",
    "promql-at-modifier",
    "promql-negative-offset",
    "st-storage",
];

/// Features that are none of the query language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Switches {
    /// Whether `/api/v1/search/…` answers.
    pub(crate) search_api: bool,
    /// Whether rules of a group that do not depend on each other run at once.
    pub(crate) concurrent_rules: bool,
    /// Whether `stats=all` of a query tells of each step how many samples it looked at.
    pub(crate) per_step_stats: bool,
    /// Whether targets may answer in zstd.
    pub(crate) zstd_scrape: bool,
    /// Whether the configuration is read again by itself once its files change.
    pub(crate) auto_reload: bool,
}

impl Switches {
    /// Switches the feature of this name on; `false` when it is none of these.
    pub(crate) fn switch_on(&mut self, name: &str) -> bool {
        match name {
            "search-api" => self.search_api = true,
            "concurrent-rule-eval" => self.concurrent_rules = true,
            "promql-per-step-stats" => self.per_step_stats = true,
            "zstd-scrape" => self.zstd_scrape = true,
            "auto-reload-config" => self.auto_reload = true,
            _ => return false,
        }
        true
    }
}

/// What the feature of this name makes of OTLP points of delta temporality, if it is about them.
pub(crate) fn deltas(name: &str) -> Option<Deltas> {
    match name {
        "otlp-deltatocumulative" => Some(Deltas::SummedUp),
        "otlp-native-delta-ingestion" => Some(Deltas::AsTheyAre),
        _ => None,
    }
}

/// What becomes of these points when this is asked for, after that.
pub(crate) fn one_of(before: Deltas, given: Deltas) -> Result<Deltas, &'static str> {
    if before != Deltas::Refused && before != given {
        return Err("otlp-deltatocumulative and otlp-native-delta-ingestion exclude each other");
    }
    Ok(given)
}

/// Switches the feature of this name on; `false` when Swell has no such feature, so that the name has no effect.
pub(crate) fn switch_on(features: &mut Features, name: &str) -> bool {
    match name {
        "promql-experimental-functions" => features.experimental_functions = true,
        "promql-extended-range-selectors" => features.extended_range_selectors = true,
        "promql-binop-fill-modifiers" => features.fill_modifiers = true,
        "promql-delayed-name-removal" => features.delayed_name_removal = true,
        "type-and-unit-labels" => features.type_and_unit_labels = true,
        "use-start-timestamps" => features.start_timestamps = true,
        name => return ALWAYS_ON.contains(&name),
    }
    true
}

/// The features of these names.
pub(crate) fn features(names: &[String]) -> Result<Features, String> {
    let mut features = Features::default();
    for name in names {
        if !switch_on(&mut features, name) {
            return Err(format!("--enable-feature={name}: there is no such feature"));
        }
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_switch_has_a_name() {
        let mut switches = Switches::default();
        for name in [
            "search-api",
            "concurrent-rule-eval",
            "promql-per-step-stats",
            "zstd-scrape",
            "auto-reload-config",
        ] {
            let before = switches;
            assert!(switches.switch_on(name), "{name}");
            assert_ne!(before, switches, "{name}");
        }
        assert!(!switches.switch_on("promql-at-modifier"));
    }

    #[test]
    fn each_name_switches_its_feature_on_and_all_names_all() {
        let names = [
            "promql-experimental-functions",
            "promql-extended-range-selectors",
            "promql-binop-fill-modifiers",
            "promql-delayed-name-removal",
            "type-and-unit-labels",
            "use-start-timestamps",
        ];
        let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(features(&all), Ok(Features::all()));
        for name in names {
            let one = features(&[name.to_owned()]).expect("known");
            assert_ne!(one, Features::default(), "{name}");
        }
        assert_eq!(features(&["exemplar-storage".to_owned()]), Ok(Features::default()));
        assert!(features(&["no-such".to_owned()]).is_err());
    }
}
