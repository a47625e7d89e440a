//! What can go wrong with a verb, and the exit status it gives.

use std::io;
use std::path::PathBuf;

use swell_client::{BuildClientError, ClientError};

/// Exit statuses of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It failed.
    Failed = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// There is no such object.
    NotFound = 4,
    /// No answer in time.
    Timeout = 5,
    /// The server refused who asked.
    Denied = 6,
}

/// Why a verb did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be written.
    #[error("write {}", path.display())]
    WriteFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no kubeconfig where it was looked for.
    #[error(
        "there is no kubeconfig at {}: start `swell server` (it writes DATA_DIR/kubeconfig), then pass that file with --kubeconfig or KUBECONFIG", path.display()
    )]
    NoKubeconfig {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file is no YAML, or not the YAML it should be.
    #[error("{}: {message}", path.display())]
    Yaml {
        /// Which file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
    },
    /// The client could not be made.
    #[error("use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<BuildClientError>,
    },
    /// The server refused or could not be reached.
    #[error("{what}")]
    Api {
        /// What was tried.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<ClientError>,
    },
    /// The HTTP API could not be reached.
    #[error(
        "reach the HTTP API at {server}: is `swell server` running there? (--server or SWELL_SERVER say where)"
    )]
    Http {
        /// Its address.
        server: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The HTTP API answered with an error.
    #[error("{message}")]
    HttpAnswer {
        /// HTTP status code.
        code: u16,
        /// Its text.
        message: String,
    },
    /// Output could not be written.
    #[error("write the output")]
    Write(#[from] io::Error),
    /// Some of several objects failed; each was reported.
    #[error("{failed} of {all} objects failed")]
    Some {
        /// How many failed.
        failed: usize,
        /// How many there were.
        all: usize,
    },
}

impl CliError {
    /// Wraps a client error with what was tried.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// The exit status that tells a script what happened.
    #[must_use]
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::Api { source, .. } => match source.as_ref() {
                ClientError::NotFound { .. } => ExitStatus::NotFound,
                ClientError::Timeout { .. } => ExitStatus::Timeout,
                ClientError::Denied { .. } => ExitStatus::Denied,
                _ => ExitStatus::Failed,
            },
            Self::HttpAnswer { code: 404, .. } => ExitStatus::NotFound,
            Self::HttpAnswer { code: 401 | 403, .. } => ExitStatus::Denied,
            _ => ExitStatus::Failed,
        }
    }

    /// Whether the reader of the output went away: then there is nothing to report.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
