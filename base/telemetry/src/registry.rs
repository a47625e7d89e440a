//! The registry of self-metrics and its text form.

use prometheus::{IntGauge, Opts, Registry, TextEncoder};

use crate::build::{BUILD, PROMETHEUS_VERSION};
use crate::process::ProcessCollector;
use crate::synonyms::gather;

/// A new registry with `swell_build_info`, `prometheus_build_info` and the `process_*` metrics.
///
/// # Errors
/// Never in practice: the metrics are valid and the registry is empty.
pub fn self_metrics() -> Result<Registry, prometheus::Error> {
    let registry = Registry::new();
    let ours = Opts::new("swell_build_info", "A constant 1; the labels say which build runs.")
        .const_label("version", BUILD.version)
        .const_label("revision", BUILD.revision);
    // As `/api/v1/status/buildinfo` has it.
    let theirs = Opts::new(
        "prometheus_build_info",
        "A constant 1; the labels say which version of Prometheus' API is spoken, and by what.",
    )
    .const_label("version", PROMETHEUS_VERSION)
    .const_label("revision", BUILD.revision)
    .const_label("application", "swell")
    .const_label("swell_version", BUILD.version);
    for options in [ours, theirs] {
        let info = IntGauge::with_opts(options)?;
        info.set(1);
        registry.register(Box::new(info))?;
    }
    registry.register(Box::new(ProcessCollector::new()?))?;
    Ok(registry)
}

/// All metrics of a registry in the Prometheus text format 0.0.4, with Prometheus' names beside ours; families sorted by
/// name.
///
/// # Errors
/// When a registered collector gives a family without name or metrics of another kind.
pub fn render_metrics(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&gather(registry))
}

#[cfg(test)]
mod tests {
    use prometheus::{Histogram, HistogramOpts};

    use super::*;

    #[test]
    fn text_has_help_type_and_samples_of_each_family() {
        let registry = self_metrics().expect("valid metrics");
        let options = HistogramOpts::new("swell_test_duration_seconds", "How \"long\"\nit takes.");
        let histogram = Histogram::with_opts(options.buckets(vec![0.5])).expect("valid");
        histogram.observe(0.25);
        registry.register(Box::new(histogram)).expect("new name");
        let text = render_metrics(&registry).expect("rendered");
        for line in [
            "# TYPE swell_build_info gauge",
            "# TYPE prometheus_build_info gauge",
            "# TYPE process_cpu_seconds_total counter",
            "# HELP swell_test_duration_seconds How \"long\"\\nit takes.",
            "# TYPE swell_test_duration_seconds histogram",
            "swell_test_duration_seconds_bucket{le=\"0.5\"} 1",
            "swell_test_duration_seconds_bucket{le=\"+Inf\"} 1",
            "swell_test_duration_seconds_sum 0.25",
            "swell_test_duration_seconds_count 1",
        ] {
            assert!(text.lines().any(|candidate| candidate == line), "{line} in\n{text}");
        }
        let typed = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        let helped = text.lines().filter(|line| line.starts_with("# HELP")).count();
        assert_eq!(typed, helped);
    }
}
