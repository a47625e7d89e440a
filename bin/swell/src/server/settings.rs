//! What the parts are started with: the file's settings, and the command line's before them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use swell_model::DurationMs;
use swell_otlp::Deltas;
use swell_tsdb_http::{ApiConfig, RemoteWriteConfig};
use tracing::warn;

use super::ServerConfig;
use crate::args::ServerArgs;
use crate::config::{Config, Location};
use crate::node;

/// As long as Prometheus keeps samples at most: with this there is no limit by time.
const RETENTION_MAX: DurationMs = DurationMs(100 * 365 * 24 * 3_600_000);

/// The file's settings, and what the command line says before them.
pub(super) fn settings(args: &ServerArgs) -> anyhow::Result<Config> {
    let mut config = match &args.config {
        Some(path) => Config::load(path)?,
        None => Config::standard(),
    };
    if let Some(size) = args.retention_size {
        config.storage.retention_size_bytes = (size > 0).then_some(size);
    }
    if let Some(time) = args.retention_time {
        // As in Prometheus 0 is no limit by time where there is one by size; where there is none, what is in force stays.
        config.storage.retention_time = match config.storage.retention_size_bytes {
            _ if time > DurationMs::ZERO => time,
            Some(_) => RETENTION_MAX,
            None => config.storage.retention_time,
        };
        if let Some(fault) = crate::config::downsample::fault(&config.storage) {
            anyhow::bail!("--retention-time {time}: {fault}");
        }
    }
    if let Some(url) = &args.web.external_url {
        config.external_url = Some(url.clone());
    }
    if let Some(prefix) = args.web.route_prefix() {
        config.route_prefix = Some(prefix.clone());
    }
    if let Some(remark) = args.storage.remark().map_err(anyhow::Error::msg)? {
        config.remarks.push(remark.to_owned());
    }
    config.admin_api |= args.enable_admin_api;
    config.lifecycle_api |= args.enable_lifecycle;
    for name in &args.enable_features {
        config.enable_feature(name)?;
    }
    if args.auto_reload_interval.is_some() && !config.switches.auto_reload {
        let remark = "--config.auto-reload-interval changes nothing without --enable-feature=auto-reload-config";
        config.remarks.push(remark.to_owned());
    }
    if config.switches.auto_reload && args.config.is_none() {
        let remark = "--enable-feature=auto-reload-config changes nothing without --config: there is no file to follow";
        config.remarks.push(remark.to_owned());
    }
    let query = &mut config.query;
    query.remote_read_samples_max =
        args.remote_read_samples_max.unwrap_or(query.remote_read_samples_max);
    query.remote_reads_max = args.remote_reads_max.unwrap_or(query.remote_reads_max);
    query.search_limit_max = args.query.search_limit_max.unwrap_or(query.search_limit_max);
    query.timeout = args.query.timeout.unwrap_or(query.timeout);
    query.lookback = args.query.lookback.unwrap_or(query.lookback);
    query.samples_max = args.query.samples_max.unwrap_or(query.samples_max);
    let limited = |max: usize| Some(max).filter(|max| *max > 0);
    query.series_max = args.query.series_max.map_or(query.series_max, limited);
    query.bytes_max = args
        .query
        .bytes_max
        .map_or(query.bytes_max, |bytes| limited(usize::try_from(bytes).unwrap_or(usize::MAX)));
    query.concurrency_max = args.query.concurrency_max.unwrap_or(query.concurrency_max);
    let alerting = &mut config.alerting;
    alerting.resend_delay = args.alerting.resend_delay.unwrap_or(alerting.resend_delay);
    let restore = &mut alerting.restore;
    restore.outage_tolerance = args.alerting.outage_tolerance.unwrap_or(restore.outage_tolerance);
    restore.grace = args.alerting.grace_period.unwrap_or(restore.grace);
    alerting.rules_at_once = args.alerting.rules_at_once.unwrap_or(alerting.rules_at_once);
    let limits = &mut alerting.limits;
    limits.queue_len_max = args.alerting.queue_capacity.unwrap_or(limits.queue_len_max);
    limits.batch_len_max = args.alerting.batch_size.unwrap_or(limits.batch_len_max);
    if args.enable_remote_write_receiver {
        config.remote_write.enabled = Some(true);
    }
    if args.enable_otlp_receiver {
        config.otlp.enabled = Some(true);
    }
    if !args.accepted_protobuf_messages.is_empty() {
        config.remote_write.accepted.clone_from(&args.accepted_protobuf_messages);
    }
    Ok(config)
}

/// What the configuration asks for in vain is said once, at the start and at each reload.
pub(super) fn report_unsupported(config: &Config) {
    for what in &config.unsupported {
        warn!(key = %what, "the configuration has a part that is not supported yet and has no effect");
    }
    for remark in &config.remarks {
        warn!("{remark}");
    }
    for (key, path) in &config.missing_files {
        warn!(key, path = %path.display(), "there is no such file, and nothing is taken from it");
    }
    for (job, kind) in &config.unsupported_discoveries {
        warn!(job, discovery = %kind, "this discovery is not supported yet: the job has no targets from it");
    }
}

/// Where users find the server. What nobody tells of that is the address it listens on; one that stands for all of the
/// host is no address for links, but the host's name is.
pub(super) fn location(config: &Config, scheme: &str, http_addr: SocketAddr) -> Location {
    let origin = if http_addr.ip().is_unspecified() {
        format!("{scheme}://{}:{}", node::node_name(None), http_addr.port())
    } else {
        format!("{scheme}://{http_addr}")
    };
    Location::new(config.external_url.as_ref(), config.route_prefix.as_ref(), &origin)
}

/// How often the files of the configuration are looked at, where that is switched on; each second at most.
pub(super) fn auto_reload_interval(args: &ServerArgs) -> DurationMs {
    let interval = args.auto_reload_interval.unwrap_or(DurationMs::from_secs(30));
    interval.max(DurationMs::from_secs(1))
}

/// Anyone who gets in may write, so a receiver is open by itself only where no stranger does.
pub(super) fn is_open(server: &ServerConfig, enabled: Option<bool>, asks_who: bool) -> bool {
    let on_loopback = || server.listen_http.iter().all(|address| address.ip().is_loopback());
    enabled.unwrap_or_else(|| asks_who || on_loopback())
}

pub(super) fn remote_write_config(server: &ServerConfig, asks_who: bool) -> RemoteWriteConfig {
    let settings = &server.config.remote_write;
    RemoteWriteConfig {
        is_enabled: is_open(server, settings.enabled, asks_who),
        accepted: settings.accepted.clone(),
        zero_at_start: settings.zero_at_start,
        type_and_unit_labels: server.config.features.type_and_unit_labels,
    }
}

pub(super) fn api_config(server: &ServerConfig, location: &Location, asks_who: bool) -> ApiConfig {
    let config = &server.config;
    let mut flags = BTreeMap::new();
    let mut flag = |name: &str, value: String| flags.insert(name.to_owned(), value);
    let addresses: Vec<String> = server.listen_http.iter().map(ToString::to_string).collect();
    flag("web.listen-address", addresses.join(","));
    flag(
        "web.external-url",
        config.external_url.as_ref().map(ToString::to_string).unwrap_or_default(),
    );
    flag("web.route-prefix", location.prefix.to_string());
    flag("web.cors.origin", server.web().cors_origin.unwrap_or_default().to_string());
    flag("web.max-notifications-subscribers", server.web().notification_streams_max().to_string());
    flag("web.page-title", server.web().page_title().to_owned());
    flag("web.max-connections", server.web().connections_max().to_string());
    flag("web.read-timeout", server.web().read_timeout().to_string());
    flag("storage.tsdb.path", server.data_dir.display().to_string());
    flag("storage.tsdb.retention.time", config.storage.retention_time.to_string());
    if let Some(bytes) = config.storage.retention_size_bytes {
        flag("storage.tsdb.retention.size", format!("{bytes}B"));
    }
    flag("web.enable-admin-api", config.admin_api.to_string());
    flag("web.enable-lifecycle", config.lifecycle_api.to_string());
    let receiver = remote_write_config(server, asks_who);
    flag("web.enable-remote-write-receiver", receiver.is_enabled.to_string());
    let takes_otlp = is_open(server, config.otlp.enabled, asks_who);
    flag("web.enable-otlp-receiver", takes_otlp.to_string());
    let messages: Vec<&str> = receiver.accepted.iter().map(|message| message.name()).collect();
    flag("web.remote-write-receiver.accepted-protobuf-messages", messages.join(","));
    if let Some(path) = server.args.as_ref().and_then(|args| args.web_config.as_ref()) {
        flag("web.config.file", path.display().to_string());
    }
    if let Some(args) = &server.args {
        let consoles = &args.consoles;
        flag("web.console.templates", consoles.console_templates.display().to_string());
        flag("web.console.libraries", consoles.console_libraries.display().to_string());
        let assets = consoles.user_assets.as_ref();
        flag("web.user-assets", assets.map_or_else(String::new, |it| it.display().to_string()));
        if let Some(path) = &args.config {
            flag("config.file", path.display().to_string());
        }
        flag("config.auto-reload-interval", auto_reload_interval(args).to_string());
    }
    if let Some(args) = server.args.as_ref().filter(|args| !args.enable_features.is_empty()) {
        flag("enable-feature", args.enable_features.join(","));
    }
    flag("query.timeout", config.query.timeout.to_string());
    flag("query.lookback-delta", config.query.lookback.to_string());
    flag("query.max-samples", config.query.samples_max.to_string());
    flag("query.max-series", config.query.series_max.unwrap_or(0).to_string());
    flag("query.max-memory", format!("{}B", config.query.bytes_max.unwrap_or(0)));
    flag("query.max-concurrency", config.query.concurrency_max.to_string());
    flag("rules.max-concurrent-evals", config.alerting.rules_at_once.to_string());
    flag("web.search.max-limit", config.query.search_limit_max.to_string());
    flag("rules.alert.resend-delay", config.alerting.resend_delay.to_string());
    let restore = config.alerting.restore;
    flag("rules.alert.for-outage-tolerance", restore.outage_tolerance.to_string());
    flag("rules.alert.for-grace-period", restore.grace.to_string());
    let limits = config.alerting.limits;
    flag("alertmanager.notification-queue-capacity", limits.queue_len_max.to_string());
    flag("alertmanager.notification-batch-size", limits.batch_len_max.to_string());
    let remote = config.query;
    flag("storage.remote.read-sample-limit", remote.remote_read_samples_max.to_string());
    flag("storage.remote.read-concurrent-limit", remote.remote_reads_max.to_string());
    ApiConfig {
        lookback: config.query.lookback,
        timeout: config.query.timeout,
        samples_max: config.query.samples_max,
        series_max: config.query.series_max,
        bytes_max: config.query.bytes_max,
        concurrency_max: config.query.concurrency_max,
        flags,
        hostname: node::node_name(None),
        admin_api: config.admin_api,
        sums_deltas: config.deltas == Deltas::SummedUp,
        stores_deltas: config.deltas == Deltas::AsTheyAre,
        remote_read_samples_max: config.query.remote_read_samples_max,
        remote_reads_max: config.query.remote_reads_max,
        search_api: config.switches.search_api,
        concurrent_rules: config.switches.concurrent_rules,
        per_step_stats: config.switches.per_step_stats,
        search_limit_max: config.query.search_limit_max,
        auto_reload: config.switches.auto_reload,
        origins: server.web().cors_origin.unwrap_or_default(),
        features: config.features,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Verb};

    fn given(flags: &[&str]) -> ServerArgs {
        let line = ["swell", "server"].into_iter().chain(flags.iter().copied());
        let Verb::Server(args) = Cli::try_parse_from(line).expect("good").verb else {
            panic!("server")
        };
        *args
    }

    #[test]
    fn flags_of_outages_and_streams_reach_what_they_set() {
        let flags = ["--rules.alert.for-outage-tolerance=2h", "--rules.alert.for-grace-period=5m"];
        let config = settings(&given(&flags)).expect("good");
        let restore = config.alerting.restore;
        assert_eq!(restore.outage_tolerance, DurationMs::from_secs(7200));
        assert_eq!(restore.grace, DurationMs::from_secs(300));
        let standard = settings(&given(&[])).expect("good").alerting.restore;
        assert_eq!(standard.outage_tolerance, DurationMs::from_secs(3600));
        let web = given(&["--web.max-notifications-subscribers=3"]).web;
        assert_eq!(web.notification_streams_max(), 3);
        assert_eq!(given(&[]).web.notification_streams_max(), 16);
    }

    #[test]
    fn the_command_line_tells_the_location_before_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("swell.yaml");
        let text = "swell: {external_url: 'http://file/a/', route_prefix: /b}\n";
        std::fs::write(&path, text).expect("written");
        let file = format!("--config={}", path.display());
        let at = |flags: &[&str]| {
            let config = settings(&given(flags)).expect("good");
            let at = location(&config, "http", SocketAddr::from(([127, 0, 0, 1], 90)));
            [at.external_url, at.prefix.to_string()]
        };
        assert_eq!(at(&[]), ["http://127.0.0.1:90", "/"]);
        assert_eq!(at(&[&file]), ["http://file/a", "/b"]);
        assert_eq!(at(&[&file, "--web.external-url=http://flag/c"]), ["http://flag/c", "/b"]);
        assert_eq!(at(&[&file, "--web.route-prefix=/"]), ["http://file/a", "/"]);
        // An empty one is none: the file's stays.
        assert_eq!(at(&[&file, "--web.route-prefix="]), ["http://file/a", "/b"]);
        for wrong in ["{external_url: 'file/a'}", "{route_prefix: 'a b'}"] {
            std::fs::write(&path, format!("swell: {wrong}\n")).expect("written");
            let told = format!("{:#}", settings(&given(&[&file])).expect_err("refused"));
            assert!(told.contains("swell.external_url") || told.contains("swell.route_prefix"));
        }
        let all = SocketAddr::from(([0, 0, 0, 0], 90));
        let at = location(&Config::standard(), "https", all);
        assert_eq!(at.external_url, format!("https://{}:90", node::node_name(None)));
    }

    #[test]
    fn flags_that_change_nothing_are_told_and_those_that_cannot_be_had_refused() {
        let remarks = |flags: &[&str]| settings(&given(flags)).map(|config| config.remarks);
        assert_eq!(remarks(&[]).expect("good"), Vec::<String>::new());
        let [interval, feature] =
            ["--config.auto-reload-interval=1m", "--enable-feature=auto-reload-config"];
        for (flags, part) in [
            (vec!["--storage.tsdb.wal-compression"], "always columnar"),
            (vec!["--storage.tsdb.wal-compression-type=zstd"], "always columnar"),
            (vec![interval], "auto-reload-config"),
            (vec![interval, feature], "without --config"),
        ] {
            let told = remarks(&flags).expect("good");
            assert!(told.len() == 1 && told[0].contains(part), "{flags:?}: {told:?}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("swell.yaml");
        std::fs::write(&path, "").expect("written");
        let file = format!("--config={}", path.display());
        let followed = remarks(&[interval, feature, file.as_str()]);
        assert_eq!(followed.expect("good"), Vec::<String>::new());
        let refused = remarks(&["--no-storage.tsdb.wal-compression"]).expect_err("refused");
        assert!(refused.to_string().contains("always columnar"), "{refused}");
    }

    #[test]
    fn zero_is_no_limit_of_time_where_there_is_one_of_size() {
        for (flags, days, bytes) in [
            (vec!["--storage.tsdb.retention.time=0"], 15, None),
            (
                vec!["--storage.tsdb.retention.time=0s", "--retention-size=1GB"],
                36_500,
                Some(1 << 30),
            ),
            (vec!["--retention-time=0d", "--retention-size=0"], 15, None),
            (vec!["--retention-time=30d", "--retention-size=1GB512MB"], 30, Some(3 << 29)),
        ] {
            let storage = settings(&given(&flags)).expect("good").storage;
            assert_eq!(storage.retention_time, DurationMs::from_secs(days * 86_400), "{flags:?}");
            assert_eq!(storage.retention_size_bytes, bytes, "{flags:?}");
        }
    }
}
