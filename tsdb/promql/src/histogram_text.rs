//! Native histograms as text.

use std::fmt::Write;

use swell_model::NativeHistogram;
use swell_promql_syntax::format_float_short;

/// Prints a histogram as Prometheus does: `{count:4, sum:5, [-1,-0.5):1, (1,2]:3}`.
pub fn histogram_text(histogram: &NativeHistogram) -> String {
    let mut text = format!(
        "{{count:{}, sum:{}",
        format_float_short(histogram.count),
        format_float_short(histogram.sum)
    );
    let negative: Vec<_> = histogram.negative().map(|bucket| ('[', bucket, ')')).collect();
    let zero = swell_model::Bucket {
        lower: -histogram.zero_threshold,
        upper: histogram.zero_threshold,
        count: histogram.zero_count,
    };
    let positive = histogram.positive().map(|bucket| ('(', bucket, ']'));
    let all = negative.into_iter().rev().chain([('[', zero, ']')]).chain(positive);
    for (open, bucket, close) in all.filter(|(_, bucket, _)| bucket.count != 0.0) {
        // Writing to a String cannot fail.
        write!(
            text,
            ", {open}{},{}{close}:{}",
            format_float_short(bucket.lower),
            format_float_short(bucket.upper),
            format_float_short(bucket.count)
        )
        .expect("a String takes all text");
    }
    text.push('}');
    text
}
