//! Label and field selectors: parsed once, matched often.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::Value;

use crate::names::{is_label_value, is_qualified_name};

/// A set of requirements on labels; all of them hold for a match. Without any it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// The requirements.
    pub requirements: Vec<Requirement>,
}

/// One requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The label is there with one of the values (`k=v`, `k in (v,w)`).
    In(String, Vec<String>),
    /// The label is missing or has none of the values (`k!=v`, `k notin (v,w)`).
    NotIn(String, Vec<String>),
    /// The label is there (`k`).
    Exists(String),
    /// The label is missing (`!k`).
    DoesNotExist(String),
    /// The label is a number greater than this (`k>5`).
    GreaterThan(String, i64),
    /// The label is a number less than this (`k<5`).
    LessThan(String, i64),
}

/// A text or structure that is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse requirement: {problem} in {text:?}")]
pub struct SelectorError {
    /// The part at fault.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

fn fault(text: &str, problem: impl Into<String>) -> SelectorError {
    SelectorError { text: text.to_owned(), problem: problem.into() }
}

impl LabelSelector {
    /// Parses the text form: `app=web,tier!=db,env in (a,b),!canary,ready`.
    ///
    /// # Errors
    /// [`SelectorError`] for the first part that is no requirement.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let parts = split_outside_parentheses(text);
        let requirements = parts
            .into_iter()
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse_requirement)
            .collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Takes the structured form that specs carry. An empty one matches everything.
    ///
    /// # Errors
    /// [`SelectorError`] for an operator that is unknown or has the wrong number of values.
    pub fn from_spec(selector: &meta::LabelSelector) -> Result<Self, SelectorError> {
        let equal = selector.match_labels.iter().flatten();
        let mut requirements: Vec<_> =
            equal.map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()])).collect();
        for expression in selector.match_expressions.iter().flatten() {
            let (key, values) =
                (expression.key.clone(), expression.values.clone().unwrap_or_default());
            requirements.push(match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Requirement::In(key, values),
                ("NotIn", false) => Requirement::NotIn(key, values),
                ("Exists", true) => Requirement::Exists(key),
                ("DoesNotExist", true) => Requirement::DoesNotExist(key),
                ("In" | "NotIn", true) => {
                    return Err(fault(&key, "values must be given for In and NotIn"));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(fault(&key, "values may not be given for Exists and DoesNotExist"));
                }
                (other, _) => {
                    return Err(fault(&key, format!("{other:?} is not a valid selector operator")));
                }
            });
        }
        Ok(Self { requirements })
    }

    /// The selector of a Service: equality only.
    #[must_use]
    pub fn from_map(labels: &BTreeMap<String, String>) -> Self {
        let equal =
            |(key, value): (&String, &String)| Requirement::In(key.clone(), vec![value.clone()]);
        Self { requirements: labels.iter().map(equal).collect() }
    }

    /// Whether `labels` meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.matches_with(|key| labels.and_then(|labels| labels.get(key)).map(String::as_str))
    }

    /// Whether the labels of a JSON object meet every requirement.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.matches_with(|key| labels.get(key).and_then(Value::as_str))
    }

    fn matches_with<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let number = |key: &str| label(key).and_then(|text| text.parse::<i64>().ok());
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => {
                label(key).is_some_and(|value| values.iter().any(|wanted| wanted == value))
            }
            Requirement::NotIn(key, values) => {
                label(key).is_none_or(|value| values.iter().all(|refused| refused != value))
            }
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::DoesNotExist(key) => label(key).is_none(),
            Requirement::GreaterThan(key, bound) => number(key).is_some_and(|value| value > *bound),
            Requirement::LessThan(key, bound) => number(key).is_some_and(|value| value < *bound),
        })
    }
}

/// The text form, as `kubectl` writes it and `status.selector` of a Scale carries it.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, requirement) in self.requirements.iter().enumerate() {
            if idx > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => {
                    write!(f, "{key}={}", values[0])?
                }
                Requirement::In(key, values) => write!(f, "{key} in ({})", values.join(","))?,
                Requirement::NotIn(key, values) if values.len() == 1 => {
                    write!(f, "{key}!={}", values[0])?;
                }
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(","))?,
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::DoesNotExist(key) => write!(f, "!{key}")?,
                Requirement::GreaterThan(key, bound) => write!(f, "{key}>{bound}")?,
                Requirement::LessThan(key, bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse_requirement(part: &str) -> Result<Requirement, SelectorError> {
    let key = |text: &str| {
        let text = text.trim();
        if is_qualified_name(text) {
            Ok(text.to_owned())
        } else {
            Err(fault(part, format!("{text:?} is not a label key")))
        }
    };
    let value = |text: &str| {
        let text = text.trim();
        if is_label_value(text) {
            Ok(text.to_owned())
        } else {
            Err(fault(part, format!("{text:?} is not a label value")))
        }
    };
    let number = |text: &str| {
        text.trim()
            .parse::<i64>()
            .map_err(|_| fault(part, "for '>' and '<' the value must be an integer"))
    };
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) =
            list.split_once('(').ok_or_else(|| fault(part, "found ')' without '('"))?;
        let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        return match head.trim_end().rsplit_once(char::is_whitespace) {
            Some((name, "in")) => Ok(Requirement::In(key(name)?, values)),
            Some((name, "notin")) => Ok(Requirement::NotIn(key(name)?, values)),
            _ => Err(fault(part, "expected 'in' or 'notin' before '('")),
        };
    }
    if let Some((name, text)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(key(name)?, vec![value(text)?]));
    }
    if let Some((name, text)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(key(name)?, vec![value(text)?]));
    }
    if let Some((name, text)) = part.split_once('>') {
        return Ok(Requirement::GreaterThan(key(name)?, number(text)?));
    }
    if let Some((name, text)) = part.split_once('<') {
        return Ok(Requirement::LessThan(key(name)?, number(text)?));
    }
    match part.strip_prefix('!') {
        Some(name) => Ok(Requirement::DoesNotExist(key(name)?)),
        None => Ok(Requirement::Exists(key(part)?)),
    }
}

/// Requirements on fields of the JSON object: `status.phase=Running,spec.nodeName!=node-1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Parses the text form. `supported` tells which fields the kind lets select by.
    ///
    /// # Errors
    /// [`SelectorError`] for a part that is no term or names a field that is not supported.
    pub fn parse(text: &str, supported: impl Fn(&str) -> bool) -> Result<Self, SelectorError> {
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
                (path, value, false)
            } else if let Some((path, value)) =
                part.split_once("==").or_else(|| part.split_once('='))
            {
                (path, value, true)
            } else {
                return Err(fault(part, "a field selector is field=value or field!=value"));
            };
            let path = path.trim();
            if !supported(path) {
                return Err(fault(part, format!("field label not supported: {path}")));
            }
            let (path, value) = (path.to_owned(), value.trim().to_owned());
            terms.push(FieldTerm { path, value, equal });
        }
        Ok(Self { terms })
    }

    /// Whether every term holds; a missing field counts as the empty text.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| {
            let found = term.path.split('.').try_fold(object, |value, step| value.get(step));
            let equal = match found {
                None | Some(Value::Null) => term.value.is_empty(),
                Some(Value::String(text)) => *text == term.value,
                Some(other) => format!("{other}") == term.value,
            };
            equal == term.equal
        })
    }

    /// The value that `path` must equal, if the selector says so.
    #[must_use]
    pub fn equal_to(&self, path: &str) -> Option<&str> {
        let term = self.terms.iter().find(|term| term.equal && term.path == path)?;
        Some(&term.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)], expected: bool) {
        let labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let parsed = LabelSelector::parse(selector).expect(selector);
        assert_eq!(parsed.matches(Some(&labels)), expected, "{selector} on {labels:?}");
    }

    #[test]
    fn label_selectors_match_as_in_kubernetes() {
        check("", &[], true);
        check("app=web", &[("app", "web")], true);
        check("app==web", &[("app", "db")], false);
        check("app!=web", &[], true);
        check("app!=web", &[("app", "web")], false);
        check("app in (web, db),tier notin (x)", &[("app", "db")], true);
        check("app in (web)", &[], false);
        check("!app", &[("app", "")], false);
        check("app", &[("app", "")], true);
        check("swell.dev/size>3,swell.dev/size<5", &[("swell.dev/size", "4")], true);
        check("size>3", &[("size", "three")], false);
    }

    #[test]
    fn texts_that_are_no_selectors_are_refused() {
        for text in ["a b", "a in b", "a in (b", "-a=b", "a=b c", "a>b", "a)", "a=(b)", "="] {
            assert!(LabelSelector::parse(text).is_err(), "{text}");
        }
        assert!(FieldSelector::parse("spec.nodeName", |_| true).is_err());
        assert!(FieldSelector::parse("spec.colour=red", |path| path == "metadata.name").is_err());
    }

    #[test]
    fn field_selectors_look_into_the_object() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}, "status": {"phase": "Running"}});
        for (text, expected) in [
            ("metadata.name=a", true),
            ("spec.nodeName==n1,status.phase!=Failed", true),
            ("spec.nodeName=", false),
            ("spec.schedulerName=", true),
            ("status.phase!=Running", false),
        ] {
            assert_eq!(
                FieldSelector::parse(text, |_| true).expect(text).matches(&pod),
                expected,
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_text_form_parses_back(
            parts in prop::collection::vec(
                ("[a-z][a-z0-9]{0,5}", 0..4_u8, prop::collection::vec("[a-z0-9]{1,5}", 1..3)), 0..4)
        ) {
            let requirements = parts.into_iter().map(|(key, sort, values)| match sort {
                0 => Requirement::In(key, values),
                1 => Requirement::NotIn(key, values),
                2 => Requirement::Exists(key),
                _ => Requirement::DoesNotExist(key),
            }).collect();
            let selector = LabelSelector { requirements };
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
