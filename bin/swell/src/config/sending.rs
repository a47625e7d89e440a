//! `remote_write:`: who is sent to, and how.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use swell_model::{DurationMs, Labels};
use swell_relabel::Rule;
use swell_remote_write::{Batching, MetadataSending, QueueConfig, Rewrite};
use swell_tsdb_http::Message;

use super::client::{self, ClientContext};
use super::faults::Faults;
use super::raw::{Opaque, Span};
use super::raw_client::with_client;
use super::raw_scrape::RawRelabel;
use super::receivers::parse_message;
use super::{jobs, set};

/// Longest a request may take unless told.
pub(super) const TIMEOUT_DEFAULT: DurationMs = DurationMs::from_secs(30);
/// Each shard has a connection and a place in memory.
const SHARDS_MAX: usize = 1000;
/// Points of a request, and of a shard: what fits into memory many times.
const POINTS_MAX: usize = 1_000_000;

with_client! {
    /// One of `remote_write:`
    struct RawRemoteWrite {
        url: String,
        name: Option<String>,
        remote_timeout: Option<Span>,
        #[serde(deserialize_with = "crate::config::raw::texts")]
        headers: BTreeMap<String, String>,
        write_relabel_configs: Vec<RawRelabel>,
        #[serde(deserialize_with = "crate::config::raw::or_zero")]
        send_exemplars: bool,
        #[serde(deserialize_with = "crate::config::raw::or_zero")]
        send_native_histograms: bool,
        protobuf_message: Option<String>,
        queue_config: RawQueue,
        metadata_config: RawMetadata,
        // accepted, reported, not acted on
        #[serde(deserialize_with = "crate::config::raw::or_zero")]
        round_robin_dns: bool,
        // refused
        sigv4: Option<Opaque>,
        azuread: Option<Opaque>,
        google_iam: Option<Opaque>,
    }
}

/// `queue_config:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawQueue {
    capacity: Option<usize>,
    max_shards: Option<usize>,
    min_shards: Option<usize>,
    max_samples_per_send: Option<usize>,
    batch_send_deadline: Option<Span>,
    min_backoff: Option<Span>,
    max_backoff: Option<Span>,
    #[serde(deserialize_with = "crate::config::raw::or_zero")]
    retry_on_http_429: bool,
    sample_age_limit: Option<Span>,
}

/// `metadata_config:`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RawMetadata {
    #[serde(deserialize_with = "crate::config::raw::given")]
    send: Option<bool>,
    send_interval: Option<Span>,
    max_samples_per_send: Option<usize>,
}

/// The queues that the entries describe.
pub(super) fn queues(
    raw: &[RawRemoteWrite],
    external_labels: &Labels,
    context: ClientContext<'_>,
    all: &mut Vec<String>,
) -> Vec<QueueConfig> {
    let mut queues: Vec<QueueConfig> = Vec::new();
    for (idx, entry) in raw.iter().enumerate() {
        let mut faults = Faults { place: format!("remote_write[{idx}]"), all };
        let Some(mut queue) = queue(entry, external_labels, context, &mut faults) else { continue };
        let is_taken = |name: &str| queues.iter().any(|other| other.name == name);
        if entry.name.is_some() && is_taken(&queue.name) {
            faults.push(format!("the name {:?} is taken by another entry", queue.name));
        }
        let stem = queue.name.clone();
        let further = (2..).map(|nr| format!("{stem}-{nr}"));
        let mut names = std::iter::once(stem.clone()).chain(further);
        queue.name = names.find(|name| !is_taken(name)).unwrap_or(stem);
        queues.push(queue);
    }
    queues
}

fn queue(
    raw: &RawRemoteWrite,
    external_labels: &Labels,
    context: ClientContext<'_>,
    faults: &mut Faults<'_>,
) -> Option<QueueConfig> {
    for (key, value) in
        [("sigv4", &raw.sigv4), ("azuread", &raw.azuread), ("google_iam", &raw.google_iam)]
    {
        if value.as_ref().is_some_and(|value| !value.is_null()) {
            faults.push(format!(
                "{key} is not there: requests cannot be signed for that cloud; use basic_auth, authorization or oauth2, \
                 or a proxy that signs"
            ));
        }
    }
    let message = match raw.protobuf_message.as_deref().map(parse_message) {
        None => Message::V1,
        Some(Ok(message)) => message,
        Some(Err(fault)) => {
            faults.push(format!("protobuf_message: {fault}"));
            Message::V1
        }
    };
    let mut client = client::options(raw.client(), context, faults);
    client.round_robin_dns = raw.round_robin_dns;
    client.headers.extend(client::plain_headers(&raw.headers, faults));
    let rules = jobs::rules("write_relabel_configs", &raw.write_relabel_configs, faults);
    let batching = batching(&raw.queue_config, faults);
    let metadata = metadata(&raw.metadata_config, faults);
    let url = client::url("url", &raw.url, faults)?;
    let name = match raw.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        // The same receiver keeps its place in the log whatever else changes.
        None => swell_remote_write::name_of(&url),
    };
    Some(QueueConfig {
        name,
        url,
        client,
        timeout: set(raw.remote_timeout, TIMEOUT_DEFAULT).to_std(),
        message,
        send_exemplars: raw.send_exemplars,
        // As in Prometheus, 2.0 always has them.
        send_histograms: raw.send_native_histograms || message == Message::V2,
        rewrite: rewrite(external_labels, rules),
        batching,
        metadata,
    })
}

/// External labels first, where a series has none of that name; then the rules.
fn rewrite(external_labels: &Labels, rules: Vec<Rule>) -> Rewrite {
    let specs: Vec<_> = rules.iter().map(Rule::spec).collect();
    let text = format!("{external_labels} {specs:?}");
    let external_labels = external_labels.clone();
    let apply = move |labels: &Labels| {
        if external_labels.is_empty() && rules.is_empty() {
            return Some(labels.clone());
        }
        let mut builder = labels.to_builder();
        for (name, value) in external_labels.iter() {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        swell_relabel::apply(&rules, &mut builder).then(|| builder.build())
    };
    Rewrite { text, apply: Arc::new(apply) }
}

fn batching(raw: &RawQueue, faults: &mut Faults<'_>) -> Batching {
    let standard = Batching::standard();
    let mut count = |key: &str, given: Option<usize>, standard: usize, max: usize| {
        let count = given.unwrap_or(standard);
        if !(1..=max).contains(&count) {
            faults.push(format!("queue_config.{key} {count} is not in 1 to {max}"));
        }
        count.clamp(1, max)
    };
    let capacity = count("capacity", raw.capacity, standard.capacity, POINTS_MAX);
    let shards_max = count("max_shards", raw.max_shards, standard.shards_max, SHARDS_MAX);
    // As in Prometheus, zero is as if it was not given.
    let shards_min = raw.min_shards.filter(|count| *count > 0);
    let shards_min = count("min_shards", shards_min, standard.shards_min, SHARDS_MAX);
    let batch_max =
        count("max_samples_per_send", raw.max_samples_per_send, standard.batch_max, POINTS_MAX);
    let span = |given: Option<Span>, standard: Duration| match given {
        Some(span) if span.0.0 > 0 => span.0.to_std(),
        _ => standard,
    };
    let backoff_min = span(raw.min_backoff, standard.backoff_min);
    let backoff_max = span(raw.max_backoff, standard.backoff_max);
    if shards_min > shards_max {
        faults
            .push(format!("queue_config.min_shards {shards_min} is above max_shards {shards_max}"));
    }
    if backoff_min > backoff_max {
        faults.push("queue_config.min_backoff is longer than max_backoff");
    }
    Batching {
        capacity,
        shards_min,
        shards_max: shards_max.max(shards_min),
        batch_max,
        batch_deadline: span(raw.batch_send_deadline, standard.batch_deadline),
        backoff_min,
        backoff_max: backoff_max.max(backoff_min),
        retry_on_429: raw.retry_on_http_429,
        sample_age_max: raw
            .sample_age_limit
            .map(|span| span.0)
            .filter(|span| span.0 > 0)
            .map(DurationMs::to_std),
    }
}

fn metadata(raw: &RawMetadata, faults: &mut Faults<'_>) -> Option<MetadataSending> {
    let standard = MetadataSending::standard();
    let batch_max = raw.max_samples_per_send.unwrap_or(standard.batch_max);
    if batch_max == 0 {
        faults.push("metadata_config.max_samples_per_send must be above 0");
    }
    let interval = set(raw.send_interval, DurationMs::from_secs(60)).to_std();
    let sending = MetadataSending { interval, batch_max: batch_max.max(1) };
    raw.send.unwrap_or(true).then_some(sending)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn parse(text: &str) -> Vec<QueueConfig> {
        let config = Config::parse(text, Path::new("."), Path::new("swell.yaml"));
        config.expect("valid").receivers
    }

    fn refused(text: &str) -> String {
        let config = Config::parse(text, Path::new("."), Path::new("swell.yaml"));
        format!("{:#}", config.expect_err("refused"))
    }

    #[test]
    fn what_is_not_said_is_as_in_prometheus() {
        let queues = parse("remote_write: [{url: 'http://a/write'}]");
        let [queue] = &queues[..] else { panic!("one queue") };
        assert_eq!((queue.message, queue.timeout), (Message::V1, Duration::from_secs(30)));
        assert_eq!(queue.batching, Batching::standard());
        assert_eq!(queue.metadata, Some(MetadataSending::standard()));
        assert!(!queue.send_exemplars && !queue.send_histograms);
        assert_eq!(queue.name.len(), 6, "{}", queue.name);
    }

    #[test]
    fn all_keys_are_read() {
        let queues = parse(
            "global: {external_labels: {cluster: eu, job: no}}\n\
             remote_write:\n\
             - url: https://b/write\n  name: b\n  remote_timeout: 5s\n  round_robin_dns: true\n  headers: {X-Scope-OrgID: t}\n  \
               protobuf_message: io.prometheus.write.v2.Request\n  send_exemplars: true\n  \
               basic_auth: {username: u, password: p}\n  \
               write_relabel_configs: [{source_labels: [__name__], regex: 'go_.*', action: drop}]\n  \
               queue_config: {capacity: 5, max_shards: 7, min_shards: 2, max_samples_per_send: 3, batch_send_deadline: 1s,\n    \
                 min_backoff: 1s, max_backoff: 2s, retry_on_http_429: true, sample_age_limit: 2h}\n  \
               metadata_config: {send: false}\n",
        );
        let [queue] = &queues[..] else { panic!("one queue") };
        assert_eq!((queue.name.as_str(), queue.message), ("b", Message::V2));
        assert!(queue.send_exemplars && queue.send_histograms && queue.metadata.is_none());
        assert_eq!(queue.client.headers[0].name, "x-scope-orgid");
        assert!(queue.client.round_robin_dns);
        assert_eq!((queue.batching.shards_min, queue.batching.batch_max), (2, 3));
        assert_eq!(queue.batching.sample_age_max, Some(Duration::from_secs(7200)));
        let sent = |pairs: &[(&str, &str)]| {
            (queue.rewrite.apply)(&Labels::from_pairs(pairs.iter().copied()))
        };
        assert_eq!(sent(&[("__name__", "go_threads")]), None);
        let up = sent(&[("__name__", "up"), ("job", "own")]).expect("is sent");
        assert_eq!(up.to_string(), r#"up{cluster="eu", job="own"}"#);
    }

    #[test]
    fn a_queue_has_one_shard_at_least() {
        let queues = parse("remote_write: [{url: 'http://a/', queue_config: {min_shards: 0}}]");
        assert_eq!(queues[0].batching.shards_min, Batching::standard().shards_min);
    }

    #[test]
    fn queues_without_names_are_told_apart() {
        let text = "remote_write: [{url: 'http://a/'}, {url: 'http://a/'}, {url: 'http://b/'}]";
        let names: Vec<String> = parse(text).into_iter().map(|queue| queue.name).collect();
        assert_eq!(names[1], format!("{}-2", names[0]));
        assert_ne!(names[0], names[2]);
        // Whatever else changes.
        let other = parse("remote_write: [{url: 'http://a/', remote_timeout: 1s}]");
        assert_eq!(other[0].name, names[0]);
    }

    #[test]
    fn faults_are_named() {
        for (entry, part) in [
            ("{}", "remote_write[0]: url is missing"),
            ("{url: 'ftp://a/'}", "url must begin with http"),
            ("{url: 'http://a/', sigv4: {region: x}}", "sigv4 is not there"),
            ("{url: 'http://a/', azuread: {cloud: x}}", "azuread is not there"),
            ("{url: 'http://a/', google_iam: {x: y}}", "google_iam is not there"),
            ("{url: 'http://a/', protobuf_message: v3}", "\"v3\" is no message"),
            ("{url: 'http://a/', headers: {Authorization: x}}", "headers: the header"),
            ("{url: 'http://a/', queue_config: {max_shards: 0}}", "max_shards 0"),
            ("{url: 'http://a/', queue_config: {min_shards: 60}}", "above max_shards 50"),
            ("{url: 'http://a/', queue_config: {min_backoff: 1m}}", "longer than max_backoff"),
            ("{url: 'http://a/', queue_config: {capacities: 1}}", "capacities"),
            ("{url: 'http://a/', bearer_token: a, basic_auth: {username: u}}", "give one of"),
            ("{url: 'http://a/', write_relabel_configs: [{action: no}]}", "unknown action"),
            ("{url: 'http://a/', name: x}, {url: 'http://b/', name: x}", "is taken"),
        ] {
            let fault = refused(&format!("remote_write: [{entry}]"));
            assert!(fault.contains(part), "{entry}: {fault}");
        }
    }
}
