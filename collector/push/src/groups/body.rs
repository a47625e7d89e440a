//! What is pushed: families of samples without times, in the text format or in protobuf.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use swell_exposition::{
    BodyFault, BodyFormat, Entry, Format, HistogramOptions, is_series_of, visit_body,
};
use swell_model::{Labels, METRIC_NAME, METRIC_TYPE, MetricKind};

use super::key::GroupKey;
use super::limits::{GROUP_BYTES_MAX, check_labels, group_too_large, series_bytes};

/// Names of our own in each group.
pub(crate) const PUSH_TIME: &str = "push_time_seconds";
pub(crate) const FAILURE_TIME: &str = "push_failure_time_seconds";

/// The word for no kind.
const UNTYPED: &str = "untyped";

/// A metric family of a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Family {
    /// Its kind as the text format names it; `untyped` where nothing was said.
    pub(crate) kind: String,
    pub(crate) help: String,
    /// Series by their labels; values as bits, which every value survives.
    pub(crate) series: Vec<(Vec<(String, String)>, u64)>,
}

/// Families by name.
pub(crate) type Families = BTreeMap<String, Family>;

/// Why a body is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushFault {
    #[error("text format parsing error: {0}")]
    Body(#[from] BodyFault),
    #[error("pushed metrics must not have timestamps: {0}")]
    Timestamp(String),
    #[error("{0}")]
    Repeated(String),
    #[error("{0:?} is set here, and must not be pushed")]
    OwnName(&'static str),
    #[error("pushed metrics are invalid or inconsistent with existing metrics: {0}")]
    Inconsistent(String),
    #[error("labels are refused: {0}")]
    Labels(String),
    #[error("{0}")]
    TooMuch(String),
}

/// The kind of metric by its word.
pub(crate) fn kind_of(word: &str) -> MetricKind {
    match word {
        "counter" => MetricKind::Counter,
        "gauge" => MetricKind::Gauge,
        "histogram" => MetricKind::Histogram,
        "gaugehistogram" => MetricKind::GaugeHistogram,
        "summary" => MetricKind::Summary,
        "info" => MetricKind::Info,
        "stateset" => MetricKind::StateSet,
        _ => MetricKind::Unknown,
    }
}

/// Gives families without a kind, or with one that is none, the one word for that: texts and protobuf have several, and
/// words are compared.
pub(crate) fn name_kinds(families: &mut Families) {
    for family in families.values_mut() {
        if kind_of(&family.kind) == MetricKind::Unknown {
            UNTYPED.clone_into(&mut family.kind);
        }
    }
}

/// Reads a body; each series gets the labels of the group, which win.
pub(crate) fn read(
    bytes: &[u8],
    content_type: &str,
    key: &GroupKey,
) -> Result<Families, PushFault> {
    // As upstream: whatever is not protobuf is text.
    let format =
        BodyFormat::from_content_type(content_type).unwrap_or(BodyFormat::Text(Format::Text));
    let mut families = Families::new();
    let mut bytes_kept = 0;
    let mut seen = std::collections::BTreeSet::new();
    // The family that the last comment named: samples behind it are its own while their names say so.
    let mut current = String::new();
    visit_body(bytes, format, &HistogramOptions::default(), &mut |entry| {
        match entry {
            Entry::Type { family, word, .. } => {
                word.clone_into(&mut families.entry(family.to_string()).or_default().kind);
                current = family.into_owned();
            }
            Entry::Help { family, text } => {
                families.entry(family.to_string()).or_default().help = text.into_owned();
                current = family.into_owned();
            }
            Entry::Unit { .. } => {}
            // Without the option there are none.
            Entry::Histogram(sample) => {
                return Err(PushFault::Inconsistent(format!(
                    "{}: a native histogram",
                    sample.series.raw()
                )));
            }
            Entry::Sample(sample) => {
                if sample.timestamp.is_some() {
                    return Err(PushFault::Timestamp(sample.series.raw().to_owned()));
                }
                let repeated =
                    |error: &dyn std::fmt::Display| PushFault::Repeated(error.to_string());
                let own = sample.series.to_labels().map_err(|error| repeated(&error))?;
                let mut builder = own.to_builder();
                for (name, value) in key {
                    builder.set(name, value);
                }
                let labels = builder.build();
                check_labels(labels.iter())?;
                // While it is read: a body becomes as many times larger as its group's labels are longer than its lines.
                bytes_kept += series_bytes(labels.iter());
                if bytes_kept > GROUP_BYTES_MAX {
                    return Err(group_too_large());
                }
                let name = own.metric_name().unwrap_or_default();
                if let Some(reserved) = [PUSH_TIME, FAILURE_TIME].into_iter().find(|it| *it == name)
                {
                    return Err(PushFault::OwnName(reserved));
                }
                if !seen.insert(labels.clone()) {
                    return Err(PushFault::Inconsistent(format!(
                        "{labels} was collected before with the same name and label values"
                    )));
                }
                let family = if is_of(name, &current) { current.as_str() } else { name };
                let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
                let series = (pairs.collect(), sample.value.to_bits());
                families.entry(family.to_owned()).or_default().series.push(series);
            }
        }
        Ok(())
    })?;
    families.retain(|_, family| !family.series.is_empty());
    name_kinds(&mut families);
    Ok(families)
}

/// Whether a sample's name is one of a family's.
fn is_of(name: &str, family: &str) -> bool {
    const SUFFIXES: [&str; 7] = ["", "_bucket", "_sum", "_count", "_total", "_created", "_info"];
    !family.is_empty() && name.strip_prefix(family).is_some_and(|suffix| SUFFIXES.contains(&suffix))
}

impl Family {
    /// Label sets of the family of this name, with their values. Where types are labels, a series that is of the family by
    /// its name has the family's, as if it were scraped.
    pub(crate) fn samples<'a>(
        &'a self,
        family: &'a str,
        types: Types,
    ) -> impl Iterator<Item = (Labels, f64)> + 'a {
        let kind = kind_of(&self.kind);
        self.series.iter().map(move |(pairs, bits)| {
            let pairs = pairs.iter().map(|(name, value)| (name, value));
            let mut labels = Labels::from_pairs(pairs);
            let metric = labels.metric_name().unwrap_or_default();
            if kind != MetricKind::Unknown && is_series_of(metric, family, kind) {
                labels = types.label(labels, kind);
            }
            (labels, f64::from_bits(*bits))
        })
    }
}

/// What becomes of the types of metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Types {
    /// They are told beside the series.
    #[default]
    Described,
    /// They are labels, too (Prometheus' feature `type-and-unit-labels`).
    Labelled,
}

impl Types {
    /// The labels of a series of a type; it wins over a label of that name.
    fn label(self, labels: Labels, kind: MetricKind) -> Labels {
        if self == Self::Described {
            return labels;
        }
        let mut builder = labels.to_builder();
        builder.set(METRIC_TYPE, kind.as_str());
        builder.build()
    }
}

/// The labels of a metric of our own in a group, which is a gauge.
pub(crate) fn own_labels(name: &str, key: &GroupKey, types: Types) -> Labels {
    let pairs = key.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    types.label(Labels::from_pairs(pairs.chain([(METRIC_NAME, name)])), MetricKind::Gauge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> GroupKey {
        super::super::key::parse("job/backup/instance@base64/=").expect("good")
    }

    fn shown(text: &str) -> Vec<String> {
        shown_with(text, Types::Described)
    }

    fn shown_with(text: &str, types: Types) -> Vec<String> {
        match read(text.as_bytes(), "", &key()) {
            Ok(families) => families
                .iter()
                .flat_map(|(name, family)| {
                    let kind = family.kind.clone();
                    family
                        .samples(name, types)
                        .map(move |(labels, value)| format!("{name} {kind}: {labels} {value}"))
                })
                .collect(),
            Err(fault) => vec![fault.to_string()],
        }
    }

    #[test]
    fn series_get_the_groups_labels_and_stand_with_their_family() {
        let text = "# TYPE took histogram\n# HELP took How long.\ntook_bucket{le=\"1\"} 2\ntook_sum 1.5\ntook_count 2\n\
                    # TYPE done gauge\ndone{job=\"mine\",instance=\"i\"} 1\nalone NaN\n";
        assert_eq!(
            shown(text),
            [
                r#"alone untyped: alone{job="backup"} NaN"#,
                r#"done gauge: done{job="backup"} 1"#,
                r#"took histogram: took_bucket{job="backup", le="1.0"} 2"#,
                r#"took histogram: took_sum{job="backup"} 1.5"#,
                r#"took histogram: took_count{job="backup"} 2"#,
            ]
        );
    }

    #[test]
    fn types_are_labels_where_that_is_switched_on() {
        let text = "# TYPE took summary\ntook{quantile=\"0.5\"} 1\ntook_sum 1.5\ntook_total 2\n\
                    # TYPE n counter\nn{__type__=\"gauge\"} 1\nalone 1\n";
        assert_eq!(
            shown_with(text, Types::Labelled),
            [
                r#"alone untyped: alone{job="backup"} 1"#,
                r#"n counter: n{__type__="counter", job="backup"} 1"#,
                r#"took summary: took{__type__="summary", job="backup", quantile="0.5"} 1"#,
                r#"took summary: took_sum{__type__="summary", job="backup"} 1.5"#,
                // No metric of a summary has such a name.
                r#"took summary: took_total{job="backup"} 2"#,
            ]
        );
    }

    #[test]
    fn what_upstream_refuses_is_refused() {
        for (text, part) in [
            ("a 1 1700000000000\n", "must not have timestamps: a"),
            ("a{\n", "text format parsing error"),
            ("a{job=\"x\"} 1\na{job=\"y\"} 2\n", "was collected before"),
            ("a{b=\"1\",b=\"2\"} 1\n", "more than once"),
            ("push_time_seconds 1\n", "must not be pushed"),
        ] {
            assert!(shown(text)[0].contains(part), "{text}: {:?}", shown(text));
        }
        let long = format!("a{{b=\"{}\"}} 1\n", "v".repeat(5000));
        assert!(shown(&long)[0].contains("\"b\" has 5000 bytes"), "{:?}", shown(&long));
        assert!(shown("").is_empty());
    }

    #[test]
    fn formats_have_one_word_for_no_kind() {
        let open_metrics = "application/openmetrics-text; version=1.0.0";
        for (text, content_type) in [
            ("n 1\n", ""),
            ("# TYPE n untyped\nn 1\n", ""),
            ("n 1\n# EOF\n", open_metrics),
            ("# TYPE n unknown\nn 1\n# EOF\n", open_metrics),
        ] {
            let families = read(text.as_bytes(), content_type, &key()).expect("good");
            assert_eq!(families["n"].kind, "untyped", "{text}");
        }
    }

    #[test]
    fn a_groups_labels_count_with_each_of_its_series() {
        let value = "v".repeat(4096);
        let path = (0..8).fold("job/j".to_owned(), |path, n| format!("{path}/l{n}/{value}"));
        let key = super::super::key::parse(&path).expect("good");
        let text: String = (0..5000).map(|n| format!("m{n} 1\n")).collect();
        let fault = read(text.as_bytes(), "", &key).expect_err("some 160 MB of labels");
        assert!(matches!(&fault, PushFault::TooMuch(told) if told.contains("shorter labels")));
        assert_eq!(read(&text.as_bytes()[..20], "", &key).expect("some").len(), 4);
    }
}
