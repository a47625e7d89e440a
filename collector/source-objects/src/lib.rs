//! Series about the orchestrator's objects, in kube-state-metrics' names, so that dashboards and alerts
//! which join container series with object series work unchanged.
//!
//! [`families`] turns one object into samples and is pure; [`ObjectSource`] keeps caches of the objects and
//! writes each tick into a [`swell_model::Pass`]. Objects are looked at again only after a cache changed.

pub mod families;
mod source;

pub use source::ObjectSource;
