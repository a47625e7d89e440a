//! What the proxy needs to know.

use swell_model::DurationMs;

/// Labels of its series, and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Label `instance`: the node's name.
    pub instance: String,
    /// Further labels on every series, such as `cluster`.
    pub extra_labels: Vec<(String, String)>,
    /// How long a request waits for an endpoint when its service has none, before it is answered with 503.
    pub endpoint_wait: DurationMs,
}

impl Config {
    /// Long enough for a pod that is just becoming ready.
    pub const ENDPOINT_WAIT: DurationMs = DurationMs(1000);

    /// The defaults for a node.
    #[must_use]
    pub fn node(name: &str) -> Self {
        Self {
            instance: name.to_owned(),
            extra_labels: Vec::new(),
            endpoint_wait: Self::ENDPOINT_WAIT,
        }
    }
}
