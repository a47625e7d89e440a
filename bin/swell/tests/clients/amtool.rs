//! Alertmanager's own tool against our receivers and silences.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use swell_lab::tools;

use crate::harness::{Folder, Server, texts, wait_for};

const CONFIG: &str = "
swell:
  alertmanager_config:
    route: {receiver: none, routes: [{matchers: ['severity=page'], receiver: pager}]}
    receivers: [{name: none}, {name: pager}]
";

#[test]
fn amtool_lists_routes_and_handles_alerts_and_silences() {
    let Some(program) = tools::program("amtool", "prometheus-alertmanager") else { return };
    let folder = Folder::new();
    let config = folder.file("swell.yaml", CONFIG);
    let data = folder.join("data");
    let server = Server::start(&data, &["--config", &config]);
    let run = |server: &Server, args: &[&str]| -> String {
        let url = format!("--alertmanager.url=http://{}", server.http);
        let output = Command::new(&program).args(args).arg(url).stdin(Stdio::null()).output();
        let (code, stdout, stderr) = texts(&output.expect("amtool runs"));
        assert_eq!(code, 0, "{args:?}: {stdout}{stderr}");
        stdout.trim().to_owned()
    };
    let list = |server: &Server, args: &[&str]| -> Vec<Value> {
        let all = [args, &["-o", "json"]].concat();
        serde_json::from_str(&run(server, &all)).expect("JSON")
    };
    assert_eq!(run(&server, &["config", "routes", "test", "severity=page"]), "pager");
    run(&server, &["alert", "add", "alertname=Slow", "severity=page", "host=a"]);
    let seen = wait_for("the alert", || list(&server, &["alert", "query"]).pop());
    assert_eq!(seen["labels"]["alertname"], "Slow");

    let add = ["silence", "add", "--author=me", "--comment=known", "--duration=1h"];
    let id = run(&server, &[&add[..], &["host=~a|b", "severity!=info"]].concat());
    let silences = list(&server, &["silence", "query"]);
    assert_eq!(silences.len(), 1);
    assert_eq!((&silences[0]["id"], &silences[0]["comment"]), (&json!(id), &json!("known")));
    assert_eq!(
        silences[0]["matchers"][0],
        json!({"name": "host", "value": "a|b", "isRegex": true, "isEqual": true})
    );
    assert!(list(&server, &["alert", "query"]).is_empty(), "what is silenced is not shown");
    assert_eq!(list(&server, &["alert", "query", "--silenced"]).len(), 1);
    assert_eq!(run(&server, &["silence", "query", "-q", "host=a|b"]), id);

    run(&server, &["silence", "update", "--duration=2h", "--comment=longer", &id]);
    assert_eq!(run(&server, &["silence", "query", "-q"]), id, "it stays the same silence");
    // As they were after a restart.
    assert_eq!(server.stop(), 0);
    let server = Server::start(&data, &["--config", &config]);
    let before = list(&server, &["silence", "query"]);
    assert_eq!(before[0]["comment"], "longer");

    run(&server, &["silence", "expire", &id]);
    assert!(list(&server, &["silence", "query"]).is_empty());
    assert_eq!(list(&server, &["silence", "query", "--expired"]).len(), 1);
    let file = folder.file("silences.json", &json!(before).to_string());
    run(&server, &["silence", "import", &file]);
    let imported = list(&server, &["silence", "query"]);
    assert_eq!((imported.len(), &imported[0]["comment"]), (1, &json!("longer")));
    assert_ne!(imported[0]["id"], json!(id), "one that is over does not come back");
    assert_eq!(server.stop(), 0);
}
