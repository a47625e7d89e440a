use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::clients::Clients;
use super::{Identity, PkiError};

/// What a server asks of its clients during the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is asked for.
    Off,
    /// A certificate is checked when the client shows one; others authenticate by other means.
    Optional,
    /// The handshake fails without a certificate of the authority.
    Required,
}

/// Versions of TLS that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 alone.
    Tls12,
    /// 1.3 alone.
    Tls13,
    /// Both.
    All,
}

impl TlsVersions {
    fn offered(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&TLS12],
            Self::Tls13 => vec![&TLS13],
            Self::All => vec![&TLS13, &TLS12],
        }
    }
}

/// Protocols offered in the handshake: HTTP/2 first.
const ALPN_HTTP: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The TLS side of a server that shows `identity` and checks client certificates against `ca_pem`.
///
/// # Errors
/// [`PkiError::Pem`] when a text is no PEM, [`PkiError::Tls`] when certificate and key do not belong together.
pub fn server_config(
    identity: &Identity,
    ca_pem: &str,
    client_auth: ClientAuth,
) -> Result<Arc<ServerConfig>, PkiError> {
    server_config_with(identity, ca_pem, client_auth, TlsVersions::All)
}

/// As [`server_config`], of a server that speaks some versions only.
///
/// # Errors
/// As [`server_config`].
pub fn server_config_with(
    identity: &Identity,
    ca_pem: &str,
    client_auth: ClientAuth,
    versions: TlsVersions,
) -> Result<Arc<ServerConfig>, PkiError> {
    let (chain, key) = parts(identity)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions.offered())
        .map_err(|source| PkiError::Tls { source })?;
    let builder = match client_auth {
        ClientAuth::Off => builder.with_no_client_auth(),
        ClientAuth::Optional | ClientAuth::Required => {
            let certificates = authorities(ca_pem)?;
            let roots = Arc::new(roots(certificates.clone())?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match client_auth {
                ClientAuth::Optional => verifier.allow_unauthenticated(),
                ClientAuth::Off | ClientAuth::Required => verifier,
            };
            let signed = verifier.build().map_err(|source| PkiError::Verifier { source })?;
            builder.with_client_cert_verifier(Arc::new(Clients { signed, certificates }))
        }
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|source| PkiError::Tls { source })?;
    config.alpn_protocols = ALPN_HTTP.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The TLS side of a client that trusts `ca_pem` alone and shows `identity` when it has one. Without
/// ALPN: HTTP clients add the protocols they speak.
///
/// # Errors
/// [`PkiError::Pem`] when a text is no PEM, [`PkiError::Tls`] when certificate and key do not belong together.
pub fn client_config(ca_pem: &str, identity: Option<&Identity>) -> Result<ClientConfig, PkiError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| PkiError::Tls { source })?
        .with_root_certificates(roots(authorities(ca_pem)?)?);
    match identity {
        None => Ok(builder.with_no_client_auth()),
        Some(identity) => {
            let (chain, key) = parts(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|source| PkiError::Tls { source })
        }
    }
}

fn parts(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
    let chain = CertificateDer::pem_slice_iter(identity.certificate_pem().as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PkiError::Pem { what: "the certificate", source })?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())
        .map_err(|source| PkiError::Pem { what: "the private key", source })?;
    Ok((chain, key))
}

fn authorities(ca_pem: &str) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let what = "the authority's certificate";
    let certificates = CertificateDer::pem_slice_iter(ca_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| PkiError::Pem { what, source })?;
    if certificates.is_empty() {
        let source = rustls::pki_types::pem::Error::NoItemsFound;
        return Err(PkiError::Pem { what, source });
    }
    Ok(certificates)
}

fn roots(certificates: Vec<CertificateDer<'static>>) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|source| PkiError::Tls { source })?;
    }
    Ok(roots)
}
