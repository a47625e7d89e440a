//! Where a server is found: below a path, behind a proxy, at several addresses; and its files, followed by itself.
#![expect(clippy::disallowed_methods, reason = "tests of the binary wait by the machine's clock")]

mod harness;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use harness::{DEADLINE, Folder, Server, get, has, run, wait_for, write};
use serde_json::json;

const ALERT: &str = "\
groups:
- name: g
  rules:
  - {alert: Always, expr: vector(1), annotations: {at: '{{ externalURL }} {{ pathPrefix }}'}}
";

/// Status of a GET, and where it leads.
fn lead(address: SocketAddr, path: &str) -> (u16, Option<String>) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a text");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let to = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    (status.expect("a status line"), to)
}

/// Puts another file in the place of one, so that no look finds half of it.
fn replace(path: &str, text: &str) {
    let new = format!("{path}.new");
    write(new.as_ref(), text);
    std::fs::rename(&new, path).expect("renamed");
}

/// Asserts that a page has this base, and that the files it names are found from there.
#[track_caller]
fn is_whole_page(server: &Server, path: &str, base: &str, folder: &str) {
    let (code, page) = server.get(path);
    assert_eq!(code, 200, "{path}");
    has(&page, &[&format!("<base href=\"{base}\" />")]);
    let named = page.split(['"', '\'']).filter_map(|part| part.strip_prefix("./"));
    let files: Vec<&str> = named.filter(|file| !file.is_empty()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let (code, content) = server.get(&format!("{folder}{file}"));
        assert!(code == 200 && !content.is_empty(), "{folder}{file}: {code}");
    }
}

#[test]
fn below_the_path_of_its_external_url_all_is_found_and_elsewhere_only_the_way_there() {
    let folder = Folder::new();
    folder.file("rules.yaml", ALERT);
    let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yaml]\n";
    let config = folder.file("swell.yaml", config);
    let flags = [
        "--config",
        &config,
        "--web.external-url=http://metrics.example/prom/",
        "--web.page-title=A <b>",
    ];
    let server = Server::start(&folder.join("data"), &flags);

    for path in ["/-/ready", "/-/healthy", "/version", "/api/v1/targets", "/api/swell/v1/overview"]
    {
        assert_eq!(server.get(&format!("/prom{path}")).0, 200, "{path}");
        assert_eq!(server.get(path).0, 404, "{path}");
    }
    for path in ["/api/v1/query?query=1", "/metrics", "/explore", "/promx/metrics", "/pro"] {
        assert_eq!(server.get(path).0, 404, "{path}");
    }
    let (code, body) = server.get("/prom/api/v1/query?query=vector(7)");
    assert_eq!(code, 200, "{body}");
    has(&body, &["\"7\""]);
    let (code, body) = server.get("/prom/api/v1/nonsense");
    assert_eq!(code, 404);
    has(&body, &["no endpoint of this API"]);
    let (_, metrics) = server.get("/prom/metrics");
    has(&metrics, &["swell_http_requests_total", "route=\"/-/ready\""]);
    assert!(!metrics.contains("route=\"/prom"), "routes are counted without the prefix");

    is_whole_page(&server, "/prom/", "./", "/prom/");
    is_whole_page(&server, "/prom/explore", "./", "/prom/");
    is_whole_page(&server, "/prom/workloads/demo/web", "../../", "/prom/");
    has(&server.get("/prom/").1, &["<title>A &lt;b&gt;</title>"]);
    for (path, to) in [
        ("/", "/prom"),
        ("/prom", "/prom/"),
        ("/prom/graph?g0.expr=up", "/prom/explore?expr=up"),
        ("/prom/query", "/prom/explore"),
    ] {
        let (code, found) = lead(server.http, path);
        assert!((300..400).contains(&code), "{path}: {code}");
        assert_eq!(found.as_deref(), Some(to), "{path}");
    }

    let flags = server.data("/prom/api/v1/status/flags");
    assert_eq!(flags["web.external-url"], "http://metrics.example/prom");
    assert_eq!(flags["web.route-prefix"], "/prom");
    assert_eq!(flags["web.page-title"], "A <b>");
    assert_eq!(flags["web.max-connections"], "512");
    assert_eq!(flags["web.read-timeout"], "5m");
    let own = server.data("/prom/api/v1/alertmanagers")["activeAlertmanagers"][0]["url"].clone();
    assert_eq!(own, "http://metrics.example/prom/api/v2/alerts");
    let told = wait_for("the alert", || {
        let alerts = server.data("/prom/api/v1/alerts");
        alerts["alerts"][0]["annotations"]["at"].as_str().map(str::to_owned)
    });
    assert_eq!(told, "http://metrics.example/prom /prom");
    has(&server.get("/prom/api/v1/openapi.yaml").1, &["/prom"]);

    // The command line follows the path too.
    let at = format!("http://{}/prom", server.http);
    let (code, stdout, stderr) = run(&["query", "vector(7)", "--output", "json", "--server", &at]);
    assert_eq!(code, 0, "{stderr}");
    has(&stdout, &["\"7\""]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_proxy_may_take_the_path_off() {
    let folder = Folder::new();
    let text = "swell: {external_url: 'https://metrics.example/prom', route_prefix: /}\n";
    let config = folder.file("swell.yaml", text);
    let server = Server::start(&folder.join("data"), &["--config", &config]);
    assert_eq!(server.get("/-/ready").0, 200);
    assert_eq!(server.get("/prom/-/ready").0, 404);
    assert_eq!(lead(server.http, "/").0, 200);
    let (_, to) = lead(server.http, "/graph?g0.expr=up&g0.tab=1");
    assert_eq!(to.as_deref(), Some("/prom/explore?expr=up&view=table"));
    // Its files are named from where the page is seen, whatever the proxy has made of its address.
    is_whole_page(&server, "/", "./", "/");
    is_whole_page(&server, "/workloads/demo/web", "../../", "/");
    let own = server.data("/api/v1/alertmanagers")["activeAlertmanagers"][0]["url"].clone();
    assert_eq!(own, "https://metrics.example/prom/api/v2/alerts");
    assert_eq!(server.stop(), 0);
}

#[test]
fn it_listens_at_all_addresses_that_are_given() {
    let folder = Folder::new();
    let more = [
        "--web.listen-address",
        "localhost:0",
        "--web.max-connections=10",
        "--storage.tsdb.wal-compression",
    ];
    let server = Server::start(&folder.join("data"), &more);
    let log = server.process.log();
    let lines = log.lines().filter_map(|line| line.trim().strip_prefix("web UI      http://"));
    let addresses: Vec<SocketAddr> = lines.map(|line| line.parse().expect("an address")).collect();
    assert_eq!(addresses.len(), 2, "{log}");
    assert_eq!(addresses[0], server.http);
    for address in addresses {
        assert_eq!(get(address, "/-/ready").0, 200, "{address}");
    }
    let flags = server.data("/api/v1/status/flags");
    let listed = flags["web.listen-address"].as_str().expect("a text").to_owned();
    assert_eq!(listed.split(',').count(), 2, "{listed}");
    assert_eq!(flags["web.max-connections"], "10");
    has(&log, &["the log is always columnar"]);
    assert_eq!(server.stop(), 0);

    for (flag, code, parts) in [
        ("--web.external-url='http://h/'", 2, vec!["--web.external-url", "quotes"]),
        ("--web.external-url=h:9090", 2, vec!["--web.external-url", "http://"]),
        ("--web.route-prefix=a b", 2, vec!["--web.route-prefix", "percent-encoded"]),
        ("--no-storage.tsdb.wal-compression", 1, vec!["always columnar"]),
    ] {
        let (found, _, stderr) = run(&["server", "--listen-http", "127.0.0.1:0", flag]);
        assert_eq!(found, code, "{flag}: {stderr}");
        has(&stderr, &parts);
    }
}

#[test]
fn files_of_the_configuration_are_followed_where_that_is_switched_on() {
    let folder = Folder::new();
    let rules = folder.file("rules.yaml", "groups: []\n");
    let config = folder.file("swell.yaml", "rule_files: [rules.yaml]\n");
    let flags = [
        "--config",
        &config,
        "--enable-feature=auto-reload-config",
        "--config.auto-reload-interval=1s",
    ];
    let server = Server::start(&folder.join("data"), &flags);
    let features = server.data("/api/v1/features");
    assert_eq!(features["prometheus"]["auto_reload_config"], json!(true));
    assert_eq!(server.data("/api/v1/status/flags")["config.auto-reload-interval"], "1s");
    let names = || -> Vec<String> {
        let groups = server.data("/api/v1/rules")["groups"].clone();
        let groups = groups.as_array().cloned().unwrap_or_default();
        groups.iter().filter_map(|group| group["name"].as_str().map(str::to_owned)).collect()
    };
    let succeeded = || {
        let (_, metrics) = server.get("/metrics");
        metrics.contains("\nprometheus_config_last_reload_successful 1\n")
    };
    assert!(names().is_empty() && succeeded());
    replace(&rules, ALERT);
    wait_for("the new rule", || (names() == ["g"]).then_some(()));
    replace(&rules, "groups: [{name: h, rules: [{record: one, expr: 'sum('}]}]\n");
    wait_for("word of the broken rule", || (!succeeded()).then_some(()));
    assert_eq!(names(), ["g"], "what was in force is");
    // Also where the files become what is in force already.
    replace(&rules, ALERT);
    wait_for("the end of the fault", || succeeded().then_some(()));
    replace(&config, "rule_files: ['r*.yaml']\n");
    folder.file("rest.yaml", "groups: [{name: h, rules: [{record: one, expr: vector(1)}]}]\n");
    wait_for("a further file", || (names().len() == 2).then_some(()));
    assert_eq!(server.stop(), 0);
}
