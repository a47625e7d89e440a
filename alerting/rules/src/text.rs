//! Label and annotation templates of alerting rules, with the functions Prometheus gives them.

use std::collections::BTreeMap;

use swell_model::{DurationMs, Labels, SampleValue, TimestampMs};
use swell_template::{
    Functions, GoDuration, Host, Limits, ParseError, Record, Set, Value, functions,
};

use crate::rule::{InstantSample, InstantValue};

/// Runs the queries that templates ask for.
pub trait QuerySource {
    /// The result of a query at the time of the evaluation.
    ///
    /// # Errors
    /// A message for the user.
    fn query(&self, expr: &str) -> Result<InstantValue, String>;
}

/// A label's or annotation's text, parsed once.
#[derive(Clone, Debug)]
pub struct Text {
    source: String,
    /// `None` when the text has no actions.
    parsed: Option<Set>,
}

/// What a text is rendered with.
pub(crate) struct TextData<'a> {
    /// Labels of the result, the metric's name included.
    pub(crate) labels: &'a Labels,
    pub(crate) value: f64,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    pub(crate) now: TimestampMs,
    pub(crate) queries: &'a dyn QuerySource,
}

const NAME: &str = "__text";
const VARIABLES: [&str; 4] = ["$labels", "$value", "$externalLabels", "$externalURL"];

impl Text {
    /// Parses a text.
    ///
    /// # Errors
    /// [`ParseError`] with the line in the text.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        let mut text = Self { source: source.to_owned(), parsed: None };
        if source.contains("{{") {
            let mut set = Set::new();
            set.add(NAME, source, &VARIABLES, &KnownFunctions)?;
            text.parsed = Some(set);
        }
        Ok(text)
    }

    /// The text as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text for one result; a fault shows as `<error expanding template: …>`.
    pub(crate) fn render(&self, data: &TextData<'_>) -> String {
        let Some(set) = &self.parsed else {
            return self.source.clone();
        };
        let labels = label_map(data.labels);
        let external_labels = label_map(data.external_labels);
        let value = Value::Float(data.value);
        let external_url = Value::str(data.external_url);
        let dot = Value::record(
            "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
            vec![
                ("Labels", labels.clone()),
                ("ExternalLabels", external_labels.clone()),
                ("ExternalURL", external_url.clone()),
                ("Value", value.clone()),
            ],
        );
        let variables = [
            ("$labels", labels),
            ("$value", value),
            ("$externalLabels", external_labels),
            ("$externalURL", external_url),
        ];
        set.render(NAME, &dot, &variables, &RuleFunctions { data }, &Limits::default())
            .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }
}

fn label_map(labels: &Labels) -> Value {
    Value::str_map(labels.iter())
}

/// Names of the functions, for parsing.
struct KnownFunctions;

const NAMES: [&str; 30] = [
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "sortByLabel",
    "args",
    "tmpl",
    "reReplaceAll",
    "match",
    "title",
    "toUpper",
    "toLower",
    "graphLink",
    "tableLink",
    "stripPort",
    "stripDomain",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "toTime",
    "toDuration",
    "now",
    "parseDuration",
    "pathPrefix",
    "externalURL",
    "urlQueryEscape",
    "safeHtml",
];

impl Functions for KnownFunctions {
    fn knows(&self, name: &str) -> bool {
        NAMES.contains(&name)
    }

    fn call(
        &self,
        name: &str,
        _arguments: &[Value],
        _host: &mut Host<'_>,
    ) -> Result<Value, String> {
        Err(format!("{name} cannot be called while parsing"))
    }
}

struct RuleFunctions<'a> {
    data: &'a TextData<'a>,
}

impl Functions for RuleFunctions<'_> {
    fn knows(&self, name: &str) -> bool {
        KnownFunctions.knows(name)
    }

    fn call(&self, name: &str, arguments: &[Value], host: &mut Host<'_>) -> Result<Value, String> {
        match name {
            "query" | "first" | "label" | "value" | "strvalue" | "sortByLabel" => {
                self.samples(name, arguments)
            }
            "now" | "pathPrefix" | "externalURL" => self.surroundings(name, arguments),
            "tmpl" => {
                let [template, dot] = functions::arity(name, arguments)?;
                host.render(template.to_text()?, &dot).map(Value::str)
            }
            "args" => Ok(Value::map(
                arguments
                    .iter()
                    .enumerate()
                    .map(|(idx, value)| (format!("arg{idx}"), value.clone())),
            )),
            _ if name.starts_with("humanize")
                || matches!(name, "toTime" | "toDuration" | "parseDuration") =>
            {
                numbers(name, arguments)
            }
            _ => texts(name, arguments),
        }
    }
}

impl RuleFunctions<'_> {
    fn samples(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        match name {
            "query" => {
                let [expr] = functions::arity(name, arguments)?;
                let result = self.data.queries.query(expr.to_text()?)?;
                Ok(Value::list(result.into_samples().into_iter().map(sample_value)))
            }
            "first" => {
                let [list] = functions::arity(name, arguments)?;
                match list.bare() {
                    Value::List(items) => items
                        .first()
                        .cloned()
                        .ok_or_else(|| "first() called on vector with no elements".into()),
                    other => {
                        Err(format!("expected the result of a query, got {}", other.type_name()))
                    }
                }
            }
            "label" => {
                let [label, sample] = functions::arity(name, arguments)?;
                sample.member("Labels", &[])?.member(label.to_text()?, &[])
            }
            "value" => functions::arity::<1>(name, arguments)?[0].member("Value", &[]),
            "strvalue" => functions::arity::<1>(name, arguments)?[0]
                .member("Labels", &[])?
                .member("__value__", &[]),
            _ => {
                let [label, list] = functions::arity(name, arguments)?;
                let label = label.to_text()?;
                let Value::List(items) = list.bare() else {
                    return Err(format!(
                        "expected the result of a query, got {}",
                        list.type_name()
                    ));
                };
                let mut keyed = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let key = item.member("Labels", &[])?.member(label, &[])?;
                    keyed.push((key.to_text()?.to_owned(), item.clone()));
                }
                keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
                Ok(Value::list(keyed.into_iter().map(|(_, item)| item)))
            }
        }
    }

    fn surroundings(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        functions::arity::<0>(name, arguments)?;
        Ok(match name {
            "now" => Value::Float(self.data.now.as_seconds()),
            "externalURL" => Value::str(self.data.external_url),
            _ => {
                let after_scheme =
                    self.data.external_url.split_once("://").map_or("", |(_, rest)| rest);
                let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
                Value::str(path.split(['?', '#']).next().unwrap_or(""))
            }
        })
    }
}

fn sample_value(sample: InstantSample) -> Value {
    let value = match sample.value {
        SampleValue::Float(number) => number,
        SampleValue::Histogram(_) => 0.0,
    };
    let fields = vec![("Labels", label_map(&sample.labels)), ("Value", Value::Float(value))];
    Value::object(Record { type_name: "template.sample", fields })
}

fn numbers(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let [argument] = functions::arity(name, arguments)?;
    if name == "parseDuration" {
        let span =
            DurationMs::parse_prometheus(argument.to_text()?).map_err(|error| error.to_string())?;
        return Ok(Value::Float(span.as_seconds()));
    }
    let number = argument.to_number()?;
    Ok(match name {
        "humanize" => Value::str(functions::humanize(number)),
        "humanize1024" => Value::str(functions::humanize1024(number)),
        "humanizeDuration" => Value::str(functions::humanize_duration(number)),
        "humanizePercentage" => Value::str(functions::humanize_percentage(number)),
        "humanizeTimestamp" if !number.is_finite() => {
            Value::str(swell_template::format_float(number, 'g', Some(4)))
        }
        "humanizeTimestamp" => Value::str(functions::time_from_seconds(number)?.to_string()),
        "toTime" => Value::Time(functions::time_from_seconds(number)?),
        #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, as a duration should")]
        "toDuration" => Value::Duration(GoDuration((number * 1e9) as i64)),
        _ => return Err(format!("function {name:?} not defined")),
    })
}

fn texts(name: &str, arguments: &[Value]) -> Result<Value, String> {
    if name == "reReplaceAll" {
        let [pattern, replacement, text] = functions::arity(name, arguments)?;
        return functions::re_replace_all(
            pattern.to_text()?,
            replacement.to_text()?,
            text.to_text()?,
        )
        .map(Value::str);
    }
    if name == "match" {
        let [pattern, text] = functions::arity(name, arguments)?;
        return functions::is_match(pattern.to_text()?, text.to_text()?).map(Value::Bool);
    }
    let [argument] = functions::arity(name, arguments)?;
    let text = argument.to_text()?;
    Ok(Value::str(match name {
        "title" => functions::title(text),
        "toUpper" => text.to_uppercase(),
        "toLower" => text.to_lowercase(),
        "graphLink" => format!("/graph?g0.expr={}&g0.tab=0", functions::query_escape(text)),
        "tableLink" => format!("/graph?g0.expr={}&g0.tab=1", functions::query_escape(text)),
        "stripPort" => strip_port(text).to_owned(),
        "stripDomain" => strip_domain(text),
        "urlQueryEscape" => functions::query_escape(text),
        "safeHtml" => text.to_owned(),
        _ => return Err(format!("function {name:?} not defined")),
    }))
}

/// `host:port` without the port; other texts stay as they are.
fn strip_port(text: &str) -> &str {
    split_port(text).map_or(text, |(host, _)| host)
}

/// The first part of a host name, with its port; an address stays as it is.
fn strip_domain(text: &str) -> String {
    let (host, port) = split_port(text).unwrap_or((text, ""));
    if is_address(host) {
        return text.to_owned();
    }
    match (host.split('.').next().unwrap_or(host), port) {
        (name, "") => name.to_owned(),
        (name, port) if name.contains(':') => format!("[{name}]:{port}"),
        (name, port) => format!("{name}:{port}"),
    }
}

/// Host and port of a text, as Go splits them: only a host in brackets may hold colons.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let (host, rest) = inside.split_once(']')?;
            (host, rest.strip_prefix(':')?)
        }
        None => text.split_once(':')?,
    };
    let is_whole = !port.contains([':', '[', ']']) && !host.contains(['[', ']']);
    is_whole.then_some((host, port))
}

/// Whether a host is an IPv4 or IPv6 address rather than a name.
fn is_address(host: &str) -> bool {
    let parts: Vec<&str> = host.split('.').collect();
    let four = parts.len() == 4 && parts.iter().all(|part| part.parse::<u8>().is_ok());
    let six = host.contains(':')
        && host.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':' || byte == b'.');
    four || six
}

/// Renders all texts of a map.
pub(crate) fn render_all(
    texts: &BTreeMap<String, Text>,
    data: &TextData<'_>,
) -> BTreeMap<String, String> {
    texts.iter().map(|(name, text)| (name.clone(), text.render(data))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scripted;

    impl QuerySource for Scripted {
        fn query(&self, expr: &str) -> Result<InstantValue, String> {
            let sample = |disk: &str, value: f64| InstantSample {
                labels: Labels::from_pairs([("disk", disk)]),
                value: SampleValue::Float(value),
            };
            match expr {
                "both" => {
                    Ok(InstantValue::Vector(vec![sample("sda", 2048.0), sample("nvme", 0.0)]))
                }
                "none" => Ok(InstantValue::Vector(Vec::new())),
                "2" => Ok(InstantValue::Scalar(2.0)),
                _ => Err(format!("1:1: parse error: {expr}")),
            }
        }
    }

    fn check(text: &str, expected: &str) {
        let data = TextData {
            labels: &Labels::from_pairs([("disk", "sda"), ("instance", "web.example.org:9100")]),
            value: 2048.0,
            external_labels: &Labels::from_pairs([("cluster", "east")]),
            external_url: "http://prom.example/base",
            now: TimestampMs(1_700_000_000_500),
            queries: &Scripted,
        };
        assert_eq!(Text::parse(text).expect("the text parses").render(&data), expected, "{text}");
    }

    #[test]
    fn functions_work_as_in_prometheus() {
        for (text, expected) in [
            ("{{ $value | humanize1024 }}B {{ $externalLabels.cluster }}", "2kiB east"),
            ("{{ 93784 | humanizeDuration }}", "1d 2h 3m 4s"),
            ("{{ 1700000000 | humanizeTimestamp }}", "2023-11-14 22:13:20 +0000 UTC"),
            ("{{ $labels.disk | toUpper }}-{{ .Labels.disk | title }}", "SDA-Sda"),
            (r#"{{ reReplaceAll "(.)d(.)" "$2$1" $labels.disk }}"#, "as"),
            (r#"{{ if match "^s.*" $labels.disk }}yes{{ else }}no{{ end }}"#, "yes"),
            ("[{{ $labels.nope }}]", "[]"),
            (r#"{{ with query "2" }}{{ . | first | value }}{{ end }}"#, "2"),
            (
                r#"{{ range query "both" | sortByLabel "disk" }}{{ .Labels.disk }}={{ .Value }};{{ end }}"#,
                "nvme=0;sda=2048;",
            ),
            (r#"{{ query "both" | first | label "disk" }}"#, "sda"),
            (r#"{{ range query "none" }}x{{ else }}nothing{{ end }}"#, "nothing"),
            (
                "{{ $externalURL }} {{ externalURL }} {{ pathPrefix }}",
                "http://prom.example/base http://prom.example/base /base",
            ),
            (r#"{{ printf "%.2f" $value }}"#, "2048.00"),
            (
                "{{ $labels.instance | stripPort }} {{ $labels.instance | stripDomain }}",
                "web.example.org web:9100",
            ),
            (
                r#"{{ "10.0.0.1:80" | stripDomain }} {{ "[::1]:80" | stripPort }}"#,
                "10.0.0.1:80 ::1",
            ),
            (r#"{{ "[2001:0DB8::1]::12345" | stripPort }}"#, "[2001:0DB8::1]::12345"),
            (r#"{{ "[2001:0DB8::1]:12345" | stripPort }}"#, "2001:0DB8::1"),
            (r#"{{ stripPort "2001:0DB8::1" }} {{ stripPort "[::1]" }}"#, "2001:0DB8::1 [::1]"),
            (r#"{{ stripPort "a]:1" }} {{ stripPort "[a[]:1" }}"#, "a]:1 [a[]:1"),
            (r#"{{ stripDomain "[::1]:80" }} {{ stripDomain "a.b:" }}"#, "[::1]:80 a"),
            (
                r#"{{ parseDuration "1h30m" }} {{ (toDuration 90).String }} {{ now }}"#,
                "5400 1m30s 1.7000000005e+09",
            ),
            (r#"{{ (toTime 0).Format "2006" }}"#, "1970"),
            (r#"{{ define "x" }}<{{ .arg0 }}>{{ end }}{{ tmpl "x" (args 1) }}"#, "<1>"),
            (r#"{{ graphLink "up == 0" }}"#, "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn faults_show_in_the_text() {
        check(
            r#"{{ query "bad" }}"#,
            "<error expanding template: template __text, line 1: error calling query: 1:1: parse error: bad>",
        );
        check(
            "{{ .Nope }}",
            "<error expanding template: template __text, line 1: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>",
        );
        assert!(Text::parse("{{ $label.a }}").is_err());
        assert!(Text::parse("{{ nope }}").is_err());
    }
}
