//! The queries of the compliance project and of our own list over the series of the shared generator.

use std::collections::BTreeSet;
use std::process::Command;

use swell_lab::tools;

use crate::harness::Folder;
use crate::pair::{Call, Pair};
use crate::shared;

/// Between the samples, which come each 15 s.
const START_S: &str = "1700003607";
const END_S: &str = "1700010747";
const STEP_S: &str = "60";

/// Answered otherwise by 2.42 and rightly by us, beside what the shared list has.
const ALSO_OTHERWISE: [&str; 3] = [
    // Its steps lie on samples every half minute, and a range that is closed on the left has one sample more then.
    "avg_over_time(rate(demo_cpu_usage_seconds_total[1m])[2m:10s])",
    // 2.42 keeps the name of the metric; later versions take it away as for any other arithmetic.
    "demo_num_cpus atan2 ignoring (type) group_right () demo_memory_usage_bytes",
    "demo_memory_usage_bytes{type=\"free\"} atan2 ignoring (type) demo_memory_usage_bytes{type=\"used\"}",
];

#[test]
fn the_language_is_answered_as_prometheus_answers_it() {
    let Some(suite) = shared::folder("conformance/promql-diff") else { return };
    let Some(python) = tools::program("python3", "python3") else { return };
    let folder = Folder::new();
    let Some(pair) = Pair::start(&folder) else { return };
    let [one, other] = pair.write_urls();
    let pushed = Command::new(python)
        .arg(suite.join("demo_metrics.py"))
        .args(["push", "--stale", "--url", &one, "--url", &other])
        .output()
        .expect("it runs");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));

    let texts = |file: &str| -> Vec<String> {
        let list = shared::json(&suite.join(file));
        let list = list.as_array().expect("a list").iter();
        list.map(|item| {
            let text = if item.is_object() { &item["query"] } else { item };
            text.as_str().map(str::to_owned).unwrap_or_else(|| panic!("{file} has {item}"))
        })
        .collect()
    };
    let answered_otherwise_by_3: BTreeSet<String> =
        texts("v3-differences.json").into_iter().collect();
    let calls: Vec<Call> = ["queries.json", "own-queries.json"]
        .iter()
        .flat_map(|file| texts(file))
        .filter(|query| {
            !answered_otherwise_by_3.contains(query) && !ALSO_OTHERWISE.contains(&query.as_str())
        })
        .flat_map(|query| {
            let mid = "1700007177";
            [
                Call::range(&query, START_S, END_S, STEP_S),
                Call::instant(&query, mid),
                Call::instant(&query, END_S),
            ]
        })
        .collect();
    let outcome = pair.compare(&calls);
    eprintln!("{} answers are the same, {} with content", outcome.same, outcome.with_content);
    assert_eq!(outcome.different, Vec::<String>::new());
    assert!(outcome.with_content > 1200, "only {} answers had content", outcome.with_content);
    pair.stop();
}

/// Names, values and series, by selector and time, as a browser of labels asks for them.
#[test]
fn names_and_values_are_listed_as_prometheus_lists_them() {
    let Some(suite) = shared::folder("conformance/promql-diff") else { return };
    let Some(python) = tools::program("python3", "python3") else { return };
    let folder = Folder::new();
    let Some(pair) = Pair::start(&folder) else { return };
    let [one, other] = pair.write_urls();
    let pushed = Command::new(python)
        .arg(suite.join("demo_metrics.py"))
        .args(["push", "--end", "1700001800", "--url", &one, "--url", &other])
        .output()
        .expect("it runs");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let (start, end) = ("1700000000", "1700001800");
    let window = [("start", start), ("end", end)];
    let selectors = [
        "demo_cpu_usage_seconds_total",
        "{__name__=~\"demo_api.*\",status!=\"200\"}",
        "{instance=~\".*10001\"}",
        "demo_disk_usage_bytes{job=\"none\"}",
        "{}",
        "not a selector",
    ];
    let mut calls = Vec::new();
    for path in ["/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/label/mode/values"] {
        calls.push(Call::new(path, &[]));
        calls.push(Call::new(path, &window));
        calls.push(Call::new(path, &[("start", "1500000000"), ("end", "1500000001")]));
    }
    for selector in selectors {
        for path in ["/api/v1/labels", "/api/v1/series", "/api/v1/label/instance/values"] {
            let [from, to] = window;
            calls.push(Call::new(path, &[("match[]", selector), from, to]));
        }
    }
    calls.push(Call::new("/api/v1/series", &window));
    let outcome = pair.compare(&calls);
    assert_eq!(outcome.different, Vec::<String>::new());
    assert!(outcome.with_content > 12, "only {} answers had content", outcome.with_content);
    pair.stop();
}
