//! From a configuration file to checked settings. Every fault is reported at once, with file and line.

pub(crate) mod alerting;
mod archive;
mod client;
mod discoveries;
pub(crate) mod downsample;
mod environment;
mod faults;
mod features;
mod filled;
mod fingerprint;
mod jobs;
mod location;
mod query;
mod raw;
mod raw_client;
mod raw_discovery;
mod raw_scrape;
mod raw_sources;
mod reading;
mod receivers;
mod scrape_files;
mod sending;
mod shown;
mod storage;
pub(crate) mod templates;
mod tree;
mod unsupported;
mod web;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use serde_saphyr::UserMessageFormatter;
use swell_http::RoutePrefix;
use swell_model::{DurationMs, Labels, first_document};
use swell_otlp::Deltas;
use swell_promql::Features;
use swell_remote_read::RemoteReadConfig;
use swell_remote_write::QueueConfig;
use swell_scrape::ScrapeConfig;

use alerting::AlertingSettings;
pub(crate) use archive::ArchiveSettings;
use client::ClientContext;
use environment::{Environment, ProcessEnvironment};
use features::Switches;
pub(crate) use features::features;
pub(crate) use fingerprint::Fingerprint;
use jobs::JobDefaults;
pub(crate) use location::{ExternalUrl, Location};
pub(crate) use query::QueryLimits;
use raw::{RawConfig, Span};
use raw_scrape::RawScrapeConfig;

pub(crate) use raw::parse_size;
pub(crate) use receivers::parse_message;
use receivers::{OtlpSettings, PushgatewaySettings, RemoteWriteSettings};
use shown::Shown;
pub(crate) use web::{Files, WebConfig, stamp};

/// Distance of scrapes, longest a scrape may take and distance of evaluations, unless told.
const SCRAPE_INTERVAL_DEFAULT: DurationMs = DurationMs::from_secs(60);
const SCRAPE_TIMEOUT_DEFAULT: DurationMs = DurationMs::from_secs(10);
const EVALUATION_INTERVAL_DEFAULT: DurationMs = DurationMs::from_secs(60);

/// Checked settings of a server.
#[derive(Debug)]
pub(crate) struct Config {
    /// Distance of rule evaluations unless a group says otherwise.
    pub(crate) evaluation_interval: DurationMs,
    /// How much earlier than now rules look.
    pub(crate) rule_query_offset: DurationMs,
    /// Labels of this server.
    pub(crate) external_labels: Labels,
    /// Where users reach this server, if told.
    pub(crate) external_url: Option<ExternalUrl>,
    /// Below which path it answers, if told.
    pub(crate) route_prefix: Option<RoutePrefix>,
    /// Rule files, globs resolved.
    pub(crate) rule_files: Vec<PathBuf>,
    /// Jobs to scrape.
    pub(crate) jobs: Vec<ScrapeConfig>,
    /// The storage's settings.
    pub(crate) storage: swell_engine::Config,
    /// Whether series may be deleted and snapshots made over HTTP.
    pub(crate) admin_api: bool,
    /// Whether the configuration may be read again and the server stopped over HTTP.
    pub(crate) lifecycle_api: bool,
    /// Alertmanagers outside that alerts are sent to.
    pub(crate) alerting: AlertingSettings,
    /// Alertmanager configuration: where it stands, and its text.
    pub(crate) alertmanager: Option<(PathBuf, String)>,
    /// Distance of the collectors' ticks.
    pub(crate) collection_interval: DurationMs,
    /// Limits of queries.
    pub(crate) query: QueryLimits,
    /// Experimental parts of the query language that are on.
    pub(crate) features: Features,
    /// Further features that are on.
    pub(crate) switches: Switches,
    /// Where old samples go, if anywhere.
    pub(crate) archive: Option<ArchiveSettings>,
    /// Settings of the autoscaler.
    pub(crate) autoscaler: AutoscalerSettings,
    /// What is taken by remote write.
    pub(crate) remote_write: RemoteWriteSettings,
    /// Who is sent to by remote write.
    pub(crate) receivers: Vec<QueueConfig>,
    /// Who is read from by remote read.
    pub(crate) remote_reads: Vec<RemoteReadConfig>,
    /// What is taken by OTLP.
    pub(crate) otlp: OtlpSettings,
    /// Whether lines for InfluxDB are taken.
    pub(crate) influx: bool,
    /// How pushes of exposition text are kept.
    pub(crate) pushgateway: PushgatewaySettings,
    /// What becomes of OTLP points of delta temporality.
    pub(crate) deltas: Deltas,
    /// Whether the server stores its own metrics and those of its objects.
    pub(crate) self_metrics: bool,
    /// The file with its defaults, for `status/config`; secrets hidden.
    pub(crate) shown_yaml: String,
    /// The same of each job.
    pub(crate) job_texts: BTreeMap<String, String>,
    /// That of the file and of those it names, where it was read from one.
    pub(crate) fingerprint: Option<Fingerprint>,
    /// What the file asks for and Swell does not do yet, in words.
    pub(crate) unsupported: Vec<String>,
    /// What may not be meant as it is written.
    pub(crate) remarks: Vec<String>,
    /// Files that are named without a wildcard and are not there, by the key that names them.
    pub(crate) missing_files: Vec<(&'static str, PathBuf)>,
    /// Discoveries that the file asks for and Swell does not have, by job.
    pub(crate) unsupported_discoveries: Vec<(String, String)>,
}

/// Settings of the autoscaler that Kubernetes has as flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AutoscalerSettings {
    /// A pod younger than this counts only with a sample from after it became ready.
    pub(crate) cpu_initialization_period: DurationMs,
    /// A pod that became unready within this time after its start was never ready.
    pub(crate) initial_readiness_delay: DurationMs,
    /// Window of proposals that hold a scale-in, where an HPA does not say.
    pub(crate) downscale_stabilization: DurationMs,
}

/// A configuration with faults.
#[derive(Debug, thiserror::Error)]
#[error("{}: {} faults\n{}", path.display(), faults.len(), faults.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n"))]
pub(crate) struct ConfigFaults {
    path: PathBuf,
    faults: Vec<String>,
}

impl Config {
    /// What a server runs with when no file is given.
    pub(crate) fn standard() -> Self {
        Self::from_raw(RawConfig::default(), "", Path::new("."), Path::new("no file"))
            .expect("the defaults have no faults")
    }

    /// Reads and checks a file.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let folder = folder_of(path);
        // Before the files are read that it names: what changes in between counts as changed.
        let fingerprint = Fingerprint::of(&text, folder);
        let config = Self::parse(&text, folder, path)?;
        Ok(Self { fingerprint: Some(fingerprint), ..config })
    }

    /// Parses and checks a text; relative paths in it start at `folder`. Of several YAML documents the first one counts.
    pub(crate) fn parse(text: &str, folder: &Path, path: &Path) -> anyhow::Result<Self> {
        let text = first_document(text);
        let raw: RawConfig = if text.trim().is_empty() {
            RawConfig::default()
        } else {
            match serde_saphyr::from_str(text) {
                Ok(raw) => raw,
                // Without the lines around: they may hold passwords.
                Err(error) => {
                    let why = error.without_snippet().render_with_formatter(&UserMessageFormatter);
                    bail!("{}: {why}", path.display())
                }
            }
        };
        Ok(Self::from_raw(raw, text, folder, path)?)
    }

    /// Switches a feature on that the command line names.
    pub(crate) fn enable_feature(&mut self, name: &str) -> anyhow::Result<()> {
        if let Some(deltas) = features::deltas(name) {
            match features::one_of(self.deltas, deltas) {
                Ok(deltas) => self.deltas = deltas,
                Err(fault) => bail!("--enable-feature={name}: {fault}"),
            }
        } else if !self.switches.switch_on(name) && !features::switch_on(&mut self.features, name) {
            self.unsupported.push(format!("--enable-feature={name}"));
        }
        self.spread_features();
        Ok(())
    }

    /// Tells the parts which features that are on concern them.
    fn spread_features(&mut self) {
        let type_and_unit_labels = self.features.type_and_unit_labels;
        self.otlp.translation.type_and_unit_labels = type_and_unit_labels;
        for job in &mut self.jobs {
            job.type_and_unit_labels = type_and_unit_labels;
            job.zstd = self.switches.zstd_scrape;
        }
    }

    /// Takes the switches of features from the configuration that was there at the start, since they wait for the next one
    /// all together.
    pub(crate) fn keep_switches_of(&mut self, at_start: &Self) {
        self.features = at_start.features;
        self.switches = at_start.switches;
        self.deltas = at_start.deltas;
        self.spread_features();
    }

    /// Keys of what `newer` has otherwise and only a start puts in force.
    pub(crate) fn needs_restart(&self, newer: &Self) -> Vec<&'static str> {
        [
            (
                "storage, swell.retention, swell.downsample or swell.limits",
                !self.storage.differs_only_as_tuned(&newer.storage),
            ),
            ("swell.admin_api", self.admin_api != newer.admin_api),
            ("swell.lifecycle_api", self.lifecycle_api != newer.lifecycle_api),
            ("swell.archive", self.archive != newer.archive),
            ("swell.autoscaler", self.autoscaler != newer.autoscaler),
            ("swell.collection_interval", self.collection_interval != newer.collection_interval),
            (
                "swell.features",
                (self.features, self.switches, self.deltas)
                    != (newer.features, newer.switches, newer.deltas),
            ),
            (
                "swell.external_url or swell.route_prefix",
                (&self.external_url, &self.route_prefix)
                    != (&newer.external_url, &newer.route_prefix),
            ),
            ("swell.query", self.query != newer.query),
            ("swell.remote_write_receiver", self.remote_write != newer.remote_write),
            ("swell.otlp_receiver", self.otlp.enabled != newer.otlp.enabled),
            ("swell.influx_receiver", self.influx != newer.influx),
            ("swell.pushgateway", self.pushgateway != newer.pushgateway),
            ("swell.self_metrics", self.self_metrics != newer.self_metrics),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key)
        .collect()
    }

    fn from_raw(
        raw: RawConfig,
        text: &str,
        folder: &Path,
        path: &Path,
    ) -> Result<Self, ConfigFaults> {
        let mut faults = Vec::new();
        let scrape_interval = set(raw.global.scrape_interval, SCRAPE_INTERVAL_DEFAULT);
        let scrape_timeout =
            set(raw.global.scrape_timeout, SCRAPE_TIMEOUT_DEFAULT.min(scrape_interval));
        let evaluation_interval = set(raw.global.evaluation_interval, EVALUATION_INTERVAL_DEFAULT);
        if scrape_timeout > scrape_interval {
            faults.push(format!(
                "global.scrape_timeout {scrape_timeout} is longer than scrape_interval {scrape_interval}"
            ));
        }
        let collection_interval = set(raw.swell.collection_interval, DurationMs::from_secs(1));
        if collection_interval.0 < 100 {
            faults.push(format!(
                "swell.collection_interval {collection_interval} is shorter than 100ms"
            ));
        }
        let environment = ProcessEnvironment;
        let mut globs = Globs { folder, missing: Vec::new() };
        let files = globs.files("scrape_config_files", &raw.scrape_config_files, &mut faults);
        let files = scrape_files::read(&files, &mut faults);
        let shown = Shown::of(text);
        let mut job_texts = shown.jobs();
        files.iter().for_each(|file| job_texts.append(&mut shown.jobs_of(&file.text)));
        let own_jobs = raw.scrape_configs.iter().map(|job| (folder, job));
        let further =
            files.iter().flat_map(|it| it.jobs.iter().map(|job| (it.folder.as_path(), job)));
        let raw_jobs: Vec<(&Path, &RawScrapeConfig)> = own_jobs.chain(further).collect();
        check_job_names(&raw_jobs, &mut faults);
        let reach = jobs::reach(&raw.swell.scrape, &mut faults);
        let defaults = |job_folder| JobDefaults {
            global: &raw.global,
            interval: scrape_interval,
            timeout: scrape_timeout,
            folder: job_folder,
            global_folder: folder,
            environment: &environment,
            reach: &reach,
        };
        let jobs = raw_jobs.iter();
        let jobs = jobs.map(|(at, job)| jobs::job(job, &defaults(at), &mut faults)).collect();
        let context = ClientContext { folder, environment: &environment };
        let alerting = alerting::settings(raw.alerting.as_ref(), context, &mut faults);
        let storage = storage::storage(&raw, &mut faults);
        let rule_files = globs.files("rule_files", &raw.rule_files, &mut faults);
        let alertmanager = alertmanager(&raw, folder, path, &mut faults);
        let mut unsupported = unsupported::unsupported(&raw);
        let mut remarks = Vec::new();
        let unsupported_discoveries = raw_jobs
            .iter()
            .flat_map(|(_, job)| {
                let kinds = job.sources().unsupported().into_iter();
                kinds.map(|kind| (job.job_name.clone(), kind.to_owned()))
            })
            .collect();
        let limits = query::limits(&raw.swell.query, &mut faults);
        let external_labels = external_labels(&raw, &environment, &mut remarks, &mut faults);
        let context = ClientContext { folder, environment: &environment };
        let remote_reads = reading::readers(&raw.remote_read, context, &mut faults);
        let receivers = sending::queues(&raw.remote_write, &external_labels, context, &mut faults);
        let scaler = &raw.swell.autoscaler;
        let autoscaler = AutoscalerSettings {
            cpu_initialization_period: set(
                scaler.cpu_initialization_period,
                DurationMs::from_secs(300),
            ),
            initial_readiness_delay: set(scaler.initial_readiness_delay, DurationMs::from_secs(30)),
            downscale_stabilization: set(
                scaler.downscale_stabilization,
                DurationMs::from_secs(300),
            ),
        };
        let remote_write = receivers::remote_write(&raw, &mut faults);
        let otlp = receivers::otlp(&raw, limits.lookback, &mut faults);
        let pushgateway = receivers::pushgateway(&raw, scrape_interval, &mut faults);
        let (mut features, mut switches) = (Features::default(), Switches::default());
        let mut deltas = Deltas::default();
        for name in &raw.swell.features {
            if let Some(given) = features::deltas(name) {
                match features::one_of(deltas, given) {
                    Ok(one) => deltas = one,
                    Err(fault) => faults.push(format!("swell.features: {name}: {fault}")),
                }
            } else if !switches.switch_on(name) && !features::switch_on(&mut features, name) {
                unsupported.push(format!("swell.features: {name}"));
            }
        }
        let archive = archive::settings(raw.swell.archive.as_ref(), folder, &mut faults);
        let (external_url, route_prefix) = location::settings(&raw.swell, &mut faults);
        if !faults.is_empty() {
            return Err(ConfigFaults { path: path.to_owned(), faults });
        }
        let mut config = Self {
            evaluation_interval,
            rule_query_offset: set(raw.global.rule_query_offset, DurationMs::ZERO),
            external_labels,
            external_url,
            route_prefix,
            rule_files,
            jobs,
            storage,
            admin_api: raw.swell.admin_api,
            lifecycle_api: raw.swell.lifecycle_api,
            alerting,
            alertmanager,
            collection_interval,
            query: limits,
            features,
            switches,
            archive,
            autoscaler,
            remote_write,
            receivers,
            remote_reads,
            otlp,
            influx: raw.swell.influx_receiver.enabled,
            pushgateway,
            deltas,
            self_metrics: raw.swell.self_metrics.unwrap_or(true),
            shown_yaml: shown.yaml(),
            job_texts,
            fingerprint: None,
            unsupported,
            remarks,
            missing_files: globs.missing,
            unsupported_discoveries,
        };
        config.spread_features();
        Ok(config)
    }
}

/// Where relative paths of a file start.
fn folder_of(path: &Path) -> &Path {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Each job needs a name of its own.
fn check_job_names(jobs: &[(&Path, &RawScrapeConfig)], faults: &mut Vec<String>) {
    let mut names = BTreeMap::new();
    for (idx, (_, job)) in jobs.iter().enumerate() {
        if job.job_name.is_empty() {
            faults.push(format!("scrape_configs[{idx}]: job_name is missing"));
        } else if let Some(other) = names.insert(job.job_name.as_str(), idx) {
            faults.push(format!(
                "scrape_configs[{idx}]: job_name {:?} is taken by scrape_configs[{other}]",
                job.job_name
            ));
        }
    }
}

/// Labels of this server, with variables of the environment replaced; those that are not set are told.
fn external_labels(
    raw: &RawConfig,
    environment: &dyn Environment,
    told: &mut Vec<String>,
    faults: &mut Vec<String>,
) -> Labels {
    if raw.global.external_labels.contains_key("") {
        faults.push("global.external_labels: a label has no name".to_owned());
    }
    let mut missing = Vec::new();
    let labels = raw.global.external_labels.iter().map(|(name, value)| {
        (name.clone(), environment::expanded(value, environment, &mut missing))
    });
    let labels: BTreeMap<String, String> = labels.collect();
    told.extend(missing.into_iter().map(|name| {
        format!("global.external_labels: ${name} is not in the environment and stands for nothing")
    }));
    Labels::from_pairs(&labels)
}

/// The given span; Prometheus reads zero as "not given".
fn set(given: Option<Span>, default: DurationMs) -> DurationMs {
    given.map(|span| span.0).filter(|span| span.0 > 0).unwrap_or(default)
}

fn alertmanager(
    raw: &RawConfig,
    folder: &Path,
    path: &Path,
    faults: &mut Vec<String>,
) -> Option<(PathBuf, String)> {
    match (&raw.swell.alertmanager_config_file, &raw.swell.alertmanager_config) {
        (Some(_), Some(_)) => {
            faults.push(
                "swell: give alertmanager_config_file or alertmanager_config, not both".to_owned(),
            );
            None
        }
        (Some(file), None) => {
            let file = folder.join(file);
            match fs::read_to_string(&file) {
                Ok(text) => Some((file, text)),
                Err(error) => {
                    faults.push(format!(
                        "swell.alertmanager_config_file {}: {error}",
                        file.display()
                    ));
                    None
                }
            }
        }
        (None, Some(inline)) => match serde_saphyr::to_string(inline) {
            Ok(text) => Some((path.to_owned(), text)),
            Err(error) => {
                faults.push(format!("swell.alertmanager_config: {error}"));
                None
            }
        },
        (None, None) => None,
    }
}

/// Finds the files of patterns.
struct Globs<'a> {
    /// Relative patterns start here.
    folder: &'a Path,
    /// Files that are named without a wildcard and are not there: as in Prometheus no reason not to start.
    missing: Vec<(&'static str, PathBuf)>,
}

impl Globs<'_> {
    /// Files that match the patterns of a key. One that several of them find is there once, by the shortest form of its
    /// path: groups of rules are named by it.
    fn files(
        &mut self,
        key: &'static str,
        patterns: &[String],
        faults: &mut Vec<String>,
    ) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for pattern in patterns {
            let path = shortest(&self.folder.join(pattern));
            if glob::Pattern::escape(pattern) == *pattern {
                // What is there and no file is told by whoever reads it.
                if path.symlink_metadata().is_ok() {
                    found.push(path);
                } else {
                    self.missing.push((key, path));
                }
                continue;
            }
            match glob::glob(&plain_stars(&path)) {
                // As Prometheus: a folder that is not there, or cannot be read, holds no files.
                Ok(paths) => found.extend(paths.filter_map(Result::ok)),
                Err(error) => faults.push(format!("{key}: {pattern:?}: {error}")),
            }
        }
        let mut files: Vec<PathBuf> = Vec::with_capacity(found.len());
        for path in found {
            if !files.contains(&path) {
                files.push(path);
            }
        }
        files
    }
}

/// The pattern with `**` beside other letters as `*`, which it is in Prometheus.
fn plain_stars(pattern: &Path) -> String {
    let pattern = pattern.to_string_lossy();
    let parts = pattern.split('/').map(|part| {
        let mut plain = part.to_owned();
        while part != "**" && plain.contains("**") {
            plain = plain.replace("**", "*");
        }
        plain
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The path without `.`, and without `..` where it undoes a name.
fn shortest(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if short.file_name().is_some() => {
                short.pop();
            }
            part => short.push(part),
        }
    }
    if short.as_os_str().is_empty() { PathBuf::from(".") } else { short }
}

#[cfg(test)]
mod tests;
