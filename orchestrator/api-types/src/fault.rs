//! What is wrong with a field, in Kubernetes' words.

use std::fmt;

use serde_json::Value;

/// The way to a field: `spec.template.spec.containers[0].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A field of the object itself.
    #[must_use]
    pub fn new(field: &str) -> Self {
        Self(field.to_owned())
    }

    /// A field of the value at this path.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        Self(format!("{}.{name}", self.0))
    }

    /// An item of the list at this path.
    #[must_use]
    pub fn index(&self, idx: usize) -> Self {
        Self(format!("{}[{idx}]", self.0))
    }

    /// A value of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The field must be given.
    #[must_use]
    pub fn required(&self, detail: &str) -> FieldFault {
        FieldFault { path: self.0.clone(), kind: FaultKind::Required, detail: detail.to_owned() }
    }

    /// The value breaks a rule.
    #[must_use]
    pub fn invalid(&self, value: impl Into<Value>, detail: impl Into<String>) -> FieldFault {
        let kind = FaultKind::Invalid(value.into());
        FieldFault { path: self.0.clone(), kind, detail: detail.into() }
    }

    /// The value is none of the known ones.
    #[must_use]
    pub fn not_supported(&self, value: &str, supported: &[&str]) -> FieldFault {
        let names: Vec<_> = supported.iter().map(|name| format!("{name:?}")).collect();
        FieldFault {
            path: self.0.clone(),
            kind: FaultKind::NotSupported(value.into()),
            detail: format!("supported values: {}", names.join(", ")),
        }
    }

    /// The value appears twice in a list where each must differ.
    #[must_use]
    pub fn duplicate(&self, value: impl Into<Value>) -> FieldFault {
        let kind = FaultKind::Duplicate(value.into());
        FieldFault { path: self.0.clone(), kind, detail: String::new() }
    }

    /// The value refers to something that is not there.
    #[must_use]
    pub fn not_found(&self, value: impl Into<Value>) -> FieldFault {
        let kind = FaultKind::NotFound(value.into());
        FieldFault { path: self.0.clone(), kind, detail: String::new() }
    }

    /// The field may not be given, or not changed.
    #[must_use]
    pub fn forbidden(&self, detail: &str) -> FieldFault {
        FieldFault { path: self.0.clone(), kind: FaultKind::Forbidden, detail: detail.to_owned() }
    }

    /// The value is too long.
    #[must_use]
    pub fn too_long(&self, bytes_max: usize) -> FieldFault {
        FieldFault {
            path: self.0.clone(),
            kind: FaultKind::TooLong,
            detail: format!("may not be more than {bytes_max} bytes"),
        }
    }
}

/// The sort of a fault, as the API tells it apart.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Missing.
    Required,
    /// Breaks a rule.
    Invalid(Value),
    /// None of the known values.
    NotSupported(Value),
    /// Twice.
    Duplicate(Value),
    /// Refers to nothing.
    NotFound(Value),
    /// Not allowed here.
    Forbidden,
    /// Too long.
    TooLong,
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldFault {
    /// Path of the field.
    pub path: String,
    /// Sort of the fault.
    pub kind: FaultKind,
    /// What to know beyond the sort; may be empty.
    pub detail: String,
}

impl FieldFault {
    /// The reason that the cause of a `Status` carries.
    #[must_use]
    pub const fn cause_reason(&self) -> &'static str {
        match self.kind {
            FaultKind::Required => "FieldValueRequired",
            FaultKind::Invalid(_) => "FieldValueInvalid",
            FaultKind::NotSupported(_) => "FieldValueNotSupported",
            FaultKind::Duplicate(_) => "FieldValueDuplicate",
            FaultKind::NotFound(_) => "FieldValueNotFound",
            FaultKind::Forbidden => "FieldValueForbidden",
            FaultKind::TooLong => "FieldValueTooLong",
        }
    }

    /// The message without the path, as the cause of a `Status` carries it.
    #[must_use]
    pub fn message(&self) -> String {
        let head = match &self.kind {
            FaultKind::Required => "Required value".to_owned(),
            FaultKind::Invalid(value) => format!("Invalid value: {value}"),
            FaultKind::NotSupported(value) => format!("Unsupported value: {value}"),
            FaultKind::Duplicate(value) => format!("Duplicate value: {value}"),
            FaultKind::NotFound(value) => format!("Not found: {value}"),
            FaultKind::Forbidden => "Forbidden".to_owned(),
            FaultKind::TooLong => "Too long".to_owned(),
        };
        if self.detail.is_empty() { head } else { format!("{head}: {}", self.detail) }
    }
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_in_kubernetes() {
        let spec = Path::new("spec");
        for (fault, expected) in [
            (
                spec.field("maxReplicas")
                    .invalid(1, "must be greater than or equal to minReplicas"),
                "spec.maxReplicas: Invalid value: 1: must be greater than or equal to minReplicas",
            ),
            (
                spec.field("containers").index(2).field("name").required(""),
                "spec.containers[2].name: Required value",
            ),
            (spec.key("a").duplicate("x"), "spec[a]: Duplicate value: \"x\""),
            (
                spec.field("type").not_supported("Foo", &["A", "B"]),
                "spec.type: Unsupported value: \"Foo\": supported values: \"A\", \"B\"",
            ),
            (spec.forbidden("no"), "spec: Forbidden: no"),
        ] {
            assert_eq!(fault.to_string(), expected);
        }
    }
}
