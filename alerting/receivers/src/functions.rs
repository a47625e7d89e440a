//! The notifier's template functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use jiff::tz::TimeZone;
use swell_model::TimestampMs;
use swell_template::{Functions, GoTime, Host, Value, functions};

/// Functions that notification templates may call.
pub(crate) struct NotifierFunctions<'a> {
    /// When the notification is sent.
    pub(crate) now: TimestampMs,
    /// Route labels; the values are templates.
    pub(crate) route_labels: &'a BTreeMap<String, String>,
    /// What the templates of route labels are rendered with.
    pub(crate) data: Value,
}

const NAMES: [&str; 25] = [
    "toUpper",
    "toLower",
    "title",
    "trimSpace",
    "join",
    "match",
    "reReplaceAll",
    "stringSlice",
    "safeHtml",
    "safeUrl",
    "urlUnescape",
    "date",
    "tz",
    "now",
    "since",
    "humanizeDuration",
    "toDate",
    "mustToDate",
    "toJson",
    "base64encode",
    "base64decode",
    "list",
    "append",
    "dict",
    "routeLabels",
];

impl Functions for NotifierFunctions<'_> {
    fn knows(&self, name: &str) -> bool {
        NAMES.contains(&name)
    }

    fn call(&self, name: &str, arguments: &[Value], host: &mut Host<'_>) -> Result<Value, String> {
        match name {
            "date" | "tz" | "now" | "since" | "toDate" | "mustToDate" => {
                times(name, arguments, self.now)
            }
            "stringSlice" | "list" | "append" | "dict" | "join" => lists(name, arguments),
            "humanizeDuration" => {
                let [value] = functions::arity(name, arguments)?;
                Ok(Value::str(functions::humanize_duration(value.to_number()?)))
            }
            "toJson" => {
                let [value] = functions::arity(name, arguments)?;
                functions::to_json(&value).map(Value::str)
            }
            "match" => {
                let [pattern, text] = functions::arity(name, arguments)?;
                functions::is_match(pattern.to_text()?, text.to_text()?).map(Value::Bool)
            }
            "reReplaceAll" => {
                let [pattern, replacement, text] = functions::arity(name, arguments)?;
                functions::re_replace_all(
                    pattern.to_text()?,
                    replacement.to_text()?,
                    text.to_text()?,
                )
                .map(Value::str)
            }
            "routeLabels" => {
                let [label] = functions::arity(name, arguments)?;
                match self.route_labels.get(label.to_text()?) {
                    Some(text) => host.render_text(text, &self.data).map(Value::str),
                    None => Ok(Value::str("")),
                }
            }
            _ => texts(name, arguments),
        }
    }
}

fn texts(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let [argument] = functions::arity(name, arguments)?;
    let text = argument.to_text()?;
    Ok(Value::str(match name {
        "toUpper" => text.to_uppercase(),
        "toLower" => text.to_lowercase(),
        "title" => functions::title_lowering(text),
        "trimSpace" => text.trim().to_owned(),
        "safeHtml" | "safeUrl" => text.to_owned(),
        "urlUnescape" => functions::query_unescape(text)?,
        "base64encode" => URL_SAFE.encode(text),
        "base64decode" => {
            let bytes =
                URL_SAFE.decode(text).map_err(|error| format!("illegal base64 data: {error}"))?;
            String::from_utf8(bytes).map_err(|_| "the decoded bytes are no UTF-8".to_owned())?
        }
        _ => return Err(format!("function {name:?} not defined")),
    }))
}

fn lists(name: &str, arguments: &[Value]) -> Result<Value, String> {
    match name {
        "join" => {
            let [separator, list] = functions::arity(name, arguments)?;
            Ok(Value::str(list.to_texts()?.join(separator.to_text()?)))
        }
        "stringSlice" => {
            let texts: Result<Vec<String>, String> =
                arguments.iter().map(|argument| argument.to_text().map(str::to_owned)).collect();
            Ok(Value::object(crate::data::Names(texts?)))
        }
        "list" => Ok(Value::list(arguments.iter().cloned())),
        "append" => match arguments {
            [list, items @ ..] => match list.bare() {
                Value::List(known) => Ok(Value::list(known.iter().chain(items).cloned())),
                other => Err(format!(
                    "wrong type for value; expected []interface {{}}; got {}",
                    other.type_name()
                )),
            },
            [] => Err("wrong number of args for append: want at least 1 got 0".into()),
        },
        _ => {
            if !arguments.len().is_multiple_of(2) {
                return Err("dict expects even number of arguments".into());
            }
            let mut entries = BTreeMap::new();
            for pair in arguments.chunks(2) {
                entries.insert(pair[0].to_text()?.to_owned(), pair[1].clone());
            }
            Ok(Value::Map(Arc::new(entries)))
        }
    }
}

fn times(name: &str, arguments: &[Value], now: TimestampMs) -> Result<Value, String> {
    let expect_time = |value: &Value| match value {
        Value::Time(time) => Ok(time.clone()),
        other => {
            Err(format!("wrong type for value; expected time.Time; got {}", other.type_name()))
        }
    };
    match name {
        "now" => {
            functions::arity::<0>(name, arguments)?;
            Ok(Value::Time(GoTime::from_millis(now.0)))
        }
        "since" => {
            let [time] = functions::arity(name, arguments)?;
            Ok(Value::Duration(GoTime::from_millis(now.0).since(&expect_time(&time)?)))
        }
        "date" => {
            let [layout, time] = functions::arity(name, arguments)?;
            Ok(Value::str(expect_time(&time)?.format(layout.to_text()?)))
        }
        "tz" => {
            let [zone, time] = functions::arity(name, arguments)?;
            in_zone(zone.to_text()?, &expect_time(&time)?).map(Value::Time)
        }
        _ => {
            let [layout, text] = functions::arity(name, arguments)?;
            let (layout, text) = (layout.to_text()?, text.to_text()?);
            match GoTime::parse(layout, text) {
                Some(time) => Ok(Value::Time(time)),
                None if name == "toDate" => Ok(Value::Time(GoTime::zero())),
                None => Err(format!("parsing time {text:?} as {layout:?}: it does not fit")),
            }
        }
    }
}

fn in_zone(name: &str, time: &GoTime) -> Result<GoTime, String> {
    let zone = match name {
        "" | "UTC" | "Local" => TimeZone::UTC,
        name => {
            TimeZone::get(name).map_err(|error| format!("unknown time zone {name}: {error}"))?
        }
    };
    let at = jiff::Timestamp::from_second(time.seconds).map_err(|error| error.to_string())?;
    let info = zone.to_offset_info(at);
    Ok(time.in_zone(info.offset().seconds(), info.abbreviation()))
}
