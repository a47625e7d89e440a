//! Label and annotation templates of alerting rules.

use std::collections::BTreeMap;

use swell_model::{Labels, SampleValue, TimestampMs};
use swell_template::{Limits, ParseError, Set, Value};

use crate::functions::{KnownFunctions, QuerySource, TemplateFunctions, label_map};
use crate::histogram::template_value;

/// A label's or annotation's text, parsed once.
#[derive(Clone, Debug)]
pub struct Text {
    source: String,
    /// `None` when the text has no actions.
    parsed: Option<Set>,
}

/// What a text is rendered with.
pub(crate) struct TextData<'a> {
    /// Labels of the result, the metric's name included.
    pub(crate) labels: &'a Labels,
    pub(crate) value: &'a SampleValue,
    pub(crate) external_labels: &'a Labels,
    pub(crate) external_url: &'a str,
    pub(crate) now: TimestampMs,
    pub(crate) queries: &'a dyn QuerySource,
}

const NAME: &str = "__text";
const VARIABLES: [&str; 4] = ["$labels", "$value", "$externalLabels", "$externalURL"];

impl Text {
    /// Parses a text.
    ///
    /// # Errors
    /// [`ParseError`] with the line in the text.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        let mut text = Self { source: source.to_owned(), parsed: None };
        if source.contains("{{") {
            let mut set = Set::new();
            set.add(NAME, source, &VARIABLES, &KnownFunctions)?;
            text.parsed = Some(set);
        }
        Ok(text)
    }

    /// The text as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text for one result; a fault shows as `<error expanding template: …>`.
    pub(crate) fn render(&self, data: &TextData<'_>) -> String {
        let Some(set) = &self.parsed else {
            return self.source.clone();
        };
        let labels = label_map(data.labels);
        let external_labels = label_map(data.external_labels);
        let value = template_value(data.value);
        let external_url = Value::str(data.external_url);
        let dot = Value::record(
            "struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }",
            vec![
                ("Labels", labels.clone()),
                ("ExternalLabels", external_labels.clone()),
                ("ExternalURL", external_url.clone()),
                ("Value", value.clone()),
            ],
        );
        let variables = [
            ("$labels", labels),
            ("$value", value),
            ("$externalLabels", external_labels),
            ("$externalURL", external_url),
        ];
        let TextData { external_url, now, queries, .. } = *data;
        let functions = TemplateFunctions { external_url, now, queries };
        set.render(NAME, &dot, &variables, &functions, &Limits::default())
            .unwrap_or_else(|error| format!("<error expanding template: {error}>"))
    }
}

/// Renders all texts of a map.
pub(crate) fn render_all(
    texts: &BTreeMap<String, Text>,
    data: &TextData<'_>,
) -> BTreeMap<String, String> {
    texts.iter().map(|(name, text)| (name.clone(), text.render(data))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use swell_model::{NativeHistogram, Span};

    use super::*;
    use crate::rule::{InstantSample, InstantValue};

    struct Scripted;

    impl QuerySource for Scripted {
        fn query(&self, expr: &str) -> Result<InstantValue, String> {
            let sample = |disk: &str, value: f64| InstantSample {
                labels: Labels::from_pairs([("disk", disk)]),
                value: SampleValue::Float(value),
            };
            match expr {
                "both" => {
                    Ok(InstantValue::Vector(vec![sample("sda", 2048.0), sample("nvme", 0.0)]))
                }
                "none" => Ok(InstantValue::Vector(Vec::new())),
                "2" => Ok(InstantValue::Scalar(2.0)),
                "histogram" => Ok(InstantValue::Vector(vec![InstantSample {
                    labels: Labels::from_pairs([("disk", "sda")]),
                    value: histogram(),
                }])),
                _ => Err(format!("1:1: parse error: {expr}")),
            }
        }
    }

    fn histogram() -> SampleValue {
        SampleValue::Histogram(Arc::new(NativeHistogram {
            count: 3.0,
            sum: 4.5,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            positive_buckets: vec![1.0, 2.0],
            ..NativeHistogram::default()
        }))
    }

    fn check(text: &str, expected: &str) {
        check_with(&SampleValue::Float(2048.0), text, expected);
    }

    fn check_with(value: &SampleValue, text: &str, expected: &str) {
        let data = TextData {
            labels: &Labels::from_pairs([("disk", "sda"), ("instance", "web.example.org:9100")]),
            value,
            external_labels: &Labels::from_pairs([("cluster", "east")]),
            external_url: "http://prom.example/base",
            now: TimestampMs(1_700_000_000_500),
            queries: &Scripted,
        };
        assert_eq!(Text::parse(text).expect("the text parses").render(&data), expected, "{text}");
    }

    #[test]
    fn functions_work_as_in_prometheus() {
        for (text, expected) in [
            ("{{ $value | humanize1024 }}B {{ $externalLabels.cluster }}", "2kiB east"),
            ("{{ 93784 | humanizeDuration }}", "1d 2h 3m 4s"),
            ("{{ 1700000000 | humanizeTimestamp }}", "2023-11-14 22:13:20 +0000 UTC"),
            ("{{ $labels.disk | toUpper }}-{{ .Labels.disk | title }}", "SDA-Sda"),
            (r#"{{ reReplaceAll "(.)d(.)" "$2$1" $labels.disk }}"#, "as"),
            (r#"{{ if match "^s.*" $labels.disk }}yes{{ else }}no{{ end }}"#, "yes"),
            ("[{{ $labels.nope }}]", "[]"),
            (r#"{{ with query "2" }}{{ . | first | value }}{{ end }}"#, "2"),
            (
                r#"{{ range query "both" | sortByLabel "disk" }}{{ .Labels.disk }}={{ .Value }};{{ end }}"#,
                "nvme=0;sda=2048;",
            ),
            (r#"{{ query "both" | first | label "disk" }}"#, "sda"),
            (r#"{{ range query "none" }}x{{ else }}nothing{{ end }}"#, "nothing"),
            (
                "{{ $externalURL }} {{ externalURL }} {{ pathPrefix }}",
                "http://prom.example/base http://prom.example/base /base",
            ),
            (r#"{{ printf "%.2f" $value }}"#, "2048.00"),
            (
                "{{ $labels.instance | stripPort }} {{ $labels.instance | stripDomain }}",
                "web.example.org web:9100",
            ),
            (
                r#"{{ "10.0.0.1:80" | stripDomain }} {{ "[::1]:80" | stripPort }}"#,
                "10.0.0.1:80 ::1",
            ),
            (r#"{{ "[2001:0DB8::1]::12345" | stripPort }}"#, "[2001:0DB8::1]::12345"),
            (r#"{{ "[2001:0DB8::1]:12345" | stripPort }}"#, "2001:0DB8::1"),
            (r#"{{ stripPort "2001:0DB8::1" }} {{ stripPort "[::1]" }}"#, "2001:0DB8::1 [::1]"),
            (r#"{{ stripPort "a]:1" }} {{ stripPort "[a[]:1" }}"#, "a]:1 [a[]:1"),
            (r#"{{ stripDomain "[::1]:80" }} {{ stripDomain "a.b:" }}"#, "[::1]:80 a"),
            (
                r#"{{ parseDuration "1h30m" }} {{ (toDuration 90).String }} {{ now }}"#,
                "5400 1m30s 1.7000000005e+09",
            ),
            (r#"{{ (toTime 0).Format "2006" }}"#, "1970"),
            (r#"{{ define "x" }}<{{ .arg0 }}>{{ end }}{{ tmpl "x" (args 1) }}"#, "<1>"),
            (r#"{{ graphLink "up == 0" }}"#, "/graph?g0.expr=up+%3D%3D+0&g0.tab=0"),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn native_histograms_are_written_out() {
        let shown = "{count:3, sum:4.5, (0.5,1]:1, (1,2]:2}";
        for (text, expected) in [
            ("{{ $value }} {{ .Value }}", format!("{shown} {shown}")),
            ("{{ $value.Count }} {{ .Value.Sum }} {{ $value.String }}", format!("3 4.5 {shown}")),
            (r#"{{ printf "%v|%s" $value $value }}"#, format!("{shown}|{shown}")),
            (r#"{{ with query "histogram" }}{{ . | first | value }}{{ end }}"#, shown.to_owned()),
            (
                r#"{{ range query "histogram" }}{{ .Labels.disk }}={{ .Value }}{{ end }}"#,
                format!("sda={shown}"),
            ),
            (
                "{{ $value | humanize }}",
                "<error expanding template: template __text, line 1: error calling humanize: can't convert *histogram.FloatHistogram to float>".to_owned(),
            ),
            ("{{ if $value }}there{{ end }}", "there".to_owned()),
        ] {
            check_with(&histogram(), text, &expected);
        }
    }

    #[test]
    fn faults_show_in_the_text() {
        check(
            r#"{{ query "bad" }}"#,
            "<error expanding template: template __text, line 1: error calling query: 1:1: parse error: bad>",
        );
        check(
            "{{ .Nope }}",
            "<error expanding template: template __text, line 1: can't evaluate field Nope in type struct { Labels map[string]string; ExternalLabels map[string]string; ExternalURL string; Value interface {} }>",
        );
        assert!(Text::parse("{{ $label.a }}").is_err());
        assert!(Text::parse("{{ nope }}").is_err());
    }
}
