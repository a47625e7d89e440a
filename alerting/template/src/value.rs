//! What templates compute with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::printf::format_float;
use crate::time::{GoDuration, GoTime};

/// A value in a template. Cloning is cheap.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Go's nil, and what an absent entry of a map of anything gives.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Str(Arc<str>),
    /// `time.Time`
    Time(GoTime),
    /// `time.Duration`
    Duration(GoDuration),
    /// A list of anything.
    List(Arc<[Value]>),
    /// `map[string]string`: an absent entry is the empty text.
    StrMap(Arc<BTreeMap<String, String>>),
    /// `map[string]any`: an absent entry is nil.
    Map(Arc<BTreeMap<String, Value>>),
    /// A struct, or a named type with methods.
    Object(Arc<dyn Object>),
}

/// A value with fields and methods of its own.
pub trait Object: fmt::Debug + Send + Sync {
    /// Go's name of the type, for messages.
    fn type_name(&self) -> &'static str;

    /// Calls a method (or gives a field that takes no arguments); `None` when there is none of that name.
    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>>;

    /// What the object is beneath its methods: a map or a list is measured, indexed, iterated and printed
    /// as such. A struct has nothing beneath.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// The object as JSON, for what is no map or list beneath.
    fn json(&self) -> Option<String> {
        None
    }

    /// How the object prints, where that is not how the value beneath prints.
    fn print(&self) -> Option<String> {
        None
    }
}

/// A struct without methods: a name that is not among its fields is an error, as in Go.
#[derive(Clone, Debug)]
pub struct Record {
    /// Go's name of the type.
    pub type_name: &'static str,
    /// Fields in order.
    pub fields: Vec<(&'static str, Value)>,
}

impl Record {
    /// The value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

impl Object for Record {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let value = self.field(name)?;
        if arguments.is_empty() {
            return Some(Ok(value.clone()));
        }
        Some(Err(format!("{name} has arguments but cannot be invoked as function")))
    }

    fn print(&self) -> Option<String> {
        let values: Vec<String> = self.fields.iter().map(|(_, value)| value.to_string()).collect();
        Some(format!("{{{}}}", values.join(" ")))
    }
}

impl Value {
    /// A text.
    pub fn str(text: impl AsRef<str>) -> Self {
        Self::Str(Arc::from(text.as_ref()))
    }

    /// A list.
    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().collect())
    }

    /// A map of texts.
    pub fn str_map<K: Into<String>, V: Into<String>>(
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::StrMap(Arc::new(
            entries.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        ))
    }

    /// A map of anything.
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(Arc::new(entries.into_iter().map(|(name, value)| (name.into(), value)).collect()))
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// A struct without methods.
    #[must_use]
    pub fn record(type_name: &'static str, fields: Vec<(&'static str, Self)>) -> Self {
        Self::object(Record { type_name, fields })
    }

    /// Go's name of the type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::List(_) => "[]interface {}",
            Self::StrMap(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Object(object) => object.type_name(),
        }
    }

    /// The value beneath an object's methods, or the value itself.
    #[must_use]
    pub fn bare(&self) -> Self {
        match self {
            Self::Object(object) => object.underlying().unwrap_or_else(|| self.clone()),
            other => other.clone(),
        }
    }

    /// Go's truth: not the zero value, not empty.
    #[must_use]
    pub fn truth(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Time(_) => true,
            Self::Duration(duration) => duration.0 != 0,
            Self::List(items) => !items.is_empty(),
            Self::StrMap(entries) => !entries.is_empty(),
            Self::Map(entries) => !entries.is_empty(),
            Self::Object(object) => object.underlying().is_none_or(|value| value.truth()),
        }
    }

    /// Number of bytes or entries, for what has a length.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        match self.bare() {
            Self::Str(text) => Some(text.len()),
            Self::List(items) => Some(items.len()),
            Self::StrMap(entries) => Some(entries.len()),
            Self::Map(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// Looks a name up: a method or field, an entry of a map, a method of a time or duration.
    ///
    /// # Errors
    /// A message in Go's words when there is no such name or its arguments do not fit.
    pub fn member(&self, name: &str, arguments: &[Self]) -> Result<Self, String> {
        let found = match self {
            Self::Object(object) => object.member(name, arguments),
            Self::Time(time) => time.method(name, arguments),
            Self::Duration(duration) => duration.method(name, arguments),
            _ => None,
        };
        if let Some(found) = found {
            return found;
        }
        let entry = match self.bare() {
            Self::StrMap(entries) => Some(Self::str(entries.get(name).map_or("", String::as_str))),
            Self::Map(entries) => Some(entries.get(name).cloned().unwrap_or_default()),
            Self::Nil => return Err(format!("nil data; no entry for key {name:?}")),
            _ => None,
        };
        match entry {
            Some(_) if !arguments.is_empty() => {
                Err(format!("{name} is not a method but has arguments"))
            }
            Some(value) => Ok(value),
            None => Err(format!("can't evaluate field {name} in type {}", self.type_name())),
        }
    }

    /// Seconds, for a number, a duration or a text that spells a number.
    ///
    /// # Errors
    /// A message that names the text or the type.
    pub fn to_number(&self) -> Result<f64, String> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "as in Go's float64(i)")]
            Self::Int(value) => Ok(*value as f64),
            Self::Float(value) => Ok(*value),
            Self::Duration(duration) => Ok(duration.as_seconds()),
            Self::Str(text) => crate::functions::parse_go_float(text)
                .ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
            other => Err(format!("can't convert {} to float", other.type_name())),
        }
    }

    /// The text, for a text.
    ///
    /// # Errors
    /// A message in Go's words when this is no text.
    pub fn to_text(&self) -> Result<&str, String> {
        match self {
            Self::Str(text) => Ok(text),
            Self::Nil => Err("invalid value; expected string".into()),
            other => {
                Err(format!("wrong type for value; expected string; got {}", other.type_name()))
            }
        }
    }

    /// The whole number, for an integer or a float without fraction (an untyped constant in Go).
    ///
    /// # Errors
    /// A message in Go's words when this is no whole number.
    pub fn to_int(&self) -> Result<i64, String> {
        match self {
            Self::Int(value) => Ok(*value),
            Self::Duration(duration) => Ok(duration.0),
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9.2e18 => Ok(*value as i64),
            other => Err(format!("expected integer; found {}", other.type_name())),
        }
    }

    /// The items of a list of texts, as `join` takes them.
    ///
    /// # Errors
    /// A message in Go's words when this is no list of texts.
    pub fn to_texts(&self) -> Result<Vec<String>, String> {
        match self.bare() {
            Self::List(items) => {
                items.iter().map(|item| item.to_text().map(str::to_owned)).collect()
            }
            other => {
                Err(format!("wrong type for value; expected []string; got {}", other.type_name()))
            }
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::str(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::str(text)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl fmt::Display for Value {
    /// Prints as Go's `%v`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<nil>"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => f.write_str(&format_float(*value, 'g', None)),
            Self::Str(text) => f.write_str(text),
            Self::Time(time) => write!(f, "{time}"),
            Self::Duration(duration) => write!(f, "{duration}"),
            Self::List(items) => {
                f.write_str("[")?;
                for (idx, item) in items.iter().enumerate() {
                    let separator = if idx == 0 { "" } else { " " };
                    write!(f, "{separator}{item}")?;
                }
                f.write_str("]")
            }
            Self::StrMap(entries) => print_map(f, entries.iter()),
            Self::Map(entries) => print_map(f, entries.iter()),
            Self::Object(object) => match (object.print(), object.underlying()) {
                (Some(text), _) => f.write_str(&text),
                (None, Some(value)) => write!(f, "{value}"),
                (None, None) => write!(f, "{{{}}}", object.type_name()),
            },
        }
    }
}

fn print_map<'a, V: fmt::Display + 'a>(
    f: &mut fmt::Formatter<'_>,
    entries: impl Iterator<Item = (&'a String, V)>,
) -> fmt::Result {
    f.write_str("map[")?;
    for (idx, (name, value)) in entries.enumerate() {
        let separator = if idx == 0 { "" } else { " " };
        write!(f, "{separator}{name}:{value}")?;
    }
    f.write_str("]")
}
