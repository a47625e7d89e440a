//! The functions that Prometheus gives templates of alerting rules and of consoles.

use swell_model::{DurationMs, Labels, TimestampMs};
use swell_template::{Functions, GoDuration, Host, Record, Value, functions};

use crate::rule::{InstantSample, InstantValue};

/// Runs the queries that templates ask for.
pub trait QuerySource {
    /// The result of a query at the time of the evaluation.
    ///
    /// # Errors
    /// A message for the user.
    fn query(&self, expr: &str) -> Result<InstantValue, String>;
}

/// Names of the functions, for parsing.
pub(crate) struct KnownFunctions;

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

/// The functions, for running.
pub(crate) struct TemplateFunctions<'a> {
    /// Where users reach this server.
    pub(crate) external_url: &'a str,
    /// What `now` gives.
    pub(crate) now: TimestampMs,
    pub(crate) queries: &'a dyn QuerySource,
}

impl Functions for TemplateFunctions<'_> {
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

impl TemplateFunctions<'_> {
    fn samples(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        match name {
            "query" => {
                let [expr] = functions::arity(name, arguments)?;
                let result = self.queries.query(expr.to_text()?)?;
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
            "now" => Value::Float(self.now.as_seconds()),
            "externalURL" => Value::str(self.external_url),
            _ => {
                let after_scheme = self.external_url.split_once("://").map_or("", |(_, rest)| rest);
                let path = after_scheme.find('/').map_or("", |at| &after_scheme[at..]);
                Value::str(path.split(['?', '#']).next().unwrap_or(""))
            }
        })
    }
}

fn sample_value(sample: InstantSample) -> Value {
    let fields = vec![
        ("Labels", label_map(&sample.labels)),
        ("Value", crate::histogram::template_value(&sample.value)),
    ];
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

/// Labels as templates have them.
pub(crate) fn label_map(labels: &Labels) -> Value {
    Value::str_map(labels.iter())
}
