//! Query parameters, read once into what they mean.

use std::borrow::Cow;

use serde_json::Value;
use swell_api_types::{FieldSelector, LabelSelector, ResourceType};
use swell_store::Revision;

use crate::failure::Failure;

/// The parameters of a request.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

/// What to do with fields that a type does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// How to write.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) validation: FieldValidation,
    pub(crate) manager: Option<String>,
    pub(crate) force: bool,
}

/// Which objects of a collection.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    selects_all: bool,
}

impl Selection {
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.selects_all || (self.labels.matches_object(object) && self.fields.matches(object))
    }

    /// Whether no selector was given.
    pub(crate) const fn selects_all(&self) -> bool {
        self.selects_all
    }
}

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (unescape(key).into_owned(), unescape(value).into_owned())
            })
            .collect();
        Self { pairs }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name)?;
        Some(found.1.as_str()).filter(|value| !value.is_empty())
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(other) => Err(bad(name, other, "must be true or false")),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let parse = |text: &str| {
            text.parse().map_err(|_| bad(name, text, "must be a number that is not negative"))
        };
        self.get(name).map(parse).transpose()
    }

    /// A revision; none when absent or `0`, which both mean "any".
    pub(crate) fn revision(&self) -> Result<Option<Revision>, Failure> {
        let number = self.number("resourceVersion")?;
        Ok(number.filter(|number| *number > 0).map(Revision))
    }

    pub(crate) fn write_options(&self) -> Result<WriteOptions, Failure> {
        let dry_run = match self.get("dryRun") {
            None => false,
            Some("All") => true,
            Some(other) => return Err(bad("dryRun", other, "must be All")),
        };
        let validation = match self.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                return Err(bad("fieldValidation", other, "must be Ignore, Warn or Strict"));
            }
        };
        Ok(WriteOptions {
            dry_run,
            validation,
            manager: self.get("fieldManager").map(str::to_owned),
            force: self.flag("force")?,
        })
    }

    pub(crate) fn selection(&self, resource: &ResourceType) -> Result<Selection, Failure> {
        let labels = self.get("labelSelector").unwrap_or_default();
        let fields = self.get("fieldSelector").unwrap_or_default();
        let refused =
            |error: swell_api_types::SelectorError| Failure::bad_request(error.to_string());
        Ok(Selection {
            labels: LabelSelector::parse(labels).map_err(refused)?,
            fields: FieldSelector::parse(fields, |path| resource.selects_by(path))
                .map_err(refused)?,
            selects_all: labels.is_empty() && fields.is_empty(),
        })
    }
}

fn bad(name: &str, value: &str, rule: &str) -> Failure {
    Failure::bad_request(format!("query parameter {name}: Invalid value: {value:?}: {rule}"))
}

/// Decodes `+` and percent escapes; what is no escape stays as it is.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_checked() {
        let query = Query::parse(Some(
            "labelSelector=app%20in%20(a%2Cb)&watch=true&limit=5&x=a+b&bad=%zz&e=",
        ));
        assert_eq!(query.get("labelSelector"), Some("app in (a,b)"));
        assert_eq!(query.get("x"), Some("a b"));
        assert_eq!(query.get("bad"), Some("%zz"));
        assert_eq!(query.get("e"), None);
        assert!(query.flag("watch").is_ok_and(|watch| watch));
        assert_eq!(query.number("limit").ok(), Some(Some(5)));
        for text in ["dryRun=Some", "fieldValidation=Maybe", "force=perhaps"] {
            assert!(Query::parse(Some(text)).write_options().is_err(), "{text}");
        }
        assert!(Query::parse(Some("limit=-1")).number("limit").is_err());
    }
}
