//! Reading the configuration again: what is right counts at once, what is wrong changes nothing.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Folder, Server, has, wait_for, write};

const RULES: &str = "groups: [{name: g, rules: [{record: one, expr: vector(1)}]}]\n";

fn server(folder: &Folder) -> (Server, String) {
    let config = folder.file("swell.yaml", "global: {evaluation_interval: 1s}\n");
    let server =
        Server::start(&folder.join("data"), &["--config", &config, "--web.enable-lifecycle"]);
    (server, config)
}

fn job(server: &Server, name: &str) -> String {
    let target = server.http;
    format!(
        "scrape_configs: [{{job_name: {name}, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
}

fn jobs(server: &Server) -> Value {
    server.data("/api/v1/scrape_pools")["scrapePools"].clone()
}

fn notices(server: &Server) -> Vec<String> {
    let list = server.data("/api/v1/notifications");
    let texts = list.as_array().expect("a list").iter();
    texts.map(|notice| notice["text"].as_str().expect("a text").to_owned()).collect()
}

fn gauge(server: &Server) -> String {
    let (_, metrics) = server.get("/metrics");
    let line =
        metrics.lines().find(|line| line.starts_with("prometheus_config_last_reload_successful "));
    line.expect("the gauge").to_owned()
}

#[test]
fn a_reload_puts_targets_and_rules_in_force() {
    let folder = Folder::new();
    let (server, config) = server(&folder);
    assert_eq!(jobs(&server), json!([]));
    folder.file("rules.yaml", RULES);
    let text = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yaml]\n{}",
        job(&server, "own")
    );
    write(config.as_ref(), &text);
    assert_eq!(server.post("/-/reload"), (200, String::new()));
    assert_eq!(jobs(&server), json!(["own"]));
    wait_for("the new job's first sample", || {
        (!server.query("up{job=\"own\"} == 1").is_empty()).then_some(())
    });
    wait_for("the new rule's first sample", || (!server.query("one").is_empty()).then_some(()));
    let shown = server.data("/api/v1/status/config")["yaml"].as_str().expect("a text").to_owned();
    has(&shown, &["job_name: own"]);

    // The same by signal; the rule is gone then.
    write(config.as_ref(), &job(&server, "other"));
    let hangup = Command::new("kill").args(["-HUP", &server.process.pid().to_string()]).status();
    assert!(hangup.expect("kill runs").success());
    wait_for("the reload by signal", || (jobs(&server) == json!(["other"])).then_some(()));
    wait_for("the end of the rule", || server.query("one").is_empty().then_some(()));
    assert_eq!(gauge(&server), "prometheus_config_last_reload_successful 1");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_reload_changes_how_long_samples_are_kept() {
    let folder = Folder::new();
    let (server, config) = server(&folder);
    let kept = || server.data("/api/v1/status/runtimeinfo")["storageRetention"].clone();
    assert_eq!(kept(), json!("15d"));
    write(
        config.as_ref(),
        "storage: {tsdb: {retention: {time: 3d, size: 1GB}, out_of_order_time_window: 2h}}\n",
    );
    assert_eq!(server.post("/-/reload"), (200, String::new()));
    assert_eq!(kept(), json!("3d or 1073741824B"));
    assert!(notices(&server).is_empty(), "no start is needed for that");
    write(config.as_ref(), "swell: {limits: {series: 1000}}\n");
    assert_eq!(server.post("/-/reload"), (200, String::new()));
    assert_eq!(kept(), json!("15d"));
    has(&notices(&server)[0], &["restart", "swell.limits"]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_wrong_configuration_changes_nothing_and_is_told() {
    let folder = Folder::new();
    let (server, config) = server(&folder);
    let rules = folder.file("rules.yaml", RULES);
    let good = format!("rule_files: [rules.yaml]\n{}", job(&server, "own"));
    write(config.as_ref(), &good);
    assert_eq!(server.post("/-/reload").0, 200);
    let broken_key = format!("{good}no_such_key: 1\n");
    let twice = good.replace("scrape_configs: [", "scrape_configs: [{job_name: own}, ");
    for (file, text, parts) in [
        (&config, broken_key.as_str(), vec!["swell.yaml", "no_such_key"]),
        (&config, twice.as_str(), vec!["own"]),
        (
            &rules,
            "groups: [{name: g, rules: [{record: one, expr: 'sum('}]}]\n",
            vec!["rules.yaml", "parse error"],
        ),
    ] {
        write(file.as_ref(), text);
        let (code, told) = server.post("/-/reload");
        assert_eq!(code, 400, "{told}");
        has(&told, &parts);
        assert_eq!(jobs(&server), json!(["own"]), "the old targets stay");
        let groups = server.data("/api/v1/rules")["groups"].clone();
        assert_eq!(groups[0]["rules"][0]["query"], json!("vector(1)"), "the old rules stay");
        assert_eq!(gauge(&server), "prometheus_config_last_reload_successful 0");
        assert_eq!(server.data("/api/v1/status/runtimeinfo")["reloadConfigSuccess"], json!(false));
        assert_eq!(notices(&server), ["Configuration reload has failed."]);
        write(config.as_ref(), &good);
        write(rules.as_ref(), RULES);
        assert_eq!(server.post("/-/reload").0, 200);
        assert_eq!(gauge(&server), "prometheus_config_last_reload_successful 1");
        assert!(notices(&server).is_empty());
    }

    write(config.as_ref(), &format!("{good}swell: {{query: {{timeout: 10s}}}}\n"));
    assert_eq!(server.post("/-/reload").0, 200);
    let told = notices(&server);
    assert_eq!(told.len(), 1);
    has(&told[0], &["restart", "swell.query"]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_server_stops_when_asked_and_only_where_that_is_allowed() {
    let folder = Folder::new();
    let closed = Server::start(&folder.join("closed"), &[]);
    for path in ["/-/reload", "/-/quit"] {
        assert_eq!(closed.post(path), (403, "Lifecycle API is not enabled.".to_owned()));
    }
    assert_eq!(closed.stop(), 0);
    let (mut server, _) = server(&folder);
    assert_eq!(server.get("/-/quit").0, 405);
    let (code, text) = server.post("/-/quit");
    assert_eq!((code, text.as_str()), (200, "Requesting termination... Goodbye!"));
    assert_eq!(server.process.end(), 0);
}
