//! Which family the lines of metadata are about, and which samples are of it.

use swell_model::MetricKind;

use crate::entry::Entry;

/// The family whose type or unit a body told last.
#[derive(Clone, Debug, Default)]
pub struct CurrentFamily {
    name: String,
    kind: MetricKind,
    unit: String,
}

impl CurrentFamily {
    /// Takes note of an entry, if it tells a type or a unit.
    pub fn note(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Type { family, kind, .. } => {
                self.turn_to(family);
                self.kind = *kind;
            }
            Entry::Unit { family, unit } => {
                self.turn_to(family);
                (*unit).clone_into(&mut self.unit);
            }
            Entry::Help { .. } | Entry::Sample(_) | Entry::Histogram(_) => {}
        }
    }

    fn turn_to(&mut self, family: &str) {
        if self.name != family {
            *self = Self { name: family.to_owned(), ..Self::default() };
        }
    }

    /// Type and unit of a metric: those of the family if the metric is one of it, else nothing is known of it. A metric
    /// that merely follows a family in a body is none of it.
    #[must_use]
    pub fn type_and_unit(&self, metric_name: &str) -> (MetricKind, &str) {
        if is_series_of(metric_name, &self.name, self.kind) {
            (self.kind, &self.unit)
        } else {
            (MetricKind::Unknown, "")
        }
    }
}

/// Whether a metric is of a family, by the suffixes that its kind has (Prometheus' `isSeriesPartOfFamily`).
#[must_use]
pub fn is_series_of(metric: &str, family: &str, kind: MetricKind) -> bool {
    let Some(suffix) = metric.strip_prefix(family) else { return false };
    let suffixes: &[&str] = match kind {
        MetricKind::Counter => &["_total"],
        MetricKind::Histogram => &["_bucket", "_sum", "_count"],
        MetricKind::GaugeHistogram => &["_bucket", "_gsum", "_gcount", "_sum", "_count"],
        MetricKind::Summary => &["_sum", "_count"],
        MetricKind::Info => &["_info"],
        MetricKind::Gauge | MetricKind::StateSet | MetricKind::Unknown => &[],
    };
    suffix.is_empty() || suffixes.contains(&suffix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{BodyFault, BodyFormat, HistogramOptions, visit_body};
    use crate::entry::Format;

    /// `metric type unit` of each sample.
    fn shown(body: &str, format: Format) -> Vec<String> {
        let (mut family, mut shown) = (CurrentFamily::default(), Vec::new());
        let format = BodyFormat::Text(format);
        let options = HistogramOptions::default();
        let told = visit_body::<BodyFault>(body.as_bytes(), format, &options, &mut |entry| {
            family.note(&entry);
            if let Entry::Sample(sample) = &entry {
                let labels = sample.series.to_labels().expect("no label twice");
                let name = labels.metric_name().expect("a name").to_owned();
                let (kind, unit) = family.type_and_unit(&name);
                shown.push(format!("{name} {} {unit}", kind.as_str()).trim_end().to_owned());
            }
            Ok(())
        });
        told.expect("a good body");
        shown
    }

    #[test]
    fn samples_have_what_their_family_was_said_to_be() {
        let body = "\
# TYPE c counter
c_seconds_total 1
# HELP c_seconds Times.
# UNIT c_seconds seconds
# TYPE c_seconds counter
c_seconds_total 1
c_seconds_created 1
# TYPE h histogram
h_bucket{le=\"+Inf\"} 1
h_sum 1
h_count 1
h_quantile 1
# TYPE s summary
s{quantile=\"0.5\"} 1
s_sum 1
s_bucket 1
# TYPE t gauge
# HELP other O.
t 1
tt 1
# TYPE i info
i_info 1
# TYPE g gaugehistogram
g_gsum 1
# TYPE u unknown
u 1
# EOF
";
        assert_eq!(
            shown(body, Format::OpenMetrics),
            [
                "c_seconds_total unknown",
                "c_seconds_total counter seconds",
                "c_seconds_created unknown",
                "h_bucket histogram",
                "h_sum histogram",
                "h_count histogram",
                "h_quantile unknown",
                "s summary",
                "s_sum summary",
                "s_bucket unknown",
                "t gauge",
                "tt unknown",
                "i_info info",
                "g_gsum gaugehistogram",
                "u unknown",
            ]
        );
    }

    #[test]
    fn the_text_format_names_counters_with_their_suffix() {
        let body = "a 1\n# TYPE c_total counter\nc_total 1\nc 1\n# TYPE d untyped\nd 1\n";
        assert_eq!(
            shown(body, Format::Text),
            ["a unknown", "c_total counter", "c unknown", "d unknown"]
        );
    }
}
