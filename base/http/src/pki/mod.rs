//! The private certificate authority of one installation: issues server and client certificates and
//! builds the TLS configurations that trust it. TLS is rustls over ring, versions 1.3 and 1.2.

mod authority;
mod clients;
mod error;
mod files;
mod tls;

pub use authority::{Authority, Identity};
pub use error::PkiError;
pub use tls::{ClientAuth, TlsVersions, client_config, server_config, server_config_with};
