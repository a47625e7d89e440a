//! Every query of public dashboards and every rule of public mixins, with the calls that Grafana makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use swell_model::Labels;

use crate::answers::Answer;
use crate::harness::Folder;
use crate::invented;
use crate::pair::{Call, Pair};
use crate::recorded::{self, Series, Window, samples_of, seconds};
use crate::shared;

/// What Grafana would put in for its own variables at a panel of this width.
const BUILT_IN: [(&str, &str); 6] = [
    ("__rate_interval", "8s"),
    ("__interval", "2s"),
    ("__interval_ms", "2000"),
    ("__range", "20s"),
    ("__range_s", "20"),
    ("__range_ms", "20000"),
];

#[test]
fn dashboards_and_rules_are_answered_as_prometheus_answers_them() {
    let Some(data) = shared::folder("data") else { return };
    let (grafana, mixins) = (data.join("grafana"), data.join("mixins"));
    let folder = Folder::new();
    let Some(pair) = Pair::start(&folder) else { return };
    let mut series = recorded::of_a_cluster(&folder);
    let window = Window::of(&series);
    let used = shared::json(&data.join("collectors/used_series.json"));
    series.extend(invented::others(&used, &series, &window));
    pair.push(&series);
    let times = Times::of(&window);

    let rules = rules_of(&mixins);
    for rule in &rules {
        if let Some(name) = &rule.record {
            pair.push(&times.recorded(&pair, name, rule));
        }
    }
    let mut calls: Vec<Call> = Vec::new();
    for rule in &rules {
        calls.push(Call::instant(&rule.expr, &times.end));
        calls.push(Call::range(&rule.expr, &times.start, &times.end, "3"));
    }
    let of_rules = calls.len();
    for path in shared::files(&grafana, "json") {
        let dashboard = shared::json(&path);
        let (variables, asked) = times.variables(&pair, &dashboard);
        calls.extend(asked);
        let mut targets = Vec::new();
        targets_of(&dashboard, &mut targets);
        for target in targets {
            let query = interpolated(&target.expr, &variables);
            if !target.is_instant {
                calls.push(Call::range(&query, &times.start, &times.end, "2"));
            }
            calls.push(Call::instant(&query, &times.end));
        }
    }
    calls.extend(times.browsing(&series));
    let outcome = pair.compare(&calls);
    eprintln!(
        "{} calls, {of_rules} of them for rules: {} answers are the same, {} with content",
        calls.len(),
        outcome.same,
        outcome.with_content
    );
    assert_eq!(outcome.different, Vec::<String>::new());
    assert!(outcome.with_content > 500, "only {} answers had content", outcome.with_content);
    pair.stop();
}

/// From when to when is asked, as the API takes it.
struct Times {
    start: String,
    end: String,
    record_start: String,
    record_end: String,
}

impl Times {
    fn of(window: &Window) -> Self {
        let at = |at_ms: i64, nr: usize| seconds(window.beside(at_ms, nr));
        Self {
            start: at(window.first_ms + 6000, 0),
            end: at(window.last_ms - 2000, 0),
            record_start: at(window.first_ms + 2000, 1),
            record_end: at(window.last_ms - 1000, 1),
        }
    }

    /// What a recording rule gives each second, as the reference computes it.
    fn recorded(&self, pair: &Pair, name: &str, rule: &Rule) -> Series {
        let call = Call::range(&rule.expr, &self.record_start, &self.record_end, "1");
        let Answer::Data(data) = pair.ask_reference(&call) else { return Vec::new() };
        let result = data["result"].as_array().expect("a matrix");
        result
            .iter()
            .map(|series| {
                let mut labels = labels_of(&series["metric"]);
                labels.insert("__name__".to_owned(), name.to_owned());
                labels.extend(rule.labels.clone());
                (Labels::from_pairs(labels), samples_of(series))
            })
            .collect()
    }

    /// The variables of a dashboard with the values that Grafana would choose, and the calls to find those.
    fn variables(&self, pair: &Pair, dashboard: &Value) -> (BTreeMap<String, String>, Vec<Call>) {
        let mut variables: BTreeMap<String, String> = BUILT_IN
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut calls = Vec::new();
        let root = dashboard.get("dashboard").unwrap_or(dashboard);
        for variable in root["templating"]["list"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().expect("a name");
            let query = variable["query"].as_str().or_else(|| variable["query"]["query"].as_str());
            let options = match (variable["type"].as_str(), query) {
                (Some("query"), Some(query)) => {
                    let call = self.values_call(&interpolated(query, &variables));
                    let values = match pair.ask_reference(&call) {
                        Answer::Data(Value::Array(values)) => values,
                        other => panic!("{name}: {call:?}: {other:?}"),
                    };
                    calls.push(call);
                    values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
                }
                (Some("custom" | "interval"), Some(query)) => {
                    query.split(',').map(|option| option.trim().to_owned()).collect()
                }
                _ => Vec::new(),
            };
            variables.insert(name.to_owned(), chosen(variable, &options));
        }
        (variables, calls)
    }

    /// `label_values(selector, label)` or `label_values(label)` as a call.
    #[track_caller]
    fn values_call(&self, query: &str) -> Call {
        let inside =
            query.trim().strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let inside = inside.unwrap_or_else(|| panic!("another kind of variable: {query}"));
        let (selector, label) = match inside.rsplit_once(',') {
            Some((selector, label)) => (Some(selector.trim()), label.trim()),
            None => (None, inside.trim()),
        };
        let mut call = Call::new("/api/v1/label/", &[("start", &self.start), ("end", &self.end)]);
        call.path.push_str(&format!("{label}/values"));
        call.params.extend(selector.map(|selector| ("match[]".to_owned(), selector.to_owned())));
        call
    }

    /// What the query builder and the browser of labels ask of each metric, and what Grafana asks when a panel has
    /// exemplars switched on.
    fn browsing(&self, series: &Series) -> Vec<Call> {
        let names: BTreeSet<&str> =
            series.iter().filter_map(|(labels, _)| labels.get("__name__")).collect();
        let window = [("start", self.start.as_str()), ("end", self.end.as_str())];
        let [from, to] = window;
        let mut calls = vec![
            Call::new("/api/v1/query", &[("query", "1+1"), ("time", &self.end)]),
            Call::new("/api/v1/labels", &window),
            Call::new("/api/v1/label/__name__/values", &window),
        ];
        for name in names {
            let selector = format!("{{__name__=\"{name}\"}}");
            for path in ["/api/v1/labels", "/api/v1/series", "/api/v1/label/instance/values"] {
                calls.push(Call::new(path, &[("match[]", &selector), from, to]));
            }
            calls.push(Call::new("/api/v1/query_exemplars", &[("query", name), from, to]));
        }
        calls
    }
}

/// All of them where the dashboard may show all, else the first.
fn chosen(variable: &Value, options: &[String]) -> String {
    if variable["includeAll"] == true {
        return match variable["allValue"].as_str().filter(|value| !value.is_empty()) {
            Some(value) => value.to_owned(),
            None => {
                let escaped: Vec<String> =
                    options.iter().map(|option| regex::escape(option)).collect();
                // In a string of PromQL a backslash stands twice.
                format!("({})", escaped.join("|")).replace('\\', "\\\\")
            }
        };
    }
    options.first().cloned().unwrap_or_default()
}

struct Target {
    expr: String,
    is_instant: bool,
}

/// Every object with an expression, wherever a version of Grafana keeps it.
fn targets_of(value: &Value, out: &mut Vec<Target>) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| targets_of(item, out)),
        Value::Object(fields) => {
            if let Some(expr) =
                fields.get("expr").and_then(Value::as_str).filter(|expr| !expr.is_empty())
            {
                let is_instant = fields.get("instant") == Some(&Value::Bool(true));
                out.push(Target { expr: expr.to_owned(), is_instant });
            }
            fields.values().for_each(|item| targets_of(item, out));
        }
        _ => {}
    }
}

/// `$name`, `${name}`, `${name:format}` and `[[name]]` with their values.
fn interpolated(text: &str, variables: &BTreeMap<String, String>) -> String {
    let form = regex::Regex::new(r"\$\{(\w+)(?::\w+)?\}|\[\[(\w+)\]\]|\$(\w+)").expect("a pattern");
    form.replace_all(text, |found: &regex::Captures<'_>| {
        let name = found.iter().skip(1).flatten().next().map_or("", |name| name.as_str());
        match variables.get(name) {
            Some(value) => value.clone(),
            None => found[0].to_owned(),
        }
    })
    .into_owned()
}

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<RuleGroup>,
}

#[derive(Deserialize)]
struct RuleGroup {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The rules of every file, recording rules of one file in their order.
fn rules_of(mixins: &Path) -> Vec<Rule> {
    let files = shared::files(mixins, "yaml");
    files
        .iter()
        .flat_map(|path| {
            let text = std::fs::read_to_string(path).expect("it can be read");
            let file: RuleFile = serde_saphyr::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            file.groups
        })
        .flat_map(|group| group.rules)
        .collect()
}

fn labels_of(metric: &Value) -> BTreeMap<String, String> {
    let labels = metric.as_object().into_iter().flatten();
    labels.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect()
}
