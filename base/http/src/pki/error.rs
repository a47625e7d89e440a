use std::io;
use std::path::PathBuf;

/// Why keys, certificates or a TLS configuration could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file or directory could not be written.
    #[error("write {}", path.display())]
    Write {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Certificate without key, or key without certificate.
    #[error(
        "{} exists but {} does not: restore it, or remove both to start a new authority (all issued certificates become invalid)",
        present.display(),
        missing.display()
    )]
    Incomplete {
        /// File that is there.
        present: PathBuf,
        /// File that is not.
        missing: PathBuf,
    },
    /// A stored certificate or key is damaged, expired or does not belong to its other half.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and the way out.
        why: String,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name:?} cannot stand in a certificate: {why}")]
    BadName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Signing failed.
    #[error("issue a certificate for {subject}")]
    Issue {
        /// Common name asked for.
        subject: String,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// PEM text without the expected block.
    #[error("{what} is not readable PEM")]
    Pem {
        /// What the text should hold.
        what: &'static str,
        /// Where it fails.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The TLS library refused the parts.
    #[error("build the TLS configuration")]
    Tls {
        /// What the library said.
        #[source]
        source: rustls::Error,
    },
    /// The verifier of client certificates could not be built.
    #[error("build the verifier of client certificates")]
    Verifier {
        /// What the library said.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}
