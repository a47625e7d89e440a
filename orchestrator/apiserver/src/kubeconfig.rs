//! The file that lets kubectl find and enter the server.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// How the user of the file shows who it is.
#[derive(Clone)]
pub enum KubeconfigUser {
    /// A client certificate with its key, both PEM.
    Certificate {
        /// Certificate.
        certificate_pem: String,
        /// Private key.
        key_pem: String,
    },
    /// A bearer token.
    Token(String),
}

impl std::fmt::Debug for KubeconfigUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Certificate { .. } => "Certificate(<secret>)",
            Self::Token(_) => "Token(<secret>)",
        })
    }
}

/// What the file says.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// `https://host:port`.
    pub server: String,
    /// Certificate of the authority that vouches for the server, PEM.
    pub ca_pem: String,
    /// Who enters.
    pub user: KubeconfigUser,
}

impl Kubeconfig {
    /// The text of the file. It is JSON, which is YAML, so that nothing has to be escaped twice.
    #[must_use]
    pub fn render(&self) -> String {
        let user = match &self.user {
            KubeconfigUser::Certificate { certificate_pem, key_pem } => json!({
                "client-certificate-data": BASE64.encode(certificate_pem),
                "client-key-data": BASE64.encode(key_pem),
            }),
            KubeconfigUser::Token(token) => json!({"token": token.trim()}),
        };
        let config: Value = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "swell", "preferences": {},
            "clusters": [{"name": "swell", "cluster": {
                "server": self.server, "certificate-authority-data": BASE64.encode(&self.ca_pem),
            }}],
            "users": [{"name": "swell-admin", "user": user}],
            "contexts": [{"name": "swell", "context": {"cluster": "swell", "user": "swell-admin"}}],
        });
        format!("{config:#}\n")
    }

    /// Writes the file, readable by its owner only, in one step: a reader sees the old or the new one.
    ///
    /// # Errors
    /// What the system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
        name.push(".new");
        let fresh = path.with_file_name(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(self.render().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_private_and_replaced_whole() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("kubeconfig");
        for token in ["first", "second"] {
            let config = Kubeconfig {
                server: "https://127.0.0.1:6443".to_owned(),
                ca_pem: "CA".to_owned(),
                user: KubeconfigUser::Token(token.to_owned()),
            };
            config.write(&path).expect("writable");
            let read: Value =
                serde_json::from_slice(&fs::read(&path).expect("readable")).expect("JSON");
            assert_eq!(read["users"][0]["user"]["token"], token);
            assert_eq!(read["clusters"][0]["cluster"]["certificate-authority-data"], "Q0E=");
        }
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1, "nothing is left over");
    }
}
