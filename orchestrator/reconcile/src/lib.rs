//! One file per kind: from what is observed to a plan; level-triggered and idempotent.
//!
//! Every function here looks at objects and a time and says what to write; nothing is sent from here. Carrying out
//! a plan and reconciling again gives an empty plan. What Kubernetes' controllers do is the model
//! (`pkg/controller/{deployment,replicaset,endpoint,nodelifecycle,podgc}`), with these differences:
//!
//! - A ReplicaSet does not wait for its cache to catch up after it created or deleted pods; the caller hands in
//!   what it did ([`Expectations`]) and the count is right at once. So no pod is created twice from an old copy.
//! - A Deployment takes all the steps of a rolling update that are open in one plan, not one per pass.
//! - Orphans that match a selector are not adopted.

pub mod deployment;
pub mod endpoints;
mod expectations;
pub mod node_lifecycle;
mod note;
mod objects;
pub mod pod_gc;
pub mod replica_set;
mod template_hash;
mod times;

pub use expectations::Expectations;
pub use note::Note;
pub use objects::{controller_of, is_controlled_by, owner_reference, uid_of};
pub use template_hash::template_hash;
pub use times::{micro_time, millis_of, time};
