use super::*;

fn check(text: &str, expected: &[&str]) {
    let findings: Vec<String> = check_rules(text).iter().map(ToString::to_string).collect();
    assert_eq!(findings, expected, "{text}");
}

#[test]
fn valid_files_are_accepted() {
    let file = parse_rule_file(
        r#"
groups:
- name: g
  interval: 30s
  query_offset: 1m
  limit: 5
  labels: {team: core, sev: low}
  rules:
  - {record: 'r:x', expr: sum(x), labels: {sev: high}}
  - alert: A
    expr: |
      up == 0
      and on() y
    for: 5m
    keep_firing_for: 1m
    labels: {n: 1}
    annotations: {summary: "{{ $labels.x }} is {{ $value }}"}
"#,
    )
    .expect("the file is valid");
    let group = &file.groups[0];
    assert_eq!((group.interval, group.limit), (Some(DurationMs(30_000)), 5));
    let Rule::Recording(recording) = &group.rules[0] else {
        panic!("a recording rule comes first")
    };
    assert_eq!(recording.labels["sev"], "high");
    assert_eq!(recording.labels["team"], "core");
    let Rule::Alerting(alerting) = &group.rules[1] else { panic!("an alerting rule comes second") };
    assert_eq!(
        (alerting.for_, alerting.keep_firing_for),
        (DurationMs(300_000), DurationMs(60_000))
    );
    assert_eq!(alerting.labels["n"].source(), "1");
    for text in [
        "",
        "groups: []",
        "groups:",
        "groups: [{name: g}]",
        "groups: [{name: g, rules: [{record: 'my.m', expr: 1}]}]",
    ] {
        check(text, &[]);
    }
}

#[test]
fn faults_of_the_text_are_told_without_words_of_its_parser() {
    check(
        "groups:\n- name: g\n  name: h\n",
        &["line 3, column 3: duplicate mapping key: name not allowed here"],
    );
}

#[test]
fn zero_and_nothing_are_as_if_they_were_not_given() {
    let file = parse_rule_file(
        r#"
groups:
- name: g
  interval: 0s
  limit: -1
  labels: {team: , sev: null}
  rules:
  - {record: r, alert: "", expr: x, for: 0s, keep_firing_for: 0s, annotations: {}, labels: {env: }}
  - {record: "", alert: A, expr: y, for: 0, labels: {env: ~}, annotations: {d: }}
  - {record: , alert: B, expr: y}
"#,
    )
    .expect("the file is valid");
    let group = &file.groups[0];
    assert_eq!((group.interval, group.limit), (None, 0));
    let Rule::Recording(recording) = &group.rules[0] else { panic!("a recording rule") };
    assert_eq!((recording.labels["env"].as_str(), recording.labels["sev"].as_str()), ("", ""));
    let Rule::Alerting(alerting) = &group.rules[1] else { panic!("an alerting rule") };
    assert_eq!((alerting.labels["env"].source(), alerting.annotations["d"].source()), ("", ""));
    assert_eq!(group.rules[2].name(), "B");
    check(
        "groups:\n- name: g\n  rules:\n  - {record: '', alert: '', expr: x}\n",
        &[r#"line 4, column 5: group "g", rule 1: one of record and alert must be set"#],
    );
    check(
        "groups:\n- name: g\n  rules:\n  - {record: r, expr: x, keep_firing_for: 1ms}\n",
        &[r#"line 4, column 5: group "g", rule 1, record "r": keep_firing_for is for alerts only"#],
    );
}

#[test]
fn the_first_document_counts() {
    let text = "---\ngroups: [{name: g}]\n---\ngroups: [{name: h}, {}]\n";
    let file = parse_rule_file(text).expect("the first is valid");
    assert_eq!(file.groups.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["g"]);
    check("groups: []\n---\n", &[]);
    check("# none\n---\ngroups:\n- rules: []\n---\nx\n", &["group 1 has no name"]);
    let findings = check_rules("---\ngroups:\n- {name: g, nam: h}\n---\n");
    assert_eq!(findings[0].location.map(|at| at.line), Some(3), "{findings:?}");
}

#[test]
fn aliases_and_merge_keys_work() {
    let file = parse_rule_file(
        "groups:\n- name: g\n  rules:\n  - &a {alert: &n A, expr: x, labels: {s: c}}\n  - <<: *a\n    alert: B\n  - {alert: *n, expr: y}\n",
    )
    .expect("the file is valid");
    let names: Vec<&str> = file.groups[0].rules.iter().map(Rule::name).collect();
    assert_eq!(names, ["A", "B", "A"]);
    assert_eq!(file.groups[0].rules[1].expr_text(), "x");
}

#[test]
fn faults_name_the_place() {
    check(
        "groups:\n- name: g\n  rules:\n  - {record: r, expr: x, fro: 1m}\n",
        &[
            "line 4, column 26: unknown field `fro`, expected one of record, alert, expr, for, keep_firing_for, labels, annotations",
        ],
    );
    check(
        "groups:\n- {name: g, interval: 5, rules: []}\n",
        &[
            r#"line 2, column 23: group "g": interval: "5" is not a duration such as 30s or 1h30m: each number needs one of the units y, w, d, h, m, s, ms"#,
        ],
    );
    check(
        "groups:\n- {name: g}\n- {name: g}\n",
        &[r#"line 3, column 10: group name "g" is used twice in this file"#],
    );
    check("groups:\n- rules: []\n", &["group 1 has no name"]);
    check(
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'x +'}\n  - {alert: B, record: r, expr: x}\n  - {expr: x}\n",
        &[
            r#"line 4, column 22: group "g", rule 1, alert "A": expr: 1:4: parse error: unexpected end of input"#,
            r#"line 5, column 5: group "g", rule 2: only one of record and alert may be set"#,
            r#"line 6, column 5: group "g", rule 3: one of record and alert must be set"#,
        ],
    );
    check(
        "groups:\n- name: g\n  rules:\n  - {record: r, expr: x, for: 1m}\n  - {record: 'a{b}', expr: x, labels: {__name__: y}}\n  - {alert: A}\n",
        &[
            r#"line 4, column 5: group "g", rule 1, record "r": for is for alerts only"#,
            r#"line 5, column 50: group "g", rule 2, record "a{b}": "__name__" cannot be used as the name of a label"#,
            r#"line 5, column 14: group "g", rule 2, record "a{b}": a series name must not contain braces; labels go under labels"#,
            r#"line 6, column 5: group "g", rule 3, alert "A": expr is missing or empty"#,
        ],
    );
    check(
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x, annotations: {d: '{{ $label.a }}'}}\n",
        &[
            r#"line 4, column 42: group "g", rule 1, alert "A": template of annotation "d": line 1: undefined variable "$label""#,
        ],
    );
    check(
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x, for: -1m}\n",
        &[
            r#"line 4, column 30: group "g", rule 1, alert "A": for: "-1m" is not a duration such as 30s or 1h30m: a number is missing before a unit"#,
        ],
    );
    assert_eq!(check_rules("groups: [").len(), 1);
    assert_eq!(
        check_rules("groups:\n- {name: g, name: h}\n").len(),
        1,
        "a repeated key is an error"
    );
}

#[test]
fn classic_names_can_be_demanded() {
    let text = "groups: [{name: g, rules: [{alert: A, expr: 1, annotations: {ins-tance: x}}]}]";
    assert!(parse_rule_file(text).is_ok());
    assert!(
        parse_rule_file_with(text, CheckOptions { legacy_names: true, ..CheckOptions::default() })
            .is_err()
    );
}

#[test]
fn unknown_fields_are_passed_over_where_asked() {
    let text = "owner: me\ngroups:\n- name: g\n  team: x\n  rules:\n  - {record: a, expr: b, owner: me, labels: {c: d}}\n  - {record: a, expr: 'sum('}\n";
    let lenient = CheckOptions { ignore_unknown_fields: true, ..CheckOptions::default() };
    let strict = parse_rule_file(text).expect_err("unknown fields");
    assert!(strict[0].message.contains("owner"), "{strict:?}");
    let findings = parse_rule_file_with(text, lenient).expect_err("a malformed query");
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].location.map(|at| at.line), Some(7));
}
