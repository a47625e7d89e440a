//! Attributes as labels: their values as text, their names translated, what a resource and a library add.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use swell_model::{Labels, METRIC_NAME};

use crate::message::{AnyValue, KeyValue, Resource, Scope, ScopeMetrics};
use crate::names::{NoName, label_name};
use crate::settings::Settings;

const SERVICE_NAME: &str = "service.name";
const SERVICE_NAMESPACE: &str = "service.namespace";
const SERVICE_INSTANCE_ID: &str = "service.instance.id";

/// A value as text: texts as they are, lists and maps as JSON, bytes in base64.
pub(crate) fn text_of(value: Option<&AnyValue>) -> Cow<'_, str> {
    match value {
        Some(AnyValue { string_value: Some(text), .. }) => Cow::Borrowed(text),
        Some(value) => {
            let mut text = String::new();
            write_plain(value, &mut text);
            Cow::Owned(text)
        }
        None => Cow::Borrowed(""),
    }
}

fn write_plain(value: &AnyValue, out: &mut String) {
    if value.array_value.is_some() || value.kvlist_value.is_some() {
        return write_json(value, out);
    }
    let written = if let Some(truth) = value.bool_value {
        write!(out, "{truth}")
    } else if let Some(number) = value.int_value {
        write!(out, "{number}")
    } else if let Some(number) = value.double_value {
        write_number(number, out);
        Ok(())
    } else {
        out.push_str(&value.bytes_value.as_ref().map_or(String::new(), |it| STANDARD.encode(it)));
        Ok(())
    };
    written.expect("writing to a text cannot fail");
}

/// A float as JSON has it: with an exponent below 1e-6 and from 1e21 on.
fn write_number(number: f64, out: &mut String) {
    let size = number.abs();
    let written = if size != 0.0 && !(1e-6..1e21).contains(&size) && number.is_finite() {
        let text = format!("{number:e}");
        out.push_str(&if size < 1.0 { text } else { text.replace('e', "e+") });
        Ok(())
    } else if number.is_finite() {
        write!(out, "{number}")
    } else {
        out.push_str(if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        });
        Ok(())
    };
    written.expect("writing to a text cannot fail");
}

fn write_json(value: &AnyValue, out: &mut String) {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    if let Some(text) = &value.string_value {
        out.push_str(&quoted(text));
    } else if let Some(list) = &value.array_value {
        out.push('[');
        for (idx, value) in list.values.iter().enumerate() {
            out.push_str(if idx > 0 { "," } else { "" });
            write_json(value, out);
        }
        out.push(']');
    } else if let Some(map) = &value.kvlist_value {
        let sorted: BTreeMap<&str, Option<&AnyValue>> =
            map.values.iter().map(|pair| (pair.key.as_str(), pair.value.as_ref())).collect();
        out.push('{');
        for (idx, (key, value)) in sorted.into_iter().enumerate() {
            out.push_str(if idx > 0 { "," } else { "" });
            out.push_str(&quoted(key));
            out.push(':');
            write_json(value.unwrap_or(&AnyValue::default()), out);
        }
        out.push('}');
    } else if let Some(bytes) = &value.bytes_value {
        out.push_str(&quoted(&STANDARD.encode(bytes)));
    } else if value.double_value.is_some_and(|number| !number.is_finite())
        || *value == AnyValue::default()
    {
        out.push_str("null");
    } else {
        write_plain(value, out);
    }
}

/// Labels by name.
type Named<'a> = BTreeMap<String, Cow<'a, str>>;

/// Attributes under their translated names. Where two names become one, their values stand one behind the other.
fn translated<'a>(
    attributes: &'a [KeyValue],
    leave_out: &[&str],
    settings: &Settings,
) -> Result<Named<'a>, NoName> {
    let mut sorted: Vec<&KeyValue> =
        attributes.iter().filter(|it| !leave_out.contains(&it.key.as_str())).collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    // Of a key that is there twice the last counts: it breaks the protocol.
    let mut labels = Named::new();
    for (idx, attribute) in sorted.iter().enumerate() {
        if sorted.get(idx + 1).is_some_and(|next| next.key == attribute.key) {
            continue;
        }
        let name = label_name(settings.label_rules(), &attribute.key)?;
        let value = text_of(attribute.value.as_ref());
        match labels.get_mut(&name) {
            Some(before) if !before.is_empty() => *before = format!("{before};{value}").into(),
            _ => drop(labels.insert(name, value)),
        }
    }
    Ok(labels)
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<Cow<'a, str>> {
    let found = attributes.iter().rev().find(|attribute| attribute.key == key)?;
    Some(text_of(found.value.as_ref()))
}

/// What a resource and a library add to the labels of a point.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    /// Where the point has none of the name.
    weak: Named<'a>,
    /// In any case.
    strong: Named<'a>,
}

impl<'a> Surroundings<'a> {
    /// # Errors
    /// [`NoName`] when an attribute that is to be a label has a name that cannot be one.
    pub(crate) fn new(
        resource: Option<&'a Resource>,
        scope: &'a ScopeMetrics,
        settings: &Settings,
    ) -> Result<Self, NoName> {
        let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
        let mut weak = Named::new();
        for attribute in attributes.iter().filter(|it| settings.promotion.takes(&it.key)) {
            let name = label_name(settings.label_rules(), &attribute.key)?;
            let value = text_of(attribute.value.as_ref());
            if weak.get(&name).is_none_or(|value| value.is_empty()) {
                weak.insert(name, value);
            }
        }
        let mut strong = Named::new();
        if let Some(library) = scope.scope.as_ref().filter(|it| !it.name.is_empty())
            && settings.promote_scope
        {
            add_scope(&mut strong, library, &scope.schema_url, settings)?;
        }
        add_identity(&mut strong, attributes);
        Ok(Self { weak, strong })
    }

    /// The labels of a point, without its metric's name.
    ///
    /// # Errors
    /// [`NoName`] when an attribute has a name that cannot be a label's.
    pub(crate) fn around(
        &self,
        attributes: &[KeyValue],
        settings: &Settings,
    ) -> Result<PointLabels, NoName> {
        let mut labels = translated(attributes, &[], settings)?;
        for (name, value) in &self.weak {
            let is_free = labels.get(name).is_none_or(|value| value.is_empty());
            if is_free {
                labels.insert(name.clone(), Cow::Borrowed(&**value));
            }
        }
        for (name, value) in &self.strong {
            labels.insert(name.clone(), Cow::Borrowed(&**value));
        }
        Ok(PointLabels::of(labels))
    }
}

fn add_scope<'a>(
    labels: &mut Named<'a>,
    library: &'a Scope,
    schema_url: &'a str,
    settings: &Settings,
) -> Result<(), NoName> {
    for attribute in &library.attributes {
        let name = label_name(settings.label_rules(), &format!("otel_scope_{}", attribute.key))?;
        labels.insert(name, text_of(attribute.value.as_ref()));
    }
    for (name, value) in
        [("name", library.name.as_str()), ("version", &library.version), ("schema_url", schema_url)]
    {
        labels.insert(format!("otel_scope_{name}"), Cow::Borrowed(value));
    }
    Ok(())
}

/// `job` and `instance`.
fn add_identity<'a>(labels: &mut Named<'a>, attributes: &'a [KeyValue]) {
    if let Some(name) = find(attributes, SERVICE_NAME) {
        let job = match find(attributes, SERVICE_NAMESPACE) {
            Some(namespace) => format!("{namespace}/{name}").into(),
            None => name,
        };
        labels.insert("job".to_owned(), job);
    }
    if let Some(instance) = find(attributes, SERVICE_INSTANCE_ID) {
        labels.insert("instance".to_owned(), instance);
    }
}

/// Labels of `target_info` for a resource: none when it says nothing beyond `job` and `instance`, or has neither.
///
/// # Errors
/// [`NoName`] when an attribute has a name that cannot be a label's.
pub(crate) fn target_info(
    attributes: &[KeyValue],
    settings: &Settings,
) -> Result<Option<Labels>, NoName> {
    let identifying = [SERVICE_NAMESPACE, SERVICE_NAME, SERVICE_INSTANCE_ID];
    if attributes.iter().all(|attribute| identifying.contains(&attribute.key.as_str())) {
        return Ok(None);
    }
    let leave_out = if settings.keep_identifying { &[][..] } else { &identifying };
    let mut labels = translated(attributes, leave_out, settings)?;
    add_identity(&mut labels, attributes);
    let is_set = |name: &str| labels.get(name).is_some_and(|value| !value.is_empty());
    if !is_set("job") && !is_set("instance") {
        return Ok(None);
    }
    Ok(Some(PointLabels::of(labels).with("target_info", None)))
}

/// Labels of a point, to which a name and one more label come.
#[derive(Debug)]
pub(crate) struct PointLabels(Vec<(String, String)>);

impl PointLabels {
    fn of(labels: Named<'_>) -> Self {
        let pairs =
            labels.into_iter().filter(|(name, value)| !value.is_empty() && name != METRIC_NAME);
        Self(pairs.map(|(name, value)| (name, value.into_owned())).collect())
    }

    /// Sets a label in any case.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(own, _)| own != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The full set. The label that comes wins over one of the same name.
    pub(crate) fn with(&self, metric_name: &str, label: Option<(&str, &str)>) -> Labels {
        let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(self.0.len() + 2);
        let added = [(METRIC_NAME, metric_name)].into_iter().chain(label);
        pairs.extend(added.filter(|(_, value)| !value.is_empty()));
        let extra = label.map(|(name, _)| name);
        let own = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        pairs.extend(own.filter(|(name, _)| Some(*name) != extra));
        // Nearly sorted, which a stable sort makes use of.
        pairs.sort_by_key(|(name, _)| *name);
        Labels::from_sorted(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ArrayValue, KeyValueList};

    fn text(value: &str) -> AnyValue {
        AnyValue { string_value: Some(value.to_owned()), ..AnyValue::default() }
    }

    fn attribute(key: &str, value: AnyValue) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(value) }
    }

    fn check(value: &AnyValue, expected: &str) {
        assert_eq!(text_of(Some(value)), expected, "{value:?}");
    }

    #[test]
    fn values_become_text() {
        let none = AnyValue::default();
        check(&text("a\"b"), "a\"b");
        check(&AnyValue { bool_value: Some(true), ..none.clone() }, "true");
        check(&AnyValue { int_value: Some(-3), ..none.clone() }, "-3");
        check(&AnyValue { bytes_value: Some(vec![1, 2]), ..none.clone() }, "AQI=");
        check(&none, "");
        for (number, expected) in [
            (1.0, "1"),
            (0.25, "0.25"),
            (1e21, "1e+21"),
            (-2.5e-7, "-2.5e-7"),
            (0.0, "0"),
            (f64::INFINITY, "+Inf"),
        ] {
            check(&AnyValue { double_value: Some(number), ..none.clone() }, expected);
        }
        let list = ArrayValue { values: vec![text("x"), none.clone(), text("\n")] };
        check(&AnyValue { array_value: Some(list), ..none.clone() }, r#"["x",null,"\n"]"#);
        let map =
            KeyValueList { values: vec![attribute("b", text("1")), attribute("a", none.clone())] };
        check(&AnyValue { kvlist_value: Some(map), ..none }, r#"{"a":null,"b":"1"}"#);
    }

    #[test]
    fn names_that_meet_share_their_values() {
        let attributes =
            [attribute("a.b", text("2")), attribute("a-b", text("1")), attribute("c", text(""))];
        let labels = |settings: &Settings| {
            let named = translated(&attributes, &[], settings).expect("good names");
            PointLabels::of(named).with("m", Some(("le", "1"))).to_string()
        };
        assert_eq!(labels(&Settings::default()), r#"m{a_b="1;2", le="1"}"#);
        let full = Settings { strategy: crate::Strategy::NoTranslation, ..Settings::default() };
        assert_eq!(labels(&full), r#"m{"a-b"="1", "a.b"="2", le="1"}"#);
    }

    #[test]
    fn target_info_needs_an_identity_and_something_to_tell() {
        let info = |attributes: &[KeyValue], settings: &Settings| {
            target_info(attributes, settings).expect("good names").map(|labels| labels.to_string())
        };
        let usual = Settings::default();
        let name = attribute("service.name", text("shop"));
        let space = attribute("service.namespace", text("web"));
        let host = attribute("host.name", text("h1"));
        assert_eq!(info(&[name.clone(), space.clone()], &usual), None);
        assert_eq!(info(std::slice::from_ref(&host), &usual), None);
        let all = [name, space, host];
        assert_eq!(
            info(&all, &usual).as_deref(),
            Some(r#"target_info{host_name="h1", job="web/shop"}"#)
        );
        let keep = Settings { keep_identifying: true, ..usual };
        assert_eq!(
            info(&all, &keep).as_deref(),
            Some(
                r#"target_info{host_name="h1", job="web/shop", service_name="shop", service_namespace="web"}"#
            )
        );
    }
}
