//! From the raw archive settings to checked ones.

use std::path::Path;

use swell_model::DurationMs;

use super::raw::RawArchive;
use super::set;

/// A window may lag behind its end this long: the head keeps it open an hour for targets that report late.
const AFTER_DEFAULT: DurationMs = DurationMs::from_secs(2 * 3600);
const DAY: DurationMs = DurationMs::from_secs(24 * 3600);
/// The storage flushes windows of this length.
const WINDOW_MIN: DurationMs = DurationMs::from_secs(2 * 3600);

/// Where old samples go, and when.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    not(feature = "archive"),
    expect(dead_code, reason = "checked in every build, used in those with the archive")
)]
pub(crate) struct ArchiveSettings {
    /// Folder or bucket.
    #[cfg(feature = "archive")]
    pub(crate) location: swell_archive::Location,
    /// How long after its end a window is archived.
    pub(crate) after: DurationMs,
    /// Length of windows.
    pub(crate) window: DurationMs,
}

/// Checks `swell.archive`; faults go to `faults`.
pub(super) fn settings(
    raw: Option<&RawArchive>,
    folder: &Path,
    faults: &mut Vec<String>,
) -> Option<ArchiveSettings> {
    let raw = raw?;
    let after = set(raw.after, AFTER_DEFAULT);
    let window = set(raw.window, DAY);
    if DAY.0 % window.0 != 0 || window.0 % WINDOW_MIN.0 != 0 {
        faults.push(format!(
            "swell.archive.window {window}: give 2h, 4h, 6h, 8h, 12h or 24h, so that windows fill days"
        ));
    }
    let location = location(raw, folder, faults)?;
    Some(ArchiveSettings {
        #[cfg(feature = "archive")]
        location,
        after,
        window,
    })
}

#[cfg(not(feature = "archive"))]
fn location(_raw: &RawArchive, _folder: &Path, faults: &mut Vec<String>) -> Option<()> {
    faults.push("swell.archive: this program was built without the feature archive".to_owned());
    None
}

#[cfg(feature = "archive")]
fn location(
    raw: &RawArchive,
    folder: &Path,
    faults: &mut Vec<String>,
) -> Option<swell_archive::Location> {
    use swell_archive::Location;

    let parsed = Location::parse(&raw.url);
    let mut location = match parsed {
        Ok(location) => location,
        Err(error) => {
            faults.push(format!("swell.archive.url: {error}"));
            return None;
        }
    };
    let mut fault = |text: &str| faults.push(format!("swell.archive.{text}"));
    match &mut location {
        Location::Folder(_) => {
            for (key, given) in [
                ("region", raw.region.is_some()),
                ("endpoint", raw.endpoint.is_some()),
                ("access_key_id", raw.access_key_id.is_some()),
                ("secret_access_key", raw.secret_access_key.is_some()),
                ("secret_access_key_file", raw.secret_access_key_file.is_some()),
            ] {
                if given {
                    fault(&format!("{key} is for s3:// only, the archive is a folder"));
                }
            }
        }
        Location::S3(s3) => {
            s3.region = raw.region.clone().or_else(|| environment("AWS_REGION"));
            s3.endpoint = raw.endpoint.clone().or_else(|| environment("AWS_ENDPOINT_URL"));
            let http = s3
                .endpoint
                .as_deref()
                .is_some_and(|it| !it.starts_with("http://") && !it.starts_with("https://"));
            if http {
                fault("endpoint must start with http:// or https://");
            }
            s3.credentials = credentials(raw, folder, &mut fault);
        }
    }
    Some(location)
}

/// As the AWS tools have it; the configuration comes first.
#[cfg(feature = "archive")]
#[expect(clippy::disallowed_methods, reason = "the composition root reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(feature = "archive")]
fn credentials(
    raw: &RawArchive,
    folder: &Path,
    fault: &mut dyn FnMut(&str),
) -> Option<swell_archive::Credentials> {
    let secret = match (&raw.secret_access_key, &raw.secret_access_key_file) {
        (Some(_), Some(_)) => {
            fault("secret_access_key: give it or secret_access_key_file, not both");
            return None;
        }
        (Some(secret), None) => Some(secret.clone()),
        (None, Some(file)) => {
            let path = folder.join(file);
            match std::fs::read_to_string(&path) {
                Ok(text) => Some(text.trim().to_owned()),
                Err(error) => {
                    fault(&format!("secret_access_key_file {}: {error}", path.display()));
                    return None;
                }
            }
        }
        (None, None) => None,
    };
    match (raw.access_key_id.clone(), secret) {
        (Some(access_key_id), Some(secret_access_key)) => Some(swell_archive::Credentials {
            access_key_id,
            secret_access_key,
            session_token: None,
        }),
        (None, None) => Some(swell_archive::Credentials {
            access_key_id: environment("AWS_ACCESS_KEY_ID")?,
            secret_access_key: environment("AWS_SECRET_ACCESS_KEY")?,
            session_token: environment("AWS_SESSION_TOKEN"),
        }),
        _ => {
            fault("access_key_id and its secret go together");
            None
        }
    }
}

#[cfg(all(test, feature = "archive"))]
mod tests {
    use swell_archive::Location;

    use super::super::Config;
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Config> {
        Config::parse(text, Path::new("."), Path::new("swell.yaml"))
    }

    #[test]
    fn an_archive_is_a_folder_or_a_bucket() {
        let config = parse("swell: {archive: {url: 'file:///var/lib/swell-archive', after: 3h}}");
        let archive = config.expect("valid").archive.expect("given");
        assert_eq!(archive.location, Location::Folder("/var/lib/swell-archive".into()));
        assert_eq!((archive.after, archive.window), (DurationMs(3 * 3_600_000), DAY));
        let config = parse(
            "
swell:
  archive:
    url: s3://metrics/eu
    window: 2h
    region: eu-central-1
    endpoint: http://127.0.0.1:9000
    access_key_id: me
    secret_access_key: hush
",
        )
        .expect("valid");
        let archive = config.archive.expect("given");
        let Location::S3(s3) = &archive.location else { panic!("{archive:?}") };
        assert_eq!(s3.region.as_deref(), Some("eu-central-1"));
        assert_eq!(s3.credentials.as_ref().map(|it| it.access_key_id.as_str()), Some("me"));
        assert!(!format!("{archive:?}").contains("hush"), "secrets are not printed");
        assert!(!config.shown_yaml.contains("hush"), "nor shown");
    }

    #[test]
    fn faults_of_the_archive_are_all_told() {
        for (text, part) in [
            ("{url: '/var/lib'}", "s3://BUCKET/PREFIX"),
            ("{url: 'file:///a', window: 5h}", "window 5h"),
            ("{url: 'file:///a', region: x}", "region is for s3:// only"),
            ("{url: 's3://b', endpoint: 'localhost:9000'}", "must start with http"),
            ("{url: 's3://b', access_key_id: a}", "go together"),
            ("{url: 's3://b', access_key_id: a, secret_access_key_file: nowhere}", "nowhere"),
            ("{url: 's3://b', secret_access_key: a, secret_access_key_file: b}", "not both"),
            ("{after: 2h}", "url"),
        ] {
            let error =
                format!("{:#}", parse(&format!("swell: {{archive: {text}}}")).expect_err(text));
            assert!(error.contains(part), "{part} in {error}");
        }
    }
}
