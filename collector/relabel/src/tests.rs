use swell_model::Labels;

use super::*;

fn labels() -> Labels {
    Labels::from_pairs([("__address__", "10.0.0.1:9100"), ("a", "foo"), ("b", "bar"), ("job", "X")])
}

fn check(spec: RuleSpec, expected: Option<&str>) {
    let rule = Rule::new(spec.clone()).expect("a valid rule");
    let mut builder = labels().to_builder();
    let kept = apply(&[rule], &mut builder);
    let shown = kept.then(|| builder.build().to_string());
    assert_eq!(shown.as_deref(), expected, "{spec:?}");
}

fn spec(action: &str, source: &[&str], regex: &str, target: &str, replacement: &str) -> RuleSpec {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    RuleSpec {
        source_labels: (!source.is_empty())
            .then(|| source.iter().map(ToString::to_string).collect()),
        regex: given(regex),
        target_label: given(target),
        replacement: given(replacement),
        action: Action::parse(action).expect("known"),
        ..RuleSpec::default()
    }
}

#[test]
fn each_action_does_what_prometheus_does() {
    let rest = r#"job="X"}"#;
    check(
        spec("replace", &["a", "b"], "f(.*);b(.*)", "c", "$2-${1}"),
        Some(r#"{__address__="10.0.0.1:9100", a="foo", b="bar", c="ar-oo", job="X"}"#),
    );
    check(
        spec("replace", &["a"], "f(.*)", "x_$1", "new"),
        Some(r#"{__address__="10.0.0.1:9100", a="foo", b="bar", job="X", x_oo="new"}"#),
    );
    check(spec("replace", &["a"], "nothing", "b", "x"), Some(&labels().to_string()));
    check(spec("keep", &["a"], "f.*", "", ""), Some(&labels().to_string()));
    check(spec("keep", &["a"], "f", "", ""), None);
    check(spec("drop", &["a"], "foo|x", "", ""), None);
    check(spec("keepequal", &["a"], "", "b", ""), None);
    check(spec("dropequal", &["a"], "", "b", ""), Some(&labels().to_string()));
    check(
        spec("labelmap", &[], "(a|b)", "", "copy_$1"),
        Some(&format!(
            r#"{{__address__="10.0.0.1:9100", a="foo", b="bar", copy_a="foo", copy_b="bar", {rest}"#
        )),
    );
    // Of `$1é` all is the name of a group, as in Go; there is none of that name.
    check(
        spec("labelmap", &[], "(a)", "", "x$1é"),
        Some(r#"{__address__="10.0.0.1:9100", a="foo", b="bar", job="X", x="foo"}"#),
    );
    check(spec("labeldrop", &[], "a|b|__.*", "", ""), Some(r#"{job="X"}"#));
    check(spec("labelkeep", &[], "job", "", ""), Some(r#"{job="X"}"#));
    check(
        spec("lowercase", &["job"], "", "job", ""),
        Some(r#"{__address__="10.0.0.1:9100", a="foo", b="bar", job="x"}"#),
    );
    check(
        spec("uppercase", &["a"], "", "a", ""),
        Some(r#"{__address__="10.0.0.1:9100", a="FOO", b="bar", job="X"}"#),
    );
}

#[test]
fn an_empty_replacement_removes_the_label() {
    let rule =
        RuleSpec { replacement: Some(String::new()), ..spec("replace", &["a"], "", "a", "") };
    check(rule, Some(r#"{__address__="10.0.0.1:9100", b="bar", job="X"}"#));
}

#[test]
fn hashmod_agrees_with_prometheus() {
    // MD5("foo") = acbd18db4cc2f85c edef654fccc4a4d8: the last eight bytes as a number, modulo 1000
    let rule = RuleSpec { modulus: Some(1000), ..spec("hashmod", &["a"], "", "shard", "") };
    let built = Rule::new(rule).expect("valid");
    let mut builder = labels().to_builder();
    assert!(built.apply(&mut builder));
    assert_eq!(builder.get("shard"), Some("696"));
}

#[test]
fn defaults_may_be_written_out() {
    let written = |action: &str, source: Option<&[&str]>, regex: &str, target: &str| RuleSpec {
        source_labels: source.map(|names| names.iter().map(ToString::to_string).collect()),
        separator: Some(";".to_owned()),
        regex: Some(regex.to_owned()),
        modulus: Some(0),
        target_label: Some(target.to_owned()),
        replacement: Some("$1".to_owned()),
        action: Action::parse(action).expect("known"),
    };
    check(written("labeldrop", Some(&[]), "a|b|__.*", ""), Some(r#"{job="X"}"#));
    check(written("labelkeep", None, "job", ""), Some(r#"{job="X"}"#));
    check(written("keepequal", Some(&["a"]), "(.*)", "b"), None);
    check(written("dropequal", Some(&["a"]), "(.*)", "b"), Some(&labels().to_string()));
    check(written("keep", Some(&["a"]), "f.*", ""), Some(&labels().to_string()));
}

#[test]
fn rules_that_make_no_sense_are_refused_with_the_field() {
    for (rule, part) in [
        (spec("replace", &["a"], "(", "b", ""), "regular expression"),
        (spec("replace", &["a"], "", "", ""), "target_label"),
        (spec("hashmod", &["a"], "", "b", ""), "modulus"),
        (RuleSpec { modulus: Some(0), ..spec("hashmod", &["a"], "", "b", "") }, "above 0"),
        (spec("labeldrop", &["a"], "x", "", ""), "source_labels"),
        (spec("labelkeep", &[], "x", "b", ""), "target_label"),
        (spec("labeldrop", &[], "x", "", "$2"), "replacement"),
        (RuleSpec { modulus: Some(1), ..spec("labeldrop", &[], "x", "", "") }, "modulus"),
        (spec("keepequal", &["a"], "x", "b", ""), "regex"),
        (
            RuleSpec { separator: Some(String::new()), ..spec("dropequal", &["a"], "", "b", "") },
            "separator",
        ),
    ] {
        let error = Rule::new(rule).expect_err("refused").to_string();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(Action::parse("explode"), None);
}
