//! `--web.config.file`: TLS, users and headers of the HTTP port, in the format of Prometheus' exporter toolkit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, bail};
use http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;
use swell_http::GateRules;
use swell_http::pki::{self, ClientAuth, Identity, TlsVersions};
use swell_model::first_document;

/// Headers that may be set, as upstream allows them.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// Versions of TLS, as upstream names them.
const VERSIONS: [&str; 4] = ["TLS10", "TLS11", "TLS12", "TLS13"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawWeb {
    tls_server_config: Option<RawTlsServer>,
    http_server_config: RawHttpServer,
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTlsServer {
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
    client_auth_type: Option<String>,
    min_version: Option<String>,
    max_version: Option<String>,
    cipher_suites: Option<Vec<String>>,
    curve_preferences: Option<Vec<String>>,
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHttpServer {
    http2: Option<bool>,
    headers: BTreeMap<String, String>,
}

/// Files with their size and time of change, none where there is no such file.
pub(crate) type Files = Vec<(PathBuf, Option<(u64, SystemTime)>)>;

/// What the file says.
pub(crate) struct WebConfig {
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) rules: GateRules,
    /// What is understood and has no effect.
    pub(crate) unsupported: Vec<&'static str>,
}

impl WebConfig {
    /// Reads and checks the file and what it names. `files` has those that were looked at, also after a failure.
    pub(crate) fn load(path: &Path, files: &mut Files) -> anyhow::Result<Self> {
        files.clear();
        note(files, path);
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        let text = first_document(&text);
        let raw: RawWeb = if text.trim().is_empty() {
            RawWeb::default()
        } else {
            serde_saphyr::from_str(text)
                // Without the lines around: they may hold hashes.
                .map_err(|error| {
                    let why = error.without_snippet().render_with_formatter(&UserMessageFormatter);
                    anyhow::anyhow!("{}: {why}", path.display())
                })?
        };
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut unsupported = Vec::new();
        let tls = raw
            .tls_server_config
            .as_ref()
            .map(|tls| server_config(tls, folder, files, &mut unsupported))
            .transpose()
            .with_context(|| format!("{}: tls_server_config", path.display()))?;
        if raw.http_server_config.http2 == Some(false) {
            unsupported.push("http_server_config.http2: HTTP/2 is spoken with whoever asks for it");
        }
        let rules =
            GateRules { users: raw.basic_auth_users, headers: headers(&raw.http_server_config)? };
        rules.check().with_context(|| format!("{}: basic_auth_users", path.display()))?;
        Ok(Self { tls, rules, unsupported })
    }
}

/// Remembers how a file is before it is read, so that no change after that is missed.
fn note(files: &mut Files, path: &Path) {
    files.push((path.to_owned(), stamp(path)));
}

/// Size and time of change.
pub(crate) fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

fn headers(raw: &RawHttpServer) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    raw.headers
        .iter()
        .map(|(name, value)| {
            let Some(name) = HEADERS.into_iter().find(|known| known.eq_ignore_ascii_case(name))
            else {
                bail!("http_server_config.headers: {name:?} is none of {}", HEADERS.join(", "));
            };
            let value = HeaderValue::from_str(value)
                .with_context(|| format!("http_server_config.headers: the value of {name}"))?;
            Ok((HeaderName::from_bytes(name.as_bytes())?, value))
        })
        .collect()
}

fn server_config(
    raw: &RawTlsServer,
    folder: &Path,
    files: &mut Files,
    unsupported: &mut Vec<&'static str>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let versions = versions(raw)?;
    for (found, what) in [
        (raw.cipher_suites.is_some(), "tls_server_config.cipher_suites: the safe ones are used"),
        (
            raw.curve_preferences.is_some(),
            "tls_server_config.curve_preferences: the safe ones are used",
        ),
        (
            raw.prefer_server_cipher_suites == Some(false),
            "tls_server_config.prefer_server_cipher_suites",
        ),
    ] {
        if found {
            unsupported.push(what);
        }
    }
    let mut read = |name: &str, path: Option<&PathBuf>| -> anyhow::Result<String> {
        let Some(path) = path else { bail!("{name} is missing") };
        let path = folder.join(path);
        note(files, &path);
        fs::read_to_string(&path).with_context(|| format!("{name}: read {}", path.display()))
    };
    let certificate = read("cert_file", raw.cert_file.as_ref())?;
    let key = read("key_file", raw.key_file.as_ref())?;
    let auth = match raw.client_auth_type.as_deref() {
        None | Some("NoClientCert") => ClientAuth::Off,
        Some("VerifyClientCertIfGiven") => ClientAuth::Optional,
        Some("RequireAndVerifyClientCert") => ClientAuth::Required,
        Some(other) => bail!(
            "client_auth_type {other:?}: give NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert; a certificate that nobody checks proves nothing"
        ),
    };
    if auth == ClientAuth::Off && raw.client_ca_file.is_some() {
        bail!("client_ca_file without client_auth_type: no certificate would be asked for");
    }
    let ca = if auth == ClientAuth::Off {
        String::new()
    } else {
        read("client_ca_file", raw.client_ca_file.as_ref())?
    };
    Ok(pki::server_config_with(&Identity::from_pem(certificate, key), &ca, auth, versions)?)
}

/// Versions between the oldest and the newest given, of those that are spoken.
fn versions(raw: &RawTlsServer) -> anyhow::Result<TlsVersions> {
    let known = |key: &str, given: Option<&str>, otherwise| {
        let given = given.unwrap_or(otherwise);
        let known = VERSIONS.into_iter().find(|version| *version == given);
        known.with_context(|| format!("{key} {given:?} is none of {}", VERSIONS.join(", ")))
    };
    let oldest = known("min_version", raw.min_version.as_deref(), "TLS12")?;
    let newest = known("max_version", raw.max_version.as_deref(), "TLS13")?;
    match (oldest, newest) {
        ("TLS13", "TLS13") => Ok(TlsVersions::Tls13),
        (_, "TLS13") => Ok(TlsVersions::All),
        (oldest, "TLS12") if oldest != "TLS13" => Ok(TlsVersions::Tls12),
        _ => bail!("max_version {newest}: no version is left of TLS12 and TLS13"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("web.yaml");
        fs::write(&path, text).expect("written");
        match WebConfig::load(&path, &mut Files::new()) {
            Ok(_) => String::new(),
            Err(error) => format!("{error:#}"),
        }
    }

    #[test]
    fn faults_name_the_key_and_the_way_out() {
        let hash = "$2b$10$7EqJtq98hPqEX7fNZaFWoOhi0s1t5iVrPR1VuLjZpHhQZbWQFtzVy";
        assert_eq!(told(""), "");
        assert_eq!(told(&format!("basic_auth_users: {{ann: '{hash}'}}\n---\n")), "");
        for (text, parts) in [
            ("basic_auth_users: {ann: secret}", vec!["web.yaml", "\"ann\"", "htpasswd"]),
            ("no_such: 1", vec!["web.yaml", "no_such"]),
            ("tls_server_config: {}", vec!["tls_server_config", "cert_file is missing"]),
            ("tls_server_config: {cert_file: a, key_file: b}", vec!["cert_file", "read", "/a"]),
            (
                "tls_server_config: {cert_file: web.yaml, key_file: web.yaml, client_ca_file: web.yaml}",
                vec!["client_ca_file without client_auth_type"],
            ),
            ("tls_server_config: {min_version: TLS1.3}", vec!["min_version \"TLS1.3\"", "TLS13"]),
            ("tls_server_config: {max_version: SSL3}", vec!["max_version \"SSL3\""]),
            ("tls_server_config: {max_version: TLS11}", vec!["max_version TLS11", "TLS12"]),
            (
                "tls_server_config: {min_version: TLS13, max_version: TLS12}",
                vec!["max_version TLS12", "no version"],
            ),
            ("http_server_config: {headers: {Server: x}}", vec!["\"Server\"", "X-Frame-Options"]),
        ] {
            let told = told(text);
            for part in parts {
                assert!(told.contains(part), "{text}: {part} in {told}");
            }
        }
    }
}
