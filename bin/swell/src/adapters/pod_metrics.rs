//! What pods use, read from the two newest samples of their containers.

use std::collections::BTreeMap;
use std::sync::Arc;

use swell_autoscaler_loops::{PodMetricSource, PodSample, Resource, SourceError, Usage};
use swell_model::{
    DurationMs, METRIC_NAME, MatchOp, Matcher, SelectHints, SeriesData, SeriesSource, TimeRange,
    TimestampMs, is_stale_nan,
};
use swell_telemetry::chain;

use super::standing::StandingQueries;

/// Samples older than this many collection intervals say nothing about now.
const INTERVALS_LOOKED_BACK: i64 = 5;

/// Reads the storage.
pub(crate) struct PodMetrics {
    queries: StandingQueries,
    look_back: DurationMs,
}

impl PodMetrics {
    pub(crate) fn new(queries: StandingQueries, collection_interval: DurationMs) -> Self {
        Self { queries, look_back: DurationMs(collection_interval.0 * INTERVALS_LOOKED_BACK) }
    }

    fn select(
        &self,
        metric: &str,
        namespace: &str,
        pods: &[Arc<str>],
        now: TimestampMs,
        newest_only: bool,
    ) -> Result<Vec<SeriesData>, SourceError> {
        let unavailable = |error: &(dyn std::error::Error + 'static)| {
            SourceError::Unavailable(format!("read {metric}: {}", chain(error)))
        };
        // Pod names are DNS names: dots are the only characters that a pattern would read otherwise.
        let names: Vec<String> = pods.iter().map(|pod| pod.replace('.', "\\.")).collect();
        let pattern = Matcher::new("pod", MatchOp::Regex, names.join("|"))
            .map_err(|error| unavailable(&error))?;
        let container = Matcher::new("container", MatchOp::NotEqual, "")
            .map_err(|error| unavailable(&error))?;
        let matchers = [
            Matcher::equal(METRIC_NAME, metric),
            Matcher::equal("namespace", namespace),
            pattern,
            container,
        ];
        let range = TimeRange { start_incl: now - self.look_back, end_incl: now };
        let source = self.queries.at(now);
        let found = source
            .select(&matchers, &SelectHints { newest_only, ..SelectHints::range(range) })
            .map_err(|error| unavailable(&error))?
            .collect::<Result<_, _>>()
            .map_err(|error| unavailable(&error))?;
        self.queries.count(&source);
        // Pods whose samples are damaged would look idle: the size is held instead.
        let missing = source.warnings(range);
        if missing.is_empty() {
            return Ok(found);
        }
        Err(SourceError::Unavailable(format!("read {metric}: {}", missing.join("; "))))
    }
}

/// Newest measurement of one container.
struct Measured {
    at: TimestampMs,
    window: DurationMs,
    milli: i64,
}

/// CPU between the two newest readings, in thousandths of a core. A counter that fell began anew: what it
/// shows now was used since.
fn cpu(series: &SeriesData) -> Option<Measured> {
    let mut readings = newest_first(series);
    let (at, value) = readings.next()?;
    let (before, value_before) = readings.next()?;
    let window = at.since(before);
    let used_seconds = if value >= value_before { value - value_before } else { value };
    #[expect(clippy::cast_possible_truncation, reason = "cores in thousandths are far below 2^63")]
    let milli = (used_seconds / window.as_seconds() * 1000.0).round() as i64;
    Some(Measured { at, window, milli })
}

/// Memory now, in thousandths of a byte.
fn memory(series: &SeriesData) -> Option<Measured> {
    let (at, bytes) = newest_first(series).next()?;
    #[expect(clippy::cast_possible_truncation, reason = "petabytes in thousandths fit")]
    let milli = (bytes * 1000.0).round() as i64;
    Some(Measured { at, window: DurationMs::ZERO, milli })
}

/// Samples from the newest back to the last staleness marker: what lies before belongs to another life.
fn newest_first(series: &SeriesData) -> impl Iterator<Item = (TimestampMs, f64)> {
    let times = series.floats.timestamps.iter().rev();
    let values = series.floats.values.iter().rev();
    times
        .zip(values)
        .take_while(|(_, value)| !is_stale_nan(**value))
        .map(|(at, value)| (TimestampMs(*at), *value))
}

impl PodMetricSource for PodMetrics {
    fn pod_usage(
        &self,
        namespace: &str,
        pods: &[Arc<str>],
        resource: &Resource,
        now: TimestampMs,
    ) -> Result<Vec<PodSample>, SourceError> {
        let (metric, measure): (_, fn(&SeriesData) -> Option<Measured>) = match resource {
            Resource::Cpu => ("container_cpu_usage_seconds_total", cpu),
            Resource::Memory => ("container_memory_working_set_bytes", memory),
            Resource::Other(name) => {
                return Err(SourceError::Unsupported {
                    metric: name.to_string(),
                    kind: "Resource",
                });
            }
        };
        if pods.is_empty() {
            return Ok(Vec::new());
        }
        let mut by_pod: BTreeMap<&str, PodSample> = BTreeMap::new();
        // Of what is no counter the newest reading is enough.
        let newest_only = *resource == Resource::Memory;
        let all = self.select(metric, namespace, pods, now, newest_only)?;
        for series in &all {
            let (Some(pod), Some(container)) =
                (series.labels.get("pod"), series.labels.get("container"))
            else {
                continue;
            };
            let (Some(name), Some(measured)) =
                (pods.iter().find(|known| known.as_ref() == pod), measure(series))
            else {
                continue;
            };
            let sample = by_pod.entry(pod).or_insert_with(|| PodSample {
                pod: name.clone(),
                at: measured.at,
                window: measured.window,
                usage: Usage::Containers(BTreeMap::new()),
            });
            sample.at = sample.at.max(measured.at);
            sample.window = sample.window.max(measured.window);
            if let Usage::Containers(containers) = &mut sample.usage {
                *containers.entry(Arc::from(container)).or_default() += measured.milli;
            }
        }
        Ok(by_pod.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{FloatColumn, Labels, SelectError, SeriesIter, stale_nan};
    use swell_telemetry::Registry;

    use crate::adapters::{Asker, StandingMetrics};

    use super::*;

    fn series(points: &[(i64, f64)]) -> SeriesData {
        SeriesData {
            labels: Labels::empty(),
            floats: FloatColumn {
                timestamps: points.iter().map(|point| point.0).collect(),
                values: points.iter().map(|point| point.1).collect(),
                starts: None,
            },
            ..SeriesData::default()
        }
    }

    /// A source that lacks something, and says so.
    struct Damaged;

    impl SeriesSource for Damaged {
        fn select<'a>(
            &'a self,
            _matchers: &[Matcher],
            _hints: &SelectHints,
        ) -> Result<SeriesIter<'a>, SelectError> {
            Ok(Box::new(std::iter::empty()))
        }

        fn warnings(&self, range: TimeRange) -> Vec<String> {
            let hurt = TimeRange { start_incl: TimestampMs(0), end_incl: TimestampMs(5000) };
            if hurt.overlaps(&range) { vec!["data may be missing".to_owned()] } else { Vec::new() }
        }

        fn label_names(
            &self,
            _matchers: &[Matcher],
            _range: TimeRange,
        ) -> Result<Vec<String>, SelectError> {
            Ok(Vec::new())
        }

        fn label_values(
            &self,
            _name: &str,
            _matchers: &[Matcher],
            _range: TimeRange,
        ) -> Result<Vec<String>, SelectError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn pods_whose_samples_may_be_missing_are_not_taken_for_idle() {
        let metrics = StandingMetrics::new(&Registry::new()).expect("new");
        let queries = StandingQueries::new(Arc::new(Damaged), Asker::Autoscaler, &metrics);
        let metrics = PodMetrics::new(queries, DurationMs(1000));
        let at = |now_ms: i64| {
            metrics.pod_usage("default", &["a".into()], &Resource::Cpu, TimestampMs(now_ms))
        };
        let error = at(9000).expect_err("the last five seconds are in doubt").to_string();
        assert!(error.contains("data may be missing"), "{error}");
        assert_eq!(at(10_001), Ok(Vec::new()), "what is damaged is too old to matter");
    }

    fn check(points: &[(i64, f64)], expected: Option<(i64, i64, i64)>) {
        let measured = cpu(&series(points)).map(|it| (it.at.0, it.window.0, it.milli));
        assert_eq!(measured, expected, "{points:?}");
    }

    #[test]
    fn cpu_is_what_was_used_between_the_two_newest_readings() {
        check(&[(1000, 1.0), (2000, 1.25), (3000, 1.35)], Some((3000, 1000, 100)));
        check(&[(1000, 1.0)], None);
        check(&[(1000, 5.0), (2000, 0.2)], Some((2000, 1000, 200)));
        check(&[(1000, 1.0), (2000, stale_nan()), (3000, 0.1)], None);
        check(&[(1000, 1.0), (2000, stale_nan())], None);
        check(&[], None);
    }
}
