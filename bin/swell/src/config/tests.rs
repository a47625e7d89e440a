use swell_discovery::{DiscoveryConfig, DockerHost, KubernetesServer, Role};
use swell_engine::WalSync;
use swell_http_client::Auth;
use swell_otlp::{Deltas, Promotion, Strategy};
use swell_scrape::Escaping;
use swell_tsdb_http::Message;

use super::*;

fn parse(text: &str) -> anyhow::Result<Config> {
    Config::parse(text, Path::new("."), Path::new("swell.yaml"))
}

fn refused(text: &str) -> String {
    format!("{:#}", parse(text).expect_err("refused"))
}

#[test]
fn a_prometheus_configuration_is_accepted() {
    let config = parse(
        r"
global:
  scrape_interval: 15s
  external_labels: {cluster: eu}
rule_files: ['no-such-folder/*.yml']
scrape_configs:
  - job_name: app
    static_configs: [{targets: ['localhost:8080']}]
    relabel_configs: [{source_labels: [a], target_label: b}]
  - job_name: machines
    ec2_sd_configs: [{region: eu-west-1}]
remote_write: [{url: 'http://localhost:9009'}]
alerting:
  alert_relabel_configs: [{regex: replica, action: labeldrop}]
  alertmanagers:
    - {path_prefix: /am, timeout: 5s, api_version: v2, static_configs: [{targets: ['localhost:9093']}], alert_relabel_configs: [{target_label: to, replacement: one}]}
    - {scheme: https, dns_sd_configs: [{names: [am.example]}], ec2_sd_configs: [{region: eu-west-1}], basic_auth: {username: u, password: p}}
storage:
  tsdb: {retention: {time: 30d, size: 10GB}, out_of_order_time_window: 30m}
  exemplars: {max_exemplars: 5000}
swell:
  wal_sync: always
  collection_interval: 250ms
  limits: {series: 1000, series_per_metric: 100, series_per_label: {namespace: 50, job: 0}}
",
    )
    .expect("valid");
    assert_eq!(config.jobs[0].interval, DurationMs::from_secs(15));
    assert_eq!(config.jobs[0].timeout, DurationMs::from_secs(10));
    assert_eq!(config.jobs[0].static_groups[0].targets, ["localhost:8080"]);
    assert_eq!(config.jobs[0].relabel.len(), 1);
    assert_eq!(config.external_labels.get("cluster"), Some("eu"));
    assert_eq!(config.storage.retention_size_bytes, Some(10 << 30));
    assert_eq!(config.storage.wal_sync, WalSync::Always);
    assert_eq!(config.storage.out_of_order_window, DurationMs::from_secs(1800));
    assert_eq!(config.storage.exemplars_max, 5000);
    assert_eq!(
        (config.storage.head_series_max, config.storage.metric_series_max),
        (1000, Some(100))
    );
    assert_eq!(config.storage.label_series_max, [("namespace".to_owned(), 50)]);
    let sent = &config.alerting.alertmanagers;
    assert_eq!((sent[0].path_prefix.as_str(), sent[0].timeout), ("/am", DurationMs::from_secs(5)));
    assert_eq!((config.alerting.relabel.len(), sent[0].alert_relabel.len()), (1, 1));
    assert_eq!(sent[1].discoveries.len(), 1);
    assert_eq!(config.unsupported, ["alerting.alertmanagers[1].ec2_sd_configs"]);
    assert_eq!(config.receivers.len(), 1);
    assert_eq!(
        config.unsupported_discoveries,
        [("machines".to_owned(), "ec2_sd_configs".to_owned())]
    );
}

#[test]
fn kinds_of_discovery_that_are_not_there_are_told() {
    let kinds = "aws azure digitalocean dockerswarm ec2 ecs elasticache eureka gce hetzner ionos kuma lightsail linode \
                 marathon msk nerve nomad oci openstack outscale ovhcloud puppetdb rds scaleway serverset stackit \
                 triton uyuni vultr";
    let kinds: Vec<String> = kinds.split(' ').map(|kind| format!("{kind}_sd_configs")).collect();
    let keys: Vec<String> = kinds.iter().map(|kind| format!("{kind}: [{{region: x}}]")).collect();
    let keys = keys.join(", ");
    let text = format!(
        "scrape_configs: [{{job_name: a, {keys}}}]\nalerting: {{alertmanagers: [{{{keys}}}]}}"
    );
    let config = parse(&text).expect("valid");
    let told: Vec<&String> = config.unsupported_discoveries.iter().map(|(_, kind)| kind).collect();
    assert_eq!(told, kinds.iter().collect::<Vec<_>>());
    let paths = kinds.iter().map(|kind| format!("alerting.alertmanagers[0].{kind}"));
    assert_eq!(config.unsupported, paths.collect::<Vec<_>>());
}

#[test]
fn a_mistyped_key_is_named_with_its_line() {
    let error = refused("global:\n  scrape_intervall: 15s\n");
    assert!(error.contains("scrape_intervall"), "{error}");
    assert!(error.contains('2'), "{error}");
    assert!(error.contains("swell.yaml"), "{error}");
}

#[test]
fn all_faults_are_reported_at_once() {
    let error = refused(
        "global: {scrape_interval: 5s, scrape_timeout: 10s}\nscrape_configs: [{job_name: a}, {job_name: a}, {}]\nswell: {wal_sync: sometimes}\nrule_files: ['[']\n",
    );
    for part in [
        "scrape_timeout",
        "\"a\" is taken",
        "job_name is missing",
        "sometimes",
        "rule_files: \"[\"",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn broken_values_are_named() {
    for (text, part) in [
        ("global: {scrape_interval: soon}", "soon"),
        ("storage: {tsdb: {retention: {size: big}}}", "big"),
        ("- a list", "line 1"),
        ("swell: {alertmanager_config_file: nowhere.yml}", "nowhere.yml"),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn rule_files_may_have_wildcards() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["b.yml", "a.yml", "c.yaml"] {
        fs::write(folder.path().join(name), "").expect("written");
    }
    for (pattern, expected) in [
        ("*.yml", vec!["a.yml", "b.yml"]),
        ("[bc].y*", vec!["b.yml", "c.yaml"]),
        ("?.yaml", vec!["c.yaml"]),
        ("nowhere/*.yml", vec![]),
        ("a.yml", vec!["a.yml"]),
        ("./x/.././a.yml", vec!["a.yml"]),
        ("**.yml", vec!["a.yml", "b.yml"]),
    ] {
        let mut faults = Vec::new();
        let mut globs = Globs { folder: folder.path(), missing: Vec::new() };
        let found = globs.files("rule_files", &[pattern.to_owned()], &mut faults);
        assert_eq!(globs.missing, [], "{pattern}");
        let expected: Vec<_> = expected.iter().map(|name| folder.path().join(name)).collect();
        assert_eq!((found, faults), (expected, Vec::new()), "{pattern}");
    }
    let mut faults = Vec::new();
    let mut globs = Globs { folder: folder.path(), missing: Vec::new() };
    let patterns = ["./a.yml", "*.yml", "a.yml"].map(ToOwned::to_owned);
    let found = globs.files("rule_files", &patterns, &mut faults);
    assert_eq!(found, ["a.yml", "b.yml"].map(|name| folder.path().join(name)), "each once");
    let patterns = ["missing.yml".to_owned(), "[".to_owned()];
    assert_eq!(globs.files("rule_files", &patterns, &mut faults), Vec::<PathBuf>::new());
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(globs.missing, [("rule_files", folder.path().join("missing.yml"))]);
}

#[test]
fn files_that_are_not_there_do_not_stop_the_start() {
    let config = parse("rule_files: [no.yml]\nscrape_config_files: [none.yml, 'none/*.yml']");
    let config = config.expect("valid");
    let missing = |key, name: &str| (key, PathBuf::from(name));
    let expected = [missing("scrape_config_files", "none.yml"), missing("rule_files", "no.yml")];
    assert_eq!(config.missing_files, expected);
    assert_eq!((config.rule_files, config.jobs.len()), (Vec::new(), 0));
}

#[test]
fn the_first_document_counts() {
    let text = "---\nglobal: {scrape_interval: 5s}\nscrape_configs:\n- job_name: a\n---\nno: 1\n";
    let config = parse(text).expect("valid");
    assert_eq!(config.jobs[0].interval, DurationMs::from_secs(5));
    assert_eq!(config.job_texts.len(), 1);
    assert!(config.shown_yaml.contains("scrape_interval"), "{}", config.shown_yaml);
    assert!(parse("global: {}\n---\n").is_ok() && parse("---\n---\nno: 1\n").is_ok());
    let error = refused("---\nglobal:\n  scrape_intervall: 1s\n---\nx\n");
    assert!(error.contains("line 3"), "{error}");
}

#[test]
fn jobs_take_over_what_they_do_not_say() {
    let config = parse(
        r"
global: {scrape_interval: 20s, scrape_timeout: 15s, sample_limit: 7}
scrape_configs:
  - job_name: quick
    scrape_interval: 5s
  - job_name: files
    scheme: https
    sample_limit: 9
    file_sd_configs: [{files: ['targets/*.yml']}]
    basic_auth: {username: u, password_file: pw}
    tls_config: {ca_file: ca.pem, server_name: x}
",
    )
    .expect("valid");
    let [quick, files] = config.jobs.as_slice() else { panic!("two jobs") };
    assert_eq!((quick.interval, quick.timeout), (DurationMs(5000), DurationMs(5000)));
    assert_eq!(quick.limits.samples_max, Some(7));
    assert_eq!((files.interval, files.timeout), (DurationMs(20_000), DurationMs(15_000)));
    assert_eq!(files.limits.samples_max, Some(9));
    assert_eq!(files.scheme, swell_scrape::Scheme::Https);
    let DiscoveryConfig::File(found) = &files.discoveries[0] else { panic!("files") };
    assert_eq!(found.patterns, [Path::new("./targets/*.yml")]);
    assert_eq!(found.refresh, DurationMs::from_secs(300));
    let shown = format!("{:?} {:?}", files.client.auth, files.client.tls);
    assert!(shown.contains("./pw") && shown.contains("./ca.pem"), "{shown}");
    assert!(!shown.contains("\"u\""), "{shown}");
}

#[test]
fn what_says_nothing_is_zero() {
    let config = parse(
        r"
global: {external_labels: {cluster: }}
scrape_configs:
  - job_name: a
    honor_labels:
    honor_timestamps:
    follow_redirects: ~
    authorization: {type: Token}
    static_configs: [{targets: [a], labels: {env: , zone: null, job: 'null'}}]
    relabel_configs: [{source_labels: [env], regex: , separator: , target_label: empty, replacement: yes}]
alerting: {alert_relabel_configs: [{source_labels: [x], action: drop, regex: null}]}
",
    )
    .expect("valid");
    assert_eq!(config.external_labels.get("cluster"), None);
    let job = &config.jobs[0];
    let labels: Vec<&str> = job.static_groups[0].labels.values().map(String::as_str).collect();
    assert_eq!(labels, ["", "null", ""]);
    assert!(!job.honor_labels && !job.honor_timestamps && !job.client.follow_redirects);
    let Auth::Header { scheme, .. } = &job.client.auth else { panic!("a header") };
    assert_eq!(scheme, "Token");
    let rule = job.relabel[0].spec();
    assert_eq!((rule.regex.as_deref(), rule.separator.as_deref()), (Some(""), Some("")));
    assert_eq!(config.alerting.relabel[0].spec().regex.as_deref(), Some(""));
}

#[test]
fn faults_of_jobs_name_the_job() {
    let error = refused(
        r"
scrape_configs:
  - job_name: one
    scheme: ftp
    scrape_interval: 1s
    scrape_timeout: 2s
    static_configs: [{targets: ['http://x:1']}]
    relabel_configs: [{action: explode}, {regex: '(', target_label: a}]
  - job_name: two
    bearer_token: a
    bearer_token_file: b
    basic_auth: {username: u, username_file: f}
    authorization: {type: Basic}
    tls_config: {cert_file: c}
    file_sd_configs: [{files: [a.txt, '*/b.yml']}, {files: []}]
",
    );
    for part in [
        "job \"one\": scheme \"ftp\"",
        "scrape_timeout 2s",
        "\"http://x:1\"",
        "relabel_configs[0]: unknown action \"explode\"",
        "relabel_configs[1]",
        "bearer_token or bearer_token_file",
        "one of basic_auth",
        "username_file",
        "key go together",
        "\"a.txt\"",
        "\"*/b.yml\"",
        "files is empty",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn retention_by_selector_keeps_the_order_of_the_file() {
    let config = parse(
        r#"
swell:
  admin_api: true
  retention:
    '{namespace="test"}': 2d
    up: 1y
    '{__name__=~"a.*"}': 12h
  background: {cpu_percent: 50, bytes_per_second: 8MiB}
"#,
    )
    .expect("valid");
    let rules: Vec<(String, String)> = config
        .storage
        .retention_rules
        .iter()
        .map(|rule| (rule.matchers[0].value.clone(), rule.time.to_string()))
        .collect();
    let pair = |value: &str, time: &str| (value.to_owned(), time.to_owned());
    assert_eq!(rules, [pair("test", "2d"), pair("up", "1y"), pair("a.*", "12h")]);
    let share = config.storage.background.expect("a share");
    assert_eq!((share.cpu_percent, share.bytes_per_second), (50, 8 << 20));
    assert!(config.admin_api && !Config::standard().admin_api);
    for (text, part) in [
        ("swell: {retention: {'{a=': 1d}}", "{a="),
        ("swell: {retention: {'{a=~\".*\"}': 1d}}", "non-empty matcher"),
        ("swell: {retention: {'{a=\"b\"}': 0}}", "above 0"),
        ("swell: {retention: {'{a=\"b\"}': soon}}", "soon"),
        ("swell: {retention: [a]}", "line 1"),
        ("swell: {background: {cpu_percent: 0}}", "1 to 100"),
        ("swell: {background: {cpu_percent: 101}}", "1 to 100"),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn what_comes_in_is_what_the_file_says() {
    assert!(parse("swell: {}").expect("valid").self_metrics);
    assert!(!parse("swell: {self_metrics: false}").expect("valid").self_metrics);
    let settings = parse("swell: {}").expect("valid").remote_write;
    assert_eq!((settings.enabled, settings.zero_at_start), (None, false));
    assert_eq!(settings.accepted, Message::ALL);
    let text = "swell: {remote_write_receiver: {enabled: false, accepted_protobuf_messages: \
                [prometheus.WriteRequest], zero_at_start: true}}";
    let settings = parse(text).expect("valid").remote_write;
    assert_eq!((settings.enabled, settings.zero_at_start), (Some(false), true));
    assert_eq!(settings.accepted, [Message::V1]);
    let error =
        refused("swell: {remote_write_receiver: {accepted_protobuf_messages: [a.WriteRequest]}}");
    assert!(error.contains("\"a.WriteRequest\" is no message of remote write"), "{error}");
}

#[test]
fn resolutions_of_downsampling_are_checked() {
    let text =
        "swell: {downsample: [{resolution: 1h, retention: 2y}, {resolution: 5m, retention: 90d}]}";
    let tiers = parse(text).expect("valid").storage.tiers;
    let shown: Vec<(String, String)> =
        tiers.iter().map(|it| (it.resolution.to_string(), it.retention.to_string())).collect();
    let pair = |resolution: &str, retention: &str| (resolution.to_owned(), retention.to_owned());
    assert_eq!(shown, [pair("5m", "90d"), pair("1h", "2y")]);
    assert_eq!(Config::standard().storage.tiers, []);
    for (text, part) in [
        ("swell: {downsample: [{resolution: 10m, retention: 1y}]}", "one of 1m, 5m, 1h"),
        ("swell: {downsample: [{resolution: 1h}]}", "retention"),
        ("swell: {downsample: [{resolution: 1h, retention: 0}]}", "above 0"),
        (
            "swell: {downsample: [{resolution: 1h, retention: 1y}, {resolution: 60m, retention: 2y}]}",
            "twice",
        ),
        (
            "swell: {downsample: [{resolution: 1h, retention: 1y}]}\nstorage: {tsdb: {retention: {time: 1d}}}",
            "49h at least",
        ),
    ] {
        let error = refused(text);
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn otlp_has_prometheus_keys() {
    let otlp = parse("").expect("valid").otlp;
    assert_eq!((otlp.enabled, otlp.translation.strategy), (None, Strategy::default()));
    assert_eq!(otlp.translation.target_info_interval_ms, 150_000);
    let text = "otlp: {translation_strategy: NoTranslation, promote_all_resource_attributes: true, \
                ignore_resource_attributes: [host.id], convert_histograms_to_nhcb: true, promote_scope_metadata: true, \
                keep_identifying_resource_attributes: true, label_name_underscore_sanitization: false}\n\
                swell: {otlp_receiver: {enabled: true}, features: [otlp-deltatocumulative]}";
    let config = parse(text).expect("valid");
    let translation = &config.otlp.translation;
    assert_eq!(translation.strategy, Strategy::NoTranslation);
    assert_eq!(translation.promotion, Promotion::AllBut(["host.id".to_owned()].into()));
    assert!(translation.nhcb && translation.promote_scope && translation.keep_identifying);
    assert!(!translation.key_before_underscore && config.deltas == Deltas::SummedUp);
    let native = parse("swell: {features: [otlp-native-delta-ingestion]}").expect("valid");
    assert_eq!(native.deltas, Deltas::AsTheyAre);
    assert_eq!((config.otlp.enabled, config.unsupported), (Some(true), Vec::new()));
    for (text, part) in [
        ("otlp: {translation_strategy: None}", "NoUTF8EscapingWithSuffixes"),
        ("otlp: {promote_resource_attributes: [a, a]}", "is there twice"),
        ("otlp: {promote_resource_attributes: ['']}", "without a name"),
        ("otlp: {ignore_resource_attributes: [a]}", "only with promote_all"),
        (
            "otlp: {promote_all_resource_attributes: true, promote_resource_attributes: [a]}",
            "exclude",
        ),
        ("otlp: {promote: [a]}", "promote"),
        (
            "swell: {features: [otlp-deltatocumulative, otlp-native-delta-ingestion]}",
            "exclude each other",
        ),
    ] {
        let faults = refused(text);
        assert!(faults.contains(part), "{text}: {faults}");
    }
}

#[test]
fn features_reach_the_parts_that_they_are_about() {
    let text = "scrape_configs: [{job_name: a}, {job_name: b}]";
    let mut config = parse(text).expect("valid");
    let is_on = |config: &Config| {
        let labels = config.otlp.translation.type_and_unit_labels;
        assert!(config.jobs.iter().all(|job| job.type_and_unit_labels == labels));
        let zstd = config.jobs.iter().all(|job| job.zstd);
        (labels, zstd)
    };
    assert_eq!(is_on(&config), (false, false));
    config.enable_feature("type-and-unit-labels").expect("known");
    config.enable_feature("zstd-scrape").expect("known");
    assert_eq!(is_on(&config), (true, true));
    let text = format!("{text}\nswell: {{features: [zstd-scrape, type-and-unit-labels]}}");
    let mut config = parse(&text).expect("valid");
    assert_eq!((is_on(&config), &config.unsupported), ((true, true), &Vec::new()));
    config.enable_feature("otlp-deltatocumulative").expect("the first");
    let error = config.enable_feature("otlp-native-delta-ingestion").expect_err("the other");
    assert!(error.to_string().contains("exclude each other"), "{error}");
}

#[test]
fn sources_of_targets_are_checked() {
    let config = parse(
        r"
scrape_configs:
  - job_name: all
    http_sd_configs: [{url: 'https://cmdb/targets', authorization: {credentials_file: t}}]
    dns_sd_configs: [{names: [_m._tcp.example.org]}, {names: [a.example.org], type: A, port: 9100}]
    docker_sd_configs:
      - {host: 'unix:///var/run/docker.sock', filters: [{name: label, values: [scrape]}]}
      - {host: 'tcp://10.0.0.1:2376', tls_config: {ca_file: ca.pem}}
    consul_sd_configs: [{server: 'c:8501', scheme: https, path_prefix: /consul, tags: [a]}]
    kubernetes_sd_configs:
      - {role: pod, namespaces: {names: [shop]}, selectors: [{role: pod, label: app=web}], attach_metadata: {node: true}}
      - {role: node, kubeconfig_file: k.yaml}
      - {role: ingress, api_server: 'https://k:6443', bearer_token_file: t}
",
    )
    .expect("valid");
    assert_eq!(config.unsupported_discoveries, []);
    let found = &config.jobs[0].discoveries;
    let kinds: Vec<&str> = found.iter().map(DiscoveryConfig::mechanism).collect();
    let expected = "http dns dns kubernetes kubernetes kubernetes docker docker consul";
    assert_eq!(kinds.join(" "), expected);
    let [
        ..,
        DiscoveryConfig::Docker(near),
        DiscoveryConfig::Docker(far),
        DiscoveryConfig::Consul(consul),
    ] = found.as_slice()
    else {
        panic!("docker and consul")
    };
    assert_eq!(near.host, DockerHost::Socket("/var/run/docker.sock".into()));
    let DockerHost::Url(url) = &far.host else { panic!("an address") };
    assert_eq!(url.as_str(), "https://10.0.0.1:2376/");
    assert_eq!(consul.url.as_str(), "https://c:8501/consul");
    assert!(consul.allow_stale && consul.tag_separator == ",");
    let [_, _, _, DiscoveryConfig::Kubernetes(pods), DiscoveryConfig::Kubernetes(nodes), ..] =
        found.as_slice()
    else {
        panic!("kubernetes")
    };
    assert_eq!((pods.role, &pods.server), (Role::Pod, &KubernetesServer::Own));
    assert_eq!(nodes.server, KubernetesServer::Kubeconfig("./k.yaml".into()));
    let error = refused(
        r"
scrape_configs:
  - job_name: wrong
    http_sd_configs: [{url: 'ftp://x'}, {}]
    dns_sd_configs: [{names: [a], type: A}, {names: [], type: TXT, port: 1}]
    docker_sd_configs: [{host: 'npipe:////./pipe/docker'}]
    consul_sd_configs: [{username: u, basic_auth: {username: v}}]
    kubernetes_sd_configs:
      - {role: planet}
      - {role: node, selectors: [{role: pod}]}
      - {role: pod, api_server: 'https://k', kubeconfig_file: f}
      - {role: pod, namespaces: {own_namespace: true}}
      - {role: pod, bearer_token: t}
",
    );
    for part in [
        "http_sd_configs.url must begin with http",
        "http_sd_configs.url is missing",
        "port is missing",
        "\"TXT\" is none of SRV",
        "names is empty",
        "docker_sd_configs.host",
        "username and password or basic_auth",
        "role \"planet\"",
        "role node selects from node, not from pod",
        "api_server or kubeconfig_file",
        "own_namespace",
        "need an api_server",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn faults_of_the_text_are_told_without_words_of_its_parser() {
    for (text, expected) in [
        ("global: {}\nglobal: {}\n", "duplicate mapping key: global not allowed here at line 2"),
        ("scrape_configs:\n- job_name:\n", "null is not allowed here at line 2"),
    ] {
        let error = refused(text);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_label_needs_a_name() {
    let error = refused(
        "global: {external_labels: {'': a}}\nscrape_configs: [{job_name: j, static_configs: [{labels: {'': a}}]}]\n",
    );
    for part in ["global.external_labels: a label", "job \"j\": static_configs: a label"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn names_of_otlp_are_such_as_are_taken() {
    for (strategy, is_good) in [
        ("UnderscoreEscapingWithoutSuffixes", true),
        ("NoUTF8EscapingWithSuffixes", false),
        ("NoTranslation", false),
    ] {
        let otlp = format!("otlp: {{translation_strategy: {strategy}}}\n");
        assert!(parse(&otlp).is_ok(), "{strategy}");
        let legacy = format!("global: {{metric_name_validation_scheme: legacy}}\n{otlp}");
        assert_eq!(parse(&legacy).is_ok(), is_good, "{strategy}");
    }
    let error = refused(
        "global: {metric_name_validation_scheme: legacy}\notlp: {translation_strategy: NoTranslation}\n",
    );
    assert!(error.contains("NoTranslation makes names that"), "{error}");
}

#[test]
fn a_proxy_that_a_template_leaves_empty_is_none() {
    let config = parse(
        "scrape_configs:\n- {job_name: a, proxy_url: ''}\n- {job_name: b, proxy_url: '', no_proxy: '', proxy_from_environment: true}\n",
    );
    assert!(config.expect("valid").jobs[0].client.proxy.http.is_none());
}

#[test]
fn clients_are_as_the_keys_say() {
    let config = parse(
        r"
global: {extra_scrape_metrics: true, scrape_failure_log_file: failed.log}
scrape_configs:
  - job_name: a
    oauth2: {client_id: me, client_secret_file: s, token_url: 'https://t/token', scopes: [x]}
    proxy_url: http://proxy:3128
    no_proxy: 10.0.0.0/8
    http_headers: {X-Tenant: {values: [one], secrets: [two], files: [three]}}
    enable_http2: false
    tls_config: {min_version: TLS13}
    track_timestamps_staleness: true
    native_histogram_bucket_limit: 160
    native_histogram_min_bucket_factor: 1.1
    metric_name_escaping_scheme: values
  - job_name: b
    metric_name_validation_scheme: legacy
    extra_scrape_metrics: false
    scrape_failure_log_file: own.log
",
    )
    .expect("valid");
    assert_eq!(config.unsupported, Vec::<String>::new());
    let [a, b] = config.jobs.as_slice() else { panic!("two jobs") };
    let Auth::OAuth2(oauth2) = &a.client.auth else { panic!("oauth2") };
    assert_eq!((oauth2.client_id.as_str(), oauth2.scopes.len()), ("me", 1));
    assert!(a.client.proxy.http.is_some() && a.client.proxy.https.is_some());
    assert_eq!(a.client.headers[0].values.len(), 3);
    assert!(!a.client.http2 && a.track_timestamps_staleness && a.extra_metrics);
    assert_eq!(a.limits.histogram_buckets_max, Some(160));
    assert_eq!(a.limits.histogram_schema_max, Some(3));
    assert_eq!(a.names.escaping, Escaping::Values);
    assert_eq!(a.failure_log.as_deref(), Some(Path::new("./failed.log")));
    assert!(b.names.classic_only && b.names.escaping == Escaping::Underscores);
    assert!(!b.extra_metrics);
    assert_eq!(b.failure_log.as_deref(), Some(Path::new("./own.log")));
    let error = refused(
        r"
scrape_configs:
  - job_name: wrong
    oauth2: {client_secret: a, client_secret_file: b, grant_type: 'urn:x'}
    proxy_url: socks5://p
    http_headers: {Authorization: {values: [a]}}
    tls_config: {min_version: SSL3, max_version: TLS11}
    metric_name_validation_scheme: legacy
    metric_name_escaping_scheme: allow-utf-8
    native_histogram_min_bucket_factor: -1
    scrape_protocols: []
  - job_name: lonely
    no_proxy: a
  - job_name: double
    oauth2: {client_id: a, token_url: 'http://t'}
    basic_auth: {username: u}
",
    );
    for part in [
        "client_credentials",
        "client_id is missing",
        "token_url is missing",
        "client_secret or client_secret_file",
        "one of basic_auth, authorization, oauth2",
        "\"socks5\"",
        "\"Authorization\"",
        "\"SSL3\"",
        "TLS11 is not spoken",
        "allow-utf-8 asks for names",
        "min_bucket_factor -1",
        "scrape_protocols is empty",
        "job \"lonely\": no_proxy",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn jobs_may_stand_in_files_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let jobs = folder.path().join("jobs");
    fs::create_dir(&jobs).expect("made");
    let write = |name: &str, text: &str| fs::write(jobs.join(name), text).expect("written");
    write("a.yml", "scrape_configs: [{job_name: a, file_sd_configs: [{files: [t.yml]}]}]");
    write("b.yml", "");
    let whole = "scrape_config_files: ['jobs/*.yml']\nscrape_configs: [{job_name: own}]";
    let parse = || Config::parse(whole, folder.path(), Path::new("swell.yaml"));
    let config = parse().expect("valid");
    let names: Vec<&str> = config.jobs.iter().map(|job| job.job_name.as_str()).collect();
    assert_eq!(names, ["own", "a"]);
    let DiscoveryConfig::File(found) = &config.jobs[1].discoveries[0] else { panic!("files") };
    assert_eq!(found.patterns, [jobs.join("t.yml")], "paths start at the file's folder");
    assert_eq!(config.job_texts.keys().collect::<Vec<_>>(), ["a", "own"]);
    write("b.yml", "scrape_configs: [{job_name: own}]");
    write("c.yml", "scrape_configs: [{jobname: x}]");
    let error = format!("{:#}", parse().expect_err("refused"));
    for part in ["\"own\" is taken", "c.yml", "jobname"] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

/// YAML blocks of a page that are whole configurations.
fn examples(page: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = fs::read_to_string(&path).expect("a page");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let keys = ["global:", "scrape_configs:", "rule_files:", "storage:", "swell:", "remote_read:"];
    let is_whole = |block: &&str| {
        block.lines().any(|line| keys.iter().any(|key| line.starts_with(key)))
            && !block.starts_with("# rules/")
    };
    blocks.filter(is_whole).map(str::to_owned).collect()
}

#[test]
fn examples_of_the_docs_are_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    for (page, count) in
        [("scraping.md", 4), ("configuration.md", 1), ("prometheus.md", 4), ("remote-write.md", 1)]
    {
        let examples = examples(page);
        assert!(examples.len() >= count, "{page}: {} examples", examples.len());
        for example in examples {
            let config = Config::parse(&example, dir, Path::new(page));
            let config = config.unwrap_or_else(|error| panic!("{page}: {error:#}\n{example}"));
            assert_eq!(config.unsupported, Vec::<String>::new(), "{page}");
            assert_eq!(config.unsupported_discoveries, [], "{page}");
        }
    }
}

#[test]
fn faults_of_alertmanagers_name_their_entry() {
    for (entry, expected) in [
        ("{api_version: v1}", "alerting.alertmanagers[0]: api_version \"v1\""),
        ("{scheme: ftp}", "alerting.alertmanagers[0]: scheme \"ftp\""),
        ("{static_configs: [{targets: ['http://a:1']}]}", "\"http://a:1\" is not of the form"),
        ("{alert_relabel_configs: [{action: no}]}", "alert_relabel_configs[0]: unknown action"),
        ("{http_sd_configs: [{url: x}]}", "http_sd_configs.url"),
        ("{no_such_key: 1}", "no_such_key"),
    ] {
        let told = refused(&format!("alerting: {{alertmanagers: [{entry}]}}"));
        assert!(told.contains(expected), "{entry}: {told}");
    }
}
