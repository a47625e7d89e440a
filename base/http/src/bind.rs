//! Opening a listening socket, with errors that tell the way out.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::port_holder::port_holder;

/// Why an address could not be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "{address} is already in use by {holder}: stop it, or choose another address with {flag}"
    )]
    InUse {
        /// Address asked for.
        address: SocketAddr,
        /// Process that holds it, as far as this user may see.
        holder: String,
        /// Flag that changes the address.
        flag: &'static str,
    },
    /// The user may not listen there.
    #[error(
        "no permission to listen on {address}: ports below 1024 need a privilege, choose another address with {flag}"
    )]
    Forbidden {
        /// Address asked for.
        address: SocketAddr,
        /// Flag that changes the address.
        flag: &'static str,
    },
    /// This machine does not have that address.
    #[error("this machine has no address {}: choose one of its own with {flag}", address.ip())]
    NoSuchAddress {
        /// Address asked for.
        address: SocketAddr,
        /// Flag that changes the address.
        flag: &'static str,
    },
    /// Anything else.
    #[error("listen on {address} (set with {flag})")]
    Other {
        /// Address asked for.
        address: SocketAddr,
        /// Flag that changes the address.
        flag: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Listens on `address`; `flag` names the setting it came from, for the error's advice.
///
/// # Errors
/// [`BindError`], by what the user can do about it.
pub async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = port_holder(address.port()).unwrap_or_else(|| {
                format!("a process of another user (see: ss -ltnp 'sport = :{}')", address.port())
            });
            BindError::InUse { address, holder, flag }
        }
        io::ErrorKind::PermissionDenied => BindError::Forbidden { address, flag },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { address, flag },
        _ => BindError::Other { address, flag, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_names_holder_and_flag() {
        let any = "127.0.0.1:0".parse().expect("valid address");
        let first = bind(any, "--listen-http").await.expect("a free port");
        let address = first.local_addr().expect("bound");
        let error = bind(address, "--listen-http").await.expect_err("taken").to_string();
        assert!(error.contains(&address.to_string()), "{error}");
        assert!(error.contains("--listen-http"), "{error}");
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
    }

    #[tokio::test]
    async fn a_foreign_address_is_told_apart() {
        let address = "192.0.2.1:1".parse().expect("valid address");
        let error = bind(address, "--listen-http").await.expect_err("not ours");
        assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
    }
}
