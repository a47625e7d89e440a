//! Which group a push is for: the labels in its path, `job/<job>{/<label>/<value>}`, each value plain or, behind
//! `@base64`, in base64.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;

/// Labels of a group, `job` among them; a value may be empty, which takes the label away from what is pushed.
pub(crate) type GroupKey = BTreeMap<String, String>;

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyFault {
    #[error("the path must start with /metrics/job/<job>, or /metrics/job@base64/<job in base64>")]
    NoJob,
    #[error("job name is required")]
    EmptyJob,
    #[error("label {0:?} has no value: the path goes on in pairs, /<label>/<value>")]
    Odd(String),
    #[error("improper label name {0:?}")]
    Name(String),
    #[error("label {0:?} is there twice")]
    Twice(String),
    #[error("the value of label {0:?} is no base64 in the alphabet for addresses")]
    Base64(String),
    #[error("a part of the path is not UTF-8")]
    NotUtf8,
}

/// Reads what stands behind `/metrics/`, not decoded yet.
pub(crate) fn parse(path: &str) -> Result<GroupKey, KeyFault> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8().map_err(|_| KeyFault::NotUtf8));
    let mut key = GroupKey::new();
    while let Some(name) = parts.next() {
        let name = name?;
        let (name, is_base64) = match name.strip_suffix("@base64") {
            Some(name) => (name, true),
            None => (&*name, false),
        };
        if key.is_empty() && name != "job" {
            return Err(KeyFault::NoJob);
        }
        if !is_label_name(name) {
            return Err(KeyFault::Name(name.to_owned()));
        }
        let Some(value) = parts.next() else { return Err(KeyFault::Odd(name.to_owned())) };
        let value = value?;
        let value = if is_base64 {
            let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('='));
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| KeyFault::Base64(name.to_owned()))?
        } else {
            value.into_owned()
        };
        if key.is_empty() && value.is_empty() {
            return Err(KeyFault::EmptyJob);
        }
        if key.insert(name.to_owned(), value).is_some() {
            return Err(KeyFault::Twice(name.to_owned()));
        }
    }
    Ok(key)
}

/// Any text but those that are kept for servers.
fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with("__")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> String {
        match parse(path) {
            Ok(key) => format!("{key:?}"),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn paths_are_pairs_of_labels() {
        for (path, expected) in [
            ("job/a", r#"{"job": "a"}"#),
            ("job/a/", r#"{"job": "a"}"#),
            ("job/a%20b/instance/x%2Fy", r#"{"instance": "x/y", "job": "a b"}"#),
            (
                "job@base64/L3Zhci90bXA/path@base64/L3Zhci90bXA=",
                r#"{"job": "/var/tmp", "path": "/var/tmp"}"#,
            ),
            ("job/a/instance@base64/=", r#"{"instance": "", "job": "a"}"#),
            ("job/a/name@base64/zqDPgc6_zrzOt864zrXPjc-C", r#"{"job": "a", "name": "Προμηθεύς"}"#),
            ("", "must start with"),
            ("instance/a", "must start with"),
            ("job", "has no value"),
            ("job/", "has no value"),
            ("job//x", "job name is required"),
            ("job@base64/=", "job name is required"),
            ("job/a/b", "label \"b\" has no value"),
            ("job/a/__name__/b", "improper label name"),
            ("job/a//b", "improper label name"),
            ("job/a/b/c/b/d", "label \"b\" is there twice"),
            ("job/a/b@base64/%", "no base64"),
            ("job/%ff", "not UTF-8"),
        ] {
            assert!(shown(path).contains(expected), "{path}: {}", shown(path));
        }
    }
}
