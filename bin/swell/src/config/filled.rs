//! The configuration with what it does not say: each key in the place that upstream's structs have for it, with the value that
//! is in force where none is given. Keys without a default are there only where they are given.
//!
//! What is filled in is read again as it was meant, since the parser's own defaults are used. Keys that are not listed here,
//! and all of `swell:`, stay as they are given, behind the others.

use std::time::Duration;

use swell_http_client::ClientOptions;
use swell_model::DurationMs;
use swell_otlp::Strategy;
use swell_relabel::{Action, PATTERN, REPLACEMENT, SEPARATOR};
use swell_remote_write::{Batching, MetadataSending};
use swell_scrape::{Escaping, ScrapeConfig, ScrapeProtocol};
use swell_tsdb_http::Message;

use super::tree::Node;
use super::{
    EVALUATION_INTERVAL_DEFAULT, SCRAPE_INTERVAL_DEFAULT, SCRAPE_TIMEOUT_DEFAULT, alerting,
    discoveries, reading, sending,
};

/// Limits that jobs take over from the global section.
const LIMITS: [&str; 7] = [
    "body_size_limit",
    "sample_limit",
    "target_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "keep_dropped_targets",
];

/// A map on its way to one that is filled in.
struct Section {
    /// What was given and is not shown yet.
    rest: Vec<(String, Node)>,
    shown: Vec<(String, Node)>,
}

impl Section {
    fn of(node: Node) -> Self {
        let rest = if let Node::Map(fields) = node { fields } else { Vec::new() };
        Self { rest, shown: Vec::new() }
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        let at = self.rest.iter().position(|(name, _)| name == key)?;
        Some(self.rest.remove(at).1)
    }

    fn given(&self, key: &str) -> Option<&Node> {
        let found = self.rest.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value).filter(|value| **value != Node::Null)
    }

    fn show(&mut self, key: &str, value: Node) {
        self.shown.push((key.to_owned(), value));
    }

    /// Keys that are shown where they say something.
    fn plain(&mut self, keys: &[&str]) {
        for key in keys {
            if let Some(value) = self.take(key).filter(|value| !value.is_zero()) {
                self.show(key, value);
            }
        }
    }

    /// A key that has a value also where none is given.
    fn filled(&mut self, key: &str, default: impl Into<Node>) {
        let value = self.take(key).filter(|value| *value != Node::Null);
        self.show(key, value.unwrap_or_else(|| default.into()));
    }

    /// The same; null is a value here: false, or an empty text.
    fn filled_but_null(&mut self, key: &str, default: impl Into<Node>) {
        let default = default.into();
        let value = match self.take(key) {
            Some(Node::Null) if matches!(default, Node::Flag(_)) => Node::Flag(false),
            Some(Node::Null) => Node::Text(String::new()),
            Some(value) => value,
            None => default,
        };
        self.show(key, value);
    }

    /// A key whose zero stands for its default.
    fn set(&mut self, key: &str, default: impl Into<Node>) {
        let value = self.take(key).filter(|value| !value.is_zero());
        self.show(key, value.unwrap_or_else(|| default.into()));
    }

    /// A key that takes over what the global section says, if that says something.
    fn inherited(&mut self, key: &str, global: &Node) {
        let global = global.get(key).filter(|value| !value.is_zero());
        match (self.take(key).filter(|value| *value != Node::Null), global) {
            (Some(value), None) if value.is_zero() => {}
            (Some(value), _) => self.show(key, value),
            (None, Some(value)) => self.show(key, value.clone()),
            (None, None) => {}
        }
    }

    /// A duration whose zero stands for its default; gives what is in force.
    fn span(&mut self, key: &str, default: DurationMs) -> DurationMs {
        let given = self.take(key);
        let span = given.as_ref().and_then(Node::text).and_then(parse_span).unwrap_or(default);
        self.show(key, span.into());
        span
    }

    /// A section that is there only where it is given.
    fn section(&mut self, key: &str, fill: impl FnOnce(Node) -> Node) {
        match self.take(key) {
            None | Some(Node::Null) => {}
            Some(value) => self.show(key, fill(value)),
        }
    }

    /// A section that is always there.
    fn filled_section(&mut self, key: &str, fill: impl FnOnce(Node) -> Node) {
        let value = self.take(key).unwrap_or_default();
        self.show(key, fill(value));
    }

    /// A list of sections.
    fn each(&mut self, key: &str, fill: impl Fn(Node) -> Node) {
        match self.take(key) {
            Some(Node::List(values)) if !values.is_empty() => {
                self.show(key, Node::List(values.into_iter().map(fill).collect()));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Node {
        self.shown.append(&mut self.rest);
        Node::Map(self.shown)
    }
}

fn span_of(span: Duration) -> DurationMs {
    DurationMs(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))
}

fn parse_span(text: &str) -> Option<DurationMs> {
    DurationMs::parse_prometheus(text).ok().filter(|span| span.0 > 0)
}

/// A whole configuration.
pub(super) fn config(whole: Node) -> Node {
    let mut whole = Section::of(whole);
    let global = global(whole.take("global").unwrap_or_default());
    whole.show("global", global.clone());
    whole.plain(&["runtime"]);
    whole.section("alerting", alerting_section);
    whole.plain(&["rule_files", "scrape_config_files"]);
    whole.each("scrape_configs", |entry| job(entry, &global));
    whole.filled_section("storage", storage);
    whole.plain(&["tracing"]);
    whole.each("remote_write", remote_write);
    whole.each("remote_read", remote_read);
    whole.filled_section("otlp", otlp);
    whole.finish()
}

fn global(global: Node) -> Node {
    let mut global = Section::of(global);
    let interval = global.span("scrape_interval", SCRAPE_INTERVAL_DEFAULT);
    global.span("scrape_timeout", SCRAPE_TIMEOUT_DEFAULT.min(interval));
    global.plain(&["scrape_protocols"]);
    global.span("evaluation_interval", EVALUATION_INTERVAL_DEFAULT);
    global.plain(&[
        "rule_query_offset",
        "query_log_file",
        "scrape_failure_log_file",
        "external_labels",
    ]);
    global.plain(&LIMITS);
    global.set("metric_name_validation_scheme", validation_name(false));
    global.plain(&["metric_name_escaping_scheme"]);
    global.filled("scrape_native_histograms", false);
    global.plain(&[
        "convert_classic_histograms_to_nhcb",
        "always_scrape_classic_histograms",
        "extra_scrape_metrics",
    ]);
    global.finish()
}

/// A job, given the global section as it is shown.
pub(super) fn job(entry: Node, global: &Node) -> Node {
    let mut job = Section::of(entry);
    // The name that it had before.
    let classic = job.take("scrape_classic_histograms").filter(|value| *value != Node::Null);
    if let Some(classic) = classic
        && job.given("always_scrape_classic_histograms").is_none()
    {
        job.take("always_scrape_classic_histograms");
        job.rest.push(("always_scrape_classic_histograms".to_owned(), classic));
    }
    let global_span = |key: &str, default| {
        global.get(key).and_then(Node::text).and_then(parse_span).unwrap_or(default)
    };
    let global_flag = |key: &str| global.get(key).cloned().unwrap_or(Node::Flag(false));
    let interval = global_span("scrape_interval", SCRAPE_INTERVAL_DEFAULT);
    let timeout = global_span("scrape_timeout", SCRAPE_TIMEOUT_DEFAULT);
    let standard = ScrapeConfig::new("", interval, timeout);
    job.plain(&["job_name", "honor_labels"]);
    job.filled_but_null("honor_timestamps", standard.honor_timestamps);
    job.filled_but_null("track_timestamps_staleness", standard.track_timestamps_staleness);
    job.plain(&["params"]);
    let interval = job.span("scrape_interval", interval);
    job.span("scrape_timeout", timeout.min(interval));
    let native = job.given("scrape_native_histograms").cloned();
    let native = native.unwrap_or_else(|| global_flag("scrape_native_histograms"));
    let protocols = global.get("scrape_protocols").cloned();
    job.filled(
        "scrape_protocols",
        protocols.unwrap_or_else(|| protocol_names(native == Node::Flag(true))),
    );
    job.plain(&["fallback_scrape_protocol"]);
    for key in [
        "scrape_native_histograms",
        "always_scrape_classic_histograms",
        "convert_classic_histograms_to_nhcb",
    ] {
        job.filled(key, global_flag(key));
    }
    job.inherited("scrape_failure_log_file", global);
    job.filled("metrics_path", standard.metrics_path.as_str());
    job.set("scheme", standard.scheme.as_str());
    job.filled_but_null("enable_compression", standard.compression);
    LIMITS.iter().for_each(|key| job.inherited(key, global));
    job.plain(&["native_histogram_bucket_limit", "native_histogram_min_bucket_factor"]);
    names(&mut job, global);
    job.filled("extra_scrape_metrics", global_flag("extra_scrape_metrics"));
    client(&mut job);
    job.each("relabel_configs", relabel);
    job.each("metric_relabel_configs", relabel);
    sources(&mut job);
    job.finish()
}

fn protocol_names(native: bool) -> Node {
    let protocols = ScrapeProtocol::standard(native).iter();
    Node::List(protocols.map(|protocol| protocol.name().into()).collect())
}

const fn validation_name(classic_only: bool) -> &'static str {
    if classic_only { "legacy" } else { "utf8" }
}

/// Which names are good, and how others are asked for.
fn names(job: &mut Section, global: &Node) {
    let said = |job: &Section, key: &str| {
        let given = [job.given(key), global.get(key)].into_iter().flatten();
        given.filter_map(Node::text).find(|text| !text.is_empty()).map(str::to_owned)
    };
    let key = "metric_name_validation_scheme";
    let validation = said(job, key).unwrap_or_else(|| validation_name(false).to_owned());
    job.set(key, validation.as_str());
    let escaping = if validation == validation_name(true) {
        Escaping::Underscores
    } else {
        Escaping::AllowUtf8
    };
    let key = "metric_name_escaping_scheme";
    let escaping = said(job, key).unwrap_or_else(|| escaping.name().to_owned());
    job.set(key, escaping.as_str());
}

fn relabel(rule: Node) -> Node {
    let mut rule = Section::of(rule);
    rule.plain(&["source_labels"]);
    rule.filled_but_null("separator", SEPARATOR);
    rule.filled_but_null("regex", PATTERN);
    rule.plain(&["modulus", "target_label"]);
    rule.filled_but_null("replacement", REPLACEMENT);
    rule.filled("action", Action::default().name());
    rule.finish()
}

/// How somebody is asked, wherever that stands beside other keys.
fn client(section: &mut Section) {
    let standard = ClientOptions::default();
    section.plain(&["basic_auth"]);
    section.section("authorization", |authorization| {
        let mut authorization = Section::of(authorization);
        authorization.set("type", super::client::AUTHORIZATION_TYPE_DEFAULT);
        authorization.finish()
    });
    section.section("oauth2", |oauth2| {
        let mut oauth2 = Section::of(oauth2);
        oauth2.plain(&["client_id", "client_secret", "client_secret_file", "scopes", "token_url"]);
        oauth2.plain(&["endpoint_params"]);
        oauth2.section("tls_config", tls);
        oauth2.finish()
    });
    section.plain(&["bearer_token", "bearer_token_file"]);
    section.section("tls_config", tls);
    section.filled_but_null("follow_redirects", standard.follow_redirects);
    section.filled_but_null("enable_http2", standard.http2);
    section.plain(&["proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header"]);
    section.plain(&["http_headers"]);
}

fn tls(tls: Node) -> Node {
    let mut tls = Section::of(tls);
    tls.plain(&["ca", "cert", "key", "ca_file", "cert_file", "key_file", "server_name"]);
    tls.filled_but_null("insecure_skip_verify", false);
    tls.finish()
}

/// Where targets are found.
fn sources(section: &mut Section) {
    section.each("consul_sd_configs", |consul| {
        let mut consul = Section::of(consul);
        consul.filled("server", discoveries::CONSUL_SERVER_DEFAULT);
        consul.plain(&["path_prefix", "token", "datacenter", "namespace", "partition"]);
        consul.filled("tag_separator", discoveries::CONSUL_TAG_SEPARATOR_DEFAULT);
        consul.filled("scheme", discoveries::CONSUL_SCHEME_DEFAULT);
        consul.plain(&["username", "password"]);
        consul.filled_but_null("allow_stale", true);
        consul.plain(&["services", "tags", "node_meta", "filter", "health_filter"]);
        consul.span("refresh_interval", discoveries::CONSUL_REFRESH_DEFAULT);
        client(&mut consul);
        consul.finish()
    });
    section.each("dns_sd_configs", |dns| {
        let mut dns = Section::of(dns);
        dns.plain(&["names"]);
        dns.span("refresh_interval", discoveries::DNS_REFRESH_DEFAULT);
        dns.filled("type", discoveries::DNS_RECORD_DEFAULT);
        dns.finish()
    });
    section.each("docker_sd_configs", |docker| {
        let mut docker = Section::of(docker);
        client(&mut docker);
        docker.plain(&["host"]);
        docker.filled("port", usize::from(discoveries::DOCKER_PORT_DEFAULT));
        docker.plain(&["filters"]);
        docker.filled("host_networking_host", discoveries::DOCKER_HOST_DEFAULT);
        docker.span("refresh_interval", discoveries::DOCKER_REFRESH_DEFAULT);
        docker.filled("match_first_network", true);
        docker.finish()
    });
    section.each("file_sd_configs", |file| {
        let mut file = Section::of(file);
        file.plain(&["files"]);
        file.span("refresh_interval", discoveries::FILE_REFRESH_DEFAULT);
        file.finish()
    });
    section.each("http_sd_configs", |http| {
        let mut http = Section::of(http);
        client(&mut http);
        http.span("refresh_interval", discoveries::HTTP_REFRESH_DEFAULT);
        http.plain(&["url"]);
        http.finish()
    });
    section.each("kubernetes_sd_configs", |kubernetes| {
        let mut kubernetes = Section::of(kubernetes);
        kubernetes.plain(&["api_server", "role", "kubeconfig_file"]);
        client(&mut kubernetes);
        kubernetes.plain(&["namespaces", "selectors", "attach_metadata"]);
        kubernetes.finish()
    });
    section.plain(&["static_configs"]);
}

fn alerting_section(alerting: Node) -> Node {
    let mut alerting = Section::of(alerting);
    alerting.each("alert_relabel_configs", relabel);
    alerting.each("alertmanagers", |entry| {
        let mut entry = Section::of(entry);
        client(&mut entry);
        entry.plain(&["sigv4"]);
        entry.set("scheme", alerting::SCHEME_DEFAULT);
        entry.plain(&["path_prefix"]);
        entry.span("timeout", alerting::TIMEOUT_DEFAULT);
        entry.set("api_version", alerting::API_VERSION);
        entry.each("relabel_configs", relabel);
        entry.each("alert_relabel_configs", relabel);
        sources(&mut entry);
        entry.finish()
    });
    alerting.finish()
}

fn storage(storage: Node) -> Node {
    let standard = swell_engine::Config::standard();
    let mut storage = Section::of(storage);
    storage.filled_section("tsdb", |tsdb| {
        let mut tsdb = Section::of(tsdb);
        // Zero is a value here: nothing may come late.
        tsdb.filled("out_of_order_time_window", standard.out_of_order_window);
        tsdb.plain(&["retention"]);
        tsdb.finish()
    });
    storage.filled_section("exemplars", |exemplars| {
        let mut exemplars = Section::of(exemplars);
        exemplars.filled("max_exemplars", standard.exemplars_max);
        exemplars.finish()
    });
    storage.finish()
}

fn remote_write(entry: Node) -> Node {
    let mut entry = Section::of(entry);
    entry.plain(&["url"]);
    entry.span("remote_timeout", sending::TIMEOUT_DEFAULT);
    entry.plain(&["headers"]);
    entry.each("write_relabel_configs", relabel);
    entry.plain(&["name", "send_exemplars", "send_native_histograms", "round_robin_dns"]);
    entry.filled("protobuf_message", Message::V1.name());
    client(&mut entry);
    entry.filled_section("queue_config", |queue| {
        let standard = Batching::standard();
        let mut queue = Section::of(queue);
        queue.filled("capacity", standard.capacity);
        queue.filled("max_shards", standard.shards_max);
        queue.set("min_shards", standard.shards_min);
        queue.filled("max_samples_per_send", standard.batch_max);
        queue.span("batch_send_deadline", span_of(standard.batch_deadline));
        queue.span("min_backoff", span_of(standard.backoff_min));
        queue.span("max_backoff", span_of(standard.backoff_max));
        queue.plain(&["retry_on_http_429", "sample_age_limit"]);
        queue.finish()
    });
    entry.filled_section("metadata_config", |metadata| {
        let standard = MetadataSending::standard();
        let mut metadata = Section::of(metadata);
        metadata.filled_but_null("send", true);
        metadata.span("send_interval", span_of(standard.interval));
        metadata.filled("max_samples_per_send", standard.batch_max);
        metadata.finish()
    });
    entry.finish()
}

fn remote_read(entry: Node) -> Node {
    let mut entry = Section::of(entry);
    entry.plain(&["url"]);
    entry.span("remote_timeout", reading::TIMEOUT_DEFAULT);
    entry.filled("chunked_read_limit", reading::FRAME_BYTES_MAX);
    entry.plain(&["headers", "read_recent", "name"]);
    client(&mut entry);
    entry.plain(&["required_matchers"]);
    entry.filled_but_null("filter_external_labels", true);
    entry.finish()
}

fn otlp(otlp: Node) -> Node {
    let mut otlp = Section::of(otlp);
    otlp.plain(&[
        "promote_all_resource_attributes",
        "promote_resource_attributes",
        "ignore_resource_attributes",
    ]);
    otlp.filled("translation_strategy", Strategy::default().name());
    otlp.plain(&[
        "keep_identifying_resource_attributes",
        "convert_histograms_to_nhcb",
        "promote_scope_metadata",
    ]);
    otlp.filled("label_name_underscore_sanitization", true);
    otlp.filled("label_name_preserve_multiple_underscores", true);
    otlp.finish()
}

#[cfg(test)]
mod tests;
