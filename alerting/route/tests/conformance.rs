//! The conformance data: matchers, routing and configurations.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use swell_model::{Labels, Matcher};
use swell_route::{
    FallbackVerdict, MatchersError, canonical, parse_classic, parse_config, parse_fallback,
    parse_utf8,
};

/// The data, or a line that says it is not there (a failure in CI).
fn data() -> Option<PathBuf> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/alertmanager");
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there", path.display());
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "the data must be there in CI");
    None
}

fn json(path: PathBuf) -> Value {
    let text = fs::read_to_string(&path).expect("the data is readable");
    serde_json::from_str(&text).expect("the data is JSON")
}

/// What the parsers gave, in the form of the data.
fn printed(result: &Result<Vec<Matcher>, MatchersError>) -> Option<Vec<Value>> {
    let matchers = result.as_ref().ok()?;
    let print = |matcher: &Matcher| {
        serde_json::json!({
            "canonical": canonical(matcher), "name": matcher.name, "op": matcher.op.to_string(), "value": matcher.value,
        })
    };
    Some(matchers.iter().map(print).collect())
}

fn report(name: &str, passed: usize, failures: &[String]) {
    println!("alertmanager, {name}: {passed} passed, {} failed", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn matchers() {
    let Some(data) = data() else { return };
    let cases = json(data.join("matchers.json"));
    let (mut passed, mut failures) = (0, Vec::new());
    for case in cases.as_array().expect("a list") {
        let input = case["input"].as_str().expect("each case has an input");
        let (utf8, classic) = (parse_utf8(input), parse_classic(input));
        let fallback = match parse_fallback(input) {
            Ok((_, FallbackVerdict::Utf8)) => "utf8",
            Ok((_, FallbackVerdict::Classic)) => "classic",
            Ok((_, FallbackVerdict::ClassicDisagreement)) => "classic-disagreement",
            Err(_) => "reject",
        };
        let good = printed(&utf8).as_ref() == case["utf8"].as_array()
            && printed(&classic).as_ref() == case["classic"].as_array()
            && fallback == case["fallback"];
        if good {
            passed += 1;
        } else {
            failures.push(format!(
                "{}: {input:?}: utf8 {utf8:?}, classic {classic:?}, {fallback}",
                case["id"]
            ));
        }
    }
    report("matchers.json", passed, &failures);
}

#[test]
fn routing() {
    let Some(data) = data() else { return };
    let all = json(data.join("routing.json"));
    let (mut passed, mut failures) = (0, Vec::new());
    for case in all["cases"].as_array().expect("a list") {
        let tree = case["tree"].as_str().expect("each case names a tree");
        let config = parse_config(all["trees"][tree].as_str().expect("the tree is there"))
            .expect("the tree is valid");
        let pairs = case["labels"].as_object().expect("labels").iter();
        let labels = Labels::from_pairs(
            pairs.map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))),
        );
        let matches = config.route.matches(&labels);
        let receivers: Vec<&str> =
            matches.iter().map(|id| config.route.route(*id).receiver.as_str()).collect();
        if serde_json::json!(receivers) == case["receivers"] {
            passed += 1;
        } else {
            failures
                .push(format!("{tree} {labels}: {receivers:?} instead of {}", case["receivers"]));
        }
    }
    report("routing.json", passed, &failures);
}

/// Configurations of receivers that are not supported yet are accepted and reported; their faults are not looked for.
#[test]
fn configurations() {
    let Some(data) = data() else { return };
    let all = json(data.join("configs.json"));
    let (mut passed, mut not_covered, mut failures) = (0, 0, Vec::new());
    for case in all["cases"].as_array().expect("a list") {
        let file = case["file"].as_str().expect("each case has a file");
        let text = fs::read_to_string(data.join(file)).expect("the file is readable");
        let result = parse_config(&text);
        let accepts = case["verdict"] == "accept";
        match &result {
            Ok(_) if accepts => passed += 1,
            Err(_) if !accepts => passed += 1,
            Ok(config)
                if config
                    .unsupported
                    .iter()
                    .any(|what| what.contains("_configs") || what.contains("global.")) =>
            {
                not_covered += 1
            }
            _ => failures.push(format!("{}: {result:?}", case["name"])),
        }
    }
    println!(
        "alertmanager, configs.json: {not_covered} not covered (receivers that are reported as unsupported)"
    );
    report("configs.json", passed, &failures);
}
