//! Who is at the other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// The other end of a connection; handlers take it as `Extension<Peer>`.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address it connected from.
    pub address: SocketAddr,
    /// The client certificate, checked during the TLS handshake; none when it showed none.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// What a verified client certificate says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Subject's common name: the user, as Kubernetes reads it.
    pub common_name: String,
    /// Subject's organizations: the groups.
    pub organizations: Vec<String>,
}

impl PeerCertificate {
    /// Reads the subject; none when it is no certificate or has no common name.
    pub(crate) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let organizations = subject
            .iter_organization()
            .filter_map(|organization| organization.as_str().ok())
            .map(str::to_owned)
            .collect();
        Some(Self { common_name, organizations })
    }
}
