use proptest::prelude::*;
use swell_model::{Labels, METRIC_NAME, MetricKind, TimestampMs};
use swell_wire::{write_help, write_sample, write_type};

use super::*;

/// Entries and faults in one line each.
fn shown(input: &[u8], format: Format) -> Vec<String> {
    Parser::new(input, format)
        .map(|entry| match entry {
            Ok(Entry::Sample(sample)) => {
                let labels = match sample.series.to_labels() {
                    Ok(labels) => labels.to_string(),
                    Err(error) => error.to_string(),
                };
                let time = sample.timestamp.map(|at| format!(" @{}", at.0)).unwrap_or_default();
                let exemplar = sample.exemplar.map(|exemplar| {
                    let pairs: Vec<_> =
                        exemplar.pairs().map(|(name, value)| format!("{name}={value}")).collect();
                    let time = exemplar.timestamp.map(|at| at.0);
                    format!(" # {} {} {time:?}", pairs.join(","), exemplar.value)
                });
                format!("{labels} {}{time}{}", sample.value, exemplar.unwrap_or_default())
            }
            Ok(Entry::Histogram(_)) => "a histogram in a text".to_owned(),
            Ok(Entry::Type { family, kind, .. }) => format!("type {family} {kind:?}"),
            Ok(Entry::Help { family, text }) => format!("help {family} {text}"),
            Ok(Entry::Unit { family, unit }) => format!("unit {family} {unit}"),
            Err(error) => error.to_string(),
        })
        .collect()
}

fn check(input: &str, expected: &[&str]) {
    assert_eq!(shown(input.as_bytes(), Format::Text), expected, "{input:?}");
}

fn check_openmetrics(input: &str, expected: &[&str]) {
    assert_eq!(shown(input.as_bytes(), Format::OpenMetrics), expected, "{input:?}");
}

#[test]
fn samples_with_and_without_labels_and_times() {
    check("a 1\nb{x=\"y\"} -2.5 1700\n", &["a 1", "b{x=\"y\"} -2.5 @1700"]);
    check("a \t{ x = \"y\" , } \t 3 \t 4 ", &["a{x=\"y\"} 3 @4"]);
    check("a{x=\"1\"}3\na-1", &["a{x=\"1\"} 3", "a -1"]);
    check("", &[]);
    check("\n \t\n# a comment\n#\n#HELP x\n", &[]);
    check("a{x=\"\"} 1", &["a 1"]);
}

#[test]
fn escapes_are_resolved_and_unknown_ones_stay() {
    check(
        r#"a{p="C:\\dir",q="\"hi\"",n="l1\nl2",t="\t"} 3"#,
        &[r#"a{n="l1\nl2", p="C:\\dir", q="\"hi\"", t="\\t"} 3"#],
    );
    check("# HELP a one\\ntwo \\\\ \\\" end", &["help a one\ntwo \\ \\\" end"]);
    check("a{x=\"1\n2\"} 3\n", &["a{x=\"1\\n2\"} 3"]);
}

#[test]
fn quoted_names_are_names_wherever_they_stand() {
    check(
        "{\"http.requests\",code=\"200\"} 8\n{code=\"500\",\"http.requests\"} 9\n",
        &["{\"http.requests\", code=\"200\"} 8", "{\"http.requests\", code=\"500\"} 9"],
    );
    check("a{\"x.y\"=\"2\"} 3", &["a{\"x.y\"=\"2\"} 3"]);
    check("{__name__=\"a\"} 3", &["a 3"]);
    check("# TYPE \"http.requests\" counter\n", &["type http.requests Counter"]);
}

#[test]
fn a_bad_line_spoils_only_itself() {
    check(
        "a 1\nb oops\nc{x=1} 2\n?? 3\nd 4\n\n{} 5\ne{x=\"1\n",
        &[
            "a 1",
            "line 2: \"oops\" is not a number",
            "line 3: a label value in quotes expected",
            "line 4: a metric name, `{` or `#` expected",
            "d 4",
            "line 7: the metric name is missing",
            "line 8: a label value in quotes expected",
        ],
    );
}

#[test]
fn faults_tell_what_was_expected() {
    for (input, part) in [
        ("a", "a value expected"),
        ("a 1 2 3", "end of the line"),
        ("a 1 -5", "end of the line"),
        ("a 1 9223372036854775808", "not a timestamp"),
        ("a 1e999", "not a number"),
        ("a{1x=\"1\"} 1", "label name"),
        ("a{x:y=\"1\"} 1", "`=`"),
        ("{a} 1", "`=`"),
        ("a{\"b\"} 1", "twice"),
        ("# TYPE a meter", "unknown metric type \"meter\""),
        ("# TYPE a", "unknown metric type \"\""),
        ("# TYPE  ", "name expected after TYPE"),
        ("live 1\r", "\"1\\r\" is not a number"),
    ] {
        let entries = shown(input.as_bytes(), Format::Text);
        assert!(entries.len() == 1 && entries[0].contains(part), "{input}: {entries:?}");
    }
    assert_eq!(shown(b"a{x=\"\xff\"} 1\nb 2", Format::Text), ["line 1: not UTF-8", "b 2"]);
    let twice = shown(b"a{x=\"1\",x=\"2\"} 1", Format::Text);
    assert!(twice[0].contains("more than once"), "{twice:?}");
}

#[test]
fn bounds_are_rewritten_while_the_last_type_says_so() {
    check(
        "h_bucket{le=\"1\"} 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nother{le=\"x\"} 1\n# TYPE g gauge\ng{le=\"1\"} 1",
        &[
            "h_bucket{le=\"1\"} 1",
            "type h Histogram",
            "h_bucket{le=\"1.0\"} 1",
            "other{le=\"x\"} 1",
            "type g Gauge",
            "g{le=\"1\"} 1",
        ],
    );
    check("# TYPE s summary\ns{quantile=\".5\"} 1", &["type s Summary", "s{quantile=\"0.5\"} 1"]);
}

#[test]
fn openmetrics_has_exemplars_units_and_an_end() {
    check_openmetrics(
        "# TYPE jobs_s counter\n# UNIT jobs_s s\njobs_s_total{q=\"a\"} 17 1700000000.25 # {t=\"x\"} 0.5 1.125\n# EOF\n",
        &[
            "type jobs_s Counter",
            "unit jobs_s s",
            "jobs_s_total{q=\"a\"} 17 @1700000000250 # t=x 0.5 Some(1125)",
        ],
    );
    check_openmetrics("a 1\n", &["a 1", "line 2: no `# EOF` at the end: the body is cut off"]);
    check_openmetrics("a 1\n# EOF\n\n", &["a 1", "line 3: data after `# EOF`"]);
    check_openmetrics("a  1\nb 2\n# EOF", &["line 1: a value expected", "b 2"]);
}

#[test]
fn content_types_name_the_format() {
    for (content_type, expected) in [
        ("text/plain; version=0.0.4; charset=utf-8", Some(Format::Text)),
        ("Text/Plain", Some(Format::Text)),
        ("application/openmetrics-text; version=1.0.0", Some(Format::OpenMetrics)),
        ("text/html", None),
        ("", None),
    ] {
        assert_eq!(Format::from_content_type(content_type), expected, "{content_type}");
    }
}

#[test]
fn metadata_reads_back() {
    let mut text = String::new();
    write_help(&mut text, "a.b", "one\ntwo \\ \"three\"").expect("strings take all");
    write_type(&mut text, "a.b", MetricKind::Counter).expect("strings take all");
    check(&text, &["help a.b one\ntwo \\ \"three\"", "type a.b Counter"]);
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(
        name in "[a-z_:][a-z0-9_:]{0,5}|\\PC{1,6}",
        labels in proptest::collection::vec(("[a-z_]{1,4}|\\PC{1,5}", "(?s).{0,8}"), 0..4),
        value in any::<f64>(),
        time in proptest::option::of(0..i64::MAX),
    ) {
        let pairs = labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(label, _)| *label != METRIC_NAME)
            .chain([(METRIC_NAME, name.as_str())]);
        let labels = Labels::from_pairs(pairs);
        let time = time.map(TimestampMs);
        let mut text = String::new();
        write_sample(&mut text, &labels, value, time).expect("strings take all");
        let entries: Vec<_> = Parser::new(text.as_bytes(), Format::Text).collect();
        prop_assert_eq!(entries.len(), 1, "{}", text);
        let Ok(Entry::Sample(sample)) = &entries[0] else {
            return Err(TestCaseError::fail(format!("{entries:?} from {text}")));
        };
        prop_assert_eq!(sample.series.to_labels().expect("no label twice"), labels);
        prop_assert_eq!(sample.timestamp, time);
        prop_assert!(sample.value == value || (sample.value.is_nan() && value.is_nan()));
    }

    #[test]
    fn any_bytes_end_without_a_panic(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Text, Format::OpenMetrics] {
            let lines = input.split(|byte| *byte == b'\n').count();
            let mut entries = 0;
            for entry in Parser::new(&input, format) {
                entries += 1;
                if let Ok(Entry::Sample(sample)) = &entry {
                    let pairs = sample.series.pairs().count();
                    prop_assert!(pairs > 0);
                }
                if let Err(error) = entry {
                    prop_assert!(error.line <= lines);
                }
            }
            prop_assert!(entries <= lines + 1);
        }
    }

    #[test]
    fn any_text_like_a_body_ends_without_a_panic(input in "([a-c{}=,\"\\\\ \n#0-9.]|# TYPE |# EOF){0,60}") {
        for format in [Format::Text, Format::OpenMetrics] {
            for sample in Parser::new(input.as_bytes(), format).flatten() {
                if let Entry::Sample(sample) = sample {
                    prop_assert!(sample.series.pairs().any(|(name, _)| name == METRIC_NAME));
                }
            }
        }
    }

    #[test]
    fn what_is_expected_changes_nothing(
        bodies in proptest::collection::vec(
            "(a|ab|b|le|[{]le=\"[a\\\\\"]\"[}]|[{]\"a\",b=\"1\"[}]|[{ =,}]| 1|\n|# TYPE a histogram\n){0,30}",
            1..3,
        ),
        choice in any::<u64>(),
    ) {
        for format in [Format::Text, Format::OpenMetrics] {
            let entries_of = |body| Parser::new(body, format).collect::<Vec<_>>();
            let all: Vec<_> = bodies.iter().flat_map(|body| entries_of(body.as_bytes())).collect();
            let mut texts = vec![""];
            texts.extend(all.iter().filter_map(|entry| match entry {
                Ok(Entry::Sample(sample)) => Some(sample.series.raw()),
                _ => None,
            }));
            for body in &bodies {
                for first in 0..texts.len() {
                    let mut parser = Parser::new(body.as_bytes(), format);
                    let mut entries = Vec::new();
                    let turns = (first..).step_by(1 + usize::try_from(choice % 7).expect("small"));
                    for turn in turns {
                        let Some(entry) = parser.next_expecting(texts[turn % texts.len()]) else { break };
                        entries.push(entry);
                    }
                    prop_assert_eq!(&entries, &entries_of(body.as_bytes()), "{:?} of {:?}", body, texts);
                }
            }
        }
    }
}
