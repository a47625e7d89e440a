//! Where metrics come from.

use std::sync::Arc;

use swell_decide::{PodSample, Resource};
use swell_model::TimestampMs;

/// Answers what pods use. Called once per policy and sample, from an asynchronous task: an answer must come from
/// memory within about a millisecond, without waiting for anything.
pub trait PodMetricSource: Send + Sync {
    /// Use of a resource by `pods` of one namespace, by container: the newest sample of each, with the interval that
    /// it covers (for CPU, the time between the two newest readings of the counter). Pods without a sample are left
    /// out. Values are thousandths: of a core, or of a byte.
    ///
    /// # Errors
    /// [`SourceError`] when nothing can be said about any pod; an empty answer says that none was sampled.
    fn pod_usage(
        &self,
        namespace: &str,
        pods: &[Arc<str>],
        resource: &Resource,
        now: TimestampMs,
    ) -> Result<Vec<PodSample>, SourceError>;

    /// A custom metric of `pods`, in thousandths, as [`swell_decide::Usage::Pod`]. `_selector` narrows the series.
    ///
    /// # Errors
    /// [`SourceError`]; the default answers that such metrics are not supported.
    fn pod_metric(
        &self,
        _namespace: &str,
        _pods: &[Arc<str>],
        metric: &str,
        _selector: &str,
        _now: TimestampMs,
    ) -> Result<Vec<PodSample>, SourceError> {
        Err(SourceError::Unsupported { metric: metric.to_owned(), kind: "Pods" })
    }

    /// A metric of another object, in thousandths; the values are summed.
    ///
    /// # Errors
    /// [`SourceError`]; the default answers that such metrics are not supported.
    fn object_metric(
        &self,
        _namespace: &str,
        _object: &str,
        metric: &str,
        _selector: &str,
        _now: TimestampMs,
    ) -> Result<Vec<i64>, SourceError> {
        Err(SourceError::Unsupported { metric: metric.to_owned(), kind: "Object" })
    }

    /// Values from elsewhere, in thousandths; they are summed.
    ///
    /// # Errors
    /// [`SourceError`]; the default answers that such metrics are not supported.
    fn external_metric(
        &self,
        _namespace: &str,
        metric: &str,
        _selector: &str,
        _now: TimestampMs,
    ) -> Result<Vec<i64>, SourceError> {
        Err(SourceError::Unsupported { metric: metric.to_owned(), kind: "External" })
    }
}

/// Why a source has no answer. A policy is held then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The source cannot be read now.
    #[error("{0}")]
    Unavailable(String),
    /// The source knows no metrics of this kind.
    #[error(
        "metric {metric}: metrics of the type {kind} are not supported by this server; use Resource or ContainerResource"
    )]
    Unsupported {
        /// Name of the metric.
        metric: String,
        /// Type in `autoscaling/v2`.
        kind: &'static str,
    },
}
