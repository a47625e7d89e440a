//! Observe, decide, act: one file per autoscaler; decisions are journalled and explained.
//!
//! [`PodAutoscaler`] waits for samples (a receiver that somebody else bumps) and for changes of objects, asks
//! `swell-decide`, writes the target's scale and the HorizontalPodAutoscaler's status, and keeps every decision that
//! says something new in the [`Journal`], which [`router`] serves. Where metrics come from is behind
//! [`PodMetricSource`]; no rule of scaling is in this crate.

mod config;
mod http;
mod journal;
mod metrics;
mod operations;
mod pod;
mod source;

pub use config::Config;
pub use http::router;
pub use journal::{Journal, JournalError, Query};
pub use operations::operations;
pub use pod::{BuildError, Dependencies, PodAutoscaler};
pub use source::{PodMetricSource, SourceError};
pub use swell_decide::{DecisionRecord, PodSample, Resource, Usage};
