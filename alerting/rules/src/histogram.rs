//! Native histograms in templates.

use std::sync::Arc;

use swell_model::{NativeHistogram, SampleValue};
use swell_promql_syntax::histogram_text;
use swell_template::{Object, Value};

/// A sample's value as templates have it: a number, or a histogram, which prints as Prometheus prints it.
pub(crate) fn template_value(value: &SampleValue) -> Value {
    match value {
        SampleValue::Float(number) => Value::Float(*number),
        SampleValue::Histogram(histogram) => Value::object(Histogram(Arc::clone(histogram))),
    }
}

/// Prometheus' `FloatHistogram`.
#[derive(Debug)]
struct Histogram(Arc<NativeHistogram>);

impl Object for Histogram {
    fn type_name(&self) -> &'static str {
        "*histogram.FloatHistogram"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, String>> {
        let list = |numbers: &[f64]| Value::list(numbers.iter().copied().map(Value::Float));
        let histogram = self.0.as_ref();
        let value = match name {
            "Count" => Value::Float(histogram.count),
            "Sum" => Value::Float(histogram.sum),
            "ZeroCount" => Value::Float(histogram.zero_count),
            "ZeroThreshold" => Value::Float(histogram.zero_threshold),
            "Schema" => Value::Int(histogram.schema.into()),
            "PositiveBuckets" => list(&histogram.positive_buckets),
            "NegativeBuckets" => list(&histogram.negative_buckets),
            "CustomValues" => list(&histogram.custom_bounds),
            "String" => Value::str(histogram_text(histogram)),
            _ => return None,
        };
        if arguments.is_empty() {
            return Some(Ok(value));
        }
        Some(Err(format!("{name} has arguments but cannot be invoked as function")))
    }

    fn print(&self) -> Option<String> {
        Some(histogram_text(&self.0))
    }
}
