//! From the configuration as written to the checked one.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use swell_model::{DurationMs, MatchOp, Matcher};

use super::http::{HttpConfig, source};
use super::intervals::RawNamedInterval;
use super::raw::{RawConfig, RawGlobal, RawInhibitRule, RawReceiver, RawRoute};
use super::receivers::{Integration, Receiver, Report};
use super::secret::SecretSource;
use super::{Config, ConfigFault};
use crate::inhibit::InhibitRule;
use crate::interval::TimeInterval;
use crate::matchers::{FallbackVerdict, canonical, parse_fallback};
use crate::tree::{GroupBy, Route, RouteId, RouteTree, route_key};

const RESOLVE_TIMEOUT: DurationMs = DurationMs::from_secs(300);
const GROUP_WAIT: DurationMs = DurationMs::from_secs(30);
const GROUP_INTERVAL: DurationMs = DurationMs::from_secs(300);
const REPEAT_INTERVAL: DurationMs = DurationMs::from_secs(4 * 3600);
const PAGERDUTY_URL: &str = "https://events.pagerduty.com/v2/enqueue";
/// Deepest route tree: matching recurses on it.
const ROUTE_DEPTH_MAX: usize = 64;

/// Global settings that receivers fall back on.
struct Defaults {
    http: HttpConfig,
    slack_url: Option<SecretSource>,
    pagerduty_url: String,
}

#[derive(Default)]
struct Checker {
    faults: Vec<String>,
    unsupported: Vec<String>,
    warnings: Vec<String>,
    routes: Vec<Route>,
    receiver_names: HashSet<String>,
    intervals: BTreeMap<String, Vec<TimeInterval>>,
}

pub(super) fn check(raw: RawConfig) -> Result<Config, Vec<ConfigFault>> {
    let mut checker = Checker::default();
    let global = raw.global.unwrap_or_default();
    let resolve_timeout = global.resolve_timeout.map_or(RESOLVE_TIMEOUT, |timeout| timeout.0);
    let defaults = checker.global(global);
    for (key, set) in
        [("tracing", raw.tracing.is_some()), ("event_recorder", raw.event_recorder.is_some())]
    {
        if set {
            checker.unsupported.push(key.to_owned());
        }
    }
    let receivers = raw.receivers.unwrap_or_default();
    let receivers: Vec<Receiver> = receivers
        .into_iter()
        .enumerate()
        .filter_map(|(idx, receiver)| checker.receiver(idx, receiver, &defaults))
        .collect();
    checker.intervals("mute_time_intervals", raw.mute_time_intervals.unwrap_or_default());
    checker.intervals("time_intervals", raw.time_intervals.unwrap_or_default());
    match raw.route {
        Some(route) => checker.root(route),
        None => checker.faults.push("route: no route provided, no routes provided".into()),
    }
    let rules = raw.inhibit_rules.unwrap_or_default();
    let inhibit_rules =
        rules.into_iter().enumerate().map(|(idx, rule)| checker.inhibit_rule(idx, rule)).collect();
    if checker.faults.is_empty() {
        return Ok(Config {
            resolve_timeout,
            route: RouteTree::new(checker.routes),
            receivers,
            inhibit_rules,
            intervals: checker.intervals,
            templates: raw.templates.unwrap_or_default(),
            unsupported: checker.unsupported,
            warnings: checker.warnings,
        });
    }
    Err(checker.faults.into_iter().map(|message| ConfigFault { location: None, message }).collect())
}

impl Checker {
    fn global(&mut self, raw: RawGlobal) -> Defaults {
        self.unsupported.extend(raw.unsupported().into_iter().map(|key| format!("global.{key}")));
        let mut faults = Vec::new();
        let app = raw.slack_app_token.is_some() || raw.slack_app_token_file.is_some();
        if app || raw.slack_app_url.is_some() {
            self.unsupported
                .push("global.slack_app_token: use an incoming webhook in slack_api_url".into());
        }
        let slack_url =
            source("slack_api_url", raw.slack_api_url, raw.slack_api_url_file, &mut faults);
        let same_url = matches!(
            (&slack_url, &raw.slack_app_url),
            (Some(SecretSource::Value(url)), Some(app_url)) if url.expose() == app_url
        );
        if app && slack_url.is_some() && !same_url {
            faults.push(
                "at most one of slack_app_token/slack_app_token_file & slack_api_url/slack_api_url_file must be configured"
                    .into(),
            );
        }
        let mut unsupported = Vec::new();
        let http = raw.http_config.unwrap_or_default().check(&mut faults, &mut unsupported);
        self.unsupported
            .extend(unsupported.into_iter().map(|key| format!("global.http_config.{key}")));
        self.faults.extend(faults.into_iter().map(|fault| format!("global: {fault}")));
        let pagerduty_url = raw.pagerduty_url.unwrap_or_else(|| PAGERDUTY_URL.into());
        Defaults { http, slack_url, pagerduty_url }
    }

    fn receiver(&mut self, idx: usize, raw: RawReceiver, defaults: &Defaults) -> Option<Receiver> {
        let Some(name) = raw.name.clone().filter(|name| !name.is_empty()) else {
            self.faults.push(format!("receivers[{idx}]: missing name in receiver"));
            return None;
        };
        if !self.receiver_names.insert(name.clone()) {
            self.faults
                .push(format!("receivers[{idx}]: notification config name {name:?} is not unique"));
        }
        if let Some(label) = raw
            .labels
            .as_ref()
            .and_then(|labels| labels.get("name"))
            .filter(|label| **label != name)
        {
            let message =
                format!("receiver label \"name\" must match receiver name {name:?}, got {label:?}");
            self.faults.push(format!("receivers[{idx}]: {message}"));
        }
        for key in raw.unsupported() {
            self.unsupported.push(format!("receiver {name:?}: {key}"));
        }
        let mut integrations = Vec::new();
        let each =
            |checker: &mut Self,
             key: &str,
             idx: usize,
             found: &mut dyn FnMut(&mut Report<'_>) -> Option<Integration>| {
                let (mut faults, mut unsupported) = (Vec::new(), Vec::new());
                let integration =
                    found(&mut Report { faults: &mut faults, unsupported: &mut unsupported });
                let path = format!("receiver {name:?}: {key}[{idx}]");
                checker.faults.extend(faults.into_iter().map(|fault| format!("{path}: {fault}")));
                checker
                    .unsupported
                    .extend(unsupported.into_iter().map(|what| format!("{path}: {what}")));
                integration
            };
        for (idx, config) in raw.webhook_configs.into_iter().flatten().enumerate() {
            let mut config = config;
            integrations.extend(each(
                self,
                "webhook_configs",
                idx,
                &mut |report| match config.take() {
                    Some(config) => config.check(&defaults.http, report).map(Integration::Webhook),
                    None => missing(report, "missing webhook config"),
                },
            ));
        }
        for (idx, config) in raw.slack_configs.into_iter().flatten().enumerate() {
            let mut config = config;
            integrations.extend(each(
                self,
                "slack_configs",
                idx,
                &mut |report| match config.take() {
                    Some(config) => config
                        .check(defaults.slack_url.as_ref(), &defaults.http, report)
                        .map(|config| Integration::Slack(Box::new(config))),
                    None => {
                        missing(report, "missing slack config: no Slack API URL nor App token set")
                    }
                },
            ));
        }
        for (idx, config) in raw.pagerduty_configs.into_iter().flatten().enumerate() {
            let mut config = config;
            integrations.extend(each(self, "pagerduty_configs", idx, &mut |report| match config
                .take()
            {
                Some(config) => config
                    .check(&defaults.pagerduty_url, &defaults.http, report)
                    .map(|config| Integration::PagerDuty(Box::new(config))),
                None => missing(report, "missing pagerduty config: missing service or routing key"),
            }));
        }
        for (idx, config) in raw.dingtalk_configs.into_iter().flatten().enumerate() {
            let mut config = config;
            integrations.extend(each(self, "dingtalk_configs", idx, &mut |report| match config
                .take()
            {
                Some(config) => config
                    .check(&defaults.http, report)
                    .map(|config| Integration::DingTalk(Box::new(config))),
                None => missing(report, "missing dingtalk config"),
            }));
        }
        Some(Receiver { name, labels: raw.labels.unwrap_or_default(), integrations })
    }

    fn intervals(&mut self, key: &str, raw: Vec<RawNamedInterval>) {
        for (idx, interval) in raw.into_iter().enumerate() {
            let Some(name) = interval.name.filter(|name| !name.is_empty()) else {
                self.faults.push(format!("{key}[{idx}]: missing name in mute time interval"));
                continue;
            };
            let mut checked = Vec::new();
            for (place, raw) in interval.time_intervals.iter().flatten().enumerate() {
                match raw.check() {
                    Ok(interval) => checked.push(interval),
                    Err(fault) => self
                        .faults
                        .push(format!("{key}[{idx}] {name:?}: time_intervals[{place}]: {fault}")),
                }
            }
            if self.intervals.insert(name.clone(), checked).is_some() {
                self.faults
                    .push(format!("{key}[{idx}]: mute time interval {name:?} is not unique"));
            }
        }
    }

    fn root(&mut self, raw: RawRoute) {
        if raw.receiver.as_deref().is_none_or(str::is_empty) {
            self.faults.push("route: root route must specify a default receiver".into());
        }
        let has_matchers = raw.matchers.as_ref().is_some_and(|matchers| !matchers.is_empty())
            || raw.match_.as_ref().is_some_and(|matchers| !matchers.is_empty())
            || raw.match_re.as_ref().is_some_and(|matchers| !matchers.is_empty());
        for (set, what) in [
            (has_matchers, "root route must not have any matchers"),
            (
                raw.mute_time_intervals.as_ref().is_some_and(|names| !names.is_empty()),
                "root route must not have any mute time intervals",
            ),
            (
                raw.active_time_intervals.as_ref().is_some_and(|names| !names.is_empty()),
                "root route must not have any active time intervals",
            ),
            (raw.continue_ == Some(true), "cannot have continue in root route"),
        ] {
            if set {
                self.faults.push(format!("route: {what}"));
            }
        }
        self.route("route", raw, None, 0);
    }

    /// Adds a node and those below it; `parent` is what is inherited.
    fn route(
        &mut self,
        path: &str,
        raw: RawRoute,
        parent: Option<&Route>,
        depth: usize,
    ) -> RouteId {
        let id = RouteId(self.routes.len());
        if depth > ROUTE_DEPTH_MAX {
            self.faults.push(format!("{path}: routes are nested more than {ROUTE_DEPTH_MAX} deep"));
            return id;
        }
        let receiver = raw.receiver.filter(|name| !name.is_empty());
        let receiver =
            receiver.or_else(|| parent.map(|parent| parent.receiver.clone())).unwrap_or_default();
        if !receiver.is_empty() && !self.receiver_names.contains(&receiver) {
            self.faults.push(format!("{path}: undefined receiver {receiver:?} used in route"));
        }
        let group_by = match raw.group_by {
            Some(names) => self.group_by(path, names),
            None => parent
                .map_or_else(|| GroupBy::Labels(BTreeSet::new()), |parent| parent.group_by.clone()),
        };
        let own = |raw: Option<super::YamlDuration>,
                   inherited: Option<DurationMs>,
                   default: DurationMs| {
            raw.map(|duration| duration.0).or(inherited).unwrap_or(default)
        };
        let group_wait = own(raw.group_wait, parent.map(|parent| parent.group_wait), GROUP_WAIT);
        let group_interval =
            own(raw.group_interval, parent.map(|parent| parent.group_interval), GROUP_INTERVAL);
        let repeat_interval =
            own(raw.repeat_interval, parent.map(|parent| parent.repeat_interval), REPEAT_INTERVAL);
        for (key, duration) in
            [("group_interval", group_interval), ("repeat_interval", repeat_interval)]
        {
            if duration == DurationMs::ZERO {
                self.faults.push(format!("{path}: {key} cannot be zero"));
            }
        }
        if group_interval > DurationMs::ZERO && repeat_interval.0 % group_interval.0 != 0 {
            self.warnings.push(format!(
                "{path}: repeat_interval {repeat_interval} is no multiple of group_interval {group_interval}: it is rounded up"
            ));
        }
        let labels = raw.labels.unwrap_or_default();
        for name in labels.keys().filter(|name| !is_label_name(name)) {
            self.faults.push(format!("{path}: invalid label name {name:?} in route labels"));
        }
        let mut all_labels = parent.map(|parent| parent.labels.clone()).unwrap_or_default();
        all_labels.extend(labels);
        let muted_in = raw.mute_time_intervals.unwrap_or_default();
        let active_in = raw.active_time_intervals.unwrap_or_default();
        for name in muted_in.iter().chain(&active_in) {
            if !self.intervals.contains_key(name) {
                self.faults.push(format!("{path}: undefined time interval {name:?} used in route"));
            }
        }
        let matchers = self.matchers(path, "matchers", raw.matchers, raw.match_, raw.match_re);
        let key = route_key(parent.map(|parent| parent.key.as_str()), &matchers);
        let route = Route {
            receiver,
            group_by,
            group_wait,
            group_interval,
            repeat_interval,
            labels: all_labels,
            matchers,
            continues: raw.continue_.unwrap_or(false),
            muted_in,
            active_in,
            key,
            children: Vec::new(),
        };
        self.routes.push(route.clone());
        for (idx, child) in raw.routes.unwrap_or_default().into_iter().enumerate() {
            let child =
                self.route(&format!("{path}.routes[{idx}]"), child, Some(&route), depth + 1);
            self.routes[id.0].children.push(child);
        }
        id
    }

    fn group_by(&mut self, path: &str, names: Vec<String>) -> GroupBy {
        let all = names.iter().any(|name| name == "...");
        if all && names.len() > 1 {
            self.faults.push(format!(
                "{path}: cannot have wildcard group_by (`...`) and other labels at the same time"
            ));
        }
        if all {
            return GroupBy::All;
        }
        let mut labels = BTreeSet::new();
        for name in names {
            if !is_label_name(&name) {
                self.faults.push(format!("{path}: invalid label name {name:?} in group_by list"));
            } else if !labels.insert(name.clone()) {
                self.faults.push(format!("{path}: duplicated label {name:?} in group_by"));
            }
        }
        GroupBy::Labels(labels)
    }

    fn matchers(
        &mut self,
        path: &str,
        key: &str,
        texts: Option<Vec<String>>,
        equal: Option<BTreeMap<String, String>>,
        regex: Option<BTreeMap<String, Option<String>>>,
    ) -> Vec<Matcher> {
        let mut matchers = Vec::new();
        for (name, value) in equal.unwrap_or_default() {
            if is_classic_name(&name) {
                matchers.push(Matcher::equal(name, value));
            } else {
                self.faults.push(format!("{path}: invalid label name {name:?} in match"));
            }
        }
        for (name, pattern) in regex.unwrap_or_default() {
            match pattern.map(|pattern| Matcher::new(name.clone(), MatchOp::Regex, pattern)) {
                _ if !is_classic_name(&name) => {
                    self.faults.push(format!("{path}: invalid label name {name:?} in match_re"))
                }
                Some(Ok(matcher)) => matchers.push(matcher),
                Some(Err(error)) => self.faults.push(format!("{path}: match_re: {error}")),
                None => self
                    .faults
                    .push(format!("{path}: invalid regexp value for {name:?} in match_re")),
            }
        }
        for text in texts.unwrap_or_default() {
            match parse_fallback(&text) {
                Ok((parsed, verdict)) => {
                    if verdict != FallbackVerdict::Utf8 {
                        let better: Vec<String> = parsed.iter().map(canonical).collect();
                        self.warnings.push(format!(
                            "{path}.{key}: write {text:?} as {:?}",
                            better.join(",")
                        ));
                    }
                    matchers.extend(parsed);
                }
                Err(error) => self.faults.push(format!("{path}.{key}: {error}")),
            }
        }
        matchers
    }

    fn inhibit_rule(&mut self, idx: usize, raw: RawInhibitRule) -> InhibitRule {
        let path = format!("inhibit_rules[{idx}]");
        let source = self.matchers(
            &path,
            "source_matchers",
            raw.source_matchers,
            raw.source_match,
            raw.source_match_re,
        );
        let target = self.matchers(
            &path,
            "target_matchers",
            raw.target_matchers,
            raw.target_match,
            raw.target_match_re,
        );
        let equal = raw.equal.unwrap_or_default();
        for name in equal.iter().filter(|name| !is_label_name(name)) {
            self.faults.push(format!("{path}: invalid label name {name:?} in equal"));
        }
        InhibitRule { name: raw.name, source, target, equal }
    }
}

fn missing(report: &mut Report<'_>, message: &str) -> Option<Integration> {
    report.faults.push(message.into());
    None
}

/// A label name as the UTF-8 scheme has it, but for one that starts like an operator or a typing error: the first
/// character is a letter of any script or `_`, and none would need quotes in a matcher.
fn is_label_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_alphabetic() || first == '_');
    starts
        && !name
            .contains(|c: char| c.is_whitespace() || c.is_control() || "{}!=~,\\\"'`".contains(c))
}

fn is_classic_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty()
        && name.bytes().all(valid)
        && !name.starts_with(|first: char| first.is_ascii_digit())
}
