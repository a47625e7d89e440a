//! One file per kind: an object in, samples out.

mod deployment;
mod hpa;
mod namespace;
mod node;
mod pod;
mod replica_set;
mod service;

use k8s_openapi::apimachinery::pkg::api::resource;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use swell_model::{Labels, METRIC_NAME, Quantity};

pub use deployment::deployment;
pub use hpa::horizontal_pod_autoscaler;
pub use namespace::namespace;
pub use node::node;
pub use pod::pod;
pub use replica_set::replica_set;
pub use service::service;

/// Where samples go: the job's labels are added, the rest comes from the family.
#[derive(Debug)]
pub struct Samples {
    job: String,
    instance: String,
    samples: Vec<(Labels, f64)>,
}

impl Samples {
    /// No samples yet; `job` and `instance` become labels of each.
    #[must_use]
    pub fn new(job: &str, instance: &str) -> Self {
        Self { job: job.to_owned(), instance: instance.to_owned(), samples: Vec::new() }
    }

    /// What was collected, in the order of the calls.
    #[must_use]
    pub fn into_inner(self) -> Vec<(Labels, f64)> {
        self.samples
    }

    /// Adds a sample of `name` with the labels of `object` and more of its own.
    fn push(&mut self, name: &str, object: &[(&str, &str)], own: &[(&str, &str)], value: f64) {
        let fixed =
            [(METRIC_NAME, name), ("job", self.job.as_str()), ("instance", self.instance.as_str())];
        let pairs = fixed.iter().chain(object).chain(own).copied();
        self.samples.push((Labels::from_pairs(pairs), value));
    }

    /// Adds a count, where there is one.
    fn push_count(&mut self, name: &str, object: &[(&str, &str)], count: Option<i32>) {
        if let Some(count) = count {
            self.push(name, object, &[], f64::from(count));
        }
    }

    /// One series per possible value of an enumeration, 1 for the one that holds.
    fn push_states(
        &mut self,
        name: &str,
        object: &[(&str, &str)],
        label: &str,
        states: &[&str],
        holds: Option<&str>,
    ) {
        for state in states {
            self.push(name, object, &[(label, state)], flag(holds == Some(*state)));
        }
    }

    /// A condition as three series, of which one is 1.
    fn push_condition(&mut self, name: &str, object: &[(&str, &str)], type_: &str, status: &str) {
        for state in ["true", "false", "unknown"] {
            let value = flag(status.eq_ignore_ascii_case(state));
            self.push(name, object, &[("condition", type_), ("status", state)], value);
        }
    }

    /// The creation time of an object.
    fn push_created(&mut self, name: &str, object: &[(&str, &str)], metadata: &ObjectMeta) {
        if let Some(time) = &metadata.creation_timestamp {
            self.push(name, object, &[], seconds(time));
        }
    }
}

fn flag(holds: bool) -> f64 {
    if holds { 1.0 } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
fn seconds(time: &Time) -> f64 {
    time.0.as_second() as f64
}

#[expect(clippy::cast_precision_loss, reason = "generations are far below 2^53")]
fn generation(generation: i64) -> f64 {
    generation as f64
}

fn text(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

/// The owner that manages the object.
fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata
        .owner_references
        .as_deref()
        .unwrap_or_default()
        .iter()
        .find(|owner| owner.controller == Some(true))
}

/// A resource amount in its base unit, with the unit's name as kube-state-metrics writes both.
/// An amount that is no quantity gives nothing: the API server has refused it before.
fn amount(resource: &str, quantity: &resource::Quantity) -> Option<(&'static str, f64)> {
    let quantity = Quantity::parse(&quantity.0).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "resource amounts are shown, not counted with")]
    let value = quantity.milli as f64 / 1000.0;
    let unit = match resource {
        "cpu" => "core",
        "memory" | "ephemeral-storage" | "storage" => "byte",
        _ => "integer",
    };
    Some((unit, value))
}

#[cfg(test)]
pub(crate) mod testing {
    use serde_json::Value;

    use super::Samples;

    /// Decodes an object, runs its family and compares the samples of `name` as text.
    pub(crate) fn check<K: serde::de::DeserializeOwned>(
        family: impl Fn(&K, &mut Samples),
        object: Value,
        name: &str,
        expected: &[&str],
    ) {
        let object: K = serde_json::from_value(object).expect("a valid object");
        let mut samples = Samples::new("kube-state-metrics", "core");
        family(&object, &mut samples);
        let of_name: Vec<String> = samples
            .into_inner()
            .iter()
            .filter(|(labels, _)| labels.metric_name() == Some(name))
            .map(|(labels, value)| {
                let shown = labels.filtered(|label| label != "job" && label != "instance");
                format!("{shown} {value}")
            })
            .collect();
        assert_eq!(of_name, expected);
    }
}
