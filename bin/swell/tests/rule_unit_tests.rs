//! `swell test rules` on the conformance data, and on a file of our own.
#![expect(clippy::disallowed_methods, reason = "tests wait by the machine's clock")]

mod harness;

use std::fs;
use std::path::Path;

use harness::run;
use serde_json::Value;
use swell_rules::testing::{CaseKind, cases};

#[test]
fn unit_tests_pass_and_fail_as_with_promtool() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/rules");
    if !data.exists() {
        println!("SKIPPED: {} is not there", data.display());
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "the data must be there in CI"
        );
        return;
    }
    let (mut passed, mut failures) = (0, Vec::new());
    for list in ["own.json", "upstream.json"] {
        let text = fs::read_to_string(data.join(list)).expect("the list is readable");
        let cases = cases(&text).expect("the list is as its README says");
        for case in cases.iter().filter(|case| case.kind == CaseKind::UnitTest) {
            let args = case.unit_test_args(&data.join(&case.file).display().to_string());
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (code, stdout, stderr) = run(&args);
            match case.judge_unit_tests(code, &stdout, &stderr) {
                None => passed += 1,
                Some(why) => failures.push(format!("{}: {why}", case.id)),
            }
        }
    }
    assert!(passed > 0, "no case");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_failure_says_what_was_expected_and_what_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules =
        "groups:\n- name: g\n  rules:\n  - {alert: Down, expr: up == 0, for: 1m, owner: me}\n";
    fs::write(folder.path().join("rules.yml"), rules).expect("written");
    let tests = "\
rule_files: ['*rules.yml']
tests:
- name: down
  input_series: [{series: 'up{job=\"a\"}', values: '0x5'}]
  alert_rule_test: [{eval_time: 2m, alertname: Down, exp_alerts: []}]
  promql_expr_test: [{expr: up, eval_time: 1m, exp_samples: [{labels: 'up{job=\"b\"}', value: 1}]}]
- name: other
  promql_expr_test: [{expr: 1 + 1, exp_samples: [{value: 2}]}]
";
    let file = folder.path().join("tests.yml");
    fs::write(&file, tests).expect("written");
    let file = file.display().to_string();

    let (code, stdout, _) = run(&["test", "rules", &file]);
    assert_eq!(code, 1);
    assert!(stdout.contains("rules.yml: line 4") && stdout.contains("owner"), "{stdout}");

    let (code, stdout, _) = run(&["test", "rules", &file, "--ignore-unknown-fields"]);
    assert_eq!(code, 1);
    for part in [
        "FAILED: down",
        "alert Down, time 2m:",
        "expected: none",
        r#"firing: {alertname="Down", job="a"}"#,
        r#"result: up{job="a"} 0"#,
        "ok: other",
        "1 passed, 1 failed",
    ] {
        assert!(stdout.contains(part), "{part} in {stdout}");
    }
    let only = ["test", "rules", &file, "--ignore-unknown-fields", "--run", "^other$"];
    assert_eq!(run(&only).0, 0);
    let (code, stdout, _) =
        run(&["test", "rules", &file, "--ignore-unknown-fields", "--output", "json"]);
    let report: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((code, &report["passed"]), (1, &Value::Bool(false)));
    assert_eq!(report["files"][0]["tests"][1]["failures"], serde_json::json!([]));
    assert_eq!(run(&["test", "rules", "nowhere.yml"]).0, 1);
    assert_eq!(run(&["test", "rules", &file, "--run", "("]).0, 2);
}
