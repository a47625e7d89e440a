//! Metric sources, targets, readings, and why a reading is of no use.

use std::fmt;
use std::sync::Arc;

use crate::pods::{PodFacts, PodSample};

/// A resource that pods request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// CPU, in thousandths of a core.
    Cpu,
    /// Memory, in thousandths of a byte.
    Memory,
    /// Any other.
    Other(Arc<str>),
}

impl Resource {
    /// The resource of this Kubernetes name.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            other => Self::Other(other.into()),
        }
    }

    /// The Kubernetes name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a metric comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricSource {
    /// Use of a resource per pod, all containers together.
    Resource(Resource),
    /// Use of a resource by one container of each pod.
    ContainerResource(Resource, Arc<str>),
    /// A custom value per pod.
    Pods(Arc<str>),
    /// A value of another object.
    Object {
        /// Metric name.
        metric: Arc<str>,
        /// The object in words, `Service/web`.
        described: Arc<str>,
    },
    /// Values from elsewhere, summed.
    External(Arc<str>),
    /// A type that no autoscaler knows.
    Unknown(Arc<str>),
}

impl MetricSource {
    /// The type's name in `autoscaling/v2`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::Resource(_) => "Resource",
            Self::ContainerResource(..) => "ContainerResource",
            Self::Pods(_) => "Pods",
            Self::Object { .. } => "Object",
            Self::External(_) => "External",
            Self::Unknown(name) => name,
        }
    }

    /// Name of the resource or metric.
    #[must_use]
    pub fn metric_name(&self) -> &str {
        match self {
            Self::Resource(resource) | Self::ContainerResource(resource, _) => resource.name(),
            Self::Pods(metric) | Self::Object { metric, .. } | Self::External(metric) => metric,
            Self::Unknown(_) => "",
        }
    }

    /// The container, where one is named.
    #[must_use]
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::ContainerResource(_, container) => Some(container),
            _ => None,
        }
    }
}

/// What a metric is to be held at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whole percent of the request.
    Utilization(i64),
    /// Thousandths per pod.
    AverageValue(i64),
    /// Thousandths in all.
    Value(i64),
}

impl Target {
    /// The bare number.
    #[must_use]
    pub const fn value(self) -> i64 {
        match self {
            Self::Utilization(value) | Self::AverageValue(value) | Self::Value(value) => value,
        }
    }

    /// The type's name in `autoscaling/v2`.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            Self::Utilization(_) => "Utilization",
            Self::AverageValue(_) => "AverageValue",
            Self::Value(_) => "Value",
        }
    }
}

/// One metric of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricSpec {
    /// Where it comes from.
    pub source: MetricSource,
    /// What it is to be held at.
    pub target: Target,
}

/// What a source answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Samples by pod. Those of pods that the selector does not list are ignored.
    Pods(Vec<PodSample>),
    /// Values in thousandths, to be summed.
    Values(Vec<i64>),
    /// The source failed, in its words.
    Failed(String),
}

/// One metric with what its source answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricInput {
    /// The metric.
    pub spec: MetricSpec,
    /// The answer.
    pub reading: Reading,
    /// The pods, where this metric sees others than the rest of the policy.
    pub pods: Option<Vec<PodFacts>>,
}

/// Why a metric asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// The source failed.
    #[error("{0}")]
    Source(String),
    /// The source answered without any sample.
    #[error("no metrics returned from the metrics source")]
    NoMetrics,
    /// Samples came, but none of a pod that counts.
    #[error("no metrics returned matched known pods")]
    NoMetricsForKnownPods,
    /// Only starting or failed pods were sampled.
    #[error("did not receive metrics for targeted pods (pods might be unready)")]
    NoMetricsForReadyPods,
    /// The selector lists no pod.
    #[error("no pods returned by selector while calculating replica count")]
    NoPods,
    /// A container has no request, so there is nothing to be a percentage of.
    #[error("missing request for {resource} in container {container} of Pod {pod}")]
    MissingRequest {
        /// Resource.
        resource: Resource,
        /// Container.
        container: String,
        /// Pod.
        pod: String,
    },
    /// No container of this name.
    #[error("container {container} not found in Pod {pod}")]
    ContainerNotFound {
        /// Container.
        container: String,
        /// Pod.
        pod: String,
    },
    /// A metric type that no autoscaler knows.
    #[error("unknown metric source type {0:?}")]
    InvalidMetricType(String),
    /// The target's type does not go with the metric's type, or is not above zero.
    #[error(
        "a {source_type} metric cannot have the target {target_type} {value}: it must be one of {allowed}, above zero"
    )]
    InvalidTarget {
        /// Type of the metric.
        source_type: String,
        /// Type of the target.
        target_type: &'static str,
        /// Value of the target.
        value: i64,
        /// The target types that go with it.
        allowed: &'static str,
    },
}
