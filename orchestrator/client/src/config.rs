//! Where the API server is and who asks.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How the caller shows who it is.
#[derive(Clone)]
pub enum Credentials {
    /// Not at all: good for version and health only.
    Anonymous,
    /// A bearer token.
    Bearer(String),
    /// A TLS client certificate with its key, both PEM.
    Certificate {
        /// Certificate chain, leaf first.
        cert_pem: String,
        /// Private key.
        key_pem: String,
    },
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Bearer(_) => "Bearer(<secret>)",
            Self::Certificate { .. } => "Certificate(<secret>)",
        })
    }
}

/// What a client over HTTPS needs to know.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// `https://host:port`, without a path.
    pub base_url: String,
    /// Certificates that vouch for the server, PEM.
    pub ca_pem: String,
    /// Who asks.
    pub credentials: Credentials,
}

/// Why no client could be made of a [`ClientConfig`].
#[derive(Debug, thiserror::Error)]
pub enum BuildClientError {
    /// The address of the server is no `https://host:port`.
    #[error("API server address {base_url:?} is not of the form https://host:port")]
    BaseUrl {
        /// The address as given.
        base_url: String,
    },
    /// The token cannot be sent in a header.
    #[error("the bearer token holds characters that a header may not")]
    Token,
    /// A PEM text cannot be read.
    #[error("read {what} as PEM")]
    Pem {
        /// Which of the texts.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The authority's text holds no certificate.
    #[error("the certificate authority given holds no certificate")]
    NoAuthority,
    /// TLS refuses a certificate or key.
    #[error("set up TLS with {what}")]
    Tls {
        /// What it refuses.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Client side of TLS as the config demands it: ring, TLS 1.2 and 1.3.
pub(crate) fn tls_config(config: &ClientConfig) -> Result<rustls::ClientConfig, BuildClientError> {
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(config.ca_pem.as_bytes()) {
        let cert =
            cert.map_err(|source| BuildClientError::Pem { what: "the authority", source })?;
        roots
            .add(cert)
            .map_err(|source| BuildClientError::Tls { what: "the authority", source })?;
    }
    if roots.is_empty() {
        return Err(BuildClientError::NoAuthority);
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| BuildClientError::Tls { what: "the default versions", source })?
        .with_root_certificates(roots);
    match &config.credentials {
        Credentials::Anonymous | Credentials::Bearer(_) => Ok(builder.with_no_client_auth()),
        Credentials::Certificate { cert_pem, key_pem } => {
            let chain = CertificateDer::pem_slice_iter(cert_pem.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| BuildClientError::Pem {
                    what: "the client certificate",
                    source,
                })?;
            let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
                .map_err(|source| BuildClientError::Pem { what: "the client key", source })?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| BuildClientError::Tls { what: "the client certificate", source })
        }
    }
}
