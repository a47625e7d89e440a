//! Pages of consoles: HTML with templates in it, which have the functions of alerting rules' templates.
//!
//! What actions print is escaped alike everywhere, unless `safeHtml` or `tmpl` gave it. Go's `html/template` looks where it
//! stands instead; what that leaves open is said at [`escaped`].

use std::collections::BTreeMap;

use swell_model::{Labels, TimestampMs};
use swell_template::{
    Functions, Host, Limits, Object, ParseError, RenderError, Set, Value, functions,
};

use crate::functions::{QuerySource, TemplateFunctions, label_map};

/// Of a page: it may be long, and is made on a thread of queries, whose stack is what it is.
const LIMITS: Limits = Limits { depth_max: 16, steps_max: 1_000_000, output_bytes_max: 8 << 20 };

const VARIABLES: [&str; 5] = ["$rawParams", "$params", "$path", "$externalLabels", "$externalURL"];

/// Go's name of texts that are HTML.
const HTML: &str = "template.HTML";

/// What a page is made with.
#[derive(Clone, Copy)]
pub struct ConsoleData<'a> {
    /// The file below the folder of consoles.
    pub path: &'a str,
    /// Parameters of the request in their order.
    pub parameters: &'a [(String, String)],
    /// Labels of this server.
    pub external_labels: &'a Labels,
    /// Where users reach this server.
    pub external_url: &'a str,
    /// Time of the request.
    pub now: TimestampMs,
    /// Runs the queries of the page.
    pub queries: &'a dyn QuerySource,
}

impl std::fmt::Debug for ConsoleData<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleData").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsoleError {
    /// The console or a library is no template.
    #[error("error parsing template {template}: {fault}")]
    Parse {
        /// The console or the library.
        template: String,
        /// Line and fault.
        fault: ParseError,
    },
    /// An action failed.
    #[error("error executing template {template}: {fault}")]
    Execute {
        /// The console.
        template: String,
        /// Where and why.
        fault: RenderError,
    },
}

/// The page of a console's text. Libraries, by name and text, define templates that it may use; those of later ones count.
///
/// # Errors
/// [`ConsoleError`] when a text is no template, or an action fails.
pub fn render_console(
    text: &str,
    libraries: &[(String, String)],
    data: &ConsoleData<'_>,
) -> Result<String, ConsoleError> {
    let ConsoleData { external_url, now, queries, .. } = *data;
    let set_of_functions =
        ConsoleFunctions { common: TemplateFunctions { external_url, now, queries } };
    let template = format!("__console_/{}", data.path);
    let mut set = Set::new();
    let mut add = |name: &str, text: &str, variables: &[&str]| {
        set.add(name, text, variables, &set_of_functions)
            .map_err(|fault| ConsoleError::Parse { template: name.to_owned(), fault })
    };
    add(&template, text, &VARIABLES)?;
    for (name, text) in libraries {
        add(name, text, &[])?;
    }
    let mut raw: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in data.parameters {
        raw.entry(name.clone()).or_default().push(value.clone());
    }
    let first = |values: &Vec<String>| values.first().cloned().unwrap_or_default();
    let params = Value::str_map(raw.iter().map(|(name, values)| (name.clone(), first(values))));
    let raw_params = Value::object(RawParams(raw));
    let path = Value::str(data.path);
    let external_labels = label_map(data.external_labels);
    let external_url = Value::str(data.external_url);
    let dot = Value::record(
        "struct { RawParams url.Values; Params map[string]string; Path string; ExternalLabels map[string]string; ExternalURL string }",
        vec![
            ("RawParams", raw_params.clone()),
            ("Params", params.clone()),
            ("Path", path.clone()),
            ("ExternalLabels", external_labels.clone()),
            ("ExternalURL", external_url.clone()),
        ],
    );
    let values = [raw_params, params, path, external_labels, external_url];
    let variables: Vec<(&str, Value)> = VARIABLES.into_iter().zip(values).collect();
    set.render(&template, &dot, &variables, &set_of_functions, &LIMITS)
        .map_err(|fault| ConsoleError::Execute { template: template.clone(), fault })
}

struct ConsoleFunctions<'a> {
    common: TemplateFunctions<'a>,
}

impl Functions for ConsoleFunctions<'_> {
    fn knows(&self, name: &str) -> bool {
        name == "html" || self.common.knows(name)
    }

    fn call(&self, name: &str, arguments: &[Value], host: &mut Host<'_>) -> Result<Value, String> {
        let html = |text: &str| Value::object(Html(text.to_owned()));
        match name {
            // Escaped once, not again where it is printed.
            "html" => {
                let parts = arguments.iter().filter_map(|value| self.shown(value));
                Ok(html(&parts.collect::<String>()))
            }
            "safeHtml" | "tmpl" => {
                let given = self.common.call(name, arguments, host)?;
                Ok(html(given.to_text()?))
            }
            _ => self.common.call(name, arguments, host),
        }
    }

    fn shown(&self, value: &Value) -> Option<String> {
        Some(match value {
            Value::Nil => String::new(),
            Value::Object(object) if object.type_name() == HTML => value.to_string(),
            other => escaped(&other.to_string()),
        })
    }
}

/// A text that is HTML already.
#[derive(Debug)]
struct Html(String);

impl Object for Html {
    fn type_name(&self) -> &'static str {
        HTML
    }

    fn member(&self, _name: &str, _arguments: &[Value]) -> Option<Result<Value, String>> {
        None
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::str(&self.0))
    }
}

/// Go's `url.Values`: all values of each parameter.
#[derive(Debug)]
struct RawParams(BTreeMap<String, Vec<String>>);

impl RawParams {
    fn method(&self, name: &str, arguments: &[Value]) -> Result<Value, String> {
        let [key] = functions::arity(name, arguments)?;
        let values = self.0.get(key.to_text()?);
        Ok(match name {
            "Has" => Value::Bool(values.is_some()),
            _ => Value::str(values.and_then(|values| values.first()).map_or("", String::as_str)),
        })
    }
}

impl Object for RawParams {
    fn type_name(&self) -> &'static str {
        "url.Values"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        matches!(name, "Get" | "Has").then(|| self.method(name, arguments))
    }

    fn underlying(&self) -> Option<Value> {
        let lists = self
            .0
            .iter()
            .map(|(name, values)| (name.clone(), Value::list(values.iter().map(Value::str))));
        Some(Value::map(lists))
    }
}

/// A text that shows as it is within an element, and within an attribute in quotes. In a script it cannot end the string or
/// the template it stands in, but shows with references; where nothing quotes it, in styles, in the scripts of attributes
/// (`onclick`), whose references are read before they run, and as the scheme of a link (`javascript:`), nothing is made of
/// it that would be safe.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            '"' | '\'' | '+' | '`' | '\\' | '$' | '\n' | '\r' => {
                out.push_str(&format!("&#{};", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use swell_model::SampleValue;

    use super::*;
    use crate::rule::{InstantSample, InstantValue};

    struct Up;

    impl QuerySource for Up {
        fn query(&self, expr: &str) -> Result<InstantValue, String> {
            let sample = |job: &str, value: f64| InstantSample {
                labels: Labels::from_pairs([("job", job)]),
                value: SampleValue::Float(value),
            };
            match expr {
                "up" => Ok(InstantValue::Vector(vec![sample("<b>", 1.0), sample("a", 0.0)])),
                _ => Err(format!("1:1: parse error: {expr}")),
            }
        }
    }

    fn page(text: &str, library: &str) -> Result<String, String> {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let data = ConsoleData {
            path: "nodes/one.html",
            parameters: &[pair("job", "a&b"), pair("job", "c"), pair("x", "'\\<")],
            external_labels: &Labels::from_pairs([("cluster", "east")]),
            external_url: "https://h.example/swell",
            now: TimestampMs(1_000),
            queries: &Up,
        };
        render_console(text, &[pair("lib.lib", library)], &data).map_err(|error| error.to_string())
    }

    #[test]
    fn pages_have_what_prometheus_gives_them() {
        for (text, expected) in [
            ("{{ $path }} {{ .Path }}", "nodes/one.html nodes/one.html"),
            ("{{ $params.job }}|{{ .Params.none }}", "a&amp;b|"),
            ("{{ range .RawParams.job }}{{ . }};{{ end }}", "a&amp;b;c;"),
            (r#"{{ $rawParams.Get "job" }} {{ $rawParams.Has "y" }}"#, "a&amp;b false"),
            ("{{ $externalLabels.cluster }} {{ $externalURL }}", "east https://h.example/swell"),
            (
                r#"<a href="{{ pathPrefix }}{{ graphLink "up" }}">"#,
                r#"<a href="/swell/graph?g0.expr=up&amp;g0.tab=0">"#,
            ),
            (
                r#"{{ range query "up" | sortByLabel "job" }}<i>{{ .Labels.job }}={{ .Value }}</i>{{ end }}"#,
                "<i>&lt;b&gt;=1</i><i>a=0</i>",
            ),
            (
                r#"{{ template "row" "<x>" }}{{ tmpl "row" "<y>" }}"#,
                "<td>&lt;x&gt;</td><td>&lt;y&gt;</td>",
            ),
            (r#"{{ define "row" }}mine{{ end }}{{ template "row" }}"#, "<td></td>"),
            (r#"{{ "<b>" | safeHtml }}{{ "<b>" | html }}{{ html "<" 1 }}"#, "<b>&lt;b&gt;&lt;1"),
            (r#"{{ printf "%s" (safeHtml "<b>") }}"#, "&lt;b&gt;"),
            ("<script>f('{{ .Params.x }}')</script>", "<script>f('&#39;&#92;&lt;')</script>"),
            ("{{ \"a`${1}\\n+\" }}", "a&#96;&#36;{1}&#10;&#43;"),
        ] {
            let library = r#"{{ define "row" }}<td>{{ . }}</td>{{ end }}"#;
            assert_eq!(page(text, library).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn faults_name_the_template_and_the_line() {
        for (text, library, expected) in [
            (
                "a\n{{ nope }}",
                "",
                "error parsing template __console_/nodes/one.html: line 2: function \"nope\" not defined",
            ),
            ("a", "{{ if }}", "error parsing template lib.lib: line 1: missing value for if"),
            (
                "{{ query \"bad\" }}",
                "",
                "error executing template __console_/nodes/one.html: template __console_/nodes/one.html, line 1: error calling query: 1:1: parse error: bad",
            ),
            (
                "{{ template \"none\" }}",
                "",
                "error executing template __console_/nodes/one.html: template __console_/nodes/one.html, line 1: template \"none\" not defined",
            ),
        ] {
            assert_eq!(page(text, library), Err(expected.to_owned()), "{text} {library}");
        }
    }
}
