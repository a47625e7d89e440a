//! TLS as the options say.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::connect::Connector;
use crate::options::{Pem, TlsOptions, TlsVersion};
use crate::trust::{AuthorityFault, authorities};

/// What is wrong with TLS options.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {what} from {}", path.display())]
    Read {
        /// Which of the parts.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A text is no PEM.
    #[error("read {what} as PEM")]
    Pem {
        /// Which of the parts.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The authority's text holds no certificate.
    #[error("the authority given holds no certificate")]
    NoAuthority,
    /// TLS refuses the authority.
    #[error("set up TLS with the authority")]
    Authority(#[from] AuthorityFault),
    /// The oldest version is newer than the newest.
    #[error("tls_config.min_version is above max_version: no version is left")]
    NoVersion,
    /// The name to verify is none.
    #[error("{name:?} is not a server name")]
    ServerName {
        /// As given.
        name: String,
    },
    /// The system has no authorities that can be read.
    #[error("read the authorities of this system")]
    SystemAuthorities(#[source] io::Error),
    /// TLS refuses a part.
    #[error("set up TLS with {what}")]
    Refused {
        /// Which of the parts.
        what: &'static str,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// A connector that does as the options say, on connections that `connector` makes.
pub(crate) fn connector(
    options: &TlsOptions,
    http2: bool,
    connector: Connector,
) -> Result<HttpsConnector<Connector>, TlsError> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(client_config(options)?);
    let builder = builder.https_or_http();
    let builder = match &options.server_name {
        Some(name) => {
            let valid = ServerName::try_from(name.clone())
                .map_err(|_| TlsError::ServerName { name: name.clone() })?;
            builder.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(valid))
        }
        None => builder,
    };
    Ok(if http2 {
        builder.enable_all_versions().wrap_connector(connector)
    } else {
        builder.enable_http1().wrap_connector(connector)
    })
}

/// The versions that the options leave.
fn versions(
    options: &TlsOptions,
) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, TlsError> {
    let all = [
        (TlsVersion::Tls13, &rustls::version::TLS13),
        (TlsVersion::Tls12, &rustls::version::TLS12),
    ];
    let left: Vec<_> = all
        .into_iter()
        .filter(|(version, _)| {
            options.min_version.is_none_or(|min| *version >= min)
                && options.max_version.is_none_or(|max| *version <= max)
        })
        .map(|(_, version)| version)
        .collect();
    if left.is_empty() { Err(TlsError::NoVersion) } else { Ok(left) }
}

fn client_config(options: &TlsOptions) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused = |what| move |source| TlsError::Refused { what, source };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(options)?)
        .map_err(refused("its versions"))?;
    let builder = if options.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else if let Some(ca) = &options.ca {
        let verifier = authorities(certificates(&pem(ca, "the authority")?)?, provider);
        builder.dangerous().with_custom_certificate_verifier(verifier?)
    } else {
        builder.with_native_roots().map_err(TlsError::SystemAuthorities)?
    };
    let Some((certificate, key)) = &options.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let certificate = pem(certificate, "the client certificate")?;
    let chain = CertificateDer::pem_slice_iter(certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what: "the client certificate", source })?;
    let key = PrivateKeyDer::from_pem_slice(pem(key, "the client key")?.as_bytes())
        .map_err(|source| TlsError::Pem { what: "the client key", source })?;
    builder.with_client_auth_cert(chain, key).map_err(refused("the client certificate"))
}

fn pem(pem: &Pem, what: &'static str) -> Result<String, TlsError> {
    match pem {
        Pem::Text(text) => Ok(text.clone()),
        Pem::File(path) => fs::read_to_string(path).map_err(|source| TlsError::Read {
            what,
            path: path.clone(),
            source,
        }),
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { what: "the authority", source })?;
    if certificates.is_empty() { Err(TlsError::NoAuthority) } else { Ok(certificates) }
}

/// `insecure_skip_verify`: any certificate will do, whoever signed it and of whatever form: those of devices may be
/// of version 1, or have short keys. Signatures by its key are not looked at either: whoever sits in between
/// has a certificate and key of their own, so a good signature would prove nothing.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
