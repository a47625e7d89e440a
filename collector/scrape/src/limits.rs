//! What one sample may be.

use std::sync::Arc;

use swell_model::{Labels, METRIC_NAME, NativeHistogram};

use crate::config::{Limits, ScrapeConfig};
use crate::ingest::IngestError;

/// The coarsest schema of exponential buckets.
const SCHEMA_MIN: i32 = -4;

/// Zero is no limit, as upstream.
pub(crate) fn given(given: Option<usize>) -> Option<usize> {
    given.filter(|limit| *limit > 0)
}

/// Refuses a series with more or longer labels than allowed.
pub(crate) fn check_label_limits(
    labels: &Labels,
    config: &ScrapeConfig,
) -> Result<(), IngestError> {
    let limits = &config.limits;
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    for (what, max, found) in [
        ("a number of labels", limits.labels_max, labels.len()),
        (
            "a label name length",
            limits.label_name_bytes_max,
            longest(&mut labels.iter().map(|(name, _)| name.len())),
        ),
        (
            "a label value length",
            limits.label_value_bytes_max,
            longest(&mut labels.iter().map(|(_, value)| value.len())),
        ),
    ] {
        if let Some(limit) = given(max)
            && found > limit
        {
            return Err(IngestError::LabelLimit { series: labels.to_string(), what, found, limit });
        }
    }
    Ok(())
}

/// Refuses a series whose name or labels are not of classic form.
pub(crate) fn check_names(labels: &Labels) -> Result<(), IngestError> {
    let refused = |what: &'static str, name: &str| IngestError::NameNotClassic {
        series: labels.to_string(),
        what,
        name: name.to_owned(),
    };
    for (name, value) in labels.iter() {
        if name == METRIC_NAME && !is_classic(value, true) {
            return Err(refused("name", value));
        }
        if !is_classic(name, false) {
            return Err(refused("label", name));
        }
    }
    Ok(())
}

/// Whether a name has letters, digits and underscores only, and no digit first; metrics may have colons.
fn is_classic(name: &str, is_metric: bool) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (is_metric && byte == b':');
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(fits)
}

/// A histogram within the limits of resolution and number of buckets.
pub(crate) fn histogram(
    histogram: &Arc<NativeHistogram>,
    limits: &Limits,
) -> Result<Arc<NativeHistogram>, IngestError> {
    let buckets_max = given(limits.histogram_buckets_max);
    let mut fitted = Arc::clone(histogram);
    if fitted.uses_custom_buckets() {
        return match buckets_max.filter(|max| bucket_count(&fitted) > *max) {
            Some(limit) => Err(IngestError::BucketLimit { found: bucket_count(&fitted), limit }),
            None => Ok(fitted),
        };
    }
    if let Some(schema) = limits.histogram_schema_max.filter(|max| fitted.schema > *max) {
        fitted = Arc::new(fitted.at_schema(schema));
    }
    while let Some(limit) = buckets_max.filter(|max| bucket_count(&fitted) > *max) {
        if fitted.schema <= SCHEMA_MIN {
            return Err(IngestError::BucketLimit { found: bucket_count(&fitted), limit });
        }
        fitted = Arc::new(fitted.at_schema(fitted.schema - 1));
    }
    Ok(fitted)
}

fn bucket_count(histogram: &NativeHistogram) -> usize {
    histogram.positive_buckets.len() + histogram.negative_buckets.len()
}

#[cfg(test)]
mod tests {
    use swell_model::Span;

    use super::*;

    fn eight_buckets(schema: i32) -> Arc<NativeHistogram> {
        Arc::new(NativeHistogram {
            schema,
            count: 8.0,
            sum: 8.0,
            positive_spans: vec![Span { offset: 1, length: 8 }],
            positive_buckets: vec![1.0; 8],
            ..NativeHistogram::default()
        })
    }

    #[test]
    fn resolution_falls_until_the_buckets_fit() {
        let buckets = |max| Limits { histogram_buckets_max: Some(max), ..Limits::default() };
        let full = eight_buckets(3);
        assert_eq!(histogram(&full, &buckets(0)).expect("no limit"), full);
        assert_eq!(histogram(&full, &buckets(8)).expect("they fit"), full);
        let fitted = histogram(&full, &buckets(4)).expect("they can be joined");
        assert_eq!((fitted.schema, bucket_count(&fitted)), (2, 4));
        let coarse = Limits { histogram_schema_max: Some(1), ..Limits::default() };
        let fitted = histogram(&full, &coarse).expect("they can be joined");
        assert_eq!((fitted.schema, fitted.count.to_bits()), (1, 8.0_f64.to_bits()));
        let coarsest = eight_buckets(SCHEMA_MIN);
        let refused = histogram(&coarsest, &buckets(4));
        assert!(matches!(refused, Err(IngestError::BucketLimit { found: 8, limit: 4 })));
    }

    #[test]
    fn classic_names() {
        for (name, metric, label) in [
            ("up", true, true),
            ("a:b", true, false),
            ("0a", false, false),
            ("a.b", false, false),
            ("", false, false),
            ("_x9", true, true),
        ] {
            assert_eq!(
                (is_classic(name, true), is_classic(name, false)),
                (metric, label),
                "{name}"
            );
        }
    }
}
