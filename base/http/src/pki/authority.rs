use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _, SanType,
};
use swell_model::TimestampMs;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{PkiError, files};

/// File of the authority's certificate; everybody may read it.
const CA_CERTIFICATE_FILE: &str = "ca.crt";
/// File of the authority's key; only the owner may read it.
const CA_KEY_FILE: &str = "ca.key";
/// Ten years: the installation outlives its certificates, rotation is a matter of replacing the files.
const CA_VALIDITY_DAYS: i64 = 3650;
/// A year: servers issue themselves a new one at each start.
const LEAF_VALIDITY_DAYS: i64 = 365;
/// Certificates are valid from a little earlier, for peers whose clock is behind.
const CLOCK_SKEW_S: i64 = 3600;
const DAY_S: i64 = 86_400;
/// Calendar times beyond cannot stand in a certificate.
const YEAR_9000_S: i64 = 221_845_392_000;

/// A certificate with its private key, both as PEM.
#[derive(Clone)]
pub struct Identity {
    certificate_pem: String,
    key_pem: String,
}

impl Identity {
    /// Takes PEM texts from elsewhere; they are checked when a TLS configuration is built from them.
    #[must_use]
    pub fn from_pem(certificate_pem: String, key_pem: String) -> Self {
        Self { certificate_pem, key_pem }
    }

    /// The certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, PKCS #8. Keep it out of logs.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

/// The certificate authority of one installation.
#[derive(Debug)]
pub struct Authority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Loads `ca.crt` and `ca.key` from `dir`, or makes a new authority and stores it there (directory
    /// 0700, key 0600). `now` begins the validity of a new one and is held against a stored one.
    ///
    /// # Errors
    /// [`PkiError::Incomplete`] with only one of the files, [`PkiError::Damaged`] when they cannot be
    /// used, [`PkiError::Read`] and [`PkiError::Write`] for the file system.
    pub fn load_or_create(dir: &Path, now: TimestampMs) -> Result<Self, PkiError> {
        let (certificate_path, key_path) = (dir.join(CA_CERTIFICATE_FILE), dir.join(CA_KEY_FILE));
        match (certificate_path.exists(), key_path.exists()) {
            (true, true) => Self::load(&certificate_path, &key_path, now),
            (false, false) => Self::create(dir, now),
            (true, false) => {
                Err(PkiError::Incomplete { present: certificate_path, missing: key_path })
            }
            (false, true) => {
                Err(PkiError::Incomplete { present: key_path, missing: certificate_path })
            }
        }
    }

    fn load(certificate_path: &Path, key_path: &Path, now: TimestampMs) -> Result<Self, PkiError> {
        let (certificate_pem, key_pem) = (files::read(certificate_path)?, files::read(key_path)?);
        let damaged = |path: &Path, why: String| PkiError::Damaged { path: path.to_owned(), why };
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|error| damaged(key_path, format!("no private key in PEM form ({error})")))?;
        let (_, block) = x509_parser::pem::parse_x509_pem(certificate_pem.as_bytes())
            .map_err(|error| damaged(certificate_path, format!("no PEM block ({error})")))?;
        let (_, certificate) = X509Certificate::from_der(&block.contents)
            .map_err(|error| damaged(certificate_path, format!("no certificate ({error})")))?;
        if certificate.public_key().raw != key.subject_public_key_info() {
            let why = format!("the certificate does not belong to the key {}", key_path.display());
            return Err(damaged(certificate_path, why));
        }
        if !certificate.is_ca() {
            let why = "it is not the certificate of an authority".to_owned();
            return Err(damaged(certificate_path, why));
        }
        if certificate.validity().not_after.timestamp() <= now.0.div_euclid(1000) {
            let why = format!(
                "the authority's certificate ended at {}: remove it and its key to start a new authority",
                certificate.validity().not_after
            );
            return Err(damaged(certificate_path, why));
        }
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key)
            .map_err(|error| damaged(certificate_path, format!("not usable ({error})")))?;
        Ok(Self { certificate_pem, issuer })
    }

    fn create(dir: &Path, now: TimestampMs) -> Result<Self, PkiError> {
        let authority = Self::in_memory(now)?;
        files::create_dir(dir)?;
        files::write_private(&dir.join(CA_KEY_FILE), &authority.issuer.key().serialize_pem())?;
        files::write_public(&dir.join(CA_CERTIFICATE_FILE), &authority.certificate_pem)?;
        Ok(authority)
    }

    /// A new authority that is stored nowhere.
    ///
    /// # Errors
    /// [`PkiError::Issue`] when the machine gives no randomness.
    pub fn in_memory(now: TimestampMs) -> Result<Self, PkiError> {
        let subject = "swell-ca";
        let issue = |source| PkiError::Issue { subject: subject.to_owned(), source };
        let key = KeyPair::generate().map_err(issue)?;
        let mut params = parameters(subject, None, now, CA_VALIDITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate_pem = params.self_signed(&key).map_err(issue)?.pem();
        Ok(Self { certificate_pem, issuer: Issuer::new(params, key) })
    }

    /// The authority's own certificate: what peers are told to trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a server certificate with a new key. `names` are DNS names and IP addresses.
    ///
    /// # Errors
    /// [`PkiError::BadName`] for a name that is neither, [`PkiError::Issue`] when signing fails.
    pub fn issue_server(
        &self,
        common_name: &str,
        names: &[&str],
        now: TimestampMs,
    ) -> Result<Identity, PkiError> {
        let mut params = parameters(common_name, None, now, LEAF_VALIDITY_DAYS);
        for name in names {
            params.subject_alt_names.push(subject_alt_name(name)?);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(common_name, params)
    }

    /// Issues a client certificate with a new key: `common_name` is the user and `organization` the
    /// group, as Kubernetes reads them.
    ///
    /// # Errors
    /// [`PkiError::Issue`] when signing fails.
    pub fn issue_client(
        &self,
        common_name: &str,
        organization: &str,
        now: TimestampMs,
    ) -> Result<Identity, PkiError> {
        let mut params = parameters(common_name, Some(organization), now, LEAF_VALIDITY_DAYS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(common_name, params)
    }

    fn sign(&self, subject: &str, mut params: CertificateParams) -> Result<Identity, PkiError> {
        let issue = |source| PkiError::Issue { subject: subject.to_owned(), source };
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(issue)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

fn parameters(
    common_name: &str,
    organization: Option<&str>,
    now: TimestampMs,
    validity_days: i64,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    let now_s = now.0.div_euclid(1000);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let seconds = |count: i64| Duration::from_secs(count.clamp(0, YEAR_9000_S).unsigned_abs());
    params.not_before = epoch + seconds(now_s - CLOCK_SKEW_S);
    params.not_after = epoch + seconds(now_s + validity_days * DAY_S);
    params
}

fn subject_alt_name(name: &str) -> Result<SanType, PkiError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let fault = |why: String| PkiError::BadName { name: name.to_owned(), why };
    if name.is_empty() || name.contains([' ', '/', ':']) {
        return Err(fault("neither an IP address nor a DNS name".to_owned()));
    }
    name.try_into().map(SanType::DnsName).map_err(|error: rcgen::Error| fault(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: TimestampMs = TimestampMs(1_790_000_000_000);

    #[test]
    fn the_key_is_private_and_damage_is_named() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let dir = directory.path().join("pki");
        Authority::load_or_create(&dir, NOW).expect("new authority");
        let key_path = dir.join(CA_KEY_FILE);
        let mode = fs::metadata(&key_path).expect("written").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let later = TimestampMs(NOW.0 + (CA_VALIDITY_DAYS + 1) * DAY_S * 1000);
        let error = Authority::load_or_create(&dir, later).expect_err("expired").to_string();
        assert!(error.contains(CA_CERTIFICATE_FILE) && error.contains("ended at"), "{error}");

        let key = fs::read_to_string(&key_path).expect("readable");
        let other = Authority::in_memory(NOW).expect("new authority");
        fs::write(&key_path, other.issuer.key().serialize_pem()).expect("writable");
        let error = Authority::load_or_create(&dir, NOW).expect_err("wrong key").to_string();
        assert!(error.contains("does not belong"), "{error}");

        fs::write(&key_path, &key[..key.len() / 2]).expect("writable");
        let error = Authority::load_or_create(&dir, NOW).expect_err("half a key").to_string();
        assert!(error.contains(CA_KEY_FILE), "{error}");

        fs::remove_file(&key_path).expect("removable");
        let error = Authority::load_or_create(&dir, NOW).expect_err("no key").to_string();
        assert!(error.contains("restore it"), "{error}");
    }

    #[test]
    fn names_that_fit_no_certificate_are_refused() {
        let authority = Authority::in_memory(NOW).expect("new authority");
        for name in ["", "a b", "http://x", "host:1", "bücher.example"] {
            assert!(authority.issue_server("x", &[name], NOW).is_err(), "{name:?}");
        }
        assert!(authority.issue_server("x", &["a.example", "::1", "127.0.0.1"], NOW).is_ok());
    }
}
