//! `load_with_nhcb`: native histograms with custom buckets out of the classic histograms of a load.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_model::{Labels, METRIC_NAME, NativeHistogram, SampleValue, Span, TimestampMs};
use swell_promql_syntax::parse_number;

use super::storage::{LoadedSample, LoadedSeries};

/// The parts of a classic histogram at one time.
#[derive(Default)]
struct Parts {
    /// Cumulative counts by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: Option<f64>,
}

/// What a series is of a classic histogram.
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// The native histograms of a load.
pub(super) fn convert(series: &[LoadedSeries]) -> Result<Vec<LoadedSeries>, String> {
    let mut histograms: BTreeMap<Labels, BTreeMap<TimestampMs, Parts>> = BTreeMap::new();
    for one in series {
        let Some((labels, part)) = part_of(&one.labels) else { continue };
        let times = histograms.entry(labels).or_default();
        for sample in &one.samples {
            let SampleValue::Float(value) = sample.value else { continue };
            let parts = times.entry(sample.timestamp).or_default();
            match part {
                Part::Bucket(bound) => parts.buckets.push((bound, value)),
                Part::Count => parts.count = Some(value),
                Part::Sum => parts.sum = Some(value),
            }
        }
    }
    histograms
        .into_iter()
        .map(|(labels, times)| {
            let samples = times
                .into_iter()
                .map(|(timestamp, parts)| {
                    let value = SampleValue::Histogram(Arc::new(native(parts)?));
                    Ok(LoadedSample { timestamp, value, start_ms: 0 })
                })
                .collect::<Result<Vec<_>, String>>()?;
            Ok(LoadedSeries { labels, samples })
        })
        .collect()
}

fn part_of(labels: &Labels) -> Option<(Labels, Part)> {
    let name = labels.get(METRIC_NAME)?;
    let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
        (base, Part::Bucket(parse_number(labels.get("le")?)?))
    } else if let Some(base) = name.strip_suffix("_count") {
        (base, Part::Count)
    } else {
        (name.strip_suffix("_sum")?, Part::Sum)
    };
    let mut builder = labels.to_builder();
    builder.set(METRIC_NAME, base).remove("le");
    Some((builder.build(), part))
}

fn native(mut parts: Parts) -> Result<NativeHistogram, String> {
    parts.buckets.sort_by(|one, two| one.0.total_cmp(&two.0));
    let highest = parts.buckets.last().map_or(0.0, |(_, count)| *count);
    let count = parts.count.unwrap_or(highest);
    match parts.buckets.last() {
        Some((f64::INFINITY, highest)) if *highest != count => {
            return Err(format!("_count is {count}, the +Inf bucket holds {highest}"));
        }
        Some((f64::INFINITY, _)) => {}
        _ => parts.buckets.push((f64::INFINITY, count)),
    }
    let mut before = 0.0;
    let mut counts = Vec::with_capacity(parts.buckets.len());
    for (bound, cumulative) in &parts.buckets {
        if *cumulative < before {
            return Err(format!("bucket {bound} holds {cumulative}, less than the one below"));
        }
        counts.push(cumulative - before);
        before = *cumulative;
    }
    let bounds = parts.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
    let length = u32::try_from(counts.len()).map_err(|_| "too many buckets".to_owned())?;
    let histogram = NativeHistogram {
        schema: NativeHistogram::CUSTOM_SCHEMA,
        count,
        sum: parts.sum.unwrap_or(0.0),
        positive_spans: vec![Span { offset: 0, length }],
        positive_buckets: counts,
        custom_bounds: bounds.collect(),
        ..NativeHistogram::default()
    };
    Ok(histogram.compacted())
}
