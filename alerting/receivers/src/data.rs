//! The notification as templates see it: Alertmanager's `Data`, `KV`, `Pairs`, `Alerts` with their methods.

use std::collections::BTreeMap;

use swell_model::TimestampMs;
use swell_route::Alert;
use swell_template::{GoTime, Object, Record, Value, functions};

use crate::notification::Notification;

/// The dot of notification templates.
pub(crate) fn data(notification: &Notification) -> Value {
    let alerts =
        notification.alerts.iter().map(|alert| AlertItem::new(alert, notification.at)).collect();
    let pairs = |labels: &swell_model::Labels| {
        labels
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    let fields = vec![
        ("Receiver", Value::str(notification.quoted_receiver())),
        ("Status", Value::str(notification.status())),
        ("Alerts", Value::object(Alerts(alerts))),
        ("GroupLabels", Value::object(Kv(pairs(&notification.group_labels)))),
        ("CommonLabels", Value::object(Kv(notification.common_labels()))),
        ("CommonAnnotations", Value::object(Kv(notification.common_annotations()))),
        ("RouteLabels", Value::object(Kv(notification.route_labels.clone()))),
        ("ExternalURL", Value::str(&notification.external_url)),
        (
            "NotificationReason",
            Value::str(notification.reason.map_or("unknown", |reason| reason.as_str())),
        ),
    ];
    Value::object(Record { type_name: "template.Data", fields })
}

fn no_arguments(name: &str, arguments: &[Value], value: Value) -> Result<Value, String> {
    if arguments.is_empty() {
        return Ok(value);
    }
    Err(format!("wrong number of args for {name}: want 0 got {}", arguments.len()))
}

/// A label set.
#[derive(Clone, Debug)]
pub(crate) struct Kv(pub(crate) BTreeMap<String, String>);

impl Kv {
    /// The alert's name first, then by name.
    fn sorted(&self) -> Vec<(String, String)> {
        let (first, rest): (Vec<_>, Vec<_>) = self
            .0
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .partition(|(name, _)| name == "alertname");
        first.into_iter().chain(rest).collect()
    }
}

impl Object for Kv {
    fn type_name(&self) -> &'static str {
        "template.KV"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let pairs = || Pairs(self.sorted());
        Some(match name {
            "SortedPairs" => no_arguments(name, arguments, Value::object(pairs())),
            "Names" => no_arguments(name, arguments, pairs().names()),
            "Values" => no_arguments(name, arguments, pairs().values()),
            "String" => no_arguments(name, arguments, Value::str(pairs().text())),
            "Remove" => functions::arity::<1>(name, arguments).and_then(|[names]| {
                let names = names.to_texts()?;
                let mut rest = self.0.clone();
                rest.retain(|name, _| !names.contains(name));
                Ok(Value::object(Self(rest)))
            }),
            _ => return None,
        })
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::str_map(self.0.iter()))
    }

    fn print(&self) -> Option<String> {
        Some(Pairs(self.sorted()).text())
    }
}

/// Names with values, in order.
#[derive(Clone, Debug)]
struct Pairs(Vec<(String, String)>);

impl Pairs {
    fn names(&self) -> Value {
        Value::object(Names(self.0.iter().map(|(name, _)| name.clone()).collect()))
    }

    fn values(&self) -> Value {
        Value::object(Names(self.0.iter().map(|(_, value)| value.clone()).collect()))
    }

    fn text(&self) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(", ")
    }
}

impl Object for Pairs {
    fn type_name(&self) -> &'static str {
        "template.Pairs"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        Some(match name {
            "Names" => no_arguments(name, arguments, self.names()),
            "Values" => no_arguments(name, arguments, self.values()),
            "String" => no_arguments(name, arguments, Value::str(self.text())),
            _ => return None,
        })
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::list(self.0.iter().map(|(name, value)| {
            Value::record(
                "template.Pair",
                vec![("Name", Value::str(name)), ("Value", Value::str(value))],
            )
        })))
    }

    fn print(&self) -> Option<String> {
        Some(self.text())
    }
}

/// A list of texts that can be joined.
#[derive(Clone, Debug)]
pub(crate) struct Names(pub(crate) Vec<String>);

impl Object for Names {
    fn type_name(&self) -> &'static str {
        "[]string"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        (name == "Join").then(|| {
            let [separator] = functions::arity(name, arguments)?;
            Ok(Value::str(self.0.join(separator.to_text()?)))
        })
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::list(self.0.iter().map(Value::str)))
    }
}

/// The alerts of a notification.
#[derive(Clone, Debug)]
struct Alerts(Vec<AlertItem>);

impl Alerts {
    fn with_status(&self, status: &str) -> Value {
        Value::object(Self(self.0.iter().filter(|alert| alert.status == status).cloned().collect()))
    }
}

impl Object for Alerts {
    fn type_name(&self) -> &'static str {
        "template.Alerts"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        Some(match name {
            "Firing" => no_arguments(name, arguments, self.with_status("firing")),
            "Resolved" => no_arguments(name, arguments, self.with_status("resolved")),
            _ => return None,
        })
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::list(self.0.iter().map(|alert| Value::object(alert.clone()))))
    }
}

/// One alert.
#[derive(Clone, Debug)]
struct AlertItem {
    status: &'static str,
    fields: Vec<(&'static str, Value)>,
}

/// Names of the fields in JSON, in the order of [`AlertItem::new`].
const JSON_NAMES: [&str; 7] =
    ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"];

impl AlertItem {
    fn new(alert: &Alert, at: TimestampMs) -> Self {
        let resolved = alert.is_resolved(at);
        let status = if resolved { "resolved" } else { "firing" };
        let labels =
            alert.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let fields = vec![
            ("Status", Value::str(status)),
            ("Labels", Value::object(Kv(labels))),
            ("Annotations", Value::object(Kv(alert.annotations.clone()))),
            ("StartsAt", Value::Time(GoTime::from_millis(alert.starts_at.0))),
            ("EndsAt", Value::Time(end(alert, at))),
            ("GeneratorURL", Value::str(&alert.generator_url)),
            ("Fingerprint", Value::str(alert.fingerprint().to_string())),
        ];
        Self { status, fields }
    }
}

/// When an alert ended; Go's zero time while it fires.
pub(crate) fn end(alert: &Alert, at: TimestampMs) -> GoTime {
    if alert.is_resolved(at) { GoTime::from_millis(alert.ends_at.0) } else { GoTime::zero() }
}

impl Object for AlertItem {
    fn type_name(&self) -> &'static str {
        "template.Alert"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let (_, value) = self.fields.iter().find(|(known, _)| *known == name)?;
        Some(no_arguments(name, arguments, value.clone()))
    }

    fn json(&self) -> Option<String> {
        let fields: Result<Vec<String>, String> = self
            .fields
            .iter()
            .zip(JSON_NAMES)
            .map(|((_, value), name)| Ok(format!("{name:?}:{}", functions::to_json(value)?)))
            .collect();
        fields.ok().map(|fields| format!("{{{}}}", fields.join(",")))
    }

    fn print(&self) -> Option<String> {
        let values: Vec<String> = self.fields.iter().map(|(_, value)| value.to_string()).collect();
        Some(format!("{{{}}}", values.join(" ")))
    }
}
