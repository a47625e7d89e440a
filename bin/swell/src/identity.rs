//! Who is who: the cluster's authority, the tokens of people and agents, and the one-line form in which
//! an agent's token travels.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::data_dir::DataDir;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;
/// Marks an agent's token and its version.
const JOIN_PREFIX: &str = "swell1";

/// Tokens of a server.
#[derive(Clone)]
pub(crate) struct Tokens {
    /// For people and the kubeconfig.
    pub(crate) admin: String,
    /// For agents.
    pub(crate) agent: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(<secret>)")
    }
}

impl Tokens {
    /// Reads `tokens/{admin,agent}`, making those that are not there.
    pub(crate) fn load_or_create(data_dir: &DataDir) -> anyhow::Result<Self> {
        let folder = data_dir.join("tokens");
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(Self {
            admin: load_or_create(&folder.join("admin"))?,
            agent: load_or_create(&folder.join("agent"))?,
        })
    }
}

fn load_or_create(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => bail!("{} is empty: remove it, and a new token is made", path.display()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = random_token()?;
            write_secret(path, &token)?;
            Ok(token)
        }
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = || format!("write {}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(shown)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(shown)
}

/// A new token from the kernel's randomness.
pub(crate) fn random_token() -> anyhow::Result<String> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    fill_random(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Fills a buffer from the kernel's randomness.
pub(crate) fn fill_random(bytes: &mut [u8]) -> anyhow::Result<()> {
    use std::io::Read as _;
    fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(bytes))
        .context("read /dev/urandom")
}

/// What an agent needs to join: the secret, and the authority that vouches for the server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct JoinToken {
    /// Certificate of the authority, PEM.
    pub(crate) ca_pem: String,
    /// The secret.
    pub(crate) secret: String,
}

impl std::fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JoinToken(<secret>)")
    }
}

impl JoinToken {
    /// One line: `swell1.<authority>.<secret>`, so that nothing has to be trusted on first use.
    pub(crate) fn to_line(&self) -> String {
        format!("{JOIN_PREFIX}.{}.{}", URL_SAFE_NO_PAD.encode(&self.ca_pem), self.secret)
    }

    /// Reads the line back.
    pub(crate) fn parse(line: &str) -> anyhow::Result<Self> {
        let mut parts = line.trim().splitn(3, '.');
        let (Some(JOIN_PREFIX), Some(ca), Some(secret)) =
            (parts.next(), parts.next(), parts.next())
        else {
            bail!("this is no join token: on the server, `swell token --data-dir DIR` prints one");
        };
        let ca_pem = URL_SAFE_NO_PAD
            .decode(ca)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .context("the join token is damaged: copy it again, in one line")?;
        Ok(Self { ca_pem, secret: secret.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_is_one_line_and_comes_back_whole() {
        let token =
            JoinToken { ca_pem: "-----BEGIN\nx\n-----END\n".to_owned(), secret: "s.1".to_owned() };
        let line = token.to_line();
        assert!(!line.contains('\n'));
        assert_eq!(JoinToken::parse(&format!("{line}\n")).expect("whole"), token);
        for broken in ["", "swell1.a", "swell2.a.b", "swell1.!.b"] {
            assert!(JoinToken::parse(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn tokens_are_kept_and_readable_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = DataDir::open(folder.path()).expect("free");
        let first = Tokens::load_or_create(&data_dir).expect("made");
        let again = Tokens::load_or_create(&data_dir).expect("read");
        assert_eq!((&first.admin, &first.agent), (&again.admin, &again.agent));
        assert_ne!(first.admin, first.agent);
        let mode = fs::metadata(data_dir.join("tokens/admin")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
