//! Where one domain needs what another has, it defines a small trait; here they meet.

mod alertmanagers;
mod announce;
#[cfg(feature = "archive")]
mod archived;
mod containers;
mod joined;
mod pod_metrics;
mod promql;
mod remote;
mod self_metrics;
mod standing;

pub(crate) use alertmanagers::{addresses, relabelling};
pub(crate) use announce::AnnouncingSink;
#[cfg(feature = "archive")]
pub(crate) use archived::ArchivedSource;
pub(crate) use containers::Containers;
pub(crate) use pod_metrics::PodMetrics;
pub(crate) use promql::PromqlEvaluator;
pub(crate) use remote::RemoteSource;
pub(crate) use self_metrics::SelfMetrics;
pub(crate) use standing::{Asker, StandingMetrics, StandingQueries};
