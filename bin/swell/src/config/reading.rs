//! `remote_read:`: who is read from, and how.

use std::collections::{BTreeMap, BTreeSet};

use swell_model::DurationMs;
use swell_remote_read::RemoteReadConfig;

use super::client::{self, ClientContext};
use super::faults::Faults;
use super::raw::Span;
use super::raw_client::with_client;
use super::set;

/// Longest a request may take unless told.
pub(super) const TIMEOUT_DEFAULT: DurationMs = DurationMs::from_secs(60);
/// Bytes of a frame, unless told: as in Prometheus.
pub(super) const FRAME_BYTES_MAX: u64 = 50_000_000;
/// More is never held of one answer at once.
const FRAME_BYTES_BOUND: u64 = 512 << 20;

with_client! {
    /// One of `remote_read:`
    struct RawRemoteRead {
        url: String,
        name: Option<String>,
        remote_timeout: Option<Span>,
        #[serde(deserialize_with = "crate::config::raw::texts")]
        headers: BTreeMap<String, String>,
        #[serde(deserialize_with = "crate::config::raw::texts")]
        required_matchers: BTreeMap<String, String>,
        #[serde(deserialize_with = "crate::config::raw::or_zero")]
        read_recent: bool,
        #[serde(deserialize_with = "crate::config::raw::given")]
        filter_external_labels: Option<bool>,
        chunked_read_limit: Option<u64>,
    }
}

/// The servers that the entries describe.
pub(super) fn readers(
    raw: &[RawRemoteRead],
    context: ClientContext<'_>,
    all: &mut Vec<String>,
) -> Vec<RemoteReadConfig> {
    let mut readers: Vec<RemoteReadConfig> = Vec::new();
    let mut given = BTreeSet::new();
    for (idx, entry) in raw.iter().enumerate() {
        let mut faults = Faults { place: format!("remote_read[{idx}]"), all };
        if let Some(name) = entry.name.as_ref().filter(|name| !name.is_empty())
            && !given.insert(name.clone())
        {
            faults.push(format!("the name {name:?} is taken by another entry"));
        }
        let Some(mut reader) = reader(entry, context, &mut faults) else { continue };
        let is_taken = |name: &str| readers.iter().any(|other| other.name == name);
        let stem = reader.name.clone();
        let mut names = std::iter::once(stem.clone()).chain((2..).map(|nr| format!("{stem}-{nr}")));
        reader.name = names.find(|name| !is_taken(name)).unwrap_or(stem);
        readers.push(reader);
    }
    readers
}

fn reader(
    raw: &RawRemoteRead,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Option<RemoteReadConfig> {
    let mut client = client::options(raw.client(), context, faults);
    client.headers.extend(client::plain_headers(&raw.headers, faults));
    let frame_bytes_max = raw.chunked_read_limit.unwrap_or(FRAME_BYTES_MAX);
    if !(1..=FRAME_BYTES_BOUND).contains(&frame_bytes_max) {
        faults.push(format!(
            "chunked_read_limit {frame_bytes_max} is not in 1 to {FRAME_BYTES_BOUND}"
        ));
    }
    let url = client::url("url", &raw.url, faults)?;
    let name = raw.name.clone().filter(|name| !name.is_empty());
    Some(RemoteReadConfig {
        name: name.unwrap_or_else(|| swell_remote_write::name_of(&url)),
        url,
        client,
        timeout: set(raw.remote_timeout, TIMEOUT_DEFAULT).to_std(),
        read_recent: raw.read_recent,
        required: raw.required_matchers.clone().into_iter().collect(),
        filter_external_labels: raw.filter_external_labels.unwrap_or(true),
        frame_bytes_max: usize::try_from(frame_bytes_max).unwrap_or(usize::MAX),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Vec<RemoteReadConfig> {
        let config = Config::parse(text, Path::new("."), Path::new("swell.yaml"));
        let config = config.expect("valid");
        assert!(config.unsupported.is_empty(), "{:?}", config.unsupported);
        config.remote_reads
    }

    #[test]
    fn what_is_not_said_is_as_in_prometheus() {
        let readers = parse("remote_read: [{url: 'http://a/read'}, {url: 'http://a/read'}]");
        let [reader, other] = &readers[..] else { panic!("two") };
        assert_eq!((reader.timeout, reader.frame_bytes_max), (Duration::from_secs(60), 50_000_000));
        assert!(!reader.read_recent && reader.filter_external_labels && reader.required.is_empty());
        assert_eq!(other.name, format!("{}-2", reader.name));
    }

    #[test]
    fn all_keys_are_read() {
        let readers = parse(
            "remote_read:\n- url: https://b/read\n  name: b\n  remote_timeout: 5s\n  headers: {X-Scope-OrgID: t}\n  \
             required_matchers: {job: a, env: x}\n  read_recent: true\n  filter_external_labels: false\n  \
             chunked_read_limit: 1000\n  basic_auth: {username: u, password: p}\n",
        );
        let [reader] = &readers[..] else { panic!("one") };
        assert_eq!((reader.name.as_str(), reader.timeout), ("b", Duration::from_secs(5)));
        assert_eq!(reader.client.headers[0].name, "x-scope-orgid");
        let required = [("env", "x"), ("job", "a")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(reader.required, required);
        assert!(reader.read_recent && !reader.filter_external_labels);
        assert_eq!(reader.frame_bytes_max, 1000);
    }

    #[test]
    fn faults_are_named() {
        for (entry, part) in [
            ("{}", "remote_read[0]: url is missing"),
            ("{url: 'ftp://a/'}", "url must begin with http"),
            ("{url: 'http://a/', headers: {Authorization: x}}", "headers: the header"),
            ("{url: 'http://a/', chunked_read_limit: 0}", "chunked_read_limit 0"),
            ("{url: 'http://a/', read_old: true}", "read_old"),
            ("{url: 'http://a/', name: x}, {url: 'http://b/', name: x}", "is taken"),
        ] {
            let text = format!("remote_read: [{entry}]");
            let config = Config::parse(&text, Path::new("."), Path::new("swell.yaml"));
            let fault = format!("{:#}", config.expect_err("refused"));
            assert!(fault.contains(part), "{entry}: {fault}");
        }
    }
}
