//! From the raw jobs to checked ones.

use std::path::Path;

use swell_model::DurationMs;
use swell_relabel::{Action, Rule, RuleSpec};
use swell_scrape::{
    Auth, FileDiscovery, HistogramOptions, Limits, Pem, Scheme, ScrapeConfig, ScrapeProtocol,
    Secret, TargetGroup, TlsOptions,
};

use super::raw::{
    RawAuthorization, RawBasicAuth, RawFileSd, RawGlobal, RawRelabel, RawScrapeConfig, RawTls,
};
use super::set;

/// Target files are read again this often unless a job says otherwise.
const FILE_REFRESH_DEFAULT: DurationMs = DurationMs::from_secs(300);

/// What jobs take over where they say nothing themselves.
pub(super) struct JobDefaults<'a> {
    pub(super) global: &'a RawGlobal,
    pub(super) interval: DurationMs,
    pub(super) timeout: DurationMs,
    /// Relative paths start here.
    pub(super) folder: &'a Path,
}

/// Collects the faults of one job under its name.
struct Faults<'a> {
    job: &'a str,
    all: &'a mut Vec<String>,
}

impl Faults<'_> {
    fn push(&mut self, fault: impl std::fmt::Display) {
        self.all.push(format!("scrape_configs job {:?}: {fault}", self.job));
    }

    /// At most one of two ways to give a value.
    fn one_of<T>(&mut self, names: (&str, &str), text: Option<T>, file: Option<T>) -> Option<T> {
        if text.is_some() && file.is_some() {
            self.push(format!("give {} or {}, not both", names.0, names.1));
        }
        text.or(file)
    }
}

/// The job that a raw one describes; faults go to `all`.
pub(super) fn job(
    raw: &RawScrapeConfig,
    defaults: &JobDefaults<'_>,
    all: &mut Vec<String>,
) -> ScrapeConfig {
    let mut faults = Faults { job: &raw.job_name, all };
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
    let standard = ScrapeConfig::new(raw.job_name.as_str(), interval, timeout);
    ScrapeConfig {
        metrics_path: raw.metrics_path.clone().unwrap_or_else(|| standard.metrics_path.clone()),
        scheme,
        params: raw.params.clone(),
        static_groups: static_groups(raw, &mut faults),
        file_discoveries: raw
            .file_sd_configs
            .iter()
            .map(|it| file_discovery(it, defaults.folder, &mut faults))
            .collect(),
        relabel: rules("relabel_configs", &raw.relabel_configs, &mut faults),
        metric_relabel: rules("metric_relabel_configs", &raw.metric_relabel_configs, &mut faults),
        honor_labels: raw.honor_labels,
        honor_timestamps: raw.honor_timestamps.unwrap_or(standard.honor_timestamps),
        histograms: histograms(raw, defaults.global),
        protocols: protocols(raw, defaults.global, &mut faults),
        fallback_protocol: raw
            .fallback_scrape_protocol
            .as_deref()
            .and_then(|name| protocol("fallback_scrape_protocol", name, &mut faults)),
        limits: limits(raw, defaults.global),
        auth: auth(raw, defaults.folder, &mut faults),
        tls: raw
            .tls_config
            .as_ref()
            .map(|it| tls(it, defaults.folder, &mut faults))
            .unwrap_or_default(),
        compression: raw.enable_compression.unwrap_or(standard.compression),
        follow_redirects: raw.follow_redirects.unwrap_or(standard.follow_redirects),
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
    faults: &mut Faults<'_>,
) -> Vec<ScrapeProtocol> {
    let names = raw.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref());
    let mut found: Vec<ScrapeProtocol> = Vec::new();
    for name in names.into_iter().flatten() {
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

fn static_groups(raw: &RawScrapeConfig, faults: &mut Faults<'_>) -> Vec<TargetGroup> {
    let mut groups = Vec::with_capacity(raw.static_configs.len());
    for group in &raw.static_configs {
        for target in group.targets.iter().filter(|target| target.contains('/')) {
            faults.push(format!("target {target:?} is not of the form host:port"));
        }
        groups.push(TargetGroup { targets: group.targets.clone(), labels: group.labels.clone() });
    }
    groups
}

fn file_discovery(raw: &RawFileSd, folder: &Path, faults: &mut Faults<'_>) -> FileDiscovery {
    if raw.files.is_empty() {
        faults.push("file_sd_configs: files is empty");
    }
    for pattern in &raw.files {
        let extension = Path::new(pattern).extension().and_then(|extension| extension.to_str());
        if !matches!(extension, Some("json" | "yml" | "yaml")) {
            faults.push(format!("file_sd_configs: {pattern:?} ends in none of .json, .yml, .yaml"));
        }
        let (parents, _) = pattern.rsplit_once('/').unwrap_or_default();
        if parents.contains(['*', '?']) {
            faults.push(format!("file_sd_configs: {pattern:?} may hold * in its last part only"));
        }
    }
    FileDiscovery {
        patterns: raw.files.iter().map(|pattern| folder.join(pattern)).collect(),
        refresh: set(raw.refresh_interval, FILE_REFRESH_DEFAULT),
    }
}

fn rules(key: &str, raw: &[RawRelabel], faults: &mut Faults<'_>) -> Vec<Rule> {
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

fn limits(raw: &RawScrapeConfig, global: &RawGlobal) -> Limits {
    Limits {
        samples_max: raw.sample_limit.or(global.sample_limit),
        targets_max: raw.target_limit.or(global.target_limit),
        labels_max: raw.label_limit.or(global.label_limit),
        label_name_bytes_max: raw.label_name_length_limit.or(global.label_name_length_limit),
        label_value_bytes_max: raw.label_value_length_limit.or(global.label_value_length_limit),
        body_bytes_max: raw.body_size_limit.or(global.body_size_limit).map(|size| size.0),
        dropped_targets_max: raw.keep_dropped_targets.or(global.keep_dropped_targets),
    }
}

fn auth(raw: &RawScrapeConfig, folder: &Path, faults: &mut Faults<'_>) -> Auth {
    let bearer_text = raw.bearer_token.as_ref().map(|token| Secret::Text(token.clone()));
    let bearer_file = raw.bearer_token_file.as_ref().map(|file| Secret::File(folder.join(file)));
    let bearer = faults.one_of(("bearer_token", "bearer_token_file"), bearer_text, bearer_file);
    let given = [raw.basic_auth.is_some(), raw.authorization.is_some(), bearer.is_some()];
    if given.into_iter().filter(|given| *given).count() > 1 {
        faults.push("give one of basic_auth, authorization and bearer_token");
    }
    if let Some(basic) = &raw.basic_auth {
        return basic_auth(basic, folder, faults);
    }
    if let Some(authorization) = &raw.authorization {
        return header_auth(authorization, folder, faults);
    }
    bearer
        .map_or(Auth::None, |credentials| Auth::Header { scheme: "Bearer".to_owned(), credentials })
}

fn basic_auth(raw: &RawBasicAuth, folder: &Path, faults: &mut Faults<'_>) -> Auth {
    let file = |path: &std::path::PathBuf| Secret::File(folder.join(path));
    let name = Some(&raw.username).filter(|name| !name.is_empty());
    let username = faults.one_of(
        ("basic_auth.username", "username_file"),
        name.cloned().map(Secret::Text),
        raw.username_file.as_ref().map(file),
    );
    let password = faults.one_of(
        ("basic_auth.password", "password_file"),
        raw.password.clone().map(Secret::Text),
        raw.password_file.as_ref().map(file),
    );
    let nothing = || Secret::Text(String::new());
    Auth::Basic {
        username: username.unwrap_or_else(nothing),
        password: password.unwrap_or_else(nothing),
    }
}

fn header_auth(raw: &RawAuthorization, folder: &Path, faults: &mut Faults<'_>) -> Auth {
    let scheme = raw.type_.as_deref().map(str::trim).filter(|scheme| !scheme.is_empty());
    let scheme = scheme.unwrap_or("Bearer");
    if scheme.eq_ignore_ascii_case("basic") {
        faults.push("authorization.type cannot be Basic: use basic_auth");
    }
    let credentials = faults.one_of(
        ("authorization.credentials", "credentials_file"),
        raw.credentials.clone().map(Secret::Text),
        raw.credentials_file.as_ref().map(|file| Secret::File(folder.join(file))),
    );
    if credentials.is_none() {
        faults.push("authorization has no credentials and no credentials_file");
    }
    Auth::Header {
        scheme: scheme.to_owned(),
        credentials: credentials.unwrap_or(Secret::Text(String::new())),
    }
}

fn tls(raw: &RawTls, folder: &Path, faults: &mut Faults<'_>) -> TlsOptions {
    let file = |path: &std::path::PathBuf| Pem::File(folder.join(path));
    let mut part = |names, text: &Option<String>, path: &Option<std::path::PathBuf>| {
        faults.one_of(names, text.clone().map(Pem::Text), path.as_ref().map(file))
    };
    let ca = part(("tls_config.ca", "ca_file"), &raw.ca, &raw.ca_file);
    let certificate = part(("tls_config.cert", "cert_file"), &raw.cert, &raw.cert_file);
    let key = part(("tls_config.key", "key_file"), &raw.key, &raw.key_file);
    if certificate.is_some() != key.is_some() {
        faults.push("tls_config: a certificate and its key go together");
    }
    TlsOptions {
        ca,
        identity: certificate.zip(key),
        server_name: raw.server_name.clone().filter(|name| !name.is_empty()),
        insecure_skip_verify: raw.insecure_skip_verify,
    }
}
