//! What is scraped and how: checked values, one [`ScrapeConfig`] per job.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use swell_exposition::HistogramOptions;
use swell_model::DurationMs;
use swell_relabel::Rule;

use crate::protocol::ScrapeProtocol;

/// How targets are spoken to unless their labels say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Targets with common labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetGroup {
    /// Addresses, `host:port`.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: BTreeMap<String, String>,
}

/// Target groups that stand in files (`file_sd_configs`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDiscovery {
    /// Paths to `.json`, `.yml` or `.yaml`; the last part may hold `*` and `?`.
    pub patterns: Vec<PathBuf>,
    /// Files are read again at least this often; changes are noticed sooner.
    pub refresh: DurationMs,
}

/// A secret, or where it stands. A file is read for each scrape, so that it can be rotated.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The secret itself.
    Text(String),
    /// A file that holds it; blanks at both ends do not count.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(<secret>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// How a scrape shows who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// User and password.
    Basic {
        /// User.
        username: Secret,
        /// Password.
        password: Secret,
    },
    /// An `Authorization` header.
    Header {
        /// First word of the header, `Bearer` as a rule.
        scheme: String,
        /// What follows it.
        credentials: Secret,
    },
}

/// PEM text, or where it stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// The text itself.
    Text(String),
    /// A file that holds it; read when the job is set up.
    File(PathBuf),
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(<pem>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The TLS side of a scrape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Authorities that vouch for targets; those of the system when absent.
    pub ca: Option<Pem>,
    /// Certificate that we show, with its key.
    pub identity: Option<(Pem, Pem)>,
    /// Name that the target's certificate must carry, when it is not the address.
    pub server_name: Option<String>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
}

/// A scrape that exceeds one of these fails as a whole; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Samples of one scrape, after metric relabelling.
    pub samples_max: Option<usize>,
    /// Targets of the job, after relabelling: with more, all of them fail.
    pub targets_max: Option<usize>,
    /// Labels of one series.
    pub labels_max: Option<usize>,
    /// Bytes of a label's name.
    pub label_name_bytes_max: Option<usize>,
    /// Bytes of a label's value.
    pub label_value_bytes_max: Option<usize>,
    /// Bytes of a body, uncompressed.
    pub body_bytes_max: Option<u64>,
    /// Dropped targets that are remembered for display.
    pub dropped_targets_max: Option<usize>,
}

/// One job.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// Its name, the `job` label of its series unless relabelled.
    pub job_name: String,
    /// Distance of scrapes.
    pub interval: DurationMs,
    /// Longest a scrape may take; no longer than the interval.
    pub timeout: DurationMs,
    /// Path of the URL.
    pub metrics_path: String,
    /// Scheme of the URL.
    pub scheme: Scheme,
    /// Query of the URL.
    pub params: BTreeMap<String, Vec<String>>,
    /// Targets that stand in the configuration.
    pub static_groups: Vec<TargetGroup>,
    /// Targets that stand in files.
    pub file_discoveries: Vec<FileDiscovery>,
    /// Applied to targets.
    pub relabel: Vec<Rule>,
    /// Applied to series.
    pub metric_relabel: Vec<Rule>,
    /// Whether a label of the target's own wins over ours of the same name; else it is renamed to `exported_…`.
    pub honor_labels: bool,
    /// Whether timestamps in the body count.
    pub honor_timestamps: bool,
    /// What becomes of histograms.
    pub histograms: HistogramOptions,
    /// Formats that are asked for, the dearest first; the usual ones when there are none.
    pub protocols: Vec<ScrapeProtocol>,
    /// Format of answers that name none that is known; without it such a scrape fails.
    pub fallback_protocol: Option<ScrapeProtocol>,
    /// Limits.
    pub limits: Limits,
    /// Who asks.
    pub auth: Auth,
    /// TLS.
    pub tls: TlsOptions,
    /// Whether bodies may come compressed.
    pub compression: bool,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
}

impl ScrapeConfig {
    /// A job with Prometheus' defaults and no targets.
    #[must_use]
    pub fn new(job_name: impl Into<String>, interval: DurationMs, timeout: DurationMs) -> Self {
        Self {
            job_name: job_name.into(),
            interval,
            timeout,
            metrics_path: "/metrics".to_owned(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            static_groups: Vec::new(),
            file_discoveries: Vec::new(),
            relabel: Vec::new(),
            metric_relabel: Vec::new(),
            honor_labels: false,
            honor_timestamps: true,
            histograms: HistogramOptions::default(),
            protocols: Vec::new(),
            fallback_protocol: None,
            limits: Limits::default(),
            auth: Auth::None,
            tls: TlsOptions::default(),
            compression: true,
            follow_redirects: true,
        }
    }
}
