use proptest::prelude::*;
use swell_model::MetricKind;

use super::*;

fn check(text: &str, expected: &[&str]) {
    let shown: Vec<String> = lines(text)
        .map(|line| match line {
            Ok(Line::Help { name, text }) => format!("help {name}: {text}"),
            Ok(Line::Type { name, kind }) => format!("type {name}: {kind:?}"),
            Ok(Line::Sample(sample)) => match parse_series(sample.series) {
                Ok(labels) => {
                    let at = sample.timestamp_ms.map_or_else(String::new, |at| format!(" @{at}"));
                    format!("{} {}{at}", labels.build(), sample.value)
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn samples_help_and_types_are_read() {
    check(
        "# HELP http_requests_total The \\\\ number\\nof requests.\n# TYPE http_requests_total counter\n\
         http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n# a comment\n\n\
         metric_without_timestamp_and_labels 12.47\nsomething_weird{problem=\"division by zero\"} +Inf -3982045\n",
        &[
            "help http_requests_total: The \\ number\nof requests.",
            "type http_requests_total: Counter",
            "http_requests_total{code=\"200\", method=\"post\"} 1027 @1395066363000",
            "metric_without_timestamp_and_labels 12.47",
            "something_weird{problem=\"division by zero\"} inf @-3982045",
        ],
    );
}

#[test]
fn escapes_braces_and_odd_spacing_are_read() {
    check("a{ b = \"x\\\"}y\\\\\" , c=\"\\n\", } 1\n", &["a{b=\"x\\\"}y\\\\\", c=\"\\n\"} 1"]);
    check("a {b=\"c\"}\t2\r\n", &["a{b=\"c\"} 2"]);
    check("{\"my.name\",\"a b\"=\"c\"} 3", &["{\"my.name\", \"a b\"=\"c\"} 3"]);
    check("a NaN\nb -Inf\nc 1e-3", &["a NaN", "b -inf", "c 0.001"]);
}

#[test]
fn a_fault_is_of_its_line_only() {
    check(
        "good 1\nbad\nalso_bad x\nb{c=\"d} 1\n# TYPE x maybe\ngood 2 3 4\ngood 2\n",
        &[
            "good 1",
            "line 2: a sample has no value",
            "line 3: the value is not a number",
            "line 4: the labels do not end",
            "line 5: a TYPE is counter, gauge, histogram, summary or untyped",
            "line 6: after value and timestamp nothing may follow",
            "good 2",
        ],
    );
    for (series, part) in [
        ("0abc", "need quotes"),
        ("{a=\"b\"}", "no name"),
        ("a{b=\"1\",b=\"2\"}", "twice"),
        ("a{b=c}", "double quotes"),
        ("a{b=\"c\" d=\"e\"}", "commas"),
        ("a{\"b\"}", "no value"),
    ] {
        let error = parse_series(series).expect_err(series).to_string();
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(
        lines("# TYPE a gauge").next(),
        Some(Ok(Line::Type { name: "a", kind: MetricKind::Gauge }))
    );
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "(\\PC|[\\n\"{}\\\\=, 0-9a-z])*") {
        for line in lines(&text) {
            if let Ok(Line::Sample(sample)) = line {
                // Good or bad, but an answer.
                prop_assert!(parse_series(sample.series).is_ok() || !sample.series.is_empty());
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back(value in any::<f64>(), label in "\\PC*", at in any::<i64>()) {
        let escaped = label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let text = format!("m{{l=\"{escaped}\"}} {value} {at}");
        let Some(Ok(Line::Sample(sample))) = lines(&text).next() else {
            return Err(TestCaseError::fail(text));
        };
        prop_assert!(sample.value == value || (sample.value.is_nan() && value.is_nan()));
        prop_assert_eq!(sample.timestamp_ms, Some(at));
        let labels = parse_series(sample.series).expect("just written");
        prop_assert_eq!(labels.get("l").unwrap_or(""), label.as_str());
    }
}
