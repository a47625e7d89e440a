//! Consoles and files of the user's own: as in the documentation, and nothing beside their folders.
#![expect(clippy::disallowed_methods, reason = "tests of the binary wait by the machine's clock")]

mod harness;

use std::fs::create_dir;
use std::os::unix::fs::symlink;

use harness::{Folder, Server, has, wait_for};

const DOCUMENTATION: &str = include_str!("../../../docs/prometheus.md");

const CONSOLE: &str = r#"{{ template "head" "Targets" }}
<h2>{{ or $params.job "all jobs" }}</h2>
<ul>
{{- range query "up" | sortByLabel "instance" }}
{{- if or (not $params.job) (eq .Labels.job $params.job) }}
  <li>{{ .Labels.instance }} of {{ .Labels.job }} is {{ if eq .Value 1.0 }}up{{ else }}down{{ end }}</li>
{{- end }}
{{- end }}
</ul>
<a href="{{ pathPrefix }}{{ graphLink "up" }}">the query</a>
"#;

const LIBRARY: &str = r#"{{ define "head" }}<title>{{ . }} at {{ externalURL }}</title>{{ end }}
"#;

/// Nobody answers there, so that its job is down; the job's name needs escaping.
const CONFIG: &str = r#"
global: {scrape_interval: 1s, scrape_timeout: 1s, external_labels: {cluster: east}}
scrape_configs:
- job_name: a&b
  static_configs: [{targets: ["127.0.0.1:1"]}]
"#;

#[test]
fn consoles_are_made_of_templates_libraries_parameters_and_queries() {
    assert!(DOCUMENTATION.contains(CONSOLE) && DOCUMENTATION.contains(LIBRARY));
    let folder = Folder::new();
    for name in ["consoles", "consoles/deep", "libraries", "assets"] {
        create_dir(folder.join(name)).expect("made");
    }
    folder.file("consoles/up.html", CONSOLE);
    folder.file("consoles/deep/facts.html", "{{ $path }} {{ $externalLabels.cluster }}");
    folder.file("consoles/broken.html", r#"{{ query "up{" }}"#);
    folder.file("consoles/no.html", "{{ if }}");
    folder.file("consoles/much.html", r#"{{ query "count_over_time(up[1h:1ms])" }}"#);
    folder.file("libraries/page.lib", LIBRARY);
    folder.file("libraries/other.txt", "{{ no template");
    folder.file("assets/style.css", "b { color: red }");
    let config = folder.file("swell.yaml", CONFIG);
    symlink(&config, folder.join("consoles/out.html")).expect("linked");
    symlink(&config, folder.join("assets/out.css")).expect("linked");
    let path = |name: &str| folder.join(name).display().to_string();
    let server = Server::start(
        &folder.join("data"),
        &[
            "--config",
            &config,
            "--web.console.templates",
            &path("consoles"),
            "--web.console.libraries",
            &path("libraries"),
            "--web.user-assets",
            &path("assets"),
            "--query.max-samples=10000",
        ],
    );

    let page = wait_for("the target on its page", || {
        let (code, page) = server.get("/consoles/up.html?job=a%26b");
        assert_eq!(code, 200, "{page}");
        page.contains("<li>").then_some(page)
    });
    has(
        &page,
        &[
            &format!("<title>Targets at http://{}</title>\n", server.http),
            "<h2>a&amp;b</h2>\n<ul>\n  <li>127.0.0.1:1 of a&amp;b is down</li>\n</ul>\n",
            r#"<a href="/graph?g0.expr=up&amp;g0.tab=0">the query</a>"#,
        ],
    );
    let (_, page) = server.get("/consoles/up.html?job=%3Cscript%3E&job=x");
    has(&page, &["<h2>&lt;script&gt;</h2>\n<ul>\n</ul>"]);
    assert_eq!(server.get("/consoles/deep/facts.html"), (200, "deep/facts.html east".to_owned()));

    for (name, part) in [
        ("broken", "error executing template __console_/broken.html"),
        ("broken", "parse error"),
        ("no", "error parsing template __console_/no.html"),
        ("much", "too many samples"),
    ] {
        let (code, told) = server.get(&format!("/consoles/{name}.html"));
        assert_eq!(code, 500, "{told}");
        has(&told, &[part]);
    }
    for path in [
        "/consoles/none.html",
        "/consoles/deep",
        "/consoles/../swell.yaml",
        "/consoles/%2e%2e/swell.yaml",
        "/consoles/deep/..%2f..%2fswell.yaml",
        "/consoles/out.html",
        "/user/out.css",
        "/user/..%2fswell.yaml",
    ] {
        let (code, told) = server.get(path);
        assert!(code == 404 && !told.contains("job_name"), "{path}: {code} {told}");
    }
    has(&server.get("/consoles/none.html").1, &["there is no console \"none.html\""]);
    assert_eq!(server.get("/user/style.css"), (200, "b { color: red }".to_owned()));
    let flags = server.data("/api/v1/status/flags");
    assert_eq!(flags["web.user-assets"], path("assets"));

    // A library that is changed counts at once.
    folder.file("libraries/page.lib", r#"{{ define "head" }}{{ . }}!{{ end }}"#);
    has(&server.get("/consoles/up.html").1, &["Targets!\n<h2>all jobs</h2>"]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn without_folders_there_are_no_consoles() {
    let folder = Folder::new();
    let server = Server::start(&folder.join("data"), &["--web.user-assets=no/such/folder"]);
    for path in ["/consoles/index.html", "/user/style.css"] {
        assert_eq!(server.get(path).0, 404, "{path}");
    }
    assert_eq!(server.stop(), 0);
}
