//! Where one domain needs what another has, it defines a small trait; here they meet.

mod announce;
mod containers;
mod pod_metrics;
mod promql;
mod self_metrics;

pub(crate) use announce::AnnouncingSink;
pub(crate) use containers::Containers;
pub(crate) use pod_metrics::PodMetrics;
pub(crate) use promql::PromqlEvaluator;
pub(crate) use self_metrics::SelfMetrics;
